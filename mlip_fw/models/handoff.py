"""Arguments of the Firetasks, stored in the spec of each Firework: paths, hashes and numbers, never structures."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from mlip_fw.models.base import Count, Frozen
from mlip_fw.models.campaign import Campaign, with_earlier_basis

_CARRY_OVER = "mlip_fw_baton_"


class Handoff(Frozen):
    """Arguments that every Firework of a campaign has."""

    campaign: Campaign
    directory: str = Field(description="absolute path of the campaign directory", pattern=r"^/[^\x00-\x1f]*$")

    @field_validator("campaign", mode="before")
    @classmethod
    def _of_any_version(cls, stored: Any) -> Any:
        return with_earlier_basis(stored) if isinstance(stored, dict) else stored

    @property
    def dataset_root(self) -> Path:
        """Folder of the labels that the work is about: with ``labels/`` and ``quarantine/``."""
        return Path(self.directory)

    @property
    def walker_and_cycle(self) -> tuple[int, int] | None:
        """The cycle that the work belongs to; None: the bootstrap, or the campaign as a whole."""
        return None

    def require_inside(self, key: str, path: str) -> None:
        """Refuse a path that leaves the campaign directory."""
        whole = Path(os.path.normpath(path))
        if not whole.is_relative_to(os.path.normpath(self.directory)) or not path.isprintable():
            raise ValueError(f"{key} is {path!r}, which is not in the campaign directory {self.directory}")


class StageCarryOver(Frozen):
    """Where the next stage of a walker starts, left in the spec by the stage before."""

    start: str
    cycle: Count
    turns: Count


def carry_over_key(walker: int, stage: int) -> str:
    """Return the key of a spec under which a finished stage leaves where the next one starts."""
    return f"{_CARRY_OVER}{walker:02d}_{stage:02d}"


class MDHandoff(Handoff):
    """Arguments of an MD Firework."""

    walker: Count
    cycle: Count = 0
    stage: Count = 0
    turns: Count = Field(0, description="halts of this walker so far after which MD was resumed")
    start: str | None = Field(None, description="restart file; None: the stage's natural start")
    first_step: Count = 0
    last_halt_step: Count | None = None
    repeats: Count = Field(0, description="halts in a row at last_halt_step")
    rewound_from: Count | None = Field(None, description="step of the halts that made the walker rewind")
    repetition: Count = Field(0, description="how often the stage was begun anew because its error was too large")

    @model_validator(mode="after")
    def _starts_inside(self) -> MDHandoff:
        if self.start is not None:
            self.require_inside("start", self.start)
        return self

    @property
    def walker_and_cycle(self) -> tuple[int, int]:
        """The cycle that the work belongs to."""
        return self.walker, self.cycle

    def with_carry_over(self, spec: dict[str, Any]) -> MDHandoff:
        """Return the hand-off with the start that the stage before left in the spec, if it did."""
        carry_over = spec.get(carry_over_key(self.walker, self.stage))
        if carry_over is None or self.start is not None:
            return self
        return MDHandoff.model_validate({**self.model_dump(), **StageCarryOver.model_validate(carry_over).model_dump()})


class CandidatesHandoff(Handoff):
    """Arguments of a Candidates Firework."""

    walker: Count
    cycle: Count
    repeats: Count = 0

    @property
    def walker_and_cycle(self) -> tuple[int, int]:
        """The cycle that the work belongs to."""
        return self.walker, self.cycle


class SelectedStructure(Frozen):
    """One structure to label: where it is in its file, and the name of its label."""

    hash: str = Field(pattern=r"^[0-9a-f]{16}$")
    index: Count


class LabelHandoff(Handoff):
    """Arguments of a Label Firework."""

    hash: str = Field(pattern=r"^[0-9a-f]{16}$")
    structures: str = Field(description="extxyz file that holds the structure")
    index: Count
    turns: Count = Field(0, description="how often the calculation was cut by the walltime and continued")
    retry: bool = Field(False, description="label it although it is in the quarantine")
    apart: bool = Field(False, description="keep it in validation/, where nothing is trained on")
    audit: bool = Field(False, description="keep it in audit/, where nothing is trained on")
    more: list[SelectedStructure] = Field(default_factory=list, description="of the same file, to be labelled after it")

    @model_validator(mode="after")
    def _structures_inside(self) -> LabelHandoff:
        self.require_inside("structures", self.structures)
        return self

    @property
    def dataset_root(self) -> Path:
        """Folder that the label, or the quarantine of it, belongs to."""
        if self.audit:
            return Path(self.directory) / "audit"
        return Path(self.directory) / "validation" if self.apart else Path(self.directory)

    def one_by_one(self) -> Iterator[LabelHandoff]:
        """Yield a hand-off for each structure in turn; each still holds those that come after it in ``more``."""
        yield self
        for done, structure in enumerate(self.more, start=1):
            update = {**structure.model_dump(), "more": self.more[done:], "turns": 0}
            yield self.model_copy(update=update)


class TrainHandoff(Handoff):
    """Arguments of a Train Firework; without walker and cycle it is the one of the bootstrap."""

    walker: Count | None = None
    cycle: Count | None = None

    @property
    def walker_and_cycle(self) -> tuple[int, int] | None:
        """The cycle that the work belongs to; None: the bootstrap."""
        return None if self.walker is None or self.cycle is None else (self.walker, self.cycle)


class WaitingHandoff(Handoff):
    """Arguments of a Firework that has labels made and then runs again."""

    asked: dict[str, Count] = Field(default_factory=dict, description="labels that it waited for, how often each")

    def waiting_for(self, labels: Iterable[LabelHandoff]) -> Self:
        """Return the arguments of the Firework that comes after ``labels``."""
        again = {label.hash: self.asked.get(label.hash, 0) + 1 for label in labels}
        return self.model_copy(update={"asked": {**self.asked, **again}})


class AuditHandoff(WaitingHandoff):
    """Arguments of an Audit Firework."""

    round: Count = Field(0, description="how often stages have been repeated before it")


class ValidateHandoff(WaitingHandoff):
    """Arguments of a Validate Firework."""


class RefineHandoff(Handoff):
    """Arguments of a Polish Firework."""

    turns: Count = Field(0, description="how often the fit was cut by the walltime and continued")
