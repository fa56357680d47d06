"""Campaigns as Python objects, for notebooks and scripts."""

from mlip_fw.views.notebook.find_campaign import load
from mlip_fw.views.notebook.loaded_campaign import LoadedCampaign

__all__ = ["LoadedCampaign", "load"]
