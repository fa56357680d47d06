"""How far a potential is off on what it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlip_fw.models.validation import ValidationReport
from mlip_fw.story.generations import Generation
from mlip_fw.story.words import counted


@dataclass(frozen=True)
class UntrainedError:
    """Root mean square errors of a generation on structures that it was not trained on."""

    generation: int
    force_rmse_ev_a: float
    energy_rmse_ev_atom: float
    force_rms_ev_a: float | None
    """Root mean square of the reference forces there; None if it is not known."""
    of: str
    """What it was measured on: ``held-out`` or ``new labels``."""
    n_structures: int

    @property
    def where(self) -> str:
        """What it was measured on, with the number of structures."""
        kind = "held-out frame" if self.of == HELD_OUT else "new label"
        return counted(self.n_structures, kind)

    @property
    def relative(self) -> float | None:
        """The force error in units of the root mean square force; None if that is not known."""
        return self.force_rmse_ev_a / self.force_rms_ev_a if self.force_rms_ev_a else None


HELD_OUT, NEW_LABELS = "held-out", "new labels"


def untrained_error(generations: Sequence[Generation], report: ValidationReport | None) -> UntrainedError | None:
    """Return the error on held-out frames, or else that of a generation on the labels that the next one learnt.

    Parameters
    ----------
    generations
        All of a campaign, in order.
    report
        Its newest validation.
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
