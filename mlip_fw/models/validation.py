"""What a validation is asked for, and what it found."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, WithJsonSchema

from mlip_fw.models.base import Count, Fraction, Frozen, NotNegative, Positive, Real
from mlip_fw.models.structure import BulkSettings
from mlip_fw.models.training import Errors


class Property(StrEnum):
    """What people look at in a potential."""

    EQUATION_OF_STATE = "equation_of_state"
    ELASTIC = "elastic"
    PHONONS = "phonons"
    VACANCY = "vacancy"
    SURFACE = "surface"
    RDF = "rdf"


_Asked = Annotated[Property, WithJsonSchema({"type": "string", "enum": [kind.value for kind in Property]})]


class ValidationSettings(Frozen):
    """What the last Firework before the summary compares with the oracle; by default nothing, as it costs labels."""

    n_frames: Count = Field(0, le=10_000, description="frames of the trajectories to label for it, never trained on")
    properties: list[_Asked] = Field([], description="what of the crystal and of the MD is compared with the oracle")
    crystal: BulkSettings | None = Field(
        None, description="perfect crystal whose properties are compared; null: structure.bulk"
    )
    surface: Annotated[list[int], Field(min_length=3, max_length=3)] = Field(
        [1, 1, 1], description="Miller indices of the surface, in the crystal's unit cell"
    )
    reference_trajectory: str | None = Field(
        None, description="file of frames of the oracle's own MD, for rdf; the oracle `ase` can make one itself"
    )
    oracle_md_steps: Count = Field(
        500, le=1_000_000, description="steps of the MD by an oracle `ase` for rdf, if no trajectory is given"
    )

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
    temperature_k: NotNegative | None = Field(None, description="of the thermostat, K")


class HoldOut(Frozen):
    """All held-out frames in the order in which they were drawn, as written to ``holdout.json``."""

    frames: list[HeldOut]


class FrameErrors(Errors):
    """Root mean square errors over held-out frames."""

    stress_rmse_gpa: NotNegative | None = Field(None, description="null: the oracle has no stress")
    n_frames: Count
    n_atoms: Count


class TemperatureErrors(FrameErrors):
    """The same within a range of temperature."""

    from_k: NotNegative
    to_k: NotNegative


class GammaBin(Frozen):
    """Force errors of atoms with an extrapolation grade in a range."""

    from_gamma: NotNegative
    to_gamma: Positive | None = Field(description="null: no upper end")
    n_atoms: Count
    force_rmse_ev_a: NotNegative
    force_p95_ev_a: NotNegative = Field(description="95 of 100 atoms have a smaller error")
    covered: Fraction = Field(description="share of the atoms whose error is within `promise_ev_a`")


class Calibration(Frozen):
    """Whether gamma knows where the errors are."""

    promise_ev_a: NotNegative = Field(description="force error that 95 of 100 atoms of the training set stay below")
    rank_correlation: Real | None = Field(None, description="Spearman's, of gamma and force error over all atoms")
    bins: list[GammaBin]


class Quantity(Frozen):
    """A number by the potential and by the oracle."""

    property: Property
    name: str
    unit: str
    potential: Real
    oracle: Real
    difference_percent: Real | None = Field(description="null where the oracle's value is 0")


class ValidationReport(Frozen):
    """All that a validation found, as written to ``validation.json``."""

    campaign: str
    generation: Count
    level_of_theory: str
    settings: ValidationSettings
    holdout: FrameErrors | None = Field(None, description="over all held-out frames; null: none were asked for")
    by_element: dict[str, NotNegative] = Field(default_factory=dict, description="force error by element, eV/Å")
    by_temperature: list[TemperatureErrors] = Field(default_factory=list)
    calibration: Calibration | None = None
    quantities: list[Quantity] = Field(default_factory=list)
    unmeasured: dict[str, str] = Field(default_factory=dict, description="what could not be compared, and why")
    gamma_max: dict[str, NotNegative] = Field(
        default_factory=dict, description="largest gamma in the structures of each property"
    )
    labels: Count = Field(description="labels in validation/, of all validations so far")
    labels_failed: Count
