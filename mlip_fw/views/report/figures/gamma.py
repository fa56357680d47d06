"""Gamma against the MD step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlip_fw.views.analysis.trajectories import thinned
from mlip_fw.views.report.figures.style import (
    BLUE,
    GREY,
    ORANGE,
    SKY,
    SMALL,
    column,
    count_x,
    legend_below,
    log_y,
    say_nothing_yet,
    styled,
)

if TYPE_CHECKING:
    from mlip_fw.views.analysis.campaign_analysis import CampaignAnalysis
    from mlip_fw.views.analysis.trajectories import Trajectory

_MAX_PANELS = 6
_FEW = 30
_DASHES = ("--", "-.", (0, (6, 1)), (0, (1, 1)))


@styled
def gamma_figure(analysis: CampaignAnalysis) -> Figure:
    """Draw the largest extrapolation grade against the MD step, with halts and thresholds, one panel per walker.

    Of more than six walkers, all are in one panel.
    """
    trajectories = analysis.trajectories
    in_one_panel = len(trajectories) > _MAX_PANELS
    n_panels = 1 if in_one_panel else max(1, len(trajectories))
    figure = column(1.1 + (1.6 if n_panels == 1 else 0.85 * n_panels))
    panels = figure.subplots(n_panels, sharex=True, squeeze=False)[:, 0]
    limits = analysis.campaign.uncertainty
    halts = limits.named_thresholds()
    values = np.concatenate(
        [[*halts.values(), limits.gamma_select]]
        + [part for t in trajectories for part in (*(s.gamma for s in t.segments), t.halts[:, 1])]
    )
    for index, panel in enumerate(panels):
        for trajectory in trajectories if in_one_panel else trajectories[index : index + 1]:
            _draw(trajectory, panel, in_one_panel=in_one_panel)
        for k, (name, halt) in enumerate(halts.items()):
            panel.axhline(halt, color=ORANGE, ls=_DASHES[k % 4], lw=0.8, label=f"{name} = {halt:g}")
        panel.axhline(limits.gamma_select, color=GREY, ls=":", lw=0.8, label=f"gamma_select = {limits.gamma_select:g}")
        log_y(panel, values, max_ticks=6 if n_panels == 1 else 4)
        if n_panels > 1:
            panel.set_title(_name(trajectories[index]), loc="left", fontsize=SMALL, pad=2)
        if not trajectories:
            say_nothing_yet(panel)
    count_x(panels[-1], "MD step")
    figure.supylabel("largest extrapolation grade γ", fontsize=8)
    legend_below(figure)
    return figure


def _draw(trajectory: Trajectory, axes: Axes, *, in_one_panel: bool) -> None:
    for index, segment in enumerate(thinned(trajectory, 4000).segments):
        colour = (BLUE, SKY)[index % 2] if not in_one_panel else BLUE
        label = "γ of all walkers" if in_one_panel else ("γ", "γ, next generation")[index % 2]
        axes.plot(segment.steps, segment.gamma, lw=0.7, color=colour, alpha=0.4 if in_one_panel else 1.0, label=label)
    halts = trajectory.halts
    if len(halts):
        size = 5 if len(halts) <= _FEW else 2.5
        axes.plot(halts[:, 0], halts[:, 1], "v", ms=size, color=ORANGE, label="halt", zorder=3)


def _name(trajectory: Trajectory) -> str:
    return f"walker {trajectory.walker}" + (" (rehearsal)" if trajectory.is_rehearsal else "")
