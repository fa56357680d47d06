"""The first generation of a campaign's potential."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from fireworks import FWAction, explicit_serialize

from mlip_fw.cores import cores_of
from mlip_fw.dataset import Dataset, label_name, level_id
from mlip_fw.engines.bootstrap import first_structures
from mlip_fw.engines.given_labels import GivenLabels, given_labels
from mlip_fw.engines.oracle.level import campaign_level
from mlip_fw.engines.start import start_structures
from mlip_fw.engines.train.given_files import check_initial
from mlip_fw.engines.train.initial import import_initial
from mlip_fw.errors import CampaignError
from mlip_fw.firetasks.base import CampaignTask, logger, read_worker
from mlip_fw.io.files import once
from mlip_fw.io.labelled.audit import audit_lines
from mlip_fw.io.structures import FORCE_UNKNOWN, MASK, canonical, write_frames
from mlip_fw.layout import CampaignDirectory
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.handoff import Handoff
from mlip_fw.models.selection import Choice, Selection
from mlip_fw.models.training import TrainingRecord
from mlip_fw.models.worker import Worker
from mlip_fw.seeds import derived_seed
from mlip_fw.travel.errand import IMPORTED, INPUTS, LABELS, LEVEL, TO_RUN, Errand, Want


@explicit_serialize
class Bootstrap(CampaignTask):
    """Take up a given potential and dataset; if MD can't start from them, have first structures labelled."""

    def turn(self, handoff: Handoff, fw_spec: dict[str, Any]) -> str:
        """Return the one name that all Bootstraps of a campaign share."""
        return "bootstrap"

    def errand(self, handoff: Handoff, fw_spec: dict[str, Any]) -> Errand:
        """Return what travels: the campaign's inputs here, and the first structures from here."""
        selection = "bootstrap/selection.json"
        wants, made = [TO_RUN, INPUTS, Want(LEVEL), Want(selection)], [LEVEL, selection]
        if handoff.campaign.bootstrap.dataset is not None:
            wants += [LABELS, IMPORTED]
            made += ["bootstrap/imported/[!.]*", "labels/[!.]*.extxyz"]
        return Errand(tuple(wants), tuple(made))

    def work(self, handoff: Handoff, fw_spec: dict[str, Any]) -> FWAction:
        """Return the Label and Train Fireworks of generation 0 as a detour."""
        campaign, directory = handoff.campaign, CampaignDirectory(handoff.directory)
        worker = read_worker(fw_spec.get("_fw_env"))
        directory.claim(campaign)
        if (given := given_labels(campaign)) is not None:
            _import_dataset(given, Dataset(directory.root), level_id(campaign_level(directory, campaign, worker)))
        generations = self.generations(handoff.directory)
        if campaign.potential.initial is not None:
            if generations.newest() is None:
                check_initial(campaign)
                dataset = Dataset(directory.root)
                record = import_initial(generations, Path(campaign.potential.initial), dataset, campaign)
                _tell_of_trial(record, campaign, directory)
            if campaign.bootstrap.dataset is None and not generations.faults(0):
                return FWAction()
        selection = once(directory.bootstrap / "selection.json", Selection, lambda: _first_structures(handoff, worker))
        return self.then()(handoff, selection)


def _tell_of_trial(record: TrainingRecord, campaign: Campaign, directory: CampaignDirectory) -> None:
    assert record.stability is not None
    if record.stability.warnings:
        logger.warning("potential.initial is used, but: %s", "; ".join(record.stability.warnings))
    if record.stability.sound:
        return
    reasons = record.stability.reasons
    directory.log_event("generation_refused", generation=record.generation, reasons=reasons)
    logger.warning(
        "potential.initial is unfit for MD: %s; it is fitted anew to %s before MD starts",
        "; ".join(reasons),
        "first labels" if campaign.bootstrap.dataset is None else "bootstrap.dataset",
    )


def _first_structures(handoff: Handoff, worker: Worker) -> Selection:
    started = time.perf_counter()
    campaign, directory = handoff.campaign, CampaignDirectory(handoff.directory)
    rng = np.random.default_rng(derived_seed(campaign.seed, "bootstrap"))
    frames = []
    if campaign.bootstrap.dataset is None:
        frames = first_structures(start_structures(campaign), campaign, rng)[: campaign.budget.max_labels]
        write_frames(directory.bootstrap / "selected.extxyz", frames)
    level = campaign_level(directory, campaign, worker)
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


def _import_dataset(given: GivenLabels, dataset: Dataset, level: str) -> None:
    """Store labels that came with the campaign, and say what was understood of their file."""
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
