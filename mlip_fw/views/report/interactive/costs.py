"""Where the time of a campaign went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlip_fw.views.analysis.text import PARTS, duration, percent
from mlip_fw.views.report.interactive.chart import BLUE, GREY, Chart, axis, chart, layout, plain

if TYPE_CHECKING:
    from mlip_fw.views.analysis.campaign_analysis import CampaignAnalysis
    from mlip_fw.views.analysis.costs import Costs

_COLUMNS = ("part", "share of the wall time (%)", "time of work (s)", "core-hours")


def cost_chart(analysis: CampaignAnalysis) -> Chart:
    """Return the share of the wall time that each part of the campaign took."""
    costs = analysis.costs
    shares = [100 * costs.shares.get(part, 0.0) for part in PARTS]
    seconds = seconds_of(costs)
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": list(PARTS.values()),
        "x": plain(shares),
        "text": [percent(share / 100) for share in shares],
        "textposition": "outside",
        "cliponaxis": False,
        "customdata": [duration(seconds[part]) for part in PARTS],
        "hovertemplate": "%{y}: %{text}<br>time of work: %{customdata}<extra></extra>",
        "marker": {"color": [GREY if part == "waiting" else BLUE for part in PARTS]},
    }
    frame = layout(
        260,
        xaxis=axis("share of the wall time (%)", range=[0.0, 1.15 * max(1.0, *shares)]),
        yaxis=axis("", autorange="reversed", showgrid=False, ticksuffix=" "),
    )
    frame["showlegend"] = False
    rows = [
        (name, share, seconds[part], costs.core_hours.get(part))
        for (part, name), share in zip(PARTS.items(), shares, strict=True)
    ]
    return chart([bars], frame, _description(costs), _COLUMNS, rows)


def seconds_of(costs: Costs) -> dict[str, float]:
    """Return the working time of each part, and the waiting time, s; what ran in parallel is counted in full."""
    return {part: float(getattr(costs, f"{part}_s")) for part in PARTS}


def _description(costs: Costs) -> str:
    shares = ", ".join(f"{name} {percent(costs.shares.get(part, 0.0))}" for part, name in PARTS.items())
    per_label = f"; {costs.seconds_per_label:.3g} s for a label" if costs.seconds_per_label is not None else ""
    return f"Where {duration(costs.wall_s)} of wall time went: {shares}{per_label}."
