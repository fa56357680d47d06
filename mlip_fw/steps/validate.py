"""The step validate: a report on the newest potential, or the labels that it needs first."""

from __future__ import annotations

import time

from mlip_fw.campaign.events import Event
from mlip_fw.engines.oracle.backend import backend_of
from mlip_fw.io.files import write_json
from mlip_fw.io.structures import write_frames
from mlip_fw.models.handoff import LabelHandoff, ValidateHandoff
from mlip_fw.models.validation import ValidationReport
from mlip_fw.models.worker import Worker
from mlip_fw.steps.step import Step
from mlip_fw.validation.diagnosis import diagnose, last_report
from mlip_fw.validation.figures import write_figures
from mlip_fw.validation.holdout import structure_file
from mlip_fw.validation.rdf import needs_oracle_md

_MAX_TIMES = 3
"""How often a label is asked for; one that is still not there is given up."""


def validate_potential(step: Step[ValidateHandoff], worker: Worker, *, anew: bool = False) -> list[LabelHandoff]:
    """Write report and figures, or return the hand-offs of the labels that are to be made first.

    Files: reads ``potentials/``, trajectories and ``validation/labels/``; writes structures to be labelled and the
    report in ``validation/``.

    Parameters
    ----------
    anew
        Do it although there is a report of this generation by the same settings.

    Raises
    ------
    DirectoryError
        If there is no potential yet.
    """
    campaign, directory = step.campaign, step.directory
    known = last_report(directory)
    now = (step.generations.fit_for_md(), campaign.validation)
    if known is not None and (known.generation, known.settings) == now and not anew:
        return []
    if needs_oracle_md(campaign):
        backend_of(campaign.oracle).md_calculator(campaign.oracle, worker)
    started = time.perf_counter()
    given_up = {name for name, times in step.handoff.asked.items() if times >= _MAX_TIMES}
    found = diagnose(directory, campaign, step.level_of_theory(worker), given_up)
    for name, atoms in found.missing.items():
        if not structure_file(directory.validation, name).is_file():
            write_frames(structure_file(directory.validation, name), [atoms])
    seconds = round(time.perf_counter() - started, 3)
    if found.report is None:
        step.record(Event.VALIDATING, labels=len(found.missing), seconds=seconds)
    else:
        write_figures(found, directory.validation)
        write_json(directory.validation_report, found.report)
        _record_report(step, found.report, time.perf_counter() - started)
    return [_to_label(step, name) for name in found.missing]


def _to_label(step: Step[ValidateHandoff], name: str) -> LabelHandoff:
    return LabelHandoff(
        campaign=step.campaign,
        directory=step.handoff.directory,
        hash=name,
        structures=str(structure_file(step.directory.validation, name)),
        index=0,
        apart=True,
    )


def _record_report(step: Step[ValidateHandoff], report: ValidationReport, seconds: float) -> None:
    force = None if report.holdout is None else report.holdout.force_rmse_ev_a
    errors = "" if force is None else f", force RMSE {1000 * force:.1f} meV/Å on held-out frames"
    step.record(
        Event.VALIDATED,
        f"generation {report.generation}: validated with {report.labels} labels{errors}",
        generation=report.generation,
        labels=report.labels,
        force_rmse_ev_a=force,
        seconds=round(seconds, 3),
    )
