"""Small drawings: where each walker is in the loop, and lines as small as a word."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlip_fw.story.walkers import A_WORKER, Phase, WalkerState

_MOST_DOTS = 5
_WIDTH, _HEIGHT = 100, 24
_BOXES = {
    Phase.EXPLORE: (10, 10, "MD runs"),
    Phase.SELECT: (230, 10, "candidates"),
    Phase.LABEL: (230, 170, "reference calculations"),
    Phase.TRAIN: (10, 170, "a new generation"),
}
"""Left and upper edge of each state of the loop, and what happens in it."""
_ENTRANCE = {Phase.WAITING: Phase.EXPLORE}
"""Where a walker stands that is between two states of the loop."""
_BESIDE = (Phase.CONVERGED, Phase.STOPPED)


@dataclass(frozen=True)
class Dot:
    """A walker in the drawing."""

    number: int
    waits: bool
    """For a worker or for others, instead of being at work."""

    def __str__(self) -> str:
        return f"walker {self.number}{' (waits)' if self.waits else ''}"


@dataclass(frozen=True)
class Box:
    """A state of the loop, and the walkers in it."""

    phase: str
    x: int
    y: int
    what: str
    walkers: list[Dot]
    """Those that are drawn."""
    n_more: int
    is_busy: bool
    """Whether one of them is at work."""


@dataclass(frozen=True)
class Machine:
    """The loop as it is drawn."""

    boxes: list[Box]
    waits: bool
    """Whether a walker in it waits."""
    beside: list[tuple[str, int]]
    """(state, number of walkers) of the states that are not in the loop."""
    label: str
    """The same in words."""


def machine(walkers: Sequence[WalkerState]) -> Machine:
    """Return the drawing of the loop with its walkers."""
    at = {phase: [state for state in walkers if state.phase == phase] for phase in Phase}
    boxes = [_box(phase, [s for s in walkers if _ENTRANCE.get(s.phase, s.phase) == phase]) for phase in _BOXES]
    words = [f"{phase.value}: {_names(found)}" for phase, found in at.items() if found]
    return Machine(
        boxes,
        any(dot.waits for box in boxes for dot in box.walkers),
        [(p.value, len(at[p])) for p in _BESIDE if at[p]],
        "; ".join(words) or "no walker has begun yet",
    )


def spark(values: Sequence[float | None], *, logarithmic: bool = False) -> str:
    """Return the points of a line through finite values, for an SVG of 100 × 24; empty for less than two."""
    finite = [v for v in values if v is not None and math.isfinite(v) and (v > 0 or not logarithmic)]
    heights = [math.log10(v) for v in finite] if logarithmic else finite
    if len(heights) < 2:
        return ""
    low, high = min(heights), max(heights)
    step, span = _WIDTH / (len(heights) - 1), (high - low) or 1.0
    return " ".join(f"{i * step:.1f},{2 + (_HEIGHT - 4) * (high - h) / span:.1f}" for i, h in enumerate(heights))


def _box(phase: Phase, found: Sequence[WalkerState]) -> Box:
    dots = [Dot(state.walker, state.phase is Phase.WAITING or state.waiting_for == A_WORKER) for state in found]
    n_more, is_busy = max(0, len(dots) - _MOST_DOTS), any(not dot.waits for dot in dots)
    return Box(phase.value, *_BOXES[phase], dots[:_MOST_DOTS], n_more, is_busy)


def _names(walkers: Sequence[WalkerState]) -> str:
    if len(walkers) > _MOST_DOTS:
        return f"{len(walkers)} walkers"
    return ("walker " if len(walkers) == 1 else "walkers ") + ", ".join(str(state.walker) for state in walkers)
