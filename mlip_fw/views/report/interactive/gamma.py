"""Gamma against the MD step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from mlip_fw.views.analysis.trajectories import thinned
from mlip_fw.views.report.interactive.chart import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    SKY,
    Chart,
    as_text,
    chart,
    count,
    counting_axis,
    layout,
    log_axis,
    plain,
    positive,
)

if TYPE_CHECKING:
    from mlip_fw.views.analysis.campaign_analysis import CampaignAnalysis
    from mlip_fw.views.analysis.halts import Halt
    from mlip_fw.views.analysis.trajectories import Trajectory

_MAX_POINTS = 8000
_MAX_NAMED = 6
_COLOURS = (BLUE, GREEN, PINK, SKY, GREY)
_DASHES = ("solid", "dash", "dot", "dashdot")
_COLUMNS = ("walker", "cycle", "stage", "step", "γ", "atom", "temperature (K)", "target (K)", "generation")


def gamma_chart(analysis: CampaignAnalysis) -> Chart:
    """Return gamma against the MD step, with halts and thresholds.

    Notes
    -----
    Points of the trace whose ``meta`` is ``halts`` carry walker and cycle as ``customdata``, for links.
    """
    trajectories, halts = analysis.trajectories, analysis.halts
    max_points = max(200, _MAX_POINTS // max(1, len(trajectories)))
    lines = [trace for t in trajectories for trace in _lines(thinned(t, max_points), len(trajectories))]
    limits = analysis.campaign.uncertainty
    thresholds = {**limits.named_thresholds(), "gamma_select": limits.gamma_select}
    shown = [y for line in lines for y in line["y"]] + [h.gamma_max for h in halts] + list(thresholds.values())
    frame = layout(
        400, xaxis=counting_axis("MD step", rangemode="tozero"), yaxis=log_axis("largest extrapolation grade γ", shown)
    )
    frame["shapes"] = [_threshold(k, name, value) for k, (name, value) in enumerate(thresholds.items())]
    return chart([*lines, *_halts(halts)], frame, _description(analysis), _COLUMNS, map(_row, halts))


def _lines(trajectory: Trajectory, n_walkers: int) -> Iterator[dict[str, Any]]:
    """Yield the MD runs of a walker: in one colour, or in two alternating colours if it is the only walker."""
    segments = trajectory.segments
    traces = [segments[::2], segments[1::2]] if n_walkers == 1 else [segments]
    for index, shown in enumerate(trace for trace in traces if trace):
        colour = (BLUE, SKY)[index] if n_walkers == 1 else _COLOURS[trajectory.walker % len(_COLOURS)]
        dash = "dot" if trajectory.is_rehearsal else _DASHES[trajectory.walker // len(_COLOURS) % len(_DASHES)]
        gap = np.array([np.nan])
        yield {
            "type": "scatter",
            "mode": "lines",
            "name": _name(trajectory, index, n_walkers),
            "legendgroup": "walkers" if n_walkers > _MAX_NAMED else f"walker {trajectory.walker}-{index}",
            "showlegend": n_walkers <= _MAX_NAMED or trajectory.walker == 0,
            "x": plain(np.concatenate([part for s in shown for part in (s.steps, gap)])),
            "y": positive(np.concatenate([part for s in shown for part in (s.gamma, gap)])),
            "customdata": [number for s in shown for number in [s.generation] * (len(s.steps) + 1)],
            "hovertemplate": f"walker {trajectory.walker}, generation %{{customdata}}<br>"
            "step %{x:,d}: γ %{y:.3g}<extra></extra>",
            "line": {"color": colour, "dash": dash, "width": 1.5},
        }


def _name(trajectory: Trajectory, index: int, n_walkers: int) -> str:
    if n_walkers > _MAX_NAMED:
        return f"{n_walkers} walkers"
    if n_walkers == 1:
        return ("γ", "γ with the next generation, in turns")[index]
    return f"walker {trajectory.walker}" + (" (rehearsal)" if trajectory.is_rehearsal else "")


def _halts(halts: list[Halt]) -> list[dict[str, Any]]:
    if not halts:
        return []
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "meta": "halts",
            "name": "halt",
            "x": [halt.step for halt in halts],
            "y": positive(np.array([halt.gamma_max for halt in halts])),
            "customdata": [[halt.walker, halt.cycle] for halt in halts],
            "hovertemplate": "halt of walker %{customdata[0]} in cycle %{customdata[1]}<br>"
            "step %{x:,d}: γ %{y:.4g}<extra></extra>",
            "marker": {"symbol": "triangle-down", "size": 11, "color": ORANGE, "line": {"width": 1, "color": "white"}},
        }
    ]


def _threshold(index: int, name: str, value: float) -> dict[str, Any]:
    is_halt = name != "gamma_select"
    dash = ("dash", "longdash", "dashdot", "longdashdot")[index % 4] if is_halt else "dot"
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": value,
        "y1": value,
        "name": f"{as_text(name)} = {value:g}",
        "showlegend": True,
        "line": {"color": ORANGE if is_halt else GREY, "dash": dash, "width": 1.5},
    }


def _description(analysis: CampaignAnalysis) -> str:
    halts = analysis.halts
    walkers = count(len(analysis.trajectories), "walker")
    text = f"Largest extrapolation grade against the MD step of {walkers}, on a logarithmic scale: "
    if not halts:
        return text + "no halt."
    gammas = [halt.gamma_max for halt in halts]
    between = f"at γ {gammas[0]:.3g}" if len(halts) == 1 else f"with γ from {min(gammas):.3g} to {max(gammas):.3g}"
    return text + f"{count(len(halts), 'halt')} {between}, the last at step {halts[-1].step:,}."


def _row(halt: Halt) -> list[Any]:
    facts = (halt.walker, halt.cycle, halt.stage, halt.step)
    return [*facts, halt.gamma_max, halt.atom, halt.temperature_k, halt.target_temperature_k, halt.generation]
