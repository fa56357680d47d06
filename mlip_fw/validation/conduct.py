"""One run of a validation: it writes the report, or returns the labels that have to be made first."""

from __future__ import annotations

import logging
import time

from mlip_fw.engines.oracle.backend import backend_of
from mlip_fw.engines.oracle.level import campaign_level
from mlip_fw.generations import Generations
from mlip_fw.io.files import read_model, write_json
from mlip_fw.io.structures import write_frames
from mlip_fw.layout import CampaignDirectory
from mlip_fw.models.handoff import LabelHandoff, ValidateHandoff
from mlip_fw.models.validation import ValidationReport
from mlip_fw.models.worker import Worker
from mlip_fw.validation.examine import examine
from mlip_fw.validation.figures import write_figures
from mlip_fw.validation.holdout import structure_file
from mlip_fw.validation.rdf import needs_oracle_md

logger = logging.getLogger("mlip_fw")
_MOST_TIMES = 3
"""How often a label is asked for; one that is still not there is given up."""


def last_report(directory: CampaignDirectory) -> ValidationReport | None:
    """Return what the last validation found, whichever generation it was of."""
    return read_model(directory.validation_report, ValidationReport)


def conduct(handoff: ValidateHandoff, worker: Worker, *, anew: bool = False) -> list[LabelHandoff]:
    """Write report and figures, or return the labels that are to be made first.

    Parameters
    ----------
    anew
        Do it although there is a report of this generation by the same settings.

    Raises
    ------
    DirectoryError
        If there is no potential yet.
    """
    campaign, directory = handoff.campaign, CampaignDirectory(handoff.directory)
    known = last_report(directory)
    same = known and (known.generation, known.settings) == (
        Generations(directory.root).fit_for_md(),
        campaign.validation,
    )
    if same and not anew:
        return []
    if needs_oracle_md(campaign):
        backend_of(campaign.oracle).md_calculator(campaign.oracle, worker)
    started = time.perf_counter()
    given_up = {name for name, times in handoff.asked.items() if times >= _MOST_TIMES}
    found = examine(directory, campaign, campaign_level(directory, campaign, worker), given_up)
    for name, atoms in found.missing.items():
        if not structure_file(directory.validation, name).is_file():
            write_frames(structure_file(directory.validation, name), [atoms])
    if found.report is not None:
        write_figures(found, directory.validation)
        write_json(directory.validation_report, found.report)
        _tell(directory, found.report, time.perf_counter() - started)
    else:
        seconds = round(time.perf_counter() - started, 3)
        directory.log_event("validating", labels=len(found.missing), seconds=seconds)
    return [_label(handoff, directory, name) for name in found.missing]


def _label(handoff: ValidateHandoff, directory: CampaignDirectory, name: str) -> LabelHandoff:
    return LabelHandoff(
        campaign=handoff.campaign,
        directory=handoff.directory,
        hash=name,
        structures=str(structure_file(directory.validation, name)),
        index=0,
        apart=True,
    )


def _tell(directory: CampaignDirectory, report: ValidationReport, seconds: float) -> None:
    force = None if report.holdout is None else report.holdout.force_rmse_ev_a
    facts = {"generation": report.generation, "labels": report.labels, "force_rmse_ev_a": force}
    directory.log_event("validated", **facts, seconds=round(seconds, 3))
    errors = "" if force is None else f", force RMSE {1000 * force:.1f} meV/Å on held-out frames"
    logger.info("generation %d: validated with %d labels%s", report.generation, report.labels, errors)
