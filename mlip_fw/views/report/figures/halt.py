"""A halted structure, seen along z."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from mlip_fw.views.report.figures.style import GREY, ORANGE, SMALL, column, styled
from mlip_fw.views.report.interactive.scene import gamma_of, nearest, worst_atom

if TYPE_CHECKING:
    from mlip_fw.views.analysis.halts import Halt

_MAX_ATOMS = 5000


@styled
def halt_figure(halt: Halt) -> Figure | None:
    """Draw the halted structure along z, its atoms coloured by gamma; None without the structure's file."""
    frame = halt.frame()
    if frame is None:
        return None
    gamma, worst = gamma_of(frame), worst_atom(frame, halt.atom)
    shown = nearest(frame, worst, _MAX_ATOMS)
    # the frontmost atoms are drawn last, and the worst atom after them
    shown = shown[np.lexsort([frame.positions[shown, 2], shown == worst])]
    figure = column(3.0)
    axes = figure.subplots()
    _draw_cell(axes, frame.cell.array)
    circles = _circles(axes, frame, shown)
    if np.isfinite(gamma).any():
        circles.set_array(np.ma.masked_invalid(gamma[shown]))
        circles.set_clim(0, float(np.nanmax(gamma)))
        figure.colorbar(circles, ax=axes, label="extrapolation grade γ", shrink=0.8)
    else:
        circles.set_facecolor("lightgrey")
    if worst is not None:
        position = frame.positions[worst, :2]
        axes.plot(*position, "o", ms=16, mfc="none", mec=ORANGE, mew=1.5)
        text = axes.annotate(
            f"atom {worst}", position, (0, 11), textcoords="offset points", ha="center", fontsize=SMALL
        )
        text.set_path_effects([withStroke(linewidth=2, foreground="white")])
    axes.set_aspect("equal")
    axes.autoscale_view()
    axes.set_xlabel("x (Å)")
    axes.set_ylabel("y (Å)")
    return figure


def _circles(axes: Axes, frame: Atoms, shown: np.ndarray) -> EllipseCollection:
    sizes = 1.2 * covalent_radii[frame.numbers[shown]]
    positions = frame.positions[shown, :2]
    circles = EllipseCollection(sizes, sizes, 0 * sizes, units="xy", offsets=positions, offset_transform=axes.transData)
    circles.set(edgecolor=GREY, linewidth=0.3, cmap="viridis")
    axes.add_collection(circles)
    # the limits of the axes do not take the radii of the circles into account
    for side in (-1, 1):
        axes.update_datalim(positions + side * sizes[:, None] / 2)
    return circles


def _draw_cell(axes: Axes, cell: np.ndarray) -> None:
    for axis in range(3):
        b, c = (cell[k] for k in range(3) if k != axis)
        for corner in (0 * b, b, c, b + c):
            axes.plot(*np.array([corner, corner + cell[axis]])[:, :2].T, color=GREY, lw=0.6, zorder=0)
