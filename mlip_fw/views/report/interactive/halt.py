"""A halt: its structure in three dimensions, the cut-out, and a table of what was selected for labelling and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mlip_fw.io.structures import MASK
from mlip_fw.views.report.interactive.chart import Chart, plain
from mlip_fw.views.report.interactive.scene import MAX_ATOMS, cutout_scene, frame_scene, no_scene

if TYPE_CHECKING:
    from mlip_fw.models.selection import Selection
    from mlip_fw.views.analysis.halts import Halt

_COLUMNS = ("label", "strategy", "largest γ in its cell", "growth of ln(volume)", "why", "state")


def halt_scene(halt: Halt, max_atoms: int = MAX_ATOMS) -> Chart:
    """Return the halted structure, its atoms coloured by gamma.

    Parameters
    ----------
    halt
        The halt.
    max_atoms
        Of a larger structure, only the atoms nearest to the one with the largest gamma are shown.

    Returns
    -------
    Chart
        With two more keys: ``candidates``, a table of what was selected for labelling and why, and ``cutout``,
        a chart of the cell that was cut out, or None. Without the structure's file, ``data`` is empty.
    """
    frame = halt.frame()
    where = f"of walker {halt.walker} in cycle {halt.cycle} at step {halt.step:,}"
    if frame is None:
        scene = no_scene(f"The structure of the halt {where} is not there.")
    else:
        scene = frame_scene(frame, halt.atom, f"Structure of the halt {where}", max_atoms)
    cells = [atoms for atoms in halt.selected() if MASK in atoms.arrays]
    return {**scene, "candidates": candidates_table(halt), "cutout": cutout_scene(cells[0]) if cells else None}


def candidates_table(halt: Halt) -> dict[str, Any]:
    """Return the selected candidates with reason and state, and how many others were not selected."""
    selection, states = halt.selection, dict(halt.labels)
    rows: list[list[Any]] = []
    if selection is not None:
        for c in selection.chosen:
            rows.append([c.hash, c.strategy, c.gamma_max, c.log_volume_gain, c.reason, states.get(c.hash)])
        rows += [[None, None, None, None, f"{n} not chosen: {why}", None] for why, n in _not_selected(selection)]
    return {"columns": list(_COLUMNS), "rows": plain(rows)}


def _not_selected(selection: Selection) -> Iterator[tuple[str, int]]:
    yield from selection.rejected.items()
    left = selection.n_candidates - selection.rejected.get("labelled before", 0) - len(selection.chosen)
    if left > 0:
        yield "would add little", left
