"""Parity of a generation of the potential and the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mlip_fw.views.report.figures.style import BLUE, GREY, ORANGE, column, legend_below, styled
from mlip_fw.views.report.interactive.parity import finite_pairs, largest_errors

if TYPE_CHECKING:
    from mlip_fw.views.analysis.parity import Parity


@styled
def parity_figure(parity: Parity) -> Figure:
    """Draw energies and forces of a generation against those of its labels."""
    energies, forces = finite_pairs(parity.energies), finite_pairs(parity.forces)
    if len(energies):
        energies = 1000 * (energies - energies[:, 0].min())
    figure = column(2.6)
    left, right = figure.subplots(1, 2)
    for axes, pairs, unit, name in (
        (left, energies, "meV/atom", "energy of a label, above the lowest"),
        (right, forces, "eV/Å", "force component"),
    ):
        marker = "o" if axes is left else "."
        axes.plot(*pairs.T, marker, ms=4 if axes is left else 5, color=BLUE, mew=0, rasterized=True, label=name)
        ends = [pairs.min(), pairs.max()] if len(pairs) else [0.0, 1.0]
        axes.plot(ends, ends, "--", lw=0.6, color=GREY, label="equal", zorder=0)
        axes.set_xlabel(f"reference ({unit})")
        axes.set_ylabel(f"potential ({unit})")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(4))
        axes.set_box_aspect(1)
    worst = forces[largest_errors(forces)]
    right.plot(*worst.T, "x", ms=4, color=ORANGE, label="largest errors")
    legend_below(figure, ncols=1)
    return figure
