"""The campaign file as one immutable model: every setting that decides the result, and the budget."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from ase.data import chemical_symbols
from pydantic import Discriminator, Field, Tag, ValidationError, field_validator, model_validator

from mlip_fw.errors import WorkerError
from mlip_fw.models.accuracy import AccuracySettings
from mlip_fw.models.base import Count, Fraction, Frozen, NotNegative, Positive, PositiveCount
from mlip_fw.models.dataset import DatasetChoice, DatasetSettings
from mlip_fw.models.kinds import NameIn
from mlip_fw.models.md import MDSettings
from mlip_fw.models.oracle import DftOracle, Oracle
from mlip_fw.models.structure import StructureSettings
from mlip_fw.models.validation import ValidationSettings
from mlip_fw.plugins import ORACLES, PROPERTIES, STRATEGIES, TRAINERS, Registry

ENERGY_WEIGHT = 10.0
MIN_FUNCTIONS = (50, 200)
"""Least number of basis functions per element for ``auto``: so many times the number of elements, and its limit."""
AUTO_CUTOFFS_A = (3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 7.0, 8.0)
"""Cutoffs that ``cutoff_a: auto`` chooses among, Å."""
Thresholds = Annotated[
    Annotated[Positive, Tag("number")] | Annotated[dict[str, Positive], Tag("by_element")],
    Discriminator(lambda value: "by_element" if isinstance(value, dict) else "number"),
]


class UncertaintySettings(Frozen):
    """Thresholds of the extrapolation grade, at which MD halts and from which on a structure is worth a label."""

    gamma_select: Positive = Field(2.0, description="extrapolation grade below which no candidate is worth a label")
    gamma_halt: Thresholds = Field(
        10.0, description="extrapolation grade at which MD halts: one for all, or one for each element"
    )
    check_interval: PositiveCount = Field(10, description="steps between two checks; also of dump and log")

    @model_validator(mode="after")
    def _select_below_halt(self) -> UncertaintySettings:
        if not self.lowest_gamma_halt:
            raise ValueError("gamma_halt names no element")
        if "gamma_select" not in self.model_fields_set and self.gamma_select >= self.lowest_gamma_halt:
            object.__setattr__(self, "gamma_select", self.lowest_gamma_halt / 2)
        if self.gamma_select >= self.lowest_gamma_halt:
            raise ValueError(
                f"gamma_select ({self.gamma_select:g}) must be smaller than gamma_halt ({self.lowest_gamma_halt:g})"
            )
        return self

    @property
    def lowest_gamma_halt(self) -> float:
        """The smallest threshold of any element."""
        return min(self.gamma_halt.values(), default=0.0) if isinstance(self.gamma_halt, dict) else self.gamma_halt

    def thresholds(self, elements: list[str]) -> dict[str, float]:
        """Return gamma_halt of each element."""
        return self.gamma_halt if isinstance(self.gamma_halt, dict) else dict.fromkeys(elements, self.gamma_halt)

    def named_thresholds(self) -> dict[str, float]:
        """Return gamma_halt with the label of each threshold in a figure."""
        if isinstance(self.gamma_halt, dict):
            return {f"gamma_halt of {name}": halt for name, halt in self.gamma_halt.items()}
        return {"gamma_halt": self.gamma_halt}


class CutoutSettings(Frozen):
    """How a small cell is cut out of a large one to be labelled in its place."""

    mode: Literal["auto", "never"] = Field("auto", description="auto: cut only when the MD cell is larger")
    max_atoms: PositiveCount = Field(200, description="largest cell that is labelled whole, and largest cut-out")
    core_a: Positive = Field(4.0, description="atoms within this distance of the centre are always trained on, Å")
    neutral: bool = Field(False, description="keep the stoichiometry of the MD cell, for ionic materials")
    relax_shell: bool = Field(False, description="relax the atoms at the new boundary with the current potential")


class CandidateSettings(Frozen):
    """How structures to label are made and chosen after a halt."""

    strategies: list[Annotated[str, NameIn(STRATEGIES)]] = Field(
        ["halt_frame", "rattle"], min_length=1, description="where candidates come from"
    )
    n_candidates: PositiveCount = Field(16, le=10_000, description="candidates made after a halt")
    max_labels_per_halt: PositiveCount = Field(4, description="most labels that one halt may cost")
    gamma_worth: Positive | None = Field(
        None,
        description="gamma above which a candidate beside the halted frame is worth a label; null: gamma_halt",
    )
    selection: Literal["volume", "volume_per_cost"] = Field(
        "volume", description="what a choice maximises: the active set's volume, or its gain per estimated DFT cost"
    )
    too_far: Annotated[float, Field(strict=True, allow_inf_nan=False, gt=1)] = Field(
        10.0, description="a halt with gamma above this multiple of gamma_halt goes back to an earlier frame"
    )
    cutout: CutoutSettings = CutoutSettings()


Functions = Annotated[int, Field(strict=True, ge=10, le=5000)]


class RefineSettings(Frozen):
    """When a trainer refines the potential; each trainer has a subclass with its own keys."""

    every: PositiveCount = Field(10, description="linear generations between two that the trainer refines")
    at_end: bool = Field(True, description="refine once more when all MD has ended")


class PacemakerSettings(RefineSettings):
    """When and how pacemaker polishes the potential."""

    every: PositiveCount = Field(10, description="linear generations between two that pacemaker polishes")
    at_end: bool = Field(True, description="polish once more when all MD has ended")
    functions_per_element: Functions | None = Field(
        None, description="basis functions per element; null: those of the template, or else of the linear fit"
    )
    iterations: PositiveCount | None = Field(
        None, description="most steps of the optimiser for one generation; null: those of the template, or else 200"
    )
    template: str | None = Field(None, description="input.yaml of pacemaker to take the other settings from")


class PotentialSettings(Frozen):
    """Form and training of the potential."""

    kind: Annotated[str, NameIn(TRAINERS, also=("auto", "linear"))] = Field(
        "auto",
        description="linear: least squares, seconds per retraining; pacemaker: the same, and polished by pacemaker at "
        "times; auto: pacemaker if it is installed where the campaign is first run or added, else linear",
    )
    basis: Literal["auto", "SBessel", "ChebExpCos", "ChebPow"] = Field(
        "auto",
        description="radial functions; auto: ChebExpCos, or what cross-validation finds clearly better",
    )
    cutoff_a: Annotated[Positive, Field(le=20.0)] | Literal["auto"] = Field(
        "auto",
        description="radial cutoff, Å; auto: by the density, or what cross-validation finds clearly better",
    )
    functions_per_element: Functions | Literal["auto"] = Field(
        "auto",
        description="basis functions per element; auto: as many as labels have environments of an element, up to 200, "
        "and more if cross-validation says so",
    )
    md_cost_limit: Positive = Field(
        30.0,
        description="largest cost of MD that `auto` may choose, µs per atom and step, as estimated for the compiled "
        "kernel on one core (7 for copper with 200 functions and 6 Å)",
    )
    energy_weight: Positive | Literal["auto"] = Field(
        ENERGY_WEIGHT,
        description="weight of an energy per atom (eV) against a force component (eV/Å); auto: by their scatter",
    )
    stress_weight: NotNegative | Literal["auto"] = Field(
        "auto",
        description="weight of a stress component (eV/Å³) against a force component (eV/Å), Å²; auto: by their size; "
        "0: stresses are not trained on",
    )
    initial: str | None = Field(None, description="potential (.yaml) to start from; its .asi beside it")
    pacemaker: PacemakerSettings = PacemakerSettings()
    trainer: dict[str, Any] = Field(
        default_factory=dict, description="keys of a trainer that a plug-in adds, if kind names one"
    )

    @model_validator(mode="after")
    def _trainer_takes_its_keys(self) -> PotentialSettings:
        if self.kind in ("auto", "linear") or TRAINERS.is_built_in(self.kind):
            if self.trainer:
                raise ValueError(f"trainer has keys of a plug-in, but kind is {self.kind}; leave them out")
            return self
        try:
            _ = self.refinement
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise ValueError(f"trainer does not fit kind {self.kind}: {faults}") from None
        except WorkerError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def compares_bases(self) -> bool:
        """Whether anything of the basis is left to cross-validation."""
        return self.initial is None and "auto" in (self.basis, self.cutoff_a, self.functions_per_element)

    @property
    def largest_cutoff_a(self) -> float:
        """The cutoff, or the largest that ``auto`` may choose for any material, Å."""
        return AUTO_CUTOFFS_A[-1] if self.cutoff_a == "auto" else self.cutoff_a

    @property
    def refinement(self) -> RefineSettings | None:
        """When the trainer refines linear generations; None if there is none, or ``auto`` is not decided yet."""
        if self.kind in ("auto", "linear"):
            return None
        if self.kind == "pacemaker":
            return self.pacemaker
        settings: type[RefineSettings] = TRAINERS.get(self.kind).settings
        return settings.model_validate(self.trainer)


class BootstrapSettings(Frozen):
    """How the first labels are made or imported if there is no potential to start from."""

    n_structures: PositiveCount = Field(
        2, description="rattled copies of the start structures to label, one of each at least"
    )
    rattle_a: Positive = Field(0.05, description="standard deviation of the displacements, Å")
    strain: NotNegative = Field(0.02, lt=0.5, description="largest random strain of a cell component")
    dataset: DatasetChoice | None = Field(
        None,
        description="file of labelled structures to start with, or a section with it and the names and units in it",
    )
    rehearsal: Literal["auto", "always", "never"] = Field(
        "auto",
        description="whether a small cell goes through all stages before a large one does; auto: if that is an alloy",
    )

    @property
    def dataset_settings(self) -> DatasetSettings | None:
        """The labelled structures to start with, their names and units; None if there are none."""
        return DatasetSettings(file=self.dataset) if isinstance(self.dataset, str) else self.dataset


class Budget(Frozen):
    """When to stop although the MD has not finished."""

    max_cycles: Count = Field(100, description="most halt-to-resume turns of one walker")
    max_labels: PositiveCount = Field(500, description="most reference calculations")
    max_failed_label_fraction: Fraction = Field(0.3, description="most failed labels, as a fraction")


_BASIS_KEYS = ("basis", "cutoff_a", "functions_per_element", "md_cost_limit")


def with_earlier_basis(stored: dict[str, Any]) -> dict[str, Any]:
    """Return stored campaign data; of versions before 0.3, which knew SBessel only, with that as the basis.

    Those versions stored cutoff and number of functions in full.
    """
    potential = stored.get("potential")
    if not isinstance(potential, dict) or "basis" in potential or "cutoff_a" not in potential:
        return stored
    return {**stored, "potential": {**potential, "basis": "SBessel"}}


class Campaign(Frozen):
    """Everything that decides the result of a campaign."""

    campaign: str = Field(max_length=64, description="name shown everywhere: lower-case letters, digits, hyphens")
    seed: Count = Field(1, lt=2**31, description="seed of every random choice")
    elements: list[str] = Field(min_length=1, description="the elements of the potential")
    structure: StructureSettings
    md: MDSettings
    uncertainty: UncertaintySettings = UncertaintySettings()
    candidates: CandidateSettings = CandidateSettings()
    oracle: Oracle
    potential: PotentialSettings = PotentialSettings()
    bootstrap: BootstrapSettings = BootstrapSettings()
    budget: Budget = Budget()
    accuracy: AccuracySettings = AccuracySettings()
    files: Literal["shared", "filepad"] = Field(
        "shared",
        description="how workers get each other's files. shared: all see one campaign directory; filepad: through the "
        "LaunchPad's database",
    )
    validation: ValidationSettings = ValidationSettings()

    @model_validator(mode="after")
    def _every_stage_is_watched(self) -> Campaign:
        interval = self.uncertainty.check_interval
        for index, stage in enumerate(self.md.stages):
            if stage.n_steps < interval:
                raise ValueError(
                    f"md.stages.{index}.n_steps ({stage.n_steps}) is less than uncertainty.check_interval "
                    f"({interval}): gamma would never be looked at"
                )
        return self

    @model_validator(mode="after")
    def _every_start_has_its_walker(self) -> Campaign:
        starts = len(self.structure.files or [])
        if self.md.walkers < starts:
            raise ValueError(
                f"md.walkers ({self.md.walkers}) is less than the number of structure.files ({starts}): some would "
                "never be run"
            )
        return self

    @model_validator(mode="after")
    def _every_element_has_its_threshold(self) -> Campaign:
        if isinstance(self.uncertainty.gamma_halt, dict):
            self._require_same_elements("uncertainty.gamma_halt", set(self.uncertainty.gamma_halt), whole=True)
        if isinstance(self.oracle, DftOracle):
            self._require_same_elements("oracle.starting_moments_mub", set(self.oracle.starting_moments_mub))
        return self

    @model_validator(mode="after")
    def _validation_has_one_directory(self) -> Campaign:
        if self.files == "filepad" and self.validation.asks_for_something:
            raise ValueError(
                "validation needs one campaign directory, and with files: filepad there are several: leave it out, and "
                "when the campaign is over, `mlip-fw pull` and `mlip-fw validate`"
            )
        return self

    @model_validator(mode="after")
    def _trainer_has_one_directory(self) -> Campaign:
        if self.files == "filepad" and self.potential.refinement is not None:
            raise ValueError(
                f"potential.kind: {self.potential.kind} needs one campaign directory, and with files: filepad there "
                "are several: say linear, or files: shared"
            )
        return self

    @model_validator(mode="after")
    def _paths_of_the_oracle_do_not_travel(self) -> Campaign:
        given = [key for key in self.oracle.path_keys if getattr(self.oracle, key) is not None]
        if self.files == "filepad" and given:
            raise ValueError(
                f"oracle.{given[0]} is a file or folder of one machine, and with files: filepad there are several: "
                f"leave it out and give env.{given[0]} in each worker's file"
            )
        return self

    def _require_same_elements(self, key: str, named: set[str], *, whole: bool = False) -> None:
        if foreign := sorted(named - set(self.elements)):
            raise ValueError(f"{key} names {', '.join(foreign)}, which elements does not")
        if whole and (missing := sorted(set(self.elements) - named)):
            raise ValueError(f"{key} names no threshold for {', '.join(missing)}")

    @field_validator("campaign")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
            raise ValueError(
                f"{name[:40]!r} must be lower-case letters and digits, with single hyphens between, as cu-melt"
            )
        return name

    @field_validator("elements")
    @classmethod
    def _known_and_unique(cls, elements: list[str]) -> list[str]:
        unknown = [e for e in elements if e not in chemical_symbols[1:]]
        if unknown:
            raise ValueError(f"not a chemical element: {', '.join(map(repr, unknown))}")
        if len(set(elements)) != len(elements):
            raise ValueError("an element is named twice")
        return sorted(elements)

    @property
    def min_functions(self) -> int:
        """The number of basis functions per element, or the smallest that ``auto`` takes."""
        wanted, (each, limit) = self.potential.functions_per_element, MIN_FUNCTIONS
        return min(each * len(self.elements), limit) if wanted == "auto" else wanted

    @property
    def is_audited(self) -> bool:
        """Whether frames are audited: there is a target, and one campaign directory."""
        return bool(self.accuracy.target) and self.files == "shared"

    def with_basis_of(self, begun: Campaign) -> Campaign:
        """Return the campaign with the basis settings of ``begun`` for those keys that this one does not give.

        A campaign that an earlier version began has a fixed basis, which its file may not name.
        """
        given = self.potential.model_fields_set
        kept = {key: getattr(begun.potential, key) for key in _BASIS_KEYS if key not in given}
        return self.model_copy(update={"potential": self.potential.model_copy(update=kept)}) if kept else self

    def named_files(self) -> dict[str, str]:
        """Return the input files, by the key of the campaign file that names each."""
        others = {
            "potential.initial": self.potential.initial,
            "potential.pacemaker.template": self.potential.pacemaker.template,
            "bootstrap.dataset": given.file if (given := self.bootstrap.dataset_settings) else None,
        }
        return {**self.structure.named_files(), **{key: name for key, name in others.items() if name}}

    def kinds(self) -> list[tuple[Registry, str]]:
        """Return the registries and the names that the campaign takes from them."""
        trainer = [] if self.potential.refinement is None else [(TRAINERS, self.potential.kind)]
        return [
            (ORACLES, self.oracle.kind),
            *((STRATEGIES, name) for name in self.candidates.strategies),
            *trainer,
            *((PROPERTIES, name) for name in self.validation.properties),
        ]

    def identity(self) -> dict[str, Any]:
        """Return the settings that must stay the same while a campaign directory is in use, as plain values.

        Free to change are the budget, the accuracy, the validation, cut-outs, how files are shared, and the oracle's
        keys that don't change the value of a label.
        """
        may_change: dict[str, Any] = {
            "budget": True,
            "accuracy": True,
            "files": True,
            "validation": True,
            "oracle": set(self.oracle.free_to_change),
            "candidates": {"cutout"},
        }
        return self.model_dump(mode="json", exclude=may_change)
