"""Figures: gamma against step, error against labels."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from mlip_fw.layout import CampaignDirectory
from mlip_fw.report.collect import training_records, trajectories

_SIZE = (7.2, 4.2)
_BLUE, _ORANGE, _GREY = "#0072b2", "#d55e00", "#777777"


def gamma_figure(directory: CampaignDirectory) -> Figure:
    """Draw the largest extrapolation grade against the MD step, with halts and thresholds."""
    campaign = directory.read_campaign()
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    for trajectory in trajectories(directory):
        label = "gamma, colour alternates with the generation" if trajectory.walker == 0 else None
        for index, (_, series) in enumerate(trajectory.segments):
            axes.plot(series[:, 0], series[:, 1], lw=0.9, color=(_BLUE, "#56b4e9")[index % 2], label=label)
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
    records = training_records(directory)
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


def _plain_log_scale(axes: Axes) -> None:
    """Scale y logarithmically, with numbers such as 0.5, 1, 2 rather than powers."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
