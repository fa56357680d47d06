"""Record of the structures chosen for labelling after a halt, with the reason for each."""

from __future__ import annotations

from typing import Any

from mlip_fw.models.base import Count, Frozen, NotNegative, PositiveCount, Real


class Choice(Frozen):
    """One selected structure."""

    hash: str
    strategy: str
    """Name of the candidate strategy that made it; ``bootstrap`` for the first structures."""
    gamma_max: NotNegative | None = None
    log_volume_gain: Real | None = None
    """Growth of the logarithm of the volume spanned by the active set."""
    reason: str


class Selection(Frozen):
    """The outcome of a Candidates Firework, as written to ``selection.json``."""

    walker: Count
    cycle: Count
    generation: Count | None
    center: Count | None
    n_candidates: Count
    rejected: dict[str, Count]
    """How many candidates were refused, by reason."""
    cutout: dict[str, Any] | None = None
    """Of a frame too large to be labelled: the small cell that was cut out of it, and how it fits."""
    chosen: list[Choice]
    seconds: NotNegative = 0.0
    cores: PositiveCount | None = None
    """Cores that it had; None if that was not recorded."""
