"""Where the time of a campaign went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from mlip_fw.views.analysis.text import PARTS, percent
from mlip_fw.views.report.figures.style import BLUE, GREY, SMALL, column, styled

if TYPE_CHECKING:
    from mlip_fw.views.analysis.campaign_analysis import CampaignAnalysis


@styled
def cost_figure(analysis: CampaignAnalysis) -> Figure:
    """Draw the share of the wall time that each part of the campaign took."""
    shares = [analysis.costs.shares.get(part, 0.0) for part in PARTS]
    figure = column(1.9)
    axes = figure.subplots()
    colours = [GREY if part == "waiting" else BLUE for part in PARTS]
    bars = axes.barh(list(PARTS.values()), [100 * share for share in shares], color=colours, height=0.6)
    axes.bar_label(bars, [percent(share) for share in shares], padding=3, fontsize=SMALL)
    axes.set_xlim(0, 118 * max(0.01, *shares))
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("share of the wall time (%)")
    return figure
