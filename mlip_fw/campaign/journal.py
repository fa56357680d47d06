"""The journal ``events.jsonl``: writing and reading its lines, and what they say about outcome and working time."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlip_fw.campaign.events import Event
from mlip_fw.errors import DirectoryError
from mlip_fw.models.summary import Outcome

_LATEST = 1e11
"""Times are seconds since 1970; what is later than the year 5000 was never written by a clock."""
_COUNTS = ("walker", "cycle", "stage", "step", "generation")
_OUTCOMES = ("CONVERGED", "STOPPED")
_INCOMPLETE_EVENT = re.compile(r"(\{[^\0\ufffd]*)?")
"""What the last line may hold while it is being written."""


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


def read_event(line: str) -> dict[str, Any] | None:
    """Return the event in a line of the journal, or None if it holds none, or one that says what can't be."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and _is_sound(event) else None


@dataclass(frozen=True)
class JournalFile:
    """The events of one file."""

    events: list[tuple[str, dict[str, Any]]]
    """Each line that holds an event, as text and parsed."""
    problem: str | None
    """Which line holds no event, if one does not."""


def read_journal(path: Path) -> JournalFile:
    """Read a journal; a last line without its newline is still being written and is left out."""
    events, damaged = [], []
    *lines, incomplete = path.read_text(errors="replace").split("\n")
    for number, line in enumerate(lines, start=1):
        event = read_event(line)
        if event is not None:
            events.append((line, event))
        elif line.strip():
            damaged.append(number)
    if not _INCOMPLETE_EVENT.fullmatch(incomplete):
        damaged.append(len(lines) + 1)
    return JournalFile(events, f"line {damaged[0]}: no event" if damaged else None)


def merged_events(journals: Sequence[JournalFile]) -> list[dict[str, Any]]:
    """Return the events of one journal as they stand, or those of several machines by time, each once."""
    if len(journals) == 1:
        return [event for _, event in journals[0].events]
    # the journal of a pulled campaign repeats what the other files hold
    unique = {line: event for journal in journals for line, event in journal.events}
    return sorted(unique.values(), key=lambda event: float(event["time"]))


def outcome_of(events: Sequence[dict[str, Any]], *, is_run_here: bool) -> tuple[Outcome, str | None]:
    """Return the outcome of the campaign according to its events, and why it stopped if it did.

    Parameters
    ----------
    events
        Oldest first.
    is_run_here
        Whether an ``mlip-fw run`` works in the directory now: if not, a session without an end was interrupted.
    """
    for event in reversed(events):
        if event["event"] == Event.FINISHED:
            return event["outcome"], event["reason"]
        if event["event"] == Event.RUN_STARTED:
            return ("RUNNING" if is_run_here else "INTERRUPTED"), None
    return "RUNNING", None


def sessions(events: Sequence[dict[str, Any]]) -> list[tuple[float, float]]:
    """Return first and last event of each period in which the campaign was worked on, s since 1970.

    Each ``mlip-fw run`` begins one, and so does work after the end of the campaign, such as a validation by hand.
    """
    found: list[tuple[float, float]] = []
    is_over = False
    for event in events:
        if event["event"] == Event.RUN_STARTED or not found:
            found.append((event["time"], event["time"]))
        elif is_over:
            start = max(found[-1][1], event["time"] - _seconds_of(event))
            found.append((start, start))
        # a clock that is set back must not make working time negative
        found[-1] = (found[-1][0], max(found[-1][1], event["time"]))
        is_over = event["event"] == Event.FINISHED
    return found


def _seconds_of(event: dict[str, Any]) -> float:
    seconds = event.get("seconds")
    return float(seconds) if isinstance(seconds, int | float) else 0.0


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


def _is_number(value: object, limit: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < limit
