"""One label of a campaign: from a structure's file to ``labels/`` or to ``quarantine/``."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path

from ase import Atoms

from mlip_fw.dataset import Dataset, label_name, level_id
from mlip_fw.engines.oracle.answer import Labelled, OutOfTime
from mlip_fw.engines.oracle.label import make_label
from mlip_fw.engines.oracle.level import campaign_level, require_campaign_level
from mlip_fw.errors import LabelError, WorkerError
from mlip_fw.io.structures import read_frame
from mlip_fw.layout import CampaignDirectory
from mlip_fw.models.handoff import LabelHandoff
from mlip_fw.models.label import LabelState, QuarantineRecord
from mlip_fw.models.worker import Worker

logger = logging.getLogger("mlip_fw")
_MOST_PEERS = 8


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
            shutil.rmtree(directory.labelling(handoff.hash), ignore_errors=True)
            return LabelState.EXISTED
        if dataset.is_quarantined(handoff.hash) and not handoff.retry:
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
            atoms, handoff.campaign.oracle, worker, handoff.campaign.elements, folder, dataset.some(_MOST_PEERS)
        )
    except LabelError as error:
        _set_aside(handoff, atoms, error, time.perf_counter() - started)
        return LabelState.QUARANTINED
    if isinstance(answer, OutOfTime):
        directory.log_event("label_out_of_time", label=handoff.hash, seconds=round(answer.seconds, 3))
        logger.info("label %s: out of time after %.0f s, to be continued", handoff.hash, answer.seconds)
        return LabelState.UNFINISHED
    _keep(handoff.hash, answer, dataset, level_id(level))
    shutil.rmtree(folder, ignore_errors=True)
    facts = {"seconds": answer.facts["label_seconds"], "corrections": answer.facts["corrections"]}
    directory.log_event("labelled", label=handoff.hash, atoms=len(atoms), **facts, **_where(handoff))
    mended = f", {facts['corrections']} corrections" if facts["corrections"] else ""
    logger.info("label %s: %d atoms, %.2f s%s", handoff.hash, len(atoms), facts["seconds"], mended)
    return LabelState.DONE


def _where(handoff: LabelHandoff) -> dict[str, bool]:
    return {"apart": True} if handoff.apart else {}


def _keep(name: str, answer: Labelled, dataset: Dataset, level: str) -> None:
    dataset.add(name, answer.atoms, {**answer.facts, "level_of_theory": level})
    dataset.release(name)


def _set_aside(handoff: LabelHandoff, atoms: Atoms, error: LabelError, seconds: float) -> None:
    directory, dataset = CampaignDirectory(handoff.directory), Dataset(handoff.dataset_root)
    record = QuarantineRecord(
        hash=handoff.hash,
        reason=str(error),
        level_of_theory=campaign_level(directory, handoff.campaign, Worker()),
        corrections=error.corrections,
        n_atoms=len(atoms),
        seconds=seconds,
    )
    dataset.add_to_quarantine(atoms, record, error.files)
    shutil.rmtree(directory.labelling(handoff.hash), ignore_errors=True)
    facts = {"seconds": round(seconds, 3), **_where(handoff)}
    directory.log_event("quarantined", label=handoff.hash, reason=str(error), **facts)
    logger.warning("label %s failed: %s", handoff.hash, error)
