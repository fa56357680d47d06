"""Errors against the number of labels, and MD steps between halts by generation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlip_fw.views.report.interactive.chart import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    Chart,
    axis,
    chart,
    count,
    counting_axis,
    layout,
    log_axis,
    plain,
)

if TYPE_CHECKING:
    from mlip_fw.models.training import Errors
    from mlip_fw.views.analysis.campaign_analysis import CampaignAnalysis
    from mlip_fw.views.analysis.generations import Generation

_FORCE, _ENERGY = "force RMSE (meV/Å)", "energy RMSE (meV/atom)"
_MANY = 60
_KINDS = (
    ("new_before", "new labels, before training", "circle", ORANGE, "dash"),
    ("dataset", "training set", "square", BLUE, "solid"),
)


def error_chart(analysis: CampaignAnalysis) -> Chart:
    """Return errors of forces and energies, and the size of the dataset, against the number of labels."""
    generations = [g for g in analysis.generations if g.record.dataset is not None or g.record.new_before is not None]
    labels = [len(g.record.labels) for g in generations]
    forces, energies = (_errors(generations, name) for name in ("force_rmse_ev_a", "energy_rmse_ev_atom"))
    data = [*_traces(labels, forces, "y"), *_traces(labels, energies, "y2")]
    data += [_dataset(labels, [g.record.n_atoms for g in generations])] if generations else []
    frame = layout(
        620,
        xaxis=counting_axis("number of labels", labels, anchor="y3"),
        yaxis=log_axis(
            _FORCE.replace(" (", "<br>("), [v for values in forces.values() for v in values], domain=[0.62, 1.0]
        ),
        yaxis2=log_axis(
            _ENERGY.replace(" (", "<br>("), [v for values in energies.values() for v in values], domain=[0.24, 0.57]
        ),
        yaxis3=axis("atoms<br>trained on", domain=[0.0, 0.19], rangemode="tozero", tickformat=",d"),
    )
    columns = ["generation", "labels", "atoms trained on"]
    columns += [f"{what}, {name}" for what in (_FORCE, _ENERGY) for _, name, *_ in _KINDS]
    rows = zip(
        [g.number for g in generations],
        labels,
        [g.record.n_atoms for g in generations],
        *forces.values(),
        *energies.values(),
        strict=True,
    )
    return chart(data, frame, _description(labels, forces["dataset"], energies["dataset"]), columns, rows)


def halt_interval_chart(analysis: CampaignAnalysis) -> Chart:
    """Return the MD steps from halt to halt of each generation, which grow as a campaign converges."""
    generations = [g for g in analysis.generations if g.md_steps or g.halts]
    halted = [g for g in generations if g.steps_to_halt is not None]
    without_halt = [g for g in generations if g.steps_to_halt is None]
    numbers = {g.number for g in generations}
    halts = [h for h in analysis.halts if h.generation in numbers]
    data = [
        _points(
            "one halt",
            [h.generation for h in halts],
            [h.steps_since for h in halts],
            symbol="circle-open",
            color=GREY,
            size=13,
        )
        | {"meta": "halts", "customdata": [[h.walker, h.cycle] for h in halts]},
        _points(
            "MD steps of a generation per halt",
            [g.number for g in halted],
            [g.steps_to_halt for g in halted],
            symbol="square",
            color=BLUE,
        )
        | {"mode": "lines+markers", "line": {"color": BLUE, "width": 1.5}},
        _points(
            "no halt in so many steps",
            [g.number for g in without_halt],
            [g.md_steps for g in without_halt],
            symbol="triangle-up",
            color=GREEN,
            size=11,
        ),
    ]
    data = [trace for trace in data if trace["x"]]
    frame = layout(
        360,
        xaxis=counting_axis("generation of the potential", [g.number for g in generations]),
        yaxis=log_axis("MD steps to the next halt", [y for trace in data for y in trace["y"]]),
    )
    rows = [(g.number, g.md_steps, g.halts, g.steps_to_halt) for g in generations]
    columns = ("generation", "MD steps", "halts", "MD steps per halt")
    return chart(data, frame, _description_of_halts(generations), columns, rows)


def _errors(generations: list[Generation], name: str) -> dict[str, list[float | None]]:
    """Return an error of each generation, on new labels and on the training set, meV/Å or meV/atom."""

    def milli(errors: Errors | None) -> float | None:
        shown: float | None = None if errors is None else plain(1000 * getattr(errors, name))
        return shown if shown else None

    return {kind: [milli(getattr(g.record, kind)) for g in generations] for kind, *_ in _KINDS}


def _traces(labels: list[int], errors: dict[str, list[float | None]], y: str) -> list[dict[str, Any]]:
    traces = []
    for kind, name, symbol, colour, dash in _KINDS:
        known = [(x, error) for x, error in zip(labels, errors[kind], strict=True) if error is not None]
        if known:
            traces.append(
                {
                    **_points(name, [x for x, _ in known], [error for _, error in known], symbol=symbol, color=colour),
                    "mode": "lines+markers",
                    "line": {"color": colour, "width": 1.5, "dash": dash},
                    "yaxis": y,
                    "legendgroup": kind,
                    "showlegend": y == "y",
                }
            )
    return traces


def _dataset(labels: list[int], atoms: list[int]) -> dict[str, Any]:
    trace = _points("atoms trained on", labels, atoms, symbol="diamond", color=GREEN)
    return trace | {"mode": "lines+markers", "line": {"color": GREEN, "width": 1.5}, "yaxis": "y3"}


def _points(name: str, x: list[int], y: list[Any], *, symbol: str, color: str, size: float = 8) -> dict[str, Any]:
    marker = {"symbol": symbol, "size": size if len(x) <= _MANY else size / 2, "color": color}
    return {"type": "scatter", "mode": "markers", "name": name, "x": x, "y": plain(y), "marker": marker}


def _description(labels: list[int], forces: list[float | None], energies: list[float | None]) -> str:
    text = "Errors of forces and energies, and size of the training set, against the number of labels: "
    if not labels:
        return text + "nothing trained yet."
    ends = [f"{error:.3g} {unit}" for error, unit in ((forces[-1], "meV/Å"), (energies[-1], "meV/atom")) if error]
    errors = f", training errors {' and '.join(ends)}" if ends else ""
    return text + f"{count(labels[-1], 'label')} so far{errors}."


def _description_of_halts(generations: list[Generation]) -> str:
    text = "MD steps to the next halt by generation, on a logarithmic scale: "
    halted = [g for g in generations if g.steps_to_halt is not None]
    if not halted:
        return text + "no halt."
    first, last = halted[0], halted[-1]
    growth = f"{first.steps_to_halt:,.0f} steps with generation {first.number}"
    growth += f", {last.steps_to_halt:,.0f} with generation {last.number}" if len(halted) > 1 else ""
    without_halt = generations[-1] if generations[-1].steps_to_halt is None else None
    return (
        text
        + growth
        + (
            f"; generation {without_halt.number} has run {without_halt.md_steps:,} steps without one."
            if without_halt
            else "."
        )
    )
