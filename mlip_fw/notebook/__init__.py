"""Campaigns in a notebook."""

from mlip_fw.notebook.find import load
from mlip_fw.notebook.loaded import LoadedCampaign

__all__ = ["LoadedCampaign", "load"]
