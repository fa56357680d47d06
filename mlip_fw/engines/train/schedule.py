"""When the trainer of a campaign refines the linear generations."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from mlip_fw.campaign.generations import Generations
from mlip_fw.errors import CampaignError
from mlip_fw.models.campaign import Campaign

_NEEDED = ("tensorflow", "tensorpotential")


def is_installed() -> bool:
    """Return whether what pacemaker needs is installed beside mlip_fw; imports nothing, as that takes seconds."""
    return all(importlib.util.find_spec(name) is not None for name in _NEEDED)


@dataclass(frozen=True)
class Schedule:
    """The trainer of a campaign, and why it is this one."""

    campaign: Campaign
    """With ``potential.kind`` decided."""
    because: str

    @property
    def words(self) -> str:
        """What the campaign does, in words."""
        settings, kind = self.campaign.potential.refinement, self.campaign.potential.kind
        if settings is None:
            return f"linear ({self.because})"
        end = " and at the end" if settings.at_end else ""
        return f"linear, polished by {kind} every {settings.every} generations{end} ({self.because})"


def decided(campaign: Campaign, begun: Campaign | None, root: Path) -> Schedule:
    """Decide ``potential.kind: auto`` once, so that the campaign is the same on all its machines.

    A campaign that has begun keeps its trainer; a new one gets pacemaker if it is installed here and its files
    need not travel.

    Parameters
    ----------
    begun
        The campaign as it was started in its directory, or None if it was not.
    root
        That directory, for messages.

    Raises
    ------
    CampaignError
        If files are to travel of a campaign that began with pacemaker.
    """
    if begun is not None:
        campaign = campaign.with_basis_of(begun)
    if campaign.potential.kind != "auto":
        return Schedule(campaign, "as the campaign says")
    uses_filepad = campaign.files == "filepad"
    if begun is not None:
        kind = begun.potential.kind
        if uses_filepad and kind != "linear":
            raise CampaignError(f"{root} began with {kind}, whose files don't travel; say files: shared")
        return Schedule(_of_kind(campaign, kind), "as the campaign began")
    if uses_filepad:
        return Schedule(_of_kind(campaign, "linear"), "files: filepad")
    if is_installed():
        return Schedule(_of_kind(campaign, "pacemaker"), "it is installed here")
    return Schedule(_of_kind(campaign, "linear"), "pacemaker is not installed here")


def is_due(generations: Generations, campaign: Campaign) -> bool:
    """Return whether enough linear generations have passed since the trainer's last one."""
    settings = campaign.potential.refinement
    if settings is None:
        return False
    last = generations.newest_of(campaign.potential.kind)
    passed = [n for n in generations.numbers() if (last is None or n > last) and generations.trainer(n) == "linear"]
    return len(passed) >= settings.every


def is_left_to_do(generations: Generations, trainer: str = "pacemaker") -> bool:
    """Return whether ``trainer`` has not seen all labels of the newest linear generation."""
    source = generations.newest_of("linear")
    record = generations.record(source) if source is not None else None
    if record is None or not record.labels:
        return False
    last = generations.newest_of(trainer)
    polished = generations.record(last) if last is not None else None
    return polished is None or set(polished.labels) != set(record.labels)


def is_behind(generations: Generations, source: int) -> bool:
    """Return whether there is a newer linear generation than ``source``."""
    return generations.newest_of("linear") != source


def _of_kind(campaign: Campaign, kind: str) -> Campaign:
    return campaign.model_copy(update={"potential": campaign.potential.model_copy(update={"kind": kind})})
