"""Force errors against the extrapolation grade and the spread of the committee: is the uncertainty reliable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.train.calibration import UnseenAtoms, unseen_atoms
from mlip_fw.views.report.figures.style import (
    BLUE,
    GREY,
    ORANGE,
    column,
    legend_below,
    log_x,
    log_y,
    say_nothing_yet,
    styled,
)

if TYPE_CHECKING:
    from mlip_fw.views.analysis.campaign_analysis import CampaignAnalysis

_DOT: dict[str, Any] = {"ms": 2.5, "alpha": 0.4, "color": BLUE, "mew": 0, "rasterized": True}


@styled
def calibration_figure(analysis: CampaignAnalysis) -> Figure:
    """Draw true force errors of labels, before they were trained on, against gamma and against the committee."""
    unseen = unseen_atoms(Generations(analysis.directory.root), Dataset(analysis.directory.root))
    figure = column(5.4)
    above, below = figure.subplots(2, sharey=True)
    _against_gamma(above, unseen, analysis.campaign.uncertainty.named_thresholds())
    _against_spread(below, unseen)
    log_y(above, 1000 * unseen.error_ev_a)
    for axes in (above, below):
        axes.set_ylabel("true error of the force (meV/Å)")
        if not len(unseen.gamma):
            say_nothing_yet(axes)
    legend_below(figure, ncols=1)
    return figure


def _against_gamma(axes: Axes, unseen: UnseenAtoms, thresholds: dict[str, float]) -> None:
    axes.plot(unseen.gamma, 1000 * unseen.error_ev_a, "o", label="one atom, before training on it", **_DOT)
    for which, style in ((0.5, "-"), (0.95, "--")):
        line = unseen.quantiles(which)
        axes.plot(line[:, 0], 1000 * line[:, 1], style, color="black", label=f"{100 * which:g} % are below")
    for name, halt in thresholds.items():
        axes.axvline(halt, color=ORANGE, ls="--", lw=0.8, label=f"{name} = {halt:g}")
    log_x(axes, [*unseen.gamma, *thresholds.values()])
    axes.set_xlabel("extrapolation grade γ")


def _against_spread(axes: Axes, unseen: UnseenAtoms) -> None:
    errors = 1000 * unseen.error_ev_a
    axes.plot(1000 * unseen.spread_ev_a, errors, "o", **_DOT)
    if (factor := unseen.overconfidence) > 0:
        ends = np.array([errors.min(), errors.max()])
        axes.plot(ends, ends, color=GREY, label="error = spread")
        axes.plot(ends / factor, ends, ":", color=GREY, label=f"error = {factor:.1f} · spread (average)")
    log_x(axes, 1000 * unseen.spread_ev_a)
    axes.set_xlabel("spread of the committee (meV/Å)")
