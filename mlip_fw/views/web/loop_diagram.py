"""The diagram of the loop with its walkers, and sparklines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlip_fw.views.analysis.walkers import A_WORKER, Phase, WalkerState

_MAX_DOTS = 5
_WIDTH, _HEIGHT = 100, 24
_POSITIONS = {
    Phase.EXPLORE: (10, 10, "MD runs"),
    Phase.SELECT: (230, 10, "candidates"),
    Phase.LABEL: (230, 170, "reference calculations"),
    Phase.TRAIN: (10, 170, "a new generation"),
}
"""Left and upper edge of the box of each state of the loop, and what happens in it."""
_SHOWN_IN = {Phase.WAITING: Phase.EXPLORE}
"""The state in which a walker is drawn that is between two states of the loop."""
_OUTSIDE = (Phase.CONVERGED, Phase.STOPPED)


@dataclass(frozen=True)
class WalkerDot:
    """A walker in the diagram."""

    number: int
    waits: bool
    """Whether it waits for a worker or for other walkers, instead of being at work."""

    def __str__(self) -> str:
        return f"walker {self.number}{' (waits)' if self.waits else ''}"


@dataclass(frozen=True)
class LoopState:
    """A state of the loop, and the walkers in it."""

    phase: str
    x: int
    y: int
    what: str
    walkers: list[WalkerDot]
    """Those that are drawn; there is space for a few."""
    n_more: int
    is_busy: bool
    """Whether one of its walkers is at work."""


@dataclass(frozen=True)
class LoopDiagram:
    """The states of the loop and the walkers in them."""

    states: list[LoopState]
    waits: bool
    """Whether any walker in it waits."""
    beside: list[tuple[str, int]]
    """(state, number of walkers) of the states that are not in the loop."""
    label: str
    """The same as text, for screen readers."""


def loop_diagram(walkers: Sequence[WalkerState]) -> LoopDiagram:
    """Return the diagram of the loop with its walkers."""
    at = {phase: [state for state in walkers if state.phase == phase] for phase in Phase}
    states = [
        _loop_state(phase, [s for s in walkers if _SHOWN_IN.get(s.phase, s.phase) == phase]) for phase in _POSITIONS
    ]
    words = [f"{phase.value}: {_names(found)}" for phase, found in at.items() if found]
    return LoopDiagram(
        states,
        any(dot.waits for state in states for dot in state.walkers),
        [(p.value, len(at[p])) for p in _OUTSIDE if at[p]],
        "; ".join(words) or "no walker has begun yet",
    )


def sparkline_points(values: Sequence[float | None], *, logarithmic: bool = False) -> str:
    """Return the points of an SVG polyline through the finite values, 100 × 24 in size; empty for fewer than two."""
    finite = [v for v in values if v is not None and math.isfinite(v) and (v > 0 or not logarithmic)]
    heights = [math.log10(v) for v in finite] if logarithmic else finite
    if len(heights) < 2:
        return ""
    low, high = min(heights), max(heights)
    step, span = _WIDTH / (len(heights) - 1), (high - low) or 1.0
    return " ".join(f"{i * step:.1f},{2 + (_HEIGHT - 4) * (high - h) / span:.1f}" for i, h in enumerate(heights))


def _loop_state(phase: Phase, found: Sequence[WalkerState]) -> LoopState:
    dots = [WalkerDot(state.walker, state.phase is Phase.WAITING or state.waiting_for == A_WORKER) for state in found]
    n_more, is_busy = max(0, len(dots) - _MAX_DOTS), any(not dot.waits for dot in dots)
    return LoopState(phase.value, *_POSITIONS[phase], dots[:_MAX_DOTS], n_more, is_busy)


def _names(walkers: Sequence[WalkerState]) -> str:
    if len(walkers) > _MAX_DOTS:
        return f"{len(walkers)} walkers"
    return ("walker " if len(walkers) == 1 else "walkers ") + ", ".join(str(state.walker) for state in walkers)
