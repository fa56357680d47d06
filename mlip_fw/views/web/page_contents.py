"""The content of each page, as plain values for its template and for JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from werkzeug.exceptions import NotFound

from mlip_fw.errors import MlipError
from mlip_fw.views.analysis import metrics
from mlip_fw.views.analysis.campaign_analysis import CampaignAnalysis
from mlip_fw.views.analysis.generations import Generation
from mlip_fw.views.analysis.halts import Halt
from mlip_fw.views.analysis.metrics import untrained_error, warnings_of
from mlip_fw.views.analysis.parity import parity_of
from mlip_fw.views.analysis.status import StatusAnswer, current_state, status_answers
from mlip_fw.views.report import interactive
from mlip_fw.views.report.interactive import Chart
from mlip_fw.views.web.loop_diagram import LoopDiagram, loop_diagram, sparkline_points
from mlip_fw.views.web.pagination import Pager, TablePage
from mlip_fw.views.web.snapshots import Snapshot
from mlip_fw.views.web.view_model import OPEN_STATES, CampaignView, LabelQueue


class PageNotFound(NotFound):
    """The requested object does not exist; the description is shown to the user."""


CHARTS: dict[str, Callable[[CampaignAnalysis], Chart]] = {
    "gamma": interactive.gamma_chart,
    "errors": interactive.error_chart,
    "intervals": interactive.halt_interval_chart,
    "ledger": interactive.cost_chart,
}
"""The charts of a campaign, by their keys in ``charts.json``."""


@dataclass(frozen=True)
class CampaignRow:
    """A campaign in the list of campaigns."""

    key: str
    name: str
    state: str
    trouble: str
    done: float | None
    """Fraction of the MD steps that have been run."""
    spark: str
    spark_label: str
    steps_to_halt: int | None
    """Reach of the newest generation that MD has used, see :func:`metrics.reach_of`."""
    labels: int | None
    labels_failed: int
    force_rmse_ev_a: float | None
    """Of the newest generation, on its training set."""
    untrained_force_rmse_ev_a: float | None
    """On held-out frames, or else on the newest labels before they were trained on."""
    untrained_on: str
    """Which of the two; empty where neither is known."""
    wall_s: float | None
    """Duration of all sessions."""
    run_s: float | None
    """The part of it in which something ran."""
    changed: float | None
    fireworks: dict[str, int]
    version: str

    def plain(self) -> dict[str, Any]:
        """Return the row for JSON, without the sparkline."""
        return {name: value for name, value in asdict(self).items() if not name.startswith("spark")}


@dataclass(frozen=True)
class CampaignPage:
    """The page of a campaign; without a snapshot, only what the LaunchPad knows."""

    answers: list[StatusAnswer]
    diagram: LoopDiagram | None
    damaged: list[str]
    charts: dict[str, Chart]
    halts: TablePage[Halt] | None
    generations: TablePage[Generation] | None
    labels: TablePage[Any] | None
    quarantine: TablePage[Any] | None
    queue: LabelQueue | None
    learners: dict[int | None, tuple[int | None, int | None]]
    """Walker and cycle of the Firework that trained each generation, by number of the generation."""
    warnings: list[str] = field(default_factory=list)
    """Warnings about the labels from the newest training."""
    chemistry: list[str] = field(default_factory=list)
    """How molecules and coordination differ from the start."""


@dataclass(frozen=True)
class HaltPage:
    """The page of a halt."""

    halt: Halt
    charts: dict[str, Any]
    earlier: Halt | None
    later: Halt | None


@dataclass(frozen=True)
class GenerationPage:
    """The page of a generation."""

    generation: Generation
    charts: dict[str, Any]
    trouble: str
    earlier: int | None
    later: int | None


def row_of(view: CampaignView) -> CampaignRow:
    """Return the row of a campaign in the list."""
    stored, snapshot = view.stored, view.snapshot
    facts = _facts_of(snapshot) if snapshot is not None else {}
    times = [facts.pop("changed", None), stored.updated_on if stored is not None else None]
    return CampaignRow(
        key=view.entry.key,
        name=view.name,
        trouble=view.trouble,
        changed=max((time for time in times if time), default=None),
        fireworks=dict(stored.counts) if stored is not None else {},
        version=view.version,
        **{**_UNKNOWN, **({} if view.has_begun else {"state": "waiting"}), **facts},
    )


_UNKNOWN: dict[str, Any] = {
    "state": "unknown",
    "done": None,
    "spark": "",
    "spark_label": "",
    "steps_to_halt": None,
    "labels": None,
    "labels_failed": 0,
    "force_rmse_ev_a": None,
    "untrained_force_rmse_ev_a": None,
    "untrained_on": "",
    "wall_s": None,
    "run_s": None,
}


def version_of_all(rows: Sequence[CampaignRow], launchpad_error: str) -> str:
    """Return a hash that changes with anything in the list, or with why the LaunchPad does not answer."""
    return hashlib.sha256(repr([launchpad_error, *((row.key, row.version) for row in rows)]).encode()).hexdigest()[:16]


def campaign_page(view: CampaignView, pager: Pager) -> CampaignPage:
    """Return the page of a campaign."""
    queue = view.queue(pager.choice("state", ("open", *OPEN_STATES, "COMPLETED")), pager)
    if view.snapshot is None:
        return CampaignPage([], None, [], {}, None, None, None, None, queue, {})
    analysis = view.snapshot.analysis
    return CampaignPage(
        answers=view.snapshot.once("answers", status_answers),
        diagram=loop_diagram(analysis.walkers),
        damaged=analysis.damaged,
        charts=charts(view.snapshot),
        halts=pager.table_page("halts", analysis.halts[::-1]),
        generations=pager.table_page("generations", analysis.generations[::-1]),
        labels=pager.table_page("labels", analysis.labels[::-1]),
        quarantine=pager.table_page("quarantine", analysis.quarantine),
        queue=queue,
        learners={row.learnt_by: (row.walker, row.cycle) for row in analysis.labels},
        warnings=warnings_of(analysis.generations),
        chemistry=analysis.chemistry,
    )


def prepare(snapshot: Snapshot) -> None:
    """Compute what the page of a campaign shows, before it is requested."""
    snapshot.once("answers", status_answers)
    charts(snapshot)
    analysis = snapshot.analysis
    for _ in (
        analysis.walkers,
        analysis.halts,
        analysis.generations,
        analysis.labels,
        analysis.quarantine,
        analysis.costs,
        analysis.damaged,
    ):
        pass


def charts(snapshot: Snapshot) -> dict[str, Chart]:
    """Return the charts of a campaign."""
    return {name: snapshot.once(f"chart {name}", make) for name, make in CHARTS.items()}


def campaign_data(view: CampaignView) -> dict[str, Any]:
    """Return a campaign in numbers."""
    data: dict[str, Any] = {"campaign": view.name, "trouble": view.trouble}
    data["fireworks"] = dict(view.stored.counts) if view.stored is not None else {}
    if view.snapshot is not None:
        analysis = view.snapshot.analysis
        data["summary"] = view.snapshot.summary.model_dump(mode="json")
        data["walkers"] = [asdict(state) for state in analysis.walkers]
        data["damaged"] = analysis.damaged
        data["warnings"] = warnings_of(analysis.generations)
        data["chemistry"] = analysis.chemistry
    return data


def halt_page(snapshot: Snapshot, walker: int, cycle: int) -> HaltPage:
    """Return the page of a halt."""
    halts = snapshot.analysis.halts
    at = next((k for k, halt in enumerate(halts) if (halt.walker, halt.cycle) == (walker, cycle)), None)
    if at is None:
        raise PageNotFound(f"walker {walker} has not halted in cycle {cycle}")
    scene = snapshot.once(f"halt {walker} {cycle}", lambda _: interactive.halt_scene(halts[at]))
    shown = {"scene": scene, **({"cutout": scene["cutout"]} if scene.get("cutout") else {})}
    return HaltPage(halts[at], shown, *_neighbours(halts, at))


def generation_page(snapshot: Snapshot, number: int, *, wants_parity: bool) -> GenerationPage:
    """Return the page of a generation; with ``wants_parity`` its labels are evaluated, which is done once."""
    known = snapshot.analysis.generations
    at = next((k for k, generation in enumerate(known) if generation.number == number), None)
    if at is None:
        raise PageNotFound(f"there is no generation {number}, or its record is damaged")
    found, trouble = _parity(snapshot, number) if wants_parity else ({}, "")
    earlier, later = _neighbours([generation.number for generation in known], at)
    return GenerationPage(known[at], found, trouble, earlier, later)


def _parity(snapshot: Snapshot, number: int) -> tuple[dict[str, Chart], str]:
    try:
        # not within `once`, which locks the snapshot: other pages of the campaign must not wait for the evaluation
        found = parity_of(snapshot.analysis.directory, number)
    except MlipError as error:
        return {}, str(error)
    return {"parity": snapshot.once(f"parity {number}", lambda _: interactive.parity_chart(found))}, ""


def _facts_of(snapshot: Snapshot) -> dict[str, Any]:
    analysis, summary = snapshot.analysis, snapshot.summary
    intervals = metrics.reach(analysis.generations)
    steps = [state for state in analysis.walkers if not state.is_rehearsal]
    total = sum(state.last_step for state in steps)
    untrained = untrained_error(analysis.generations, analysis.validation)
    return {
        "state": current_state(analysis),
        "done": min(1.0, sum(state.step for state in steps) / total) if total else None,
        "spark": sparkline_points(intervals, logarithmic=True),
        "spark_label": f"MD steps to a halt by generation, from {intervals[0]:,.0f} to {intervals[-1]:,.0f}"
        if intervals
        else "",
        "steps_to_halt": round(intervals[-1]) if intervals else None,
        "labels": summary.labels,
        "labels_failed": summary.labels_failed,
        "force_rmse_ev_a": metrics.force_error(analysis.generations),
        "untrained_force_rmse_ev_a": untrained.force_rmse_ev_a if untrained is not None else None,
        "untrained_on": untrained.of if untrained is not None else "",
        "wall_s": summary.seconds.total,
        "run_s": analysis.costs.run_s,
        "changed": analysis.events[-1]["time"] if analysis.events else None,
    }


def _neighbours(items: Sequence[Any], at: int) -> tuple[Any, Any]:
    return items[at - 1] if at else None, items[at + 1] if at + 1 < len(items) else None
