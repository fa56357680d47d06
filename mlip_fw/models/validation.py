"""Settings of a validation, and its report."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from mlip_fw.models.base import Count, Fraction, Frozen, NotNegative, Positive, Real
from mlip_fw.models.kinds import NameIn
from mlip_fw.models.structure import BulkSettings
from mlip_fw.models.training import Errors
from mlip_fw.plugins import PROPERTIES

RDF = "rdf"
"""The property that is of the MD, and needs no labels of other cells."""
_MillerIndex = Annotated[int, Field(strict=True, ge=-9, le=9)]


class ValidationSettings(Frozen):
    """What the last Firework before the summary compares with the oracle; by default nothing, as it costs labels."""

    n_frames: Count = Field(0, le=10_000, description="frames of the trajectories to label for it, never trained on")
    properties: list[Annotated[str, NameIn(PROPERTIES)]] = Field(
        [], description="what of the crystal and of the MD is compared with the oracle"
    )
    crystal: BulkSettings | None = Field(
        None, description="perfect crystal whose properties are compared; null: structure.bulk"
    )
    surface: Annotated[list[_MillerIndex], Field(min_length=3, max_length=3)] = Field(
        [1, 1, 1], description="Miller indices of the surface, in the crystal's unit cell"
    )
    reference_trajectory: str | None = Field(
        None, description="file of frames of the oracle's own MD, for rdf; the oracle `ase` can make one itself"
    )
    oracle_md_steps: Count = Field(
        500, le=1_000_000, description="steps of the MD by an oracle `ase` for rdf, if no trajectory is given"
    )

    @field_validator("surface")
    @classmethod
    def _is_a_plane(cls, surface: list[int]) -> list[int]:
        if not any(surface):
            raise ValueError("0 0 0 are no Miller indices of a surface; say 1 1 1")
        return surface

    @property
    def asks_for_something(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.n_frames or self.properties)


class HeldOut(Frozen):
    """A frame of the trajectories that is never trained on."""

    hash: str = Field(pattern=r"^[0-9a-f]{16}$")
    walker: Count
    cycle: Count
    step: Count
    temperature_k: NotNegative | None = Field(None, description="target temperature of the thermostat, K")
    measured_temperature_k: NotNegative | None = Field(None, description="temperature by LAMMPS' log, K")


class HoldOut(Frozen):
    """All held-out frames in the order in which they were drawn, as written to ``holdout.json``."""

    frames: list[HeldOut]


class FrameErrors(Errors):
    """Root mean square errors over held-out frames."""

    stress_rmse_gpa: NotNegative | None = Field(None, description="of the stress, GPa; null: the oracle has none")
    force_rms_ev_a: NotNegative | None = Field(
        None, description="root mean square of the oracle's force components themselves, eV/Å"
    )
    n_frames: Count = Field(description="number of frames")
    n_atoms: Count = Field(description="number of atoms that count")


class TemperatureErrors(FrameErrors):
    """Root mean square errors over held-out frames within a range of measured temperature."""

    from_k: NotNegative = Field(description="lowest measured temperature of these frames, K")
    to_k: NotNegative = Field(description="highest measured temperature of these frames, K")


class GammaBin(Frozen):
    """Force errors of atoms with an extrapolation grade in a range."""

    from_gamma: NotNegative = Field(description="lower end of the range")
    to_gamma: Positive | None = Field(description="upper end of the range; null: none")
    n_atoms: Count = Field(description="number of atoms in the range")
    force_rmse_ev_a: NotNegative = Field(description="root mean square error of the force components, eV/Å")
    force_p95_ev_a: NotNegative = Field(description="error of the force that 95 of 100 atoms stay below, eV/Å")
    covered: Fraction = Field(description="share of the atoms whose error is within `promise_ev_a`")


class Calibration(Frozen):
    """How well the extrapolation grade predicts force errors."""

    promise_ev_a: NotNegative = Field(description="force error that 95 of 100 atoms of the training set stay below")
    rank_correlation: Real | None = Field(None, description="Spearman's, of gamma and force error over all atoms")
    bins: list[GammaBin] = Field(description="errors by range of gamma")


class Quantity(Frozen):
    """One quantity, computed with the potential and with the oracle."""

    property: str = Field(description="property that it belongs to")
    name: str = Field(description="what it is")
    unit: str = Field(description="unit of both values")
    potential: Real = Field(description="value by the potential")
    oracle: Real = Field(description="value by the oracle")
    difference_percent: Real | None = Field(
        description="by how much the potential is off; null where the oracle's value is 0"
    )


class ValidationReport(Frozen):
    """Report of a validation, as written to ``validation.json``."""

    campaign: str = Field(description="name of the campaign")
    generation: Count = Field(description="generation that was compared")
    level_of_theory: str = Field(description="short name of the level of theory of the labels")
    settings: ValidationSettings
    holdout: FrameErrors | None = Field(None, description="over all held-out frames; null: none were asked for")
    by_element: dict[str, NotNegative] = Field(default_factory=dict, description="force error by element, eV/Å")
    by_temperature: list[TemperatureErrors] = Field(
        default_factory=list, description="in up to four ranges of measured temperature with as many frames each"
    )
    calibration: Calibration | None = None
    quantities: list[Quantity] = Field(default_factory=list, description="properties by potential and oracle")
    unmeasured: dict[str, str] = Field(default_factory=dict, description="what could not be compared, and why")
    gamma_max: dict[str, NotNegative] = Field(
        default_factory=dict, description="largest gamma in the structures of each property"
    )
    labels: Count = Field(description="labels in validation/, of all validations so far")
    labels_failed: Count = Field(description="structures in validation/quarantine/")
