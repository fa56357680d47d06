"""Parity of a generation of the potential and the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlip_fw.views.report.interactive.chart import (
    BLUE,
    GREY,
    ORANGE,
    Chart,
    axis,
    chart,
    count,
    layout,
    plain,
)

if TYPE_CHECKING:
    from mlip_fw.views.analysis.parity import Parity

_MAX_POINTS = 3000
_MAX_MARKED = 10
_COLUMNS = ("label", "atom", "element", "force error (meV/Å)")


def parity_chart(parity: Parity) -> Chart:
    """Return energies and forces of the potential against the reference; the table lists the worst atoms."""
    energies, forces = finite_pairs(parity.energies), finite_pairs(parity.forces)
    lowest = energies[:, 0].min() if len(energies) else 0.0
    shown = thinned_pairs(forces)
    worst = forces[largest_errors(forces)]
    data = [
        _points("energy of a label, above the lowest", 1000 * (energies - lowest), "x", "circle", BLUE),
        _points("force component", shown, "x2", "circle-open", BLUE),
        _points("largest errors of forces", worst, "x2", "x", ORANGE, 9),
    ]
    data = [trace for trace in data if trace["x"]]
    data += [_diagonal(1000 * (energies - lowest), "x"), _diagonal(forces, "x2")]
    frame = layout(
        420,
        xaxis=axis("reference (meV/atom)", domain=[0.0, 0.44], nticks=6),
        yaxis=axis("potential (meV/atom)"),
        xaxis2=axis("reference (eV/Å)", domain=[0.56, 1.0], anchor="y2", nticks=6),
        yaxis2=axis("potential (eV/Å)", anchor="x2"),
    )
    narrow = {
        "height": 760,
        "xaxis": {"domain": [0.0, 1.0]},
        "yaxis": {"domain": [0.58, 1.0]},
        "xaxis2": {"domain": [0.0, 1.0]},
        "yaxis2": {"domain": [0.0, 0.42]},
    }
    rows = [(w.label, w.atom, w.symbol, 1000 * w.error_ev_a) for w in parity.worst]
    return chart(data, frame, _description(energies, forces, shown, parity), _COLUMNS, rows) | {"narrow": narrow}


def thinned_pairs(pairs: np.ndarray, max_pairs: int = _MAX_POINTS) -> np.ndarray:
    """Return up to ``max_pairs`` of the pairs (n, 2): half of them have the largest errors, the rest is every nth."""
    if len(pairs) <= max_pairs:
        return pairs
    order = np.argsort(-np.abs(pairs[:, 1] - pairs[:, 0]), kind="stable")
    kept, others = order[: max_pairs // 2], np.sort(order[max_pairs // 2 :])
    return np.asarray(
        pairs[np.sort(np.concatenate([kept, others[:: -(-len(others) // (max_pairs - max_pairs // 2))]]))]
    )


def largest_errors(pairs: np.ndarray, n_pairs: int = _MAX_MARKED) -> np.ndarray:
    """Return the indices of the pairs (n, 2) that differ most."""
    return np.argsort(-np.abs(pairs[:, 1] - pairs[:, 0]), kind="stable")[:n_pairs]


def finite_pairs(pairs: np.ndarray) -> np.ndarray:
    """Return the pairs (n, 2) of which both numbers are finite."""
    pairs = np.asarray(pairs, dtype=float).reshape(-1, 2)
    return np.asarray(pairs[np.isfinite(pairs).all(axis=1)])


def _points(name: str, pairs: np.ndarray, x: str, symbol: str, colour: str, size: int = 6) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": plain(pairs[:, 0]),
        "y": plain(pairs[:, 1]),
        "xaxis": x,
        "yaxis": x.replace("x", "y"),
        "hovertemplate": "reference %{x:.4g}<br>potential %{y:.4g}<extra>%{fullData.name}</extra>",
        "marker": {"symbol": symbol, "size": size, "color": colour},
    }


def _diagonal(pairs: np.ndarray, x: str) -> dict[str, Any]:
    ends = [float(pairs.min()), float(pairs.max())] if len(pairs) else [0.0, 1.0]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "equal",
        "x": plain(ends),
        "y": plain(ends),
        "xaxis": x,
        "yaxis": x.replace("x", "y"),
        "hoverinfo": "skip",
        "legendgroup": "equal",
        "showlegend": x == "x",
        "line": {"color": GREY, "width": 1, "dash": "dash"},
    }


def _description(energies: np.ndarray, forces: np.ndarray, shown: np.ndarray, parity: Parity) -> str:
    text = "The potential against the reference on its training set: "
    if not len(forces):
        return text + "no labels yet."
    text += f"energies of {count(len(energies), 'label')} and {count(len(forces), 'force component')}"
    text += f", of which {len(shown):,} are shown, with the largest errors" if len(shown) < len(forces) else ""
    if not parity.worst:
        return text + "."
    worst = parity.worst[0]
    return f"{text}; the largest error of a force, {1000 * worst.error_ev_a:.3g} meV/Å, is at a {worst.symbol} atom."
