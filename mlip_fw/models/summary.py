"""What a campaign came to: the object that ``mlip-fw run --json`` prints."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from mlip_fw.models.base import Count, Frozen, NotNegative


class StopReason(StrEnum):
    """Why a campaign ended although its MD has not finished."""

    MAX_CYCLES = "max_cycles"
    MAX_LABELS = "max_labels"
    NO_PROGRESS = "no_progress"
    LABEL_FAILURES = "label_failures"


Outcome = Literal["CONVERGED", "STOPPED", "RUNNING", "INTERRUPTED"]


class Seconds(Frozen):
    """Where the wall time went, s."""

    total: NotNegative
    md: NotNegative
    candidates: NotNegative
    label: NotNegative
    train: NotNegative
    overhead: NotNegative


class CampaignSummary(Frozen):
    """The result of a campaign in numbers."""

    campaign: str
    outcome: Outcome
    reason: str | None
    hint: str | None = Field(None, description="what stood in the way and what to do, where the reason does not tell")
    cycles: Count = Field(description="halt-to-resume turns")
    halts: Count
    labels: Count
    labels_failed: Count
    atoms_labelled: Count
    generations: Count
    generations_refused: Count = Field(0, description="generations that are unfit for MD")
    md_steps: Count = Field(
        description="MD steps of all walkers, without rehearsals, up to their last frame, each step counted once"
    )
    dataset_force_rmse_ev_a: NotNegative
    dataset_energy_rmse_ev_atom: NotNegative
    seconds: Seconds
    potential: str = Field(description="absolute path of the .yaml of the newest generation that MD may use, or empty")
    active_set: str = Field(description="absolute path of the .asi of that generation, or empty")
