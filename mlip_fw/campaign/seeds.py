"""Seeds of random choices, all derived from the campaign's seed."""

from __future__ import annotations

import hashlib


def derived_seed(seed: int, *purpose: object) -> int:
    """Return a seed for ``purpose``, the same on every machine, in 1 … 2³⁰.

    Examples
    --------
    >>> derived_seed(7, "velocities", 0) == derived_seed(7, "velocities", 0)
    True
    >>> derived_seed(7, "velocities", 0) == derived_seed(7, "velocities", 1)
    False
    """
    text = ":".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % 2**30 + 1
