"""The step label: from a structure's file to ``labels/`` or to ``quarantine/``."""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import Atoms

from mlip_fw.campaign.dataset import label_name, level_id
from mlip_fw.campaign.events import Event
from mlip_fw.engines.oracle.answer import Labelled, OutOfTime
from mlip_fw.engines.oracle.label import cores_of_labels, make_label
from mlip_fw.engines.oracle.level import require_campaign_level
from mlip_fw.errors import LabelError, WorkerError
from mlip_fw.io.files import write_text
from mlip_fw.io.structures import read_frame
from mlip_fw.models.handoff import LabelHandoff
from mlip_fw.models.label import LabelState, QuarantineRecord
from mlip_fw.models.worker import Worker
from mlip_fw.runtime.walltime import working_seconds_left
from mlip_fw.steps.step import Step

MAX_PEERS = 8
"""Own labels that a new one is compared with: imported ones may have another energy zero."""
_UNRECORDED = "untold"
"""Name of a file in the folder of a label, from before the label is stored until the journal has its event."""


@dataclass(frozen=True)
class LastLabel:
    """How far a Firework has come that makes one label after the other."""

    handoff: LabelHandoff
    """Of the last label, or of the first that is unfinished; it knows what comes after it."""
    state: LabelState


def label_structures(step: Step[LabelHandoff], worker: Worker) -> LastLabel:
    """Label the structures of a hand-off one after the other, until all are done or the walltime is over.

    Raises
    ------
    WorkerError
        If this machine is to blame: nothing is lost, the same Firework can be run again.
    """
    for handoff in step.handoff.one_by_one():
        # asked each time, as the batch job's time runs out
        state = label_structure(step.with_handoff(handoff), worker.ending_within(working_seconds_left()))
        if state is LabelState.UNFINISHED:
            break
        step.publish(step.directory.level_file.name, *files_of_label(handoff.hash))
    return LastLabel(handoff, state)


def files_of_label(name: str) -> tuple[str, str]:
    """Return the file of a label and that of the record if it failed, as paths in the campaign directory."""
    return f"labels/{name}.extxyz", f"quarantine/{name}.json"


def label_structure(step: Step[LabelHandoff], worker: Worker) -> LabelState:
    """Label the first structure of a hand-off; a failed label is a result.

    Done once: later calls find the label, or its record in the quarantine.

    Files: reads the structure; writes ``labels/<hash>.extxyz``, or ``quarantine/<hash>.json`` and what goes with it;
    works in ``labelling/<hash>``, which is gone when the label is there.

    Raises
    ------
    WorkerError
        If this machine is to blame: nothing is lost, the same Firework can be run again.
    """
    name, dataset = step.handoff.hash, step.dataset
    with step.directory.labelling_locked(name):
        if dataset.has(name):
            dataset.release(name)
            if _is_unrecorded(step, Event.LABELLED):
                labelled = dataset.read(name)
                _record_label(step, len(labelled), labelled.info)
            _remove_folder(step)
            return LabelState.EXISTED
        if dataset.is_quarantined(name) and not step.handoff.retry:
            if _is_unrecorded(step, Event.QUARANTINED):
                _record_failure(step, next(record for record in dataset.quarantined() if record.hash == name))
            _remove_folder(step)
            return LabelState.QUARANTINED
        return _label(step, worker)


def _label(step: Step[LabelHandoff], worker: Worker) -> LabelState:
    handoff, campaign, folder = step.handoff, step.campaign, step.directory.labelling(step.handoff.hash)
    atoms = _structure(step, worker)
    peers = step.dataset.sample_own(MAX_PEERS)
    started = time.perf_counter()
    try:
        answer = make_label(atoms, campaign.oracle, worker, campaign.elements, folder, peers)
    except LabelError as error:
        _set_aside(step, atoms, error, time.perf_counter() - started, _cores(step, worker))
        return LabelState.QUARANTINED
    if isinstance(answer, OutOfTime):
        step.record(
            Event.LABEL_OUT_OF_TIME,
            f"label {handoff.hash}: out of time after {answer.seconds:.0f} s, to be continued",
            label=handoff.hash,
            seconds=round(answer.seconds, 3),
        )
        return LabelState.UNFINISHED
    _store(step, answer, worker)
    return LabelState.DONE


