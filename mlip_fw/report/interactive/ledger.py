"""Where the time went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlip_fw.report.interactive.chart import BLUE, GREY, Chart, axis, chart, layout, plain
from mlip_fw.story.words import PARTS, duration, percent

if TYPE_CHECKING:
    from mlip_fw.story.ledger import Ledger
    from mlip_fw.story.tale import Story

_COLUMNS = ("part", "share of the wall time (%)", "time of work (s)", "core-hours")


def ledger_chart(story: Story) -> Chart:
    """Return the share of the wall time that each part of the campaign took."""
    ledger = story.ledger
    shares = [100 * ledger.shares.get(part, 0.0) for part in PARTS]
    seconds = seconds_of(ledger)
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
        (name, share, seconds[part], ledger.core_hours.get(part))
        for (part, name), share in zip(PARTS.items(), shares, strict=True)
    ]
    return chart([bars], frame, _said(ledger), _COLUMNS, rows)


def seconds_of(ledger: Ledger) -> dict[str, float]:
    """Return the seconds that each part worked, and that nothing did; parts may have worked side by side."""
    return {part: float(getattr(ledger, f"{part}_s")) for part in PARTS}


def _said(ledger: Ledger) -> str:
    told = ", ".join(f"{name} {percent(ledger.shares.get(part, 0.0))}" for part, name in PARTS.items())
    cost = f"; {ledger.seconds_per_label:.3g} s for a label" if ledger.seconds_per_label is not None else ""
    return f"Where {duration(ledger.wall_s)} of wall time went: {told}{cost}."
