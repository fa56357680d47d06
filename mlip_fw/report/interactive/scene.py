"""A halted structure in three dimensions, and what was cut out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.data import covalent_radii

from mlip_fw.io.structures import MASK, mask_of
from mlip_fw.report.interactive.chart import GREY, ORANGE, Chart, chart, count, layout, plain
from mlip_fw.report.interactive.choices import candidates_table

if TYPE_CHECKING:
    from mlip_fw.story.halts import Halt

MOST_ATOMS = 5000
_MOST_ROWS = 20
_HEIGHT_PX = 480
_GAMMA = "extrapolation grade γ"
_DISTANCE = "distance from the centre (Å)"
_COLUMNS = ("atom", "element", "γ", "x (Å)", "y (Å)", "z (Å)")


def halt_scene(halt: Halt) -> Chart:
    """Return the halted structure, its atoms coloured by gamma.

    Returns
    -------
    Chart
        With two more keys: ``candidates``, a table of what was chosen to be labelled and why, and ``cutout``,
        a chart of the cell that was cut out, or None. Without the structure's file, ``data`` is empty.
    """
    frame = halt.frame()
    where = f"of walker {halt.walker} in cycle {halt.cycle} at step {halt.step:,}"
    if frame is None:
        scene = chart([], layout(0), f"The structure of the halt {where} is not there.", _COLUMNS, [])
    else:
        scene = frame_scene(frame, halt.atom, f"Structure of the halt {where}")
    cells = [atoms for atoms in halt.selected() if MASK in atoms.arrays]
    return {**scene, "candidates": candidates_table(halt), "cutout": cutout_scene(cells[0]) if cells else None}


def frame_scene(frame: Atoms, atom: int | None, title: str) -> Chart:
    """Return a structure with atoms coloured by gamma; of one with many atoms, those around ``atom``."""
    gamma = gamma_of(frame)
    worst = worst_atom(frame, atom)
    shown = nearest(frame, worst)
    traces = [
        _edges(frame.cell.array, np.zeros(3)),
        _atoms(frame, frame.positions, gamma, shown, "atoms", "circle", "γ"),
    ]
    said = f"{title}: {count(len(frame), 'atom')} of {frame.get_chemical_formula(empirical=True)}"
    if worst is not None:
        traces.append(_ring(frame.positions[worst], f"atom {worst}, γ {gamma[worst]:.3g}", "largest γ"))
        said += f", the largest γ, {gamma[worst]:.3g}, at atom {worst} ({frame.symbols[worst]})"
    if len(shown) < len(frame):
        said += f"; shown are the {len(shown):,} nearest to it"
    order = np.argsort(-np.nan_to_num(gamma, nan=-np.inf), kind="stable")[:_MOST_ROWS]
    rows = [(k, frame.symbols[k], gamma[k], *frame.positions[k]) for k in order.tolist()]
    return chart(traces, _space(_GAMMA, gamma), said + ".", _COLUMNS, rows)


def cutout_scene(cell: Atoms) -> Chart:
    """Return a cut-out around its centre, the atoms that are trained on told from the others by their symbol."""
    mask = mask_of(cell)
    around = (cell.get_scaled_positions() - cell.get_scaled_positions()[0] + 0.5) % 1 - 0.5
    positions = around @ cell.cell.array
    far = np.linalg.norm(positions, axis=1)
    traces = [_edges(cell.cell.array, -cell.cell.array.sum(axis=0) / 2)]
    for name, inside, symbol, opacity in (("trained on", mask, "circle", 1.0), ("left out", ~mask, "x", 0.6)):
        if inside.any():
            trace = _atoms(cell, positions, far, np.flatnonzero(inside), name, symbol, "distance (Å)")
            traces.append(trace | {"opacity": opacity})
    traces.append(_ring(positions[0], "centre", "centre"))
    said = f"Cell that was cut out to be labelled: {count(len(cell), 'atom')} of {cell.get_chemical_formula()}, "
    said += f"{int(mask.sum())} of them trained on, the others left out."
    columns = ("atom", "element", "trained on", "distance from the centre (Å)")
    rows = [(k, cell.symbols[k], "yes" if mask[k] else "no", far[k]) for k in range(len(cell))]
    return chart(traces, _space(_DISTANCE, far), said, columns, rows)


def gamma_of(atoms: Atoms) -> np.ndarray:
    """Return gamma (n,) of the atoms; NaN where it isn't known."""
    gamma = atoms.arrays.get("gamma")
    return np.full(len(atoms), np.nan) if gamma is None else np.asarray(gamma, dtype=float)


