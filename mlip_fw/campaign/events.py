"""What can happen to a campaign, and how it is written to the journal ``events.jsonl``."""

from __future__ import annotations

import json
import os
import time
from enum import StrEnum
from pathlib import Path
from typing import Any

from mlip_fw.errors import DirectoryError


class Event(StrEnum):
    """What can happen to a campaign; the values are stored (docs/reference/files.md) and never change."""

    RUN_STARTED = "run_started"
    GENERATION_REFUSED = "generation_refused"
    MD_STARTED = "md_started"
    MD_FINISHED = "md_finished"
    MD_OUT_OF_TIME = "md_out_of_time"
    HALTED = "halted"
    WENT_TOO_FAR = "went_too_far"
    CRASHED = "crashed"
    REWOUND = "rewound"
    SELECTED = "selected"
    LABELLED = "labelled"
    QUARANTINED = "quarantined"
    LABEL_OUT_OF_TIME = "label_out_of_time"
    TRAINED = "trained"
    POLISHED = "polished"
    VALIDATING = "validating"
    VALIDATED = "validated"
    STOPPED = "stopped"
    FINISHED = "finished"


def append_event(journal: Path, kind: str, facts: dict[str, Any]) -> None:
    """Append one event of this moment to a journal; its line is written whole or not at all.

    Raises
    ------
    DirectoryError
        If the journal can't be written.
    """
    line = json.dumps({"time": round(time.time(), 3), "event": kind, **facts}, allow_nan=False) + "\n"
    try:
        descriptor = os.open(journal, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            # a line that a crash cut must not take this one with it
            start = "\n" if _ends_torn(descriptor) else ""
            # one write: the lines of other processes can't come in between
            os.write(descriptor, (start + line).encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        raise DirectoryError(f"can't write {journal}: {error.strerror}") from error


def _ends_torn(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