def _structure(step: Step[LabelHandoff], worker: Worker) -> Atoms:
    """Return the structure to be labelled, if it and the level of theory are those that its name stands for."""
    handoff = step.handoff
    atoms = read_frame(Path(handoff.structures), handoff.index)
    level = step.level_of_theory(worker)
    require_campaign_level(level, step.campaign, worker)
    if label_name(atoms, level) != handoff.hash:
        raise WorkerError(
            f"structure {handoff.index} of {handoff.structures} is not the one that {handoff.hash} names; that file "
            "was changed after selection"
        )
    return atoms


def _store(step: Step[LabelHandoff], answer: Labelled, worker: Worker) -> None:
    name, level = step.handoff.hash, step.level_of_theory(worker)
    write_text(step.directory.labelling(name) / _UNRECORDED, "")
    facts = {**answer.facts, "cores": _cores(step, worker), "level_of_theory": level_id(level)}
    step.dataset.add(name, answer.atoms, facts)
    step.dataset.release(name)
    _record_label(step, len(answer.atoms), answer.facts)
    _remove_folder(step)


def _set_aside(step: Step[LabelHandoff], atoms: Atoms, error: LabelError, seconds: float, cores: int) -> None:
    """Put a structure that could not be labelled in quarantine."""
    record = QuarantineRecord(
        hash=step.handoff.hash,
        reason=str(error),
        level_of_theory=step.level_of_theory(Worker()),
        corrections=error.corrections,
        n_atoms=len(atoms),
        seconds=seconds,
        cores=cores,
    )
    write_text(step.directory.labelling(record.hash) / _UNRECORDED, "")
    step.dataset.add_to_quarantine(atoms, record, error.files)
    _record_failure(step, record)
    _remove_folder(step)


def _is_unrecorded(step: Step[LabelHandoff], kind: Event) -> bool:
    """Return whether a process was killed after it stored the label and before it wrote the event."""
    name = step.handoff.hash
    if not (step.directory.labelling(name) / _UNRECORDED).is_file():
        return False
    return not any(event["event"] == kind and event["label"] == name for event in step.directory.events())


def _record_label(step: Step[LabelHandoff], n_atoms: int, facts: dict[str, Any]) -> None:
    name, seconds, corrections = step.handoff.hash, float(facts["label_seconds"]), int(facts["corrections"])
    corrected = f", {corrections} corrections" if corrections else ""
    step.record(
        Event.LABELLED,
        f"label {name}: {n_atoms} atoms, {seconds:.2f} s{corrected}",
        label=name,
        atoms=n_atoms,
        seconds=seconds,
        corrections=corrections,
        **_apart(step),
    )


def _record_failure(step: Step[LabelHandoff], record: QuarantineRecord) -> None:
    step.record(
        Event.QUARANTINED,
        f"label {record.hash} failed: {record.reason}",
        at=logging.WARNING,
        label=record.hash,
        reason=record.reason,
        seconds=round(record.seconds, 3),
        **_apart(step),
    )


def _apart(step: Step[LabelHandoff]) -> dict[str, bool]:
    """Return what an event says of a label that is for a validation or an audit, and not trained on."""
    apart = {"apart": True} if step.handoff.apart else {}
    return {"audit": True} if step.handoff.audit else apart


def _cores(step: Step[LabelHandoff], worker: Worker) -> int:
    return cores_of_labels(step.campaign.oracle, worker)


def _remove_folder(step: Step[LabelHandoff]) -> None:
    shutil.rmtree(step.directory.labelling(step.handoff.hash), ignore_errors=True)
