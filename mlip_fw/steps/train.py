"""The step train: the next generation of the potential, from all labels."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from mlip_fw.campaign.events import Event
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.errors import NumberTakenError
from mlip_fw.io.files import read_or_create, write_json
from mlip_fw.models.handoff import Handoff, TrainHandoff
from mlip_fw.models.label import LabelBalance
from mlip_fw.models.training import BasisRecord, TrainingRecord
from mlip_fw.models.worker import Worker
from mlip_fw.steps.step import Step

logger = logging.getLogger("mlip_fw")
_HARDLY_LEARNT = 0.5
"""Ratio of force error to forces (RMS, training set) above which a warning is given."""


@dataclass(frozen=True)
class Trained:
    """The result of the step."""

    generation: int | None
    """The newest generation; None if there is no label to make one of."""
    labels: LabelBalance
    """How many labels there were, and how many had failed."""


def train_potential(step: Step[TrainHandoff], worker: Worker) -> Trained:
    """Train on all labels; do nothing if the newest generation has seen them.

    Files: reads ``labels/``, ``quarantine/`` and ``potentials/``; writes ``potentials/gen_NNNN/`` and ``labels.json``.
    """
    record = _train(step) if step.dataset.hashes() else None
    if record is not None:
        _record_training(step, record)
    return Trained(step.generations.newest(), _label_balance(step))


def _train(step: Step[TrainHandoff]) -> TrainingRecord | None:
    """Train; if another training has published meanwhile, start again from its generation."""
    while True:
        try:
            record: TrainingRecord | None = train_generation(step.generations, step.dataset, step.campaign)
            return record
        except NumberTakenError:
            logger.info("another training was faster; looking again")
            step.fetch()


def _label_balance(step: Step[TrainHandoff]) -> LabelBalance:
    """Return the balance at the first run of this Firework; a changed limit is taken over, later failures are not."""
    dataset, limit = step.dataset, step.campaign.budget.max_failed_label_fraction

    def count() -> LabelBalance:
        return LabelBalance(done=len(dataset.hashes()), failed=len(dataset.quarantined()), max_failed_fraction=limit)

    found = read_or_create(step.files.label_balance, LabelBalance, count)
    if found.too_many_failed:
        found = count()
        write_json(step.files.label_balance, found)
    return found.model_copy(update={"max_failed_fraction": limit})


def _record_training(step: Step[TrainHandoff], record: TrainingRecord) -> None:
    assert record.dataset is not None
    _warn_of_poor_fit(record)
    warn_if_refused(step, record)
    warn_of_chemistry(record)
    if record.basis is not None and record.basis.compared:
        _record_choice(step, record.generation, record.basis)
    step.record(
        Event.TRAINED,
        f"generation {record.generation}: {len(record.labels)} labels ({len(record.new_labels)} new), "
        f"force RMSE {1000 * record.dataset.force_rmse_ev_a:.1f} meV/Å (training set), {record.seconds:.1f} s",
        generation=record.generation,
        labels=len(record.labels),
        new_labels=len(record.new_labels),
        force_rmse_ev_a=record.dataset.force_rmse_ev_a,
        new_force_rmse_before_ev_a=record.new_before.force_rmse_ev_a if record.new_before else None,
        seconds=round(record.seconds, 3),
    )


def _record_choice(step: Step[TrainHandoff], generation: int, basis: BasisRecord) -> None:
    step.record(
        Event.BASIS_CHOSEN,
        f"basis of generation {generation}: {basis.radial} (λ {basis.lambda_:g}), {basis.cutoff_a:g} Å, "
        f"{basis.functions_per_element} functions per element: {basis.why}",
        generation=generation,
        radial=basis.radial,
        cutoff_a=basis.cutoff_a,
        functions_per_element=basis.functions_per_element,
        compared=len(basis.compared),
        why=basis.why,
    )


def _warn_of_poor_fit(record: TrainingRecord) -> None:
    """Warn of forces that are hardly learnt, and of elements with fewer atoms in the labels than functions."""
    assert record.dataset is not None
    error, forces = record.dataset.force_rmse_ev_a, record.dataset.force_rms_ev_a
    if forces and error > _HARDLY_LEARNT * forces:
        logger.warning(
            "forces are hardly learnt: their error is %.0f %% of the forces themselves. %s",
            100 * error / forces,
            _why_hardly_learnt(record),
        )
    wanted, found = record.functions_per_element, record.n_environments
    if scarce := [f"{name} ({found.get(name, 0)} for {n})" for name, n in wanted.items() if found.get(name, 0) < n]:
        logger.warning(
            "fewer environments than functions of %s: gamma stays cautious until there are more labels; a smaller "
            "potential.functions_per_element needs fewer",
            ", ".join(scarce),
        )


def _why_hardly_learnt(record: TrainingRecord) -> str:
    """Return what the comparison of bases and the ridge say of a poor fit, before the labels are blamed."""
    basis, said = record.basis, []
    if basis is not None and basis.compared:
        errors = [one.cv_force_rmse_ev_a for one in basis.compared]
        best, worst = 1000 * min(errors), 1000 * max(errors)
        said.append(
            f"Of {len(errors)} bases none predicts left-out labels better than {best:.0f} meV/Å (worst {worst:.0f})"
        )
    elif basis is not None:
        form = f"{basis.radial}, {basis.cutoff_a:g} Å, {basis.functions_per_element} functions per element"
        change = (
            "" if basis.labels else "; auto as potential.basis, cutoff_a and functions_per_element lets labels decide"
        )
        said.append(f"The basis ({form}) was not compared with others now{change}")
    if record.ridge_at_edge is not None:
        said.append(
            f"the ridge is the {record.ridge_at_edge} that is tried: "
            + (
                "labels say little together, or contradict each other"
                if record.ridge_at_edge == "largest"
                else "the basis may be too small for what the labels hold"
            )
        )
    said.append(
        "if a larger basis or more labels do not help, labels may contradict each other: other units, another level of "
        "theory, an oracle that is not converged"
    )
    return "; ".join(said)


def warn_of_chemistry(record: TrainingRecord) -> None:
    """Warn that molecules or coordination changed in the trial of a generation before MD, if they did."""
    if record.stability is not None and record.stability.chemistry:
        changes = "; ".join(record.stability.chemistry)
        logger.warning("generation %d, in the trial before MD: %s", record.generation, changes)


def warn_if_refused(step: Step[Handoff], record: TrainingRecord) -> None:
    """Record and warn that a generation is unfit for MD, if it is, and which one MD goes on with."""
    if record.stability is None or record.stability.sound:
        return
    generation, reasons = record.generation, record.stability.reasons
    instead = step.generations.fit_for_md()
    goes_on = f"MD goes on with generation {instead}" if instead != generation else "there is no better one: MD uses it"
    step.record(
        Event.GENERATION_REFUSED,
        f"generation {generation} is unfit for MD: {'; '.join(reasons)}; {goes_on}",
        at=logging.WARNING,
        generation=generation,
        reasons=reasons,
    )
