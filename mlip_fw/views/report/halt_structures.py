"""The halts whose structure a report shows: a selection, so that the file stays small enough to be sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlip_fw.campaign.records import WalkerCycle
from mlip_fw.views.analysis.halts import Halt
from mlip_fw.views.report.figures import halt_figure
from mlip_fw.views.report.figures.output import as_text
from mlip_fw.views.report.interactive import halt_scene

_LAST = 10
_MAX_ATOMS = 2000
_DPI = 120


@dataclass(frozen=True)
class HaltStructure:
    """A halt with its structure."""

    halt: Halt
    scene: dict[str, Any]
    image: str | None
    """PNG in base64; None if there is no file of the structure."""


def chosen_halts(halts: list[Halt]) -> list[Halt]:
    """Return the first halt, the one with the largest gamma, and the last ten, the oldest first."""
    if not halts:
        return []
    worst = max(range(len(halts)), key=lambda k: halts[k].gamma_max)
    kept = {0, worst, *range(max(0, len(halts) - _LAST), len(halts))}
    return [halts[k] for k in sorted(kept)]


def halt_structures(halts: list[Halt]) -> dict[WalkerCycle, HaltStructure]:
    """Return halts with their structures, by walker and cycle."""
    return {(halt.walker, halt.cycle): _structure(halt) for halt in halts}


def charts_of(structures: dict[WalkerCycle, HaltStructure]) -> dict[str, Any]:
    """Return the charts of the structures, by the names that the page uses for them."""
    found = {}
    for (walker, cycle), structure in structures.items():
        found[f"halt-{walker}-{cycle}"] = structure.scene
        if structure.scene["cutout"] is not None:
            found[f"cutout-{walker}-{cycle}"] = structure.scene["cutout"]
    return found


def _structure(halt: Halt) -> HaltStructure:
    figure = halt_figure(halt)
    image = None if figure is None else as_text(figure, _DPI)
    return HaltStructure(halt, halt_scene(halt, _MAX_ATOMS), image)
