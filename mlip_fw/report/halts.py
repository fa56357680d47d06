"""The halts of which a report shows the structure: not all, or the file would become too large to be sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlip_fw.report.figures import halt_figure
from mlip_fw.report.figures.save import as_text
from mlip_fw.report.interactive import halt_scene
from mlip_fw.story.halts import Halt

_LAST = 10
_MOST_ATOMS = 2000
_DPI = 120
Key = tuple[int, int]
"""Walker and cycle."""


@dataclass(frozen=True)
class ToldHalt:
    """A halt with its structure."""

    halt: Halt
    scene: dict[str, Any]
    image: str | None
    """PNG in base64; None without the structure's file."""


def chosen_halts(halts: list[Halt]) -> list[Halt]:
    """Return the first halt, the one with the largest gamma, and the last ones, in the order of time."""
    if not halts:
        return []
    worst = max(range(len(halts)), key=lambda k: halts[k].gamma_max)
    kept = {0, worst, *range(max(0, len(halts) - _LAST), len(halts))}
    return [halts[k] for k in sorted(kept)]


def tell_halts(halts: list[Halt]) -> dict[Key, ToldHalt]:
    """Return halts with their structures, by walker and cycle."""
    return {(halt.walker, halt.cycle): _told(halt) for halt in halts}


def charts_of(told: dict[Key, ToldHalt]) -> dict[str, Any]:
    """Return the scenes by the names that the page gives them."""
    found = {}
    for (walker, cycle), halt in told.items():
        found[f"halt-{walker}-{cycle}"] = halt.scene
        if halt.scene["cutout"] is not None:
            found[f"cutout-{walker}-{cycle}"] = halt.scene["cutout"]
    return found


def _told(halt: Halt) -> ToldHalt:
    figure = halt_figure(halt)
    image = None if figure is None else as_text(figure, _DPI)
    return ToldHalt(halt, halt_scene(halt, _MOST_ATOMS), image)
