"""The journal ``events.jsonl``: reading its lines, and what they say about outcome and working time of a campaign."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlip_fw.io.events import read_event
from mlip_fw.models.summary import Outcome

_FINISHED = "finished"
"""The event that ends a campaign."""
_RUN_STARTED = "run_started"
"""The event that begins each ``mlip-fw run``."""
_INCOMPLETE_EVENT = re.compile(r"(\{[^\0\ufffd]*)?")
"""What the last line may hold while it is being written."""


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
        if event["event"] == _FINISHED:
            return event["outcome"], event["reason"]
        if event["event"] == _RUN_STARTED:
            return ("RUNNING" if is_run_here else "INTERRUPTED"), None
    return "RUNNING", None


def sessions(events: Sequence[dict[str, Any]]) -> list[tuple[float, float]]:
    """Return first and last event of each period in which the campaign was worked on, s since 1970.

    Each ``mlip-fw run`` begins one, and so does work after the end of the campaign, such as a validation by hand.
    """
    found: list[tuple[float, float]] = []
    is_over = False
    for event in events:
        if event["event"] == _RUN_STARTED or not found:
            found.append((event["time"], event["time"]))
        elif is_over:
            start = max(found[-1][1], event["time"] - _seconds_of(event))
            found.append((start, start))
        # a clock that is set back must not make working time negative
        found[-1] = (found[-1][0], max(found[-1][1], event["time"]))
        is_over = event["event"] == _FINISHED
    return found


def _seconds_of(event: dict[str, Any]) -> float:
    seconds = event.get("seconds")
    return float(seconds) if isinstance(seconds, int | float) else 0.0
