"""One line of the journal: what happened and when."""

from __future__ import annotations

import json
from typing import Any

_LATEST = 1e11
"""Times are seconds since 1970; what is later than the year 5000 was never written by a clock."""
_COUNTS = ("walker", "cycle", "stage", "step", "generation")
_OUTCOMES = ("CONVERGED", "STOPPED")


def read_event(line: str) -> dict[str, Any] | None:
    """Return the event in a line of the journal, or None if it holds none, or one that says what can't be."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and _is_sound(event) else None


def _is_sound(event: dict[str, Any]) -> bool:
    return (
        isinstance(event.get("event"), str)
        and _is_number(event.get("time"), _LATEST)
        and all(_is_count(event[name]) for name in _COUNTS if name in event)
        and isinstance(event.get("label", ""), str)
        and _is_number(event.get("seconds", 0.0), _LATEST)
        and (event["event"] != "finished" or _ends(event))
    )


def _ends(event: dict[str, Any]) -> bool:
    return event.get("outcome") in _OUTCOMES and isinstance(event.get("reason", 0), str | None)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_number(value: object, limit: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < limit
