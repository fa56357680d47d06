"""Outcome and costs of a campaign: the object that ``mlip-fw run --json`` prints."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from mlip_fw.models.accuracy import Coverage, ErrorSummary
from mlip_fw.models.base import Count, Frozen, NotNegative, RadialName
from mlip_fw.models.training import ComparedBasis


class StopReason(StrEnum):
    """Why a campaign ended although its MD has not finished."""

    MAX_CYCLES = "max_cycles"
    MAX_LABELS = "max_labels"
    NO_PROGRESS = "no_progress"
    LABEL_FAILURES = "label_failures"
    ACCURACY = "accuracy"


Outcome = Literal["CONVERGED", "STOPPED", "RUNNING", "INTERRUPTED"]


class Seconds(Frozen):
    """Where the wall time went, s."""

    total: NotNegative = Field(
        description="wall time of all sessions together, each `mlip-fw run` from start to end; on a LaunchPad from the "
        "first event to the last, waiting in the queue included"
    )
    md: NotNegative = Field(
        description="MD that has ended; with several workers the parts can add up to more than total"
    )
    candidates: NotNegative = Field(description="making and choosing candidates")
    label: NotNegative = Field(description="reference calculations, failed ones too")
    train: NotNegative = Field(description="training")
    overhead: NotNegative = Field(
        description="total less the other four, at least 0; work that an interruption cut off is in here"
    )


class BasisSummary(Frozen):
    """The basis of the newest generation, and what it was last compared with."""

    radial: RadialName = Field(description="radial functions")
    cutoff_a: NotNegative = Field(description="radial cutoff, Å")
    functions_per_element: Count = Field(description="the largest number of basis functions of any element")
    compared: list[ComparedBasis] = Field(
        default_factory=list, description="what was compared when it was chosen; empty if it was given"
    )


class CampaignSummary(Frozen):
    """The result of a campaign in numbers."""

    campaign: str = Field(description="name of the campaign")
    outcome: Outcome = Field(
        description="CONVERGED: every MD reached its end, and the error meets `accuracy`; STOPPED: ended before, see "
        "reason; RUNNING: not finished; INTERRUPTED: not finished, and no `mlip-fw run` is active: run the same "
        "command to resume"
    )
    reason: str | None = Field(
        description="of STOPPED: `max_cycles`, `max_labels`, `no_progress`, `label_failures` or `accuracy`; else null",
    )
    hint: str | None = Field(
        None,
        description="what stood in the way and what to do, where `reason` does not tell: of `no_progress`, that the "
        "newest generations are unfit for MD, and why, or that no generation can stay below gamma_halt; of `accuracy`, "
        "a diagnosis; else null",
    )
    error: ErrorSummary = ErrorSummary()
    coverage: Coverage | None = Field(
        None,
        description="which shares of the audited force components lie within the 68 % and 95 % intervals that the "
        "potential states for them; null: it states none, or was not audited",
    )
    cycles: Count = Field(description="halts after which the MD went on")
    halts: Count = Field(description="all halts")
    labels: Count = Field(description="labels in `labels/`, imported ones included")
    labels_audit: Count = Field(0, description="labels in `audit/`, which are not trained on")
    labels_failed: Count = Field(description="structures in quarantine")
    atoms_labelled: Count = Field(description="atoms of all labels")
    generations: Count = Field(description="number of generations; the newest is one less, because they count from 0")
    generations_refused: Count = Field(0, description="those of them that are unfit for MD")
    md_steps: Count = Field(
        description="MD steps of all walkers, without rehearsals, up to their last frame, each step counted once"
    )
    dataset_force_rmse_ev_a: NotNegative = Field(
        description="root mean square error of the forces of that generation on its labels, eV/Å: a training error"
    )
    dataset_energy_rmse_ev_atom: NotNegative = Field(description="the same of the energies, eV/atom")
    heldout_force_rmse_ev_a: NotNegative | None = Field(
        None, description="that of the forces on held-out frames of the validation, eV/Å; null: it was not validated"
    )
    heldout_energy_rmse_ev_atom: NotNegative | None = Field(None, description="the same of the energies, eV/atom")
    new_labels_force_rmse_ev_a: NotNegative | None = Field(
        None, description="that of the generation before, on the labels that it was not trained on, eV/Å"
    )
    basis: BasisSummary | None = Field(
        None, description="the basis of that generation; null in generations of older versions, or if there is none"
    )
    seconds: Seconds
    potential: str = Field(
        description="absolute path of the `.yaml` of the newest generation that is not refused; empty if there is none"
    )
    active_set: str = Field(description="absolute path of the `.asi` of that generation")
