"""Where the time went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from mlip_fw.report.figures.style import BLUE, GREY, SMALL, column, styled
from mlip_fw.report.interactive.ledger import PARTS, percent, seconds_of
from mlip_fw.report.scales import unit_of

if TYPE_CHECKING:
    from mlip_fw.story.tale import Story


@styled
def ledger_figure(story: Story) -> Figure:
    """Draw how long each part of the campaign took."""
    ledger = story.ledger
    seconds = seconds_of(ledger)
    unit, size = unit_of(max(seconds.values()))
    figure = column(1.7)
    axes = figure.subplots()
    colours = [GREY if part == "waiting" else BLUE for part in seconds]
    bars = axes.barh([PARTS[part] for part in seconds], [s / size for s in seconds.values()], color=colours, height=0.6)
    axes.bar_label(bars, [percent(ledger.shares.get(part)) for part in seconds], padding=3, fontsize=SMALL)
    axes.set_xlim(0, 1.18 * max(1e-9, *seconds.values()) / size)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"time ({unit})")
    return figure
