"""Numbers that tell how a campaign is doing: MD steps per halt, errors of the potential, core-hours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mlip_fw.models.validation import ValidationReport
from mlip_fw.views.analysis.costs import Costs
from mlip_fw.views.analysis.generations import Generation
from mlip_fw.views.analysis.text import counted

HELD_OUT, NEW_LABELS = "held-out", "new labels"


@dataclass(frozen=True)
class UntrainedError:
    """Root mean square error of a generation on structures that it was not trained on."""

    generation: int
    force_rmse_ev_a: float
    energy_rmse_ev_atom: float
    force_rms_ev_a: float | None
    """Root mean square of their reference forces; None if that is not known."""
    of: str
    """What it was measured on: :data:`HELD_OUT` or :data:`NEW_LABELS`."""
    n_structures: int

    @property
    def where(self) -> str:
        """What it was measured on, as ``12 held-out frames``."""
        kind = "held-out frame" if self.of == HELD_OUT else "new label"
        return counted(self.n_structures, kind)

    @property
    def relative(self) -> float | None:
        """The force error divided by the root mean square force; None if that is not known."""
        return self.force_rmse_ev_a / self.force_rms_ev_a if self.force_rms_ev_a else None


def steps_to_halt(generations: Iterable[Generation]) -> list[float]:
    """Return MD steps per halt of the generations that halted."""
    return [g.steps_to_halt for g in generations if g.steps_to_halt is not None]


def reach(generations: Iterable[Generation]) -> list[float]:
    """Return the reach (see :func:`reach_of`) of each generation that MD has used."""
    return [reach_of(g) for g in generations if g.md_steps]


def reach_of(generation: Generation) -> float:
    """Return MD steps per halt of a generation; without a halt, all of its MD steps."""
    return generation.steps_to_halt or float(generation.md_steps)


def compared(generations: Sequence[Generation]) -> tuple[Generation, Generation] | None:
    """Return the two generations whose reach shows whether MD comes further; None before any has halted.

    These are the first that halted, and the newest that is conclusive: one that has not halted yet counts only once it
    has come further than the last one that did.
    """
    halted = [g for g in generations if g.halts]
    if not halted:
        return None
    newest = next((g for g in reversed(generations) if g.md_steps), halted[-1])
    return halted[0], newest if reach_of(newest) > reach_of(halted[-1]) else halted[-1]


def errors_before_training(generations: Iterable[Generation]) -> list[float]:
    """Return the force RMSE on new labels before they were trained on, of each generation, eV/Å."""
    return [g.record.new_before.force_rmse_ev_a for g in generations if g.record.new_before is not None]


def newest_trained(generations: Sequence[Generation]) -> Generation | None:
    """Return the newest generation whose training errors are known."""
    return next((g for g in reversed(generations) if g.record.dataset is not None), None)


def warnings_of(generations: Sequence[Generation]) -> list[str]:
    """Return the warnings about labels from the training of the newest generation."""
    newest = newest_trained(generations)
    return list(newest.record.warnings) if newest is not None else []


def force_error(generations: Sequence[Generation]) -> float | None:
    """Return the force RMSE of the newest generation on its training set, eV/Å; None before any training."""
    newest = newest_trained(generations)
    return newest.record.dataset.force_rmse_ev_a if newest is not None and newest.record.dataset is not None else None


def core_hours(costs: Costs) -> float | None:
    """Return the core-hours of all parts; None unless the cores of every calculation were recorded."""
    known = [hours for hours in costs.core_hours.values() if hours is not None]
    return sum(known) if len(known) == len(costs.core_hours) else None


def untrained_error(generations: Sequence[Generation], report: ValidationReport | None) -> UntrainedError | None:
    """Return the error on held-out frames, or else that on the newest labels before they were trained on.

    Parameters
    ----------
    generations
        All generations of a campaign, in order.
    report
        Of the newest validation.
    """
    if report is not None and report.holdout is not None:
        held = report.holdout
        errors = (held.force_rmse_ev_a, held.energy_rmse_ev_atom, held.force_rms_ev_a)
        return UntrainedError(report.generation, *errors, of=HELD_OUT, n_structures=held.n_frames)
    for one in reversed(generations):
        before, parent = one.record.new_before, one.record.parent
        if before is not None and parent is not None and one.record.new_labels:
            errors = (before.force_rmse_ev_a, before.energy_rmse_ev_atom, before.force_rms_ev_a)
            return UntrainedError(parent, *errors, of=NEW_LABELS, n_structures=len(one.record.new_labels))
    return None
