"""The step refine: a trainer such as pacemaker makes a generation from the labels of the newest linear one.

In what is stored and shown the word is "polish".
"""

from __future__ import annotations

from mlip_fw.campaign.events import Event
from mlip_fw.engines.train.refinement import refine
from mlip_fw.engines.train.schedule import is_left_to_do
from mlip_fw.models.handoff import RefineHandoff
from mlip_fw.models.training import TrainingRecord
from mlip_fw.models.worker import Worker
from mlip_fw.runtime.walltime import OutOfTime
from mlip_fw.steps.step import Step
from mlip_fw.steps.train import warn_if_refused, warn_of_chemistry


def refine_potential(step: Step[RefineHandoff], worker: Worker) -> bool:
    """Have the campaign's trainer train on the labels of the newest linear generation, unless it has seen them all.

    Files: reads ``labels/`` and ``potentials/``; writes ``potentials/gen_NNNN/``; works in ``polishing/``, which is
    removed when the generation is published.

    Returns
    -------
        Whether the walltime cut the fit; the same Firework goes on with it.
    """
    if not is_left_to_do(step.generations, step.campaign.potential.kind):
        return False
    made = refine(step.generations, step.dataset, step.campaign, worker, step.directory.refining)
    if isinstance(made, TrainingRecord):
        _record_refinement(step, made)
    return isinstance(made, OutOfTime)


def _record_refinement(step: Step[RefineHandoff], record: TrainingRecord) -> None:
    assert record.dataset is not None
    warn_if_refused(step, record)
    warn_of_chemistry(record)
    step.record(
        Event.POLISHED,
        f"generation {record.generation} by {record.trainer}: {len(record.labels)} labels, force RMSE "
        f"{1000 * record.dataset.force_rmse_ev_a:.1f} meV/Å (training set), {record.iterations} steps, "
        f"{record.seconds:.0f} s",
        generation=record.generation,
        parent=record.parent,
        labels=len(record.labels),
        steps=record.iterations,
        force_rmse_ev_a=record.dataset.force_rmse_ev_a,
        seconds=round(record.seconds, 3),
    )
