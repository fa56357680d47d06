"""Ticks of logarithmic axes."""

from __future__ import annotations

import numpy as np


def log_ticks(low: float, high: float, max_ticks: int = 8) -> list[float]:
    """Return up to ``max_ticks`` ticks such as 0.5, 1, 2 between two positive numbers."""
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    found: list[float] = []
    for leading in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        found = [float(f"{k}e{n}") for n in decades for k in leading if low <= float(f"{k}e{n}") <= high]
        if len(found) <= max_ticks:
            return found
    return found[:: -(-len(found) // max_ticks)]
