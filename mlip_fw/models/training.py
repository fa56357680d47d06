"""Training record of one generation of the potential, as written to ``training.json``."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from mlip_fw.models.base import Count, Frozen, NotNegative, Positive, PositiveCount, RadialName, Real


class Errors(Frozen):
    """Root mean square errors over a set of labels."""

    force_rmse_ev_a: NotNegative = Field(description="of the force components, eV/Å")
    energy_rmse_ev_atom: NotNegative = Field(description="of the energy, eV/atom")


class LabelErrors(Errors):
    """Root mean square errors over the training set."""

    force_rms_ev_a: NotNegative | None = Field(
        None, description="root mean square of the force components themselves, less core repulsion, eV/Å"
    )
    stress_rmse_ev_a3: NotNegative | None = Field(None, description="null if no label has a stress")


class Stability(Frozen):
    """Whether a generation is fit for MD."""

    sound: bool
    reasons: list[str] = Field(description="what is wrong with it; empty if it is sound")
    warnings: list[str] = Field(
        default_factory=list, description="of a given potential, what it can't do far from what MD asks; it is used"
    )
    least_dimer_slope_ev_a: Real | None = Field(
        description="smallest force that drives two atoms apart below contact, eV/Å; null if that is no number"
    )
    energy_drift_ev_atom: NotNegative | None = Field(
        description="largest change of the total energy in a run at constant energy, eV/atom; null if it went wrong"
    )
    temperature_k: NotNegative = Field(description="temperature of that run, K; the hot run has twice as much")
    seconds: NotNegative
    chemistry: list[str] = Field(
        default_factory=list,
        description="how molecules and coordination changed in the run at constant energy; no reason against it",
    )


class PotentialSize(Frozen):
    """How large a potential is, and how much memory its training takes."""

    functions_per_element: dict[str, Count]
    coefficients: Count = Field(description="basis functions of all elements together")
    active_set_mb: NotNegative
    fit_mb: NotNegative
    label_mb: NotNegative = Field(description="of one label while it is trained on")


class LabelWeight(Frozen):
    """Reduced weight of an outlier: a label that the potential can't represent as well as the others."""

    energy: NotNegative = Field(description="how many times the square of its error of energy counts: 0 to 1")
    forces: NotNegative = Field(description="the same of its forces and its stress")


class _Basis(Frozen):
    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", defer_build=True, frozen=True, populate_by_name=True, serialize_by_alias=True
    )

    radial: RadialName = Field(description="radial functions")
    lambda_: Positive = Field(alias="lambda", description="their parameter; of no effect on SBessel")
    cutoff_a: Positive = Field(description="radial cutoff, Å")


class ComparedBasis(_Basis):
    """A basis that was looked at, with its cross-validated error."""

    functions: Count = Field(description="per element, as asked for")
    cv_force_rmse_ev_a: NotNegative = Field(
        description="cross-validated error of the forces, eV/Å: of blocks of labels with forces of similar size"
    )
    cv_force_share: NotNegative = Field(
        description="the same as a fraction of the forces of each label; bases are compared by it"
    )
    cost_us_atom: NotNegative = Field(description="estimated cost of MD, µs per atom and step")


class BasisRecord(_Basis):
    """The basis of a generation, and what it was compared with."""

    functions_per_element: Count = Field(description="the largest number of functions of any element")
    labels: Count = Field(description="number of labels when it was last chosen; 0: never")
    compared: list[ComparedBasis] = Field(
        default_factory=list, description="what was compared for this generation; empty if nothing was"
    )
    why: str = Field(description="why it is this one")


class TrainingRecord(Frozen):
    """How a generation was made and how well it fits its labels."""

    generation: Count
    trainer: str = "linear"
    versions: dict[str, str] = Field(default_factory=dict, description="of the trainer's programs")
    parent: Count | None = Field(None, description="generation that this one grew from")
    labels: list[str] = Field(description="hashes of all labels that it was trained on")
    new_labels: list[str] = Field(description="hashes that the parent was not trained on")
    n_atoms: Count
    n_environments: dict[str, Count]
    functions_per_element: dict[str, Count]
    outgrown_functions: dict[str, Count] | None = Field(
        None, description="what the parent had of them, if the basis changed and all labels were learnt once more"
    )
    basis: BasisRecord | None = Field(None, description="the basis; null in generations of older versions")
    cv_force_rmse_ev_a: NotNegative | None = Field(
        None,
        description="error of the forces by 5-fold cross-validation over labels, with this basis and ridge, eV/Å; null "
        "with a single label",
    )
    ridge_at_edge: Literal["smallest", "largest"] | None = Field(
        None, description="whether cross-validation chose the smallest or largest ridge that it tried"
    )
    dataset: LabelErrors | None = Field(None, description="errors on the training set")
    new_before: LabelErrors | None = Field(None, description="errors of the generation before on the new labels")
    reference_energy_ev: dict[str, Real] = Field(
        description="energies by element, fixed once, that the potential leaves out, eV"
    )
    folded_energy_ev: dict[str, Real] | None = Field(
        None,
        description="energies by element that the labels were learnt relative to, where own and imported labels have "
        "another energy zero; else null: reference_energy_ev",
    )
    imported_offset_ev: dict[str, Real] | None = Field(
        None,
        description="what energies of imported labels have more than own ones, by element, eV; null if both have the "
        "same zero, or that is not known yet",
    )
    free_atoms: list[str] = Field(
        default_factory=list, description="labels of free atoms, whose energies are reference energies: not in the fit"
    )
    fold_order: list[str] | None = Field(
        None,
        description="labels that count in full, in the order in which they were dealt out to the folds of the "
        "cross-validation; null in generations of older versions",
    )
    weights: dict[str, LabelWeight] = Field(
        default_factory=dict,
        description="labels that are far from what the others say of them, and how much they count; no ridge is chosen "
        "for them",
    )
    leaves_out_imported_stresses: bool = Field(
        False, description="whether stresses of imported labels contradict their energies and were not trained on"
    )
    warnings: list[str] = Field(default_factory=list, description="what is odd about the labels, one sentence each")
    level_of_theory: str | None = Field(None, description="short name of the level of theory of all labels")
    ridge: NotNegative | None = Field(None, description="strength of the linear fit's penalty")
    iterations: Count | None = Field(None, description="steps of pacemaker's optimiser, over all attempts")
    corrections: list[dict[str, Any]] = Field(default_factory=list, description="repairs of pacemaker's fit, in order")
    energy_weight: NotNegative | None = Field(None, description="weight of energies per atom against force components")
    stress_weight: NotNegative | None = Field(
        None, description="weight of stress components against force components; null if no stress was trained on"
    )
    is_pressure_free: bool = Field(
        True, description="whether a constant pressure of all labels was left to their energies, as with plane waves"
    )
    pressure_offset_ev_a3: Real | None = Field(
        None, description="what the labels' stresses have of a constant pressure that is not in their energies"
    )
    active_set_swaps: Count
    gamma_max_dataset: NotNegative = Field(
        description="largest extrapolation grade within the training set, at most; exact where the active set changed"
    )
    stability: Stability | None = Field(
        None, description="whether MD may use it; null if that was not looked at: it may"
    )
    seconds: NotNegative
    cores: PositiveCount | None = Field(None, description="cores that it had; null if that was not recorded")

    @property
    def n_folded(self) -> int:
        """How many labels count in full in the fit."""
        return len(self.labels) - len(self.free_atoms) - len(self.weights)
