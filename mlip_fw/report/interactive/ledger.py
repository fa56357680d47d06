"""Where the time went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlip_fw.report.interactive.chart import BLUE, GREY, Chart, axis, chart, layout, plain
from mlip_fw.report.scales import unit_of

if TYPE_CHECKING:
    from mlip_fw.story.ledger import Ledger
    from mlip_fw.story.tale import Story

PARTS = {
    "md": "MD",
    "candidates": "candidates",
    "label": "labels",
    "train": "training",
    "waiting": "waiting",
}


def ledger_chart(story: Story) -> Chart:
    """Return how long each part of the campaign took."""
    ledger = story.ledger
    seconds = seconds_of(ledger)
    unit, size = unit_of(max(seconds.values(), default=0.0))
    names = [PARTS[part] for part in seconds]
    shares = {part: ledger.shares.get(part) for part in seconds}
    texts = [f"{percent(shares[part])} ({value / size:.3g} {unit})" for part, value in seconds.items()]
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": names,
        "x": plain([value / size for value in seconds.values()]),
        "text": texts,
        "textposition": "auto",
        "cliponaxis": False,
        "hovertemplate": "%{y}: %{text}<extra></extra>",
        "marker": {"color": [GREY if part == "waiting" else BLUE for part in seconds]},
    }
    frame = layout(
        260,
        xaxis=axis(f"time ({unit})", rangemode="tozero"),
        yaxis=axis("", autorange="reversed", showgrid=False),
    )
    frame["showlegend"] = False
    columns = ("part", "time (s)", "share (%)", "core-hours")
    rows = [(PARTS[p], s, _hundredfold(shares[p]), ledger.core_hours.get(p)) for p, s in seconds.items()]
    return chart([bars], frame, _said(ledger), columns, rows)


def seconds_of(ledger: Ledger) -> dict[str, float]:
    """Return the seconds of each part, by its short name."""
    return {part: float(getattr(ledger, f"{part}_s")) for part in PARTS}


def _hundredfold(share: float | None) -> float | None:
    return None if share is None else 100 * share


def percent(share: float | None) -> str:
    """Return a share as people say it."""
    return "?" if share is None else "under 1 %" if 0 < share < 0.01 else f"{100 * share:.0f} %"


def _said(ledger: Ledger) -> str:
    told = ", ".join(f"{name} {percent(ledger.shares.get(part))}" for part, name in PARTS.items())
    unit, size = unit_of(ledger.wall_s)
    cost = f"; {ledger.seconds_per_label:.3g} s per label" if ledger.seconds_per_label is not None else ""
    return f"Where the time went, of {ledger.wall_s / size:.3g} {unit} of wall time: {told}{cost}."
