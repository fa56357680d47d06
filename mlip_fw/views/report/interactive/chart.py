"""Parts of plotly charts: colours, axes, and numbers that JSON can hold."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mlip_fw.views.report.log_ticks import log_ticks
from mlip_fw.views.report.text_filters import shown

Chart = dict[str, Any]

BLUE, ORANGE, SKY, GREEN, PINK, GREY = "#0072b2", "#d55e00", "#56b4e9", "#009e73", "#cc79a7", "#777777"
_CLEAR = "rgba(0,0,0,0)"
GRID = "rgba(128,128,128,0.25)"
_DIGITS = 6
_MAX_TICKS = 8


def chart(
    data: list[dict[str, Any]],
    layout: dict[str, Any],
    label: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
) -> Chart:
    """Return a chart; NaN and infinity become null, which JSON knows.

    A key ``narrow`` may be added: changes of the layout for the screen of a phone.
    """
    table = {"columns": list(columns), "rows": [[plain(cell) for cell in row] for row in rows]}
    return {"data": data, "layout": layout, "label": label, "table": table}


def layout(height: int, **axes: dict[str, Any]) -> dict[str, Any]:
    """Return a layout with a transparent background and the legend above."""
    return {
        **axes,
        "height": height,
        "margin": {"l": 65, "r": 15, "t": 10, "b": 50},
        "paper_bgcolor": _CLEAR,
        "plot_bgcolor": _CLEAR,
        "hovermode": "closest",
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "showlegend": True,
    }


def axis(title: str, **more: Any) -> dict[str, Any]:
    """Return an axis with its title."""
    return {
        "title": {"text": title},
        "automargin": True,
        "gridcolor": GRID,
        "linecolor": GREY,
        "showline": True,
        "zeroline": False,
        **more,
    }


def counting_axis(title: str, values: Iterable[float | None] = (), **more: Any) -> dict[str, Any]:
    """Return an axis of integers, with a tick at each while they are few."""
    known = [value for value in values if value is not None]
    steps = {"dtick": 1} if known and max(known) - min(known) <= _MAX_TICKS else {}
    return axis(title, tickformat=",d", **steps, **more)


def log_axis(title: str, values: Iterable[float | None], **more: Any) -> dict[str, Any]:
    """Return a logarithmic axis over ``values`` with ticks such as 0.5, 1, 2."""
    known = [value for value in values if value is not None and value > 0]
    low, high = (min(known) / 1.3, max(known) * 1.3) if known else (0.1, 10.0)
    ticks = log_ticks(low, high, _MAX_TICKS)
    return axis(
        title,
        type="log",
        range=[float(np.log10(low)), float(np.log10(high))],
        tickvals=ticks,
        ticktext=[f"{tick:,.10g}" for tick in ticks],
        **more,
    )


def plain(value: Any) -> Any:
    """Return a number, a text, or an array of numbers as JSON holds them: NaN and infinity become null.

    Six significant digits are kept; pages show fewer.
    """
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(item) for item in (value.tolist() if isinstance(value, np.ndarray) else value)]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None
    return value


def positive(values: np.ndarray) -> list[float | None]:
    """Return numbers for a logarithmic axis; 0 and below become null."""
    values = np.asarray(values, dtype=float)
    kept: list[float | None] = plain(np.where(values > 0, values, np.nan))
    return kept


def as_text(text: object) -> str:
    """Return a user's text for plotly, which interprets HTML tags and entities in texts."""
    return html.escape(shown(text), quote=False)


def count(number: int, noun: str) -> str:
    """Return such as ``1 halt`` or ``1,200 halts``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
