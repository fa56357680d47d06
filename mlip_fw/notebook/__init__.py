"""Campaigns as Python objects, for notebooks and scripts."""

from mlip_fw.notebook.find import load
from mlip_fw.notebook.loaded import LoadedCampaign

__all__ = ["LoadedCampaign", "load"]
