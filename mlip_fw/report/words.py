"""Numbers, times and names as pages say them."""

from __future__ import annotations

import datetime
import math
import unicodedata

from mlip_fw.story.words import duration

_MOST_NAME = 120
_INVISIBLE = ("Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp")


def shown(text: object, most: int = _MOST_NAME) -> str:
    r"""Return anybody's text as one that can be read: no control characters, no marks of direction, not too long.

    Examples
    --------
    >>> shown("a\u202eb")
    'a\\u202eb'
    """
    given = str(text)
    short = given if len(given) <= most else f"{given[: most - 1]}…"
    return "".join(ascii(c)[1:-1] if unicodedata.category(c) in _INVISIBLE else c for c in short)


def number(value: float | None, digits: int = 2, *, times: float = 1.0) -> str:
    """Return a number with so many digits behind the point, or a dash."""
    return "–" if value is None or not math.isfinite(value) else f"{times * value:,.{digits}f}"


def count(value: int | None) -> str:
    """Return a count with separators."""
    return "–" if value is None else f"{value:,}"


def moment(time_s: float | None) -> str:
    """Return a time of day, UTC, for people."""
    found = _utc(time_s)
    return "–" if found is None else f"{found:%Y-%m-%d %H:%M:%S}"


def iso(time_s: float | None) -> str:
    """Return a time, UTC, for machines."""
    found = _utc(time_s)
    return "" if found is None else f"{found:%Y-%m-%dT%H:%M:%SZ}"


def share(value: float) -> str:
    """Return a part of a whole in per cent."""
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