def worst_atom(frame: Atoms, atom: int | None) -> int | None:
    """Return the atom that halted the MD, or else the one with the largest gamma."""
    gamma = gamma_of(frame)
    if atom is not None and atom < len(frame):
        return atom
    return int(np.nanargmax(gamma)) if np.isfinite(gamma).any() else None


def nearest(frame: Atoms, atom: int | None, most: int = MOST_ATOMS) -> np.ndarray:
    """Return up to ``most`` indices: of more atoms, those nearest to one of them."""
    if len(frame) <= most:
        return np.arange(len(frame))
    distances = frame.get_distances(atom or 0, np.arange(len(frame)), mic=bool(frame.pbc.any()))
    return np.sort(np.argsort(distances, kind="stable")[:most])


def _atoms(
    atoms: Atoms, positions: np.ndarray, values: np.ndarray, shown: np.ndarray, name: str, symbol: str, what: str
) -> dict[str, Any]:
    x, y, z = positions[shown].round(3).T
    known = bool(np.isfinite(values).any())
    radii = covalent_radii[atoms.numbers[shown]]
    spread = float(np.ptp(positions, axis=0).max()) if len(positions) > 1 else 1.0
    colour = {"color": plain(values[shown]), "coloraxis": "coloraxis"} if known else {"color": GREY}
    return {
        "type": "scatter3d",
        "mode": "markers",
        "name": name,
        "x": plain(x),
        "y": plain(y),
        "z": plain(z),
        "text": [atoms.symbols[k] for k in shown.tolist()],
        "customdata": plain(shown),
        "hovertemplate": f"atom %{{customdata}}, %{{text}}<br>{what} %{{marker.color:.4g}}<extra>{name}</extra>",
        "marker": {
            **colour,
            "size": plain(np.clip(0.8 * radii * _HEIGHT_PX / max(spread, 4.0) / 2, 3, 24).round(1)),
            "symbol": symbol,
            "line": {"width": 0.5, "color": GREY},
        },
    }


def _ring(position: np.ndarray, text: str, name: str) -> dict[str, Any]:
    x, y, z = ([round(float(value), 3)] for value in position)
    return {
        "type": "scatter3d",
        "mode": "markers+text",
        "name": name,
        "x": x,
        "y": y,
        "z": z,
        "text": [text],
        "textposition": "top center",
        "hoverinfo": "skip",
        "marker": {"symbol": "circle-open", "size": 26, "color": ORANGE, "line": {"width": 3, "color": ORANGE}},
    }


def _edges(cell: np.ndarray, origin: np.ndarray) -> dict[str, Any]:
    points = []
    for axis in range(3):
        b, c = (cell[k] for k in range(3) if k != axis)
        for corner in (0 * b, b, c, b + c):
            points += [origin + corner, origin + corner + cell[axis], np.full(3, np.nan)]
    x, y, z = np.array(points).round(3).T
    return {
        "type": "scatter3d",
        "mode": "lines",
        "name": "cell",
        "x": plain(x),
        "y": plain(y),
        "z": plain(z),
        "hoverinfo": "skip",
        "line": {"color": GREY, "width": 2},
    }


def _space(colour_bar: str, values: np.ndarray) -> dict[str, Any]:
    finite = values[np.isfinite(values)]
    axis = {"showbackground": False, "showspikes": False, "gridcolor": "rgba(128,128,128,0.25)", "zeroline": False}
    frame = layout(_HEIGHT_PX) | {"margin": {"l": 0, "r": 0, "t": 10, "b": 0}}
    frame["scene"] = {
        "aspectmode": "data",
        "camera": {"projection": {"type": "orthographic"}, "eye": {"x": 1.1, "y": -1.6, "z": 0.7}},
        **{f"{name}axis": {**axis, "title": {"text": f"{name} (Å)"}} for name in "xyz"},
    }
    if len(finite):
        frame["coloraxis"] = {
            "colorscale": "Viridis",
            "cmin": 0.0,
            "cmax": plain(max(float(finite.max()), 1e-6)),
            "colorbar": {"title": {"text": colour_bar, "side": "right"}, "len": 0.8, "thickness": 14},
        }
    return frame
