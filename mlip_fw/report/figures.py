"""Figures: gamma against step, error against labels, error against uncertainty."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from mlip_fw.dataset import Dataset
from mlip_fw.engines.calibration import unseen_atoms
from mlip_fw.generations import Generations
from mlip_fw.layout import CampaignDirectory
from mlip_fw.story.tale import Story

_SIZE = (7.2, 4.2)
_BLUE, _ORANGE, _GREY = "#0072b2", "#d55e00", "#777777"


def gamma_figure(directory: CampaignDirectory) -> Figure:
    """Draw the largest extrapolation grade against the MD step, with halts and thresholds."""
    story = Story(directory)
    campaign = story.campaign
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    for trajectory in story.trajectories:
        label = "gamma, colour alternates with the generation" if trajectory.walker == 0 else None
        for index, segment in enumerate(trajectory.segments):
            axes.plot(segment.steps, segment.gamma, lw=0.9, color=(_BLUE, "#56b4e9")[index % 2], label=label)
            label = None
        halts = trajectory.halts
        named = "halt" if trajectory.walker == 0 else None
        axes.plot(halts[:, 0], halts[:, 1], "v", ms=7, color=_ORANGE, label=named, zorder=3)
    limits = campaign.uncertainty
    for name, halt in limits.named_thresholds().items():
        axes.axhline(halt, color=_ORANGE, ls="--", lw=1, label=f"{name} = {halt:g}")
    axes.axhline(limits.gamma_select, color=_GREY, ls=":", lw=1, label=f"gamma_select = {limits.gamma_select:g}")
    _plain_log_scale(axes)
    axes.set_xlabel("MD step")
    axes.set_ylabel("largest extrapolation grade γ")
    axes.set_title(f"{campaign.campaign}: when the MD halted")
    figure.legend(fontsize="small", loc="outside lower center", ncols=2)
    return figure


def error_figure(directory: CampaignDirectory) -> Figure:
    """Draw force errors against the number of labels: on new structures before training, and on all after."""
    records = [generation.record for generation in Story(directory).generations]
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    unseen = [(len(r.labels), 1000 * r.new_before.force_rmse_ev_a) for r in records if r.new_before is not None]
    fitted = [(len(r.labels), 1000 * r.dataset.force_rmse_ev_a) for r in records if r.dataset is not None]
    if unseen:
        axes.plot(*zip(*unseen, strict=True), "o-", color=_ORANGE, label="new labels, before they were trained on")
    if fitted:
        axes.plot(*zip(*fitted, strict=True), "s-", color=_BLUE, label="all labels, after training")
        _plain_log_scale(axes)
        figure.legend(fontsize="small", loc="outside lower center", ncols=2)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("number of labels")
    axes.set_ylabel("force RMSE (meV/Å)")
    axes.set_title(f"{directory.read_campaign().campaign}: error against labels")
    return figure


def calibration_figure(directory: CampaignDirectory) -> Figure:
    """Draw true force errors of labels, before they were trained on, against gamma and against the committee."""
    seen = unseen_atoms(Generations(directory.root), Dataset(directory.root))
    campaign, errors = directory.read_campaign(), 1000 * seen.error_ev_a
    figure = Figure(figsize=_SIZE, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    left.loglog(seen.gamma, errors, ".", ms=3, alpha=0.4, color=_BLUE, label="one atom, before it was trained on")
    for which, style in ((0.5, "-"), (0.95, "--")):
        line = seen.quantiles(which)
        left.plot(line[:, 0], 1000 * line[:, 1], style, color="black", label=f"{100 * which:g} % of them are below")
    for name, halt in campaign.uncertainty.named_thresholds().items():
        left.axvline(halt, color=_ORANGE, ls="--", lw=1, label=f"{name} = {halt:g}")
    left.set_xlabel("extrapolation grade γ")
    left.set_ylabel("true error of the force (meV/Å)")
    right.loglog(1000 * seen.spread_ev_a, errors, ".", ms=3, alpha=0.4, color=_BLUE)
    if (factor := seen.overconfidence) > 0:
        ends = np.array([errors.min(), errors.max()])
        right.plot(ends, ends, lw=1, color=_GREY, label="error = spread")
        right.plot(ends / factor, ends, ":", lw=1, color=_GREY, label=f"error = {factor:.1f} · spread, as on average")
    right.set_xlabel("spread of the committee (meV/Å)")
    figure.suptitle(f"{campaign.campaign}: what uncertainty says of the error")
    figure.legend(fontsize="small", loc="outside lower center", ncols=2)
    return figure


def _plain_log_scale(axes: Axes) -> None:
    """Scale y logarithmically, with numbers such as 0.5, 1, 2 rather than powers."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
