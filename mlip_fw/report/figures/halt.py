"""A halted structure, seen along an axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase.data import covalent_radii
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure

from mlip_fw.report.figures.style import GREY, ORANGE, SMALL, column, styled
from mlip_fw.report.interactive.scene import gamma_of, nearest, worst_atom

if TYPE_CHECKING:
    from mlip_fw.story.halts import Halt

_DEPTH = 2


@styled
def halt_figure(halt: Halt) -> Figure | None:
    """Draw the halted structure along z, its atoms coloured by gamma; None without the structure's file."""
    frame = halt.frame()
    if frame is None:
        return None
    gamma, worst = gamma_of(frame), worst_atom(frame, halt.atom)
    shown = nearest(frame, worst)
    # the nearest atoms last, and so on top
    shown = shown[np.argsort(frame.positions[shown, _DEPTH], kind="stable")]
    figure = column(3.0)
    axes = figure.subplots()
    places = frame.positions[:, :2]
    sizes = 1.2 * covalent_radii[frame.numbers[shown]]
    circles = EllipseCollection(
        sizes, sizes, 0 * sizes, units="xy", offsets=places[shown], offset_transform=axes.transData
    )
    circles.set(edgecolor=GREY, linewidth=0.3, cmap="viridis")
    axes.add_collection(circles)
    if np.isfinite(gamma).any():
        circles.set_array(np.ma.masked_invalid(gamma[shown]))
        circles.set_clim(0, float(np.nanmax(gamma)))
        figure.colorbar(circles, ax=axes, label="extrapolation grade γ", shrink=0.8)
    else:
        circles.set_facecolor("lightgrey")
    if worst is not None:
        axes.plot(*places[worst], "o", ms=14, mfc="none", mec=ORANGE, mew=1.5)
        axes.annotate(f"atom {worst}", places[worst], (0, 10), textcoords="offset points", ha="center", fontsize=SMALL)
    axes.set_aspect("equal")
    axes.autoscale_view()
    axes.set_xlabel("x (Å)")
    axes.set_ylabel("y (Å)")
    return figure
