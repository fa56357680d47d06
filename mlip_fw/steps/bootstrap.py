"""The step bootstrap: import a given potential and dataset, and make the first structures to label."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np

from mlip_fw.campaign.dataset import Dataset, label_name, level_id
from mlip_fw.campaign.events import Event
from mlip_fw.campaign.seeds import derived_seed
from mlip_fw.engines.sampling.bootstrap import first_structures
from mlip_fw.engines.structures.given_labels import GivenLabels, given_labels
from mlip_fw.engines.structures.start import start_structures
from mlip_fw.engines.train.given_files import check_initial
from mlip_fw.engines.train.initial import import_initial
from mlip_fw.errors import CampaignError
from mlip_fw.io.files import read_or_create
from mlip_fw.io.labelled.audit import audit_lines
from mlip_fw.io.structures import FORCE_UNKNOWN, MASK, canonical, write_frames
from mlip_fw.models.handoff import Handoff
from mlip_fw.models.selection import Choice, Selection
from mlip_fw.models.training import TrainingRecord
from mlip_fw.models.worker import Worker
from mlip_fw.runtime.cores import cores_of
from mlip_fw.steps.step import Step

logger = logging.getLogger("mlip_fw")


def bootstrap_campaign(step: Step[Handoff], worker: Worker) -> Selection | None:
    """Import a given potential and dataset, and choose the first structures to label.

    Done once: later calls return the stored selection.

    Files: writes ``campaign.yaml``, ``labels/`` of a given dataset, ``potentials/gen_0000/`` of a given potential,
    ``bootstrap/selected.extxyz`` and ``bootstrap/selection.json``.

    Returns
    -------
    Selection | None
        What is to be labelled before generation 0 is trained; None if MD can start from the given potential.

    Raises
    ------
    CampaignError
        If the directory holds another campaign, or what is given can't be used.
    """
    campaign = step.campaign
    step.directory.claim(campaign)
    if (given := given_labels(campaign)) is not None:
        import_dataset(given, step.dataset, level_id(step.level_of_theory(worker)))
    if campaign.potential.initial is not None:
        _import_potential(step, Path(campaign.potential.initial))
        if campaign.bootstrap.dataset is None and not step.generations.faults(0):
            return None
    return read_or_create(step.files.selection, Selection, lambda: _first_selection(step, worker))


def import_dataset(given: GivenLabels, dataset: Dataset, level: str) -> None:
    """Store labels that came with the campaign, and log what was understood of their file.

    Raises
    ------
    CampaignError
        If one is of another level of theory than ``level``, the campaign's.
    """
    source = Path(given.audit.file).name
    for frame in given.frames:
        if (other := frame.facts.get("level_of_theory", level)) != level:
            raise CampaignError(
                f"bootstrap.dataset: structure {frame.number} of {source} is of level of theory {other}, the "
                f"campaign's is {level}; two levels don't mix in one training set"
            )
    for frame in given.frames:
        name = label_name(frame.atoms, {"kind": "dataset"})
        if not dataset.has(name):
            labelled = canonical(frame.atoms)
            labelled.calc = frame.atoms.calc
            for array in (MASK, FORCE_UNKNOWN):
                if array in frame.atoms.arrays:
                    labelled.arrays[array] = frame.atoms.arrays[array]
            dataset.mark_imported(name)
            facts = {"code": f"imported from {source}", "source_frame": frame.number, "label_seconds": 0.0}
            dataset.add(name, labelled, facts)
    for line in audit_lines(given.audit):
        logger.info("bootstrap.dataset: %s", line)


def _import_potential(step: Step[Handoff], source: Path) -> None:
    """Publish a given potential as generation 0, unless it is there, and warn if it is unfit for MD."""
    if step.generations.newest() is not None:
        return
    check_initial(step.campaign)
    record = import_initial(step.generations, source, step.dataset, step.campaign)
    _warn_of_stability(step, record)


def _warn_of_stability(step: Step[Handoff], record: TrainingRecord) -> None:
    assert record.stability is not None
    if record.stability.warnings:
        logger.warning("potential.initial is used, but: %s", "; ".join(record.stability.warnings))
    if record.stability.sound:
        return
    reasons = record.stability.reasons
    fitted_to = "first labels" if step.campaign.bootstrap.dataset is None else "bootstrap.dataset"
    step.record(
        Event.GENERATION_REFUSED,
        f"potential.initial is unfit for MD: {'; '.join(reasons)}; it is fitted anew to {fitted_to} before MD starts",
        at=logging.WARNING,
        generation=record.generation,
        reasons=reasons,
    )


def _first_selection(step: Step[Handoff], worker: Worker) -> Selection:
    started = time.perf_counter()
    campaign, frames = step.campaign, []
    if campaign.bootstrap.dataset is None:
        rng = np.random.default_rng(derived_seed(campaign.seed, "bootstrap"))
        frames = first_structures(start_structures(campaign), campaign, rng)[: campaign.budget.max_labels]
        write_frames(step.files.selected, frames)
    level = step.level_of_theory(worker)
    chosen = [
        Choice(hash=label_name(atoms, level), strategy="bootstrap", reason="a rattled and strained copy of the start")
        for atoms in frames
    ]
    seconds = time.perf_counter() - started
    logger.info("bootstrap: %d structures to label", len(chosen))
    return Selection(
        walker=0,
        cycle=0,
        generation=None,
        center=None,
        n_candidates=len(frames),
        rejected={},
        chosen=chosen,
        seconds=seconds,
        cores=cores_of(),
    )
