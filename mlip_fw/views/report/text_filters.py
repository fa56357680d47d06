"""Numbers, times and names as text: the filters of the templates."""

from __future__ import annotations

import datetime
import math
import unicodedata

from mlip_fw.views.analysis.text import duration

_MAX_NAME = 120
_INVISIBLE = ("Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp")


def shown(text: object, max_length: int = _MAX_NAME) -> str:
    r"""Return a user's text without control characters and marks of direction, cut to ``max_length`` characters.

    Examples
    --------
    >>> shown("a\u202eb")
    'a\\u202eb'
    """
    given = str(text)
    short = given if len(given) <= max_length else f"{given[: max_length - 1]}…"
    return "".join(ascii(c)[1:-1] if unicodedata.category(c) in _INVISIBLE else c for c in short)


def number(value: float | None, digits: int = 2, *, times: float = 1.0) -> str:
    """Return ``times`` a number with ``digits`` decimals, or a dash if there is none."""
    return "–" if value is None or not math.isfinite(value) else f"{times * value:,.{digits}f}"


def count(value: int | None) -> str:
    """Return a count with thousands separators, or a dash if there is none."""
    return "–" if value is None else f"{value:,}"


def moment(time_s: float | None) -> str:
    """Return date and time in UTC for people."""
    found = _utc(time_s)
    return "–" if found is None else f"{found:%Y-%m-%d %H:%M:%S}"


def iso(time_s: float | None) -> str:
    """Return date and time in UTC in ISO 8601."""
    found = _utc(time_s)
    return "" if found is None else f"{found:%Y-%m-%dT%H:%M:%SZ}"


def share(value: float) -> str:
    """Return a fraction as a percentage."""
    return f"{100 * value:.0f} %"


def _utc(time_s: float | None) -> datetime.datetime | None:
    try:
        return None if time_s is None else datetime.datetime.fromtimestamp(time_s, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return None


FILTERS = {
    "shown": shown,
    "duration": duration,
    "number": number,
    "count": count,
    "moment": moment,
    "iso": iso,
    "share": share,
}
