"""Numbers as a line of small bars, and text for terminals that know only ASCII."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console

_BARS, _PLAIN_BARS = "▁▂▃▄▅▆▇█", "_.-=+*#@"
_PLAIN = str.maketrans({"γ": "gamma", "Å": "A", "·": "-", "→": "->", "…": "...", "–": "-"})
MOST = 40
"""The newest so many numbers are shown."""


def sparkline(values: Sequence[float], *, plain: bool = False) -> str:
    """Return one bar for each of the newest numbers, the lowest for the least of them and the highest for the most.

    Numbers of more than two orders of magnitude are drawn on a logarithmic scale. What is no number is a blank.
    """
    bars, newest = _PLAIN_BARS if plain else _BARS, list(values)[-MOST:]
    known = [value for value in newest if math.isfinite(value)]
    if not known:
        return " " * len(newest)
    low, high = min(known), max(known)
    scale = math.log if low > 0 and high > 100 * low else float
    span = scale(high) - scale(low)

    def bar(value: float) -> str:
        if not math.isfinite(value):
            return " "
        share = (scale(value) - scale(low)) / span if span else 0.5
        return bars[round(share * (len(bars) - 1))]

    return "".join(bar(value) for value in newest)


def is_plain(console: Console) -> bool:
    """Return whether a terminal or file takes ASCII only."""
    return console.options.ascii_only


def written(text: str, *, plain: bool) -> str:
    """Return ``text`` as a terminal can write it."""
    return text.translate(_PLAIN).encode("ascii", "backslashreplace").decode() if plain else text
