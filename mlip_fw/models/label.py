"""Records of labels, and of structures that could not be labelled."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from mlip_fw.models.base import Count, Frozen, NotNegative, PositiveCount


class LabelState(StrEnum):
    """Outcome of a labelling Firework."""

    DONE = "done"
    EXISTED = "existed"
    QUARANTINED = "quarantined"
    UNFINISHED = "unfinished"


class LabelBalance(Frozen):
    """Numbers of labels and failures that a Train Firework found; stored, so that a rerun decides the same."""

    done: Count
    failed: Count
    max_failed_fraction: NotNegative

    @property
    def too_many_failed(self) -> bool:
        """Whether the campaign should stop."""
        return self.failed > self.max_failed_fraction * (self.done + self.failed)


class QuarantineRecord(Frozen):
    """Why a structure could not be labelled, as written beside it."""

    hash: str
    reason: str
    level_of_theory: dict[str, Any]
    corrections: list[dict[str, Any]] = Field(
        default_factory=list, description="what was tried: errors and actions, in order"
    )
    files: list[str] = Field(default_factory=list, description="inputs and outputs, in the folder beside")
    n_atoms: Count = 0
    seconds: NotNegative = 0.0
    cores: PositiveCount | None = Field(None, description="cores that it had; null if that was not recorded")
