"""Sparklines of numbers, and text for terminals that only support ASCII."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console

_BARS, _PLAIN_BARS = "▁▂▃▄▅▆▇█", "_.-=+*#@"
_PLAIN = str.maketrans({"γ": "gamma", "Å": "A", "·": "-", "→": "->", "…": "...", "–": "-"})
MAX_BARS = 40
"""Of more numbers, only the newest are shown."""


def sparkline(values: Sequence[float], *, plain: bool = False) -> str:
    """Return one bar for each of the newest numbers, scaled from their minimum to their maximum.

    Numbers that span more than two orders of magnitude are drawn on a logarithmic scale. NaN and infinity are blank.
    """
    bars, newest = _PLAIN_BARS if plain else _BARS, list(values)[-MAX_BARS:]
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
    """Return whether a terminal or file only supports ASCII."""
    return console.options.ascii_only


def encodable(text: str, *, plain: bool) -> str:
    """Return ``text`` as the terminal can encode it; with ``plain`` as ASCII."""
    return text.translate(_PLAIN).encode("ascii", "backslashreplace").decode() if plain else text
