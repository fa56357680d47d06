"""One label of a campaign: from a structure's file to ``labels/`` or to ``quarantine/``."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path
from typing import Any

from ase import Atoms

from mlip_fw.dataset import Dataset, label_name, level_id
from mlip_fw.engines.oracle.answer import OutOfTime
from mlip_fw.engines.oracle.label import cores_of_labels, make_label
from mlip_fw.engines.oracle.level import campaign_level, require_campaign_level
from mlip_fw.errors import LabelError, WorkerError
from mlip_fw.io.files import write_text
from mlip_fw.io.structures import read_frame
from mlip_fw.layout import CampaignDirectory
from mlip_fw.models.handoff import LabelHandoff
from mlip_fw.models.label import LabelState, QuarantineRecord
from mlip_fw.models.worker import Worker

logger = logging.getLogger("mlip_fw")
MOST_PEERS = 8
"""Own labels that a new one is compared with: imported ones may have another energy zero."""
_UNTOLD = "untold"
"""Lies in the folder of a label from before it is stored until the journal knows of it."""


def label_structure(handoff: LabelHandoff, worker: Worker) -> LabelState:
    """Label the structure of a hand-off, once, whoever asks; a failed label is a result.

    Raises
    ------
    WorkerError
        If this machine is to blame: nothing is lost, the same Firework can be run again.
    """
    directory, dataset = CampaignDirectory(handoff.directory), Dataset(handoff.dataset_root)
    with directory.labelling_locked(handoff.hash):
        if dataset.has(handoff.hash):
            dataset.release(handoff.hash)
            if _is_untold(handoff.hash, directory, "labelled"):
                labelled = dataset.read(handoff.hash)
                _tell_label(handoff, len(labelled), labelled.info, directory)
            shutil.rmtree(directory.labelling(handoff.hash), ignore_errors=True)
            return LabelState.EXISTED
        if dataset.is_quarantined(handoff.hash) and not handoff.retry:
            if _is_untold(handoff.hash, directory, "quarantined"):
                _tell_failure(handoff, next(r for r in dataset.quarantined() if r.hash == handoff.hash), directory)
            shutil.rmtree(directory.labelling(handoff.hash), ignore_errors=True)
            return LabelState.QUARANTINED
        return _label(handoff, worker, directory, dataset)


def _label(handoff: LabelHandoff, worker: Worker, directory: CampaignDirectory, dataset: Dataset) -> LabelState:
    atoms = read_frame(Path(handoff.structures), handoff.index)
    level = campaign_level(directory, handoff.campaign, worker)
    require_campaign_level(level, handoff.campaign, worker)
    if label_name(atoms, level) != handoff.hash:
        raise WorkerError(
            f"structure {handoff.index} of {handoff.structures} is not the one that {handoff.hash} names; that file "
            "was changed after selection"
        )
    folder = directory.labelling(handoff.hash)
    started = time.perf_counter()
    try:
        answer = make_label(
            atoms, handoff.campaign.oracle, worker, handoff.campaign.elements, folder, dataset.some_own(MOST_PEERS)
        )
    except LabelError as error:
        _set_aside(handoff, atoms, error, time.perf_counter() - started, _cores(handoff, worker))
        return LabelState.QUARANTINED
    if isinstance(answer, OutOfTime):
        directory.log_event("label_out_of_time", label=handoff.hash, seconds=round(answer.seconds, 3))
        logger.info("label %s: out of time after %.0f s, to be continued", handoff.hash, answer.seconds)
        return LabelState.UNFINISHED
    write_text(folder / _UNTOLD, "")
    facts = {**answer.facts, "cores": _cores(handoff, worker), "level_of_theory": level_id(level)}
    dataset.add(handoff.hash, answer.atoms, facts)
    dataset.release(handoff.hash)
    _tell_label(handoff, len(atoms), answer.facts, directory)
    shutil.rmtree(folder, ignore_errors=True)
    return LabelState.DONE


def _where(handoff: LabelHandoff) -> dict[str, bool]:
    return {"apart": True} if handoff.apart else {}


def _cores(handoff: LabelHandoff, worker: Worker) -> int:
    return cores_of_labels(handoff.campaign.oracle, worker)


def _is_untold(name: str, directory: CampaignDirectory, kind: str) -> bool:
    """Return whether somebody was killed after a label was there and before the journal knew of it."""
    if not (directory.labelling(name) / _UNTOLD).is_file():
        return False
    return not any(event["event"] == kind and event["label"] == name for event in directory.events())


def _tell_label(handoff: LabelHandoff, n_atoms: int, facts: dict[str, Any], directory: CampaignDirectory) -> None:
    told = {"seconds": float(facts["label_seconds"]), "corrections": int(facts["corrections"])}
    directory.log_event("labelled", label=handoff.hash, atoms=n_atoms, **told, **_where(handoff))
    mended = f", {told['corrections']} corrections" if told["corrections"] else ""
    logger.info("label %s: %d atoms, %.2f s%s", handoff.hash, n_atoms, told["seconds"], mended)


def _set_aside(handoff: LabelHandoff, atoms: Atoms, error: LabelError, seconds: float, cores: int) -> None:
    directory, dataset = CampaignDirectory(handoff.directory), Dataset(handoff.dataset_root)
    record = QuarantineRecord(
        hash=handoff.hash,
        reason=str(error),
        level_of_theory=campaign_level(directory, handoff.campaign, Worker()),
        corrections=error.corrections,
        n_atoms=len(atoms),
        seconds=seconds,
        cores=cores,
    )
    write_text(directory.labelling(handoff.hash) / _UNTOLD, "")
    dataset.add_to_quarantine(atoms, record, error.files)
    _tell_failure(handoff, record, directory)
    shutil.rmtree(directory.labelling(handoff.hash), ignore_errors=True)


def _tell_failure(handoff: LabelHandoff, record: QuarantineRecord, directory: CampaignDirectory) -> None:
    told = {"reason": record.reason, "seconds": round(record.seconds, 3)}
    directory.log_event("quarantined", label=record.hash, **told, **_where(handoff))
    logger.warning("label %s failed: %s", record.hash, record.reason)
