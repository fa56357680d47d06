"""How small the error of a campaign has to be, and what its audit found."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mlip_fw.models.base import Count, Fraction, Frozen, NotNegative, Positive, Real

MIN_FRAMES = 3
"""Fewer frames say nothing about how far errors of frames scatter."""


Interval = Annotated[list[NotNegative], Field(min_length=2, max_length=2)]
"""Lower and upper end."""


class AccuracySettings(Frozen):
    """The largest error with which a campaign is CONVERGED, and how many labels are spent to know it.

    The criteria that are given must all be met; with none there is no target, and no frame is audited.
    """

    force_relative: Positive | None = Field(
        0.1, description="largest force error as a fraction of the forces (both root mean squares); null: any"
    )
    force_rmse_ev_a: Positive | None = Field(None, description="largest force error, eV/Å; null: any")
    energy_rmse_ev_atom: Positive | None = Field(
        None, description="largest error of energy differences between frames, eV/atom; null: any"
    )
    stress_rmse_gpa: Positive | None = Field(None, description="largest error of stress components, GPa; null: any")
    audit_share: Fraction = Field(
        0.1, description="audited frames as a fraction of the labels, while the walkers are at work"
    )
    min_audit_frames: Annotated[int, Field(strict=True, ge=MIN_FRAMES, le=1000)] = Field(
        MIN_FRAMES, description="fewest frames of the last pass of the walkers that are audited in the end"
    )

    @property
    def target(self) -> dict[str, float]:
        """The criteria that are given, by their keys."""
        names = ("force_relative", "force_rmse_ev_a", "energy_rmse_ev_atom", "stress_rmse_gpa")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


class AuditFrame(Frozen):
    """A frame of a trajectory, drawn at random to be labelled and compared with."""

    hash: str = Field(pattern=r"^[0-9a-f]{16}$")
    walker: Count
    cycle: Count
    stage: Count
    step: Count
    temperature_k: NotNegative | None = Field(description="target temperature, K; null: the stage has none")
    generation: Count = Field(description="generation of the potential that the MD used")
    seed: Count = Field(description="seed of the random choice")


class AuditFrames(Frozen):
    """All frames that were drawn, in the order in which they were, as written to ``frames.json``."""

    frames: list[AuditFrame] = Field(default_factory=list)


class Coverage(Frozen):
    """Which shares of the true force components lie within the intervals that the potential states for them."""

    within_68: Fraction = Field(description="within the 68 % intervals")
    within_95: Fraction = Field(description="within the 95 % intervals")


class AuditedFrame(Frozen):
    """One frame by the potential and by the oracle."""

    hash: str
    walker: Count
    stage: Count
    temperature_k: NotNegative | None
    weight: NotNegative = Field(description="share of the MD that it stands for")
    force_rmse_ev_a: NotNegative
    force_rms_ev_a: NotNegative = Field(description="root mean square of the oracle's forces, eV/Å")
    energy_error_ev_atom: Real | None = Field(description="null: it is a part of a larger cell")
    stress_rmse_gpa: NotNegative | None = Field(description="null: the oracle gives none, or it is a part of a cell")
    coverage: Coverage | None = Field(None, description="of the stated intervals; null: the generation states none")


class AuditErrors(Frozen):
    """Errors over audited frames; each frame counts as much as the part of the MD that it stands for."""

    n_frames: Count
    force_rmse_ev_a: NotNegative
    force_rmse_interval_ev_a: Interval | None = Field(description="95 % confidence interval; null: of a single frame")
    force_share: NotNegative | None = Field(description="the error divided by the root mean square of the forces")
    energy_rmse_ev_atom: NotNegative | None = Field(None, description="of energy differences between frames")
    energy_rmse_interval_ev_atom: Interval | None = None
    stress_rmse_gpa: NotNegative | None = None
    stress_rmse_interval_gpa: Interval | None = None


class AuditRange(AuditErrors):
    """Errors of the frames within a range of temperature."""

    from_k: NotNegative
    to_k: NotNegative


class AuditRecord(Frozen):
    """What the audit of one generation found, as written to ``audit_NNNN.json``."""

    generation: Count
    round: Count = Field(description="how often stages have been repeated before it")
    labels: Count = Field(description="labels that the generation was trained on")
    errors: AuditErrors
    by_element: dict[str, NotNegative] = Field(description="force error of each element, eV/Å")
    force_rms_by_element: dict[str, NotNegative] = Field(description="root mean square of the forces on it, eV/Å")
    by_temperature: list[AuditRange] = Field(description="in up to four ranges of temperature")
    by_stage: dict[int, AuditErrors] = Field(description="errors of each stage of the MD")
    frames: list[AuditedFrame]
    coverage: Coverage | None = Field(
        None, description="of the stated intervals, over all frames; null: the generation states none"
    )
    target: dict[str, Positive] = Field(description="the criteria of the campaign, as they were then")
    met: bool = Field(description="whether all criteria are met by the upper ends of the intervals")
    diagnosis: str | None = Field(None, description="why the target was given up and what to change; else null")


class AuditRound(Frozen):
    """A stage that is repeated with more labels, as written to ``round.json``."""

    round: Count
    generation: Count = Field(description="generation that missed the target")
    stage: Count = Field(description="stage that all walkers repeat")
    labels: Count = Field(description="labels that the generation was trained on")
    force_rmse_ev_a: NotNegative
    worst: Positive = Field(description="largest ratio of an error to its target")
    joined: list[str] = Field(description="audited frames that join the training set")
    chosen: list[str] = Field(description="frames of large expected error that are labelled for it")
    start: dict[int, str | None] = Field(description="restart file that each walker starts from; null: the first")
    cycle: dict[int, Count] = Field(description="first cycle of each walker")
    turns: dict[int, Count] = Field(description="halts of each walker so far after which MD was resumed")


class ErrorSummary(Frozen):
    """How large the error is, and whether it is small enough."""

    cv_force_rmse_ev_a: NotNegative | None = Field(
        None, description="of the forces of labels that a fit to the others predicts (k-fold cross-validation), eV/Å"
    )
    new_label_force_rmse_ev_a: NotNegative | None = Field(
        None, description="of the newest labels, by the generation before they were trained on, eV/Å"
    )
    audit_force_rmse_ev_a: NotNegative | None = Field(
        None, description="of audited frames: drawn at random from the MD and not trained on, eV/Å"
    )
    audit_force_rmse_interval_ev_a: Interval | None = Field(None, description="its 95 % confidence interval")
    audit_force_share: NotNegative | None = Field(
        None, description="that error divided by the root mean square of the forces"
    )
    audit_energy_rmse_ev_atom: NotNegative | None = Field(
        None, description="error of energy differences between audited frames, eV/atom"
    )
    audit_frames: Count = Field(0, description="audited frames that these numbers are of")
    target: dict[str, Positive] | None = Field(
        None, description="criteria of `accuracy` in the campaign file, by their keys; null: none"
    )
    met: bool | None = Field(
        None, description="whether they are met; null: there is no target, or this generation was not audited"
    )


def error_in_words(error: ErrorSummary) -> str:
    """Return the error in one line, as every view begins: value, interval, target, and whether it is met."""
    if error.audit_force_rmse_ev_a is None:
        others = (
            ("cross-validation", error.cv_force_rmse_ev_a),
            ("new labels before training", error.new_label_force_rmse_ev_a),
        )
        known = ", ".join(f"{name} {_milli(value)} meV/Å" for name, value in others if value is not None)
        return f"not audited{f'; {known}' if known else ''}"
    interval, share = error.audit_force_rmse_interval_ev_a, error.audit_force_share
    between = f" ({_milli(interval[0])} to {_milli(interval[1])})" if interval is not None else ""
    relative = f", {100 * share:.2g} % of the forces" if share is not None else ""
    aimed = "no target" if error.target is None else f"target {target_in_words(error.target)}"
    met = {True: ": met", False: ": not met", None: ""}[error.met]
    frames = f"{error.audit_frames} audited frame{'s' if error.audit_frames != 1 else ''}"
    return f"{_milli(error.audit_force_rmse_ev_a)} meV/Å{between}{relative}, on {frames}; {aimed}{met}"


def target_in_words(target: dict[str, float]) -> str:
    """Return the criteria of ``accuracy`` with their units, as ``10 %, 50 meV/Å``."""
    forms = {
        "force_relative": lambda value: f"{100 * value:.3g} %",
        "force_rmse_ev_a": lambda value: f"{1000 * value:.3g} meV/Å",
        "energy_rmse_ev_atom": lambda value: f"{1000 * value:.3g} meV/atom",
        "stress_rmse_gpa": lambda value: f"{value:.3g} GPa",
    }
    return ", ".join(forms[name](value) for name, value in target.items())


def _milli(value: float) -> str:
    return f"{1000 * value:.3g}"
