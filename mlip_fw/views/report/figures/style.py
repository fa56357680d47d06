"""The style of figures: one column of a journal wide, text as text, little ink."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from mlip_fw.views.report.log_ticks import log_ticks

Drawing = TypeVar("Drawing", bound=Callable[..., Figure | None])

BLUE, ORANGE, SKY, GREEN, PINK, GREY = "#0072b2", "#d55e00", "#56b4e9", "#009e73", "#cc79a7", "#777777"
WIDTH_IN = 3.4
SMALL = 7
_MIN_COUNTS, _MANY, _LARGE = 3, 40, 100_000
_TICKS, _FEW_TICKS = 6, 3
STYLE: dict[str, Any] = {
    "font.size": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "legend.columnspacing": 1.2,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.0,
    "lines.markersize": 4,
    "svg.fonttype": "none",
    "svg.hashsalt": "mlip_fw",
    "pdf.fonttype": 42,
}


def styled(draw: Drawing) -> Drawing:
    """Decorate a function so that it draws in the common style."""
    return matplotlib.rc_context(STYLE)(draw)


def column(height_in: float) -> Figure:
    """Return an empty figure of the width of one column."""
    return Figure(figsize=(WIDTH_IN, height_in), layout="constrained")


def legend_below(figure: Figure, ncols: int = 2) -> None:
    """Add one legend below all panels, in which each label appears once."""
    named: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    if named:
        figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=ncols)


def log_y(axes: Axes, values: Sequence[float | None] | np.ndarray, max_ticks: int = 6) -> None:
    """Scale y logarithmically over the positive ``values``, with ticks such as 0.5, 1, 2 rather than powers of ten."""
    low, high = _range(values)
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    _plain_ticks(axes.yaxis, log_ticks(low, high, max_ticks))


def log_x(axes: Axes, values: Sequence[float | None] | np.ndarray, max_ticks: int = 6) -> None:
    """Scale x logarithmically, as ``log_y`` does with y."""
    low, high = _range(values)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    _plain_ticks(axes.xaxis, log_ticks(low, high, max_ticks))


def _range(values: Sequence[float | None] | np.ndarray) -> tuple[float, float]:
    known = [float(v) for v in values if v is not None and np.isfinite(v) and v > 0]
    return (min(known) / 1.3, max(known) * 1.3) if known else (0.1, 10.0)


def _plain_ticks(axis: Axis, ticks: list[float]) -> None:
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.10g}"))


def count_x(axes: Axes, name: str) -> None:
    """Label an x axis of integers and set its ticks; call it after drawing, as it depends on the limits."""
    low, high = axes.get_xlim()
    if high - low < _MIN_COUNTS:
        middle = (low + high) / 2
        axes.set_xlim(middle - _MIN_COUNTS / 2, middle + _MIN_COUNTS / 2)
    ticks = _FEW_TICKS if high >= _LARGE else _TICKS
    axes.xaxis.set_major_locator(MaxNLocator(ticks, integer=True, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}" if x >= 0 else ""))
    axes.set_xlabel(name)


def size_for(n: int) -> float:
    """Return the marker size for ``n`` points: smaller where they are many."""
    return STYLE["lines.markersize"] if n <= _MANY else 1.5


def say_nothing_yet(axes: Axes) -> None:
    """Write "nothing yet" into a panel without data."""
    axes.text(0.5, 0.5, "nothing yet", transform=axes.transAxes, ha="center", va="center", color=GREY)
