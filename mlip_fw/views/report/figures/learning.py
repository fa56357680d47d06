"""Errors against the number of labels, and MD steps between halts by generation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mlip_fw.views.report.figures.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    column,
    count_x,
    legend_below,
    log_y,
    say_nothing_yet,
    size_for,
    styled,
)

if TYPE_CHECKING:
    from mlip_fw.views.analysis.campaign_analysis import CampaignAnalysis
    from mlip_fw.views.analysis.generations import Generation

_KINDS = (
    ("new_before", "new labels, before training", "o--", ORANGE),
    ("dataset", "training set", "s-", BLUE),
)


@styled
def error_figure(analysis: CampaignAnalysis) -> Figure:
    """Draw errors of forces and energies and the size of the training set against the number of labels."""
    generations = analysis.generations
    figure = column(4.4)
    forces, energies, sizes = figure.subplots(3, sharex=True, height_ratios=(2, 2, 1.2))
    _errors(forces, generations, "force_rmse_ev_a", "force RMSE\n(meV/Å)")
    _errors(energies, generations, "energy_rmse_ev_atom", "energy RMSE\n(meV/atom)")
    labels, atoms = [len(g.record.labels) for g in generations], [g.record.n_atoms for g in generations]
    sizes.plot(labels, atoms, "D-", ms=0.8 * size_for(len(labels)), color=GREEN, label="size of the training set")
    sizes.set_ylim(0, 1.15 * max([1, *atoms]))
    sizes.yaxis.set_major_locator(MaxNLocator(3, integer=True, steps=[1, 2, 2.5, 5, 10]))
    sizes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
    sizes.set_ylabel("atoms\ntrained on")
    count_x(sizes, "number of labels")
    figure.align_ylabels()
    legend_below(figure, ncols=1)
    return figure


@styled
def halt_interval_figure(analysis: CampaignAnalysis) -> Figure:
    """Draw the MD steps from halt to halt of each generation."""
    generations = [g for g in analysis.generations if g.md_steps or g.halts]
    halted = [(g.number, g.steps_to_halt) for g in generations if g.steps_to_halt]
    without_halt = [(g.number, g.md_steps) for g in generations if not g.halts]
    halts = [(h.generation, h.steps_since) for h in analysis.halts]
    figure = column(2.6)
    axes = figure.subplots()
    for points, style, colour, name in (
        (halts, "o", GREY, "one halt"),
        (halted, "s-", BLUE, "MD steps of a generation per halt"),
        (without_halt, "^", GREEN, "no halt in so many steps"),
    ):
        if points:
            one = style == "o"
            size = size_for(len(points))
            options: dict[str, Any] = {"mfc": "none", "ms": 1.5 * size, "zorder": 3} if one else {"ms": size, "lw": 0.8}
            axes.plot(*zip(*points, strict=True), style, color=colour, label=name, **options)
    drawn = [y for points in (halts, halted, without_halt) for _, y in points]
    log_y(axes, drawn)
    if not drawn:
        say_nothing_yet(axes)
    axes.set_ylabel("MD steps to the next halt")
    count_x(axes, "generation of the potential")
    legend_below(figure, ncols=1)
    return figure


def _errors(axes: Axes, generations: list[Generation], what: str, name: str) -> None:
    drawn: list[float] = []
    for kind, label, style, colour in _KINDS:
        known = [(len(g.record.labels), e) for g in generations if (e := getattr(g.record, kind)) is not None]
        # 0 means unknown, as where all labels are cut-outs without an energy
        points = [(n, 1000 * value) for n, errors in known if (value := getattr(errors, what)) > 0]
        if points:
            axes.plot(*zip(*points, strict=True), style, color=colour, ms=size_for(len(points)), label=label)
            drawn += [y for _, y in points]
    log_y(axes, drawn, max_ticks=5)
    if not drawn:
        say_nothing_yet(axes)
    axes.set_ylabel(name)
