"""Events of a campaign: the lines of ``events.jsonl``, what happened and when."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from mlip_fw.errors import DirectoryError

_LATEST = 1e11
"""Times are seconds since 1970; what is later than the year 5000 was never written by a clock."""
_COUNTS = ("walker", "cycle", "stage", "step", "generation")
_OUTCOMES = ("CONVERGED", "STOPPED")


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


def read_events(journal: Path, parts: Sequence[Path] = ()) -> list[dict[str, Any]]:
    """Return all whole events of a journal, oldest first; with those of its ``parts`` from other machines."""
    texts = [path.read_text(errors="replace") for path in (journal, *parts) if path.is_file()]
    lines = [line for text in texts for line in text.splitlines()]
    found = [event for line in (dict.fromkeys(lines) if parts else lines) if (event := read_event(line))]
    return sorted(found, key=lambda event: event["time"]) if parts else found


def read_event(line: str) -> dict[str, Any] | None:
    """Return the event in a line of the journal, or None if it holds none, or one that says what can't be."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and _is_sound(event) else None


def _ends_torn(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def _is_sound(event: dict[str, Any]) -> bool:
    return (
        isinstance(event.get("event"), str)
        and _is_number(event.get("time"), _LATEST)
        and all(_is_count(event[name]) for name in _COUNTS if name in event)
        and isinstance(event.get("label", ""), str)
        and _is_number(event.get("seconds", 0.0), _LATEST)
        and (event["event"] != Event.FINISHED or _ends(event))
    )


def _ends(event: dict[str, Any]) -> bool:
    return event.get("outcome") in _OUTCOMES and isinstance(event.get("reason", 0), str | None)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_number(value: object, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < most
