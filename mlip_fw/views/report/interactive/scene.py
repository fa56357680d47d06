"""Structures in three dimensions: a whole one with atoms coloured by gamma, and a cell that was cut out of one."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from ase.data import covalent_radii

from mlip_fw.io.structures import mask_of
from mlip_fw.views.report.interactive.chart import GREY, GRID, ORANGE, Chart, chart, count, layout, plain

MAX_ATOMS = 5000
_MAX_ROWS = 20
_HEIGHT_PX, _NARROW_PX = 480, 380
_NARROW_SCALE = 0.66
"""Of axes on a phone."""
_FILL = 1.9
"""Length of the axes against the size of the structure; larger is nearer."""
_RADIUS_SCALE = 0.3
"""Of drawn atoms against covalent radii: small enough to see inside the structure."""
_EYE = np.array([0.55, -0.75, 0.35])
_EYE_DISTANCE = 2.0
_GAMMA = "extrapolation grade γ"
_DISTANCE = "distance from the centre (Å)"
_COLUMNS = ("atom", "element", "γ", "x (Å)", "y (Å)", "z (Å)")


def no_scene(reason: str) -> Chart:
    """Return an empty chart that says why there is no structure."""
    return chart([], layout(_HEIGHT_PX), reason, _COLUMNS, [])


def frame_scene(frame: Atoms, atom: int | None, title: str, max_atoms: int = MAX_ATOMS) -> Chart:
    """Return a structure with atoms coloured by gamma; of more than ``max_atoms`` atoms, those nearest to ``atom``."""
    gamma = gamma_of(frame)
    worst = worst_atom(frame, atom)
    shown = nearest(frame, worst, max_atoms)
    traces = [
        _edges(frame.cell.array, np.zeros(3)),
        _atoms(frame, frame.positions, gamma, shown, "atoms", "circle", "γ"),
    ]
    label = f"{title}: {count(len(frame), 'atom')} of {frame.get_chemical_formula(empirical=True)}"
    named = None
    if worst is not None:
        traces.append(_ring(frame.positions[worst]))
        named = (frame.positions[worst], f"atom {worst}, γ {gamma[worst]:.3g}")
        label += f", the largest γ, {gamma[worst]:.3g}, at atom {worst} ({frame.symbols[worst]})"
    if len(shown) < len(frame):
        label += f"; shown are the {len(shown):,} nearest to it"
    order = np.argsort(-np.nan_to_num(gamma, nan=-np.inf), kind="stable")[:_MAX_ROWS]
    rows = [(k, frame.symbols[k], gamma[k], *frame.positions[k]) for k in order.tolist()]
    return _space_chart(traces, _space(traces, _GAMMA, gamma, named), label + ".", _COLUMNS, rows)


def cutout_scene(cell: Atoms) -> Chart:
    """Return a cut-out around its centre; atoms within the mask are circles, the others crosses."""
    mask = mask_of(cell)
    around = (cell.get_scaled_positions() - cell.get_scaled_positions()[0] + 0.5) % 1 - 0.5
    positions = around @ cell.cell.array
    far = np.linalg.norm(positions, axis=1)
    traces = [_edges(cell.cell.array, -cell.cell.array.sum(axis=0) / 2)]
    for name, inside, symbol, opacity in (("trained on", mask, "circle", 0.8), ("left out", ~mask, "cross", 0.6)):
        if inside.any():
            trace = _atoms(cell, positions, far, np.flatnonzero(inside), name, symbol, "distance (Å)")
            traces += [trace | {"opacity": opacity}, _legend(name, symbol)]
    traces.append(_ring(positions[0]))
    label = f"Cell that was cut out to be labelled: {count(len(cell), 'atom')} ({cell.get_chemical_formula()}), "
    label += "all of them trained on." if mask.all() else f"{int(mask.sum())} of them trained on, the others left out."
    columns = ("atom", "element", "trained on", "distance from the centre (Å)")
    rows = [(k, cell.symbols[k], "yes" if mask[k] else "no", far[k]) for k in range(len(cell))]
    return _space_chart(traces, _space(traces, _DISTANCE, far, (positions[0], "centre")), label, columns, rows)


def gamma_of(atoms: Atoms) -> np.ndarray:
    """Return gamma (n,) of the atoms; NaN where it is not known."""
    gamma = atoms.arrays.get("gamma")
    return np.full(len(atoms), np.nan) if gamma is None else np.asarray(gamma, dtype=float)


def worst_atom(frame: Atoms, atom: int | None) -> int | None:
    """Return ``atom`` if it exists, or else the atom with the largest gamma; None without gamma."""
    gamma = gamma_of(frame)
    if atom is not None and atom < len(frame):
        return atom
    return int(np.nanargmax(gamma)) if np.isfinite(gamma).any() else None


def nearest(frame: Atoms, atom: int | None, max_atoms: int) -> np.ndarray:
    """Return the indices of up to ``max_atoms`` atoms: those nearest to ``atom``, or to the first one."""
    if len(frame) <= max_atoms:
        return np.arange(len(frame))
    distances = frame.get_distances(atom or 0, np.arange(len(frame)), mic=bool(frame.pbc.any()))
    return np.sort(np.argsort(distances, kind="stable")[:max_atoms])


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
        "showlegend": False,
        "x": plain(x),
        "y": plain(y),
        "z": plain(z),
        "text": _common_value([atoms.symbols[k] for k in shown.tolist()]),
        "customdata": plain(shown),
        "hovertemplate": f"atom %{{customdata}}, %{{text}}<br>{what} %{{marker.color:.4g}}<extra>{name}</extra>",
        "opacity": 1.0,
        "marker": {
            **colour,
            "size": _common_value(
                plain(np.clip(_RADIUS_SCALE * radii * _HEIGHT_PX / max(spread, 4.0), 3, 18).round(1))
            ),
            "symbol": symbol,
            "line": {"width": 0.5, "color": GREY},
        },
    }


def _common_value(values: list[Any]) -> Any:
    """Return the one value that all have in common, or else all values."""
    return values[0] if len(set(values)) == 1 else values


def _legend(name: str, symbol: str) -> dict[str, Any]:
    """Return a legend entry; that of a trace coloured by a scale would be black."""
    no_points: list[float | None] = [None]
    marker = {"symbol": symbol, "size": 10, "color": GREY}
    return {"type": "scatter3d", "mode": "markers", "name": name, "marker": marker} | dict.fromkeys("xyz", no_points)


def _ring(position: np.ndarray) -> dict[str, Any]:
    x, y, z = ([round(float(value), 3)] for value in position)
    return {
        "type": "scatter3d",
        "mode": "markers",
        "showlegend": False,
        "x": x,
        "y": y,
        "z": z,
        "hoverinfo": "skip",
        "marker": {"symbol": "circle-open", "size": 28, "color": ORANGE, "line": {"width": 3, "color": ORANGE}},
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
        "showlegend": False,
        "x": plain(x),
        "y": plain(y),
        "z": plain(z),
        "hoverinfo": "skip",
        "line": {"color": GREY, "width": 2},
    }


def _space(
    traces: list[dict[str, Any]], colour_bar: str, values: np.ndarray, named: tuple[np.ndarray, str] | None
) -> dict[str, Any]:
    finite = values[np.isfinite(values)]
    axis = {"showbackground": False, "showspikes": False, "gridcolor": GRID, "zeroline": False, "nticks": 6}
    frame = layout(_HEIGHT_PX) | {"margin": {"l": 0, "r": 0, "t": 10, "b": 0}}
    frame["scene"] = {
        # an orthographic camera has no distance: the lengths of the axes set the size
        "aspectmode": "manual",
        "aspectratio": _ratio(traces),
        "camera": {"projection": {"type": "orthographic"}, "eye": _eye(traces, named)},
        **{f"{name}axis": {**axis, "title": {"text": f"{name} (Å)"}} for name in "xyz"},
        "annotations": [] if named is None else [_note(*named)],
    }
    if len(finite):
        frame["coloraxis"] = {
            "colorscale": "Viridis",
            "cmin": 0.0,
            "cmax": plain(max(float(finite.max()), 1e-6)),
            "colorbar": {"title": {"text": colour_bar, "side": "right"}, "len": 0.8, "thickness": 14},
        }
    return frame


def _space_chart(
    traces: list[dict[str, Any]], frame: dict[str, Any], label: str, columns: tuple[str, ...], rows: list[Any]
) -> Chart:
    """Return a chart in three dimensions, with shorter axes on a phone so that it fits the width."""
    smaller = {axis: round(_NARROW_SCALE * length, 4) for axis, length in frame["scene"]["aspectratio"].items()}
    narrow = {"height": _NARROW_PX, "scene": {"aspectratio": smaller}}
    return chart(traces, frame, label, columns, rows) | {"narrow": narrow}


def _ratio(traces: list[dict[str, Any]]) -> dict[str, float]:
    """Return the lengths of the axes with which the structure fills the chart from any direction."""
    points = _points(traces)
    spans = np.ptp(points, axis=0)
    reach = 2 * float(np.linalg.norm(points - _middle(points), axis=1).max()) or 1.0
    return dict(zip("xyz", np.maximum(_FILL * spans / reach, 0.05).round(4).tolist(), strict=True))


def _eye(traces: list[dict[str, Any]], named: tuple[np.ndarray, str] | None) -> dict[str, float]:
    """Return the position of the camera: on the side of the annotated atom."""
    eye = _EYE
    if named is not None:
        outwards = named[0] - _middle(_points(traces))
        eye = _EYE + outwards / max(float(np.linalg.norm(outwards)), 1e-6)
    eye = _EYE_DISTANCE * eye / max(float(np.linalg.norm(eye)), 1e-6)
    return dict(zip("xyz", eye.round(3).tolist(), strict=True))


def _points(traces: list[dict[str, Any]]) -> np.ndarray:
    """Return the positions (n, 3) of everything that is drawn."""
    return np.array([[v for trace in traces for v in trace[name] if v is not None] for name in "xyz"]).T


def _middle(points: np.ndarray) -> np.ndarray:
    return np.asarray((points.min(axis=0) + points.max(axis=0)) / 2)


def _note(position: np.ndarray, text: str) -> dict[str, Any]:
    """Return an annotation, which is drawn in front of everything."""
    place = dict(zip("xyz", (round(float(value), 3) for value in position), strict=True))
    return {
        **place,
        "text": text,
        "ax": 45,
        "ay": -45,
        "arrowcolor": ORANGE,
        "arrowwidth": 2,
        "arrowhead": 0,
        "bgcolor": "#ffffff",
        "bordercolor": ORANGE,
        "font": {"color": "#000000"},
    }
