"""What each page holds, as plain values for its template and for JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from werkzeug.exceptions import NotFound

from mlip_fw.errors import MlipError
from mlip_fw.report import interactive
from mlip_fw.report.interactive import Chart
from mlip_fw.story import measures
from mlip_fw.story.answers import Answer, answers, now_of
from mlip_fw.story.generations import Generation
from mlip_fw.story.halts import Halt
from mlip_fw.story.measures import warnings_of
from mlip_fw.story.parity import parity_of
from mlip_fw.story.tale import Story
from mlip_fw.story.untrained import untrained_error
from mlip_fw.web.desk import OPEN_STATES, Queue, Sight
from mlip_fw.web.drawing import Machine, machine, spark
from mlip_fw.web.looks import Look
from mlip_fw.web.paging import Pager, Part


class Missing(NotFound):
    """What is asked for is not there; its description is for people."""


CHARTS: dict[str, Callable[[Story], Chart]] = {
    "gamma": interactive.gamma_chart,
    "errors": interactive.error_chart,
    "intervals": interactive.halt_interval_chart,
    "ledger": interactive.ledger_chart,
}


@dataclass(frozen=True)
class CampaignRow:
    """A campaign in the list."""

    key: str
    name: str
    state: str
    trouble: str
    done: float | None
    """Part of the MD steps that are run."""
    spark: str
    spark_label: str
    steps_to_halt: int | None
    """With the newest generation that was used; so many without one if there was none."""
    labels: int | None
    labels_failed: int
    force_rmse_ev_a: float | None
    """Of the newest generation on its training set."""
    untrained_force_rmse_ev_a: float | None
    """On held-out frames, or else on the newest labels before they were trained on."""
    untrained_on: str
    """Which of the two; empty where neither is known."""
    wall_s: float | None
    """Time of all sessions."""
    run_s: float | None
    """The part of it in which something ran."""
    changed: float | None
    fireworks: dict[str, int]
    version: str

    def plain(self) -> dict[str, Any]:
        """Return it as JSON, without what is drawn."""
        return {name: value for name, value in asdict(self).items() if not name.startswith("spark")}


@dataclass(frozen=True)
class CampaignPage:
    """The page of a campaign; without a look, only what the LaunchPad knows."""

    answers: list[Answer]
    machine: Machine | None
    damaged: list[str]
    charts: dict[str, Chart]
    halts: Part[Halt] | None
    generations: Part[Generation] | None
    labels: Part[Any] | None
    quarantine: Part[Any] | None
    queue: Queue | None
    learners: dict[int | None, tuple[int | None, int | None]]
    """Of each generation, walker and cycle of the Firework that trained it."""
    warnings: list[str] = field(default_factory=list)
    """What is odd about the labels."""


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


def row_of(sight: Sight) -> CampaignRow:
    """Return a campaign as the list shows it."""
    stored, look = sight.stored, sight.look
    known = _of_story(look) if look is not None else {}
    times = [known.pop("changed", None), stored.updated_on if stored is not None else None]
    return CampaignRow(
        key=sight.place.key,
        name=sight.name,
        trouble=sight.trouble,
        changed=max((time for time in times if time), default=None),
        fireworks=dict(stored.counts) if stored is not None else {},
        version=sight.version,
        **{**_UNKNOWN, **({} if sight.has_begun else {"state": "waiting"}), **known},
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


def version_of_all(rows: Sequence[CampaignRow], silence: str) -> str:
    """Return a short text that changes with anything in the list, or with what keeps the LaunchPad silent."""
    return hashlib.sha256(repr([silence, *((row.key, row.version) for row in rows)]).encode()).hexdigest()[:16]


def campaign_page(sight: Sight, pager: Pager) -> CampaignPage:
    """Return the page of a campaign."""
    queue = sight.queue(pager.choice("state", ("open", *OPEN_STATES, "COMPLETED")), pager)
    if sight.look is None:
        return CampaignPage([], None, [], {}, None, None, None, None, queue, {})
    story = sight.look.story
    return CampaignPage(
        answers=sight.look.once("answers", answers),
        machine=machine(story.walkers),
        damaged=story.damaged,
        charts=charts(sight.look),
        halts=pager.part("halts", story.halts[::-1]),
        generations=pager.part("generations", story.generations[::-1]),
        labels=pager.part("labels", story.labels[::-1]),
        quarantine=pager.part("quarantine", story.quarantine),
        queue=queue,
        learners={row.learnt_by: (row.walker, row.cycle) for row in story.labels},
        warnings=warnings_of(story.generations),
    )


def prepare(look: Look) -> None:
    """Make what the page of a campaign shows, before somebody asks for it."""
    look.once("answers", answers)
    charts(look)
    story = look.story
    for _ in (
        story.walkers,
        story.halts,
        story.generations,
        story.labels,
        story.quarantine,
        story.ledger,
        story.damaged,
    ):
        pass


def charts(look: Look) -> dict[str, Chart]:
    """Return the charts of a campaign."""
    return {name: look.once(f"chart {name}", make) for name, make in CHARTS.items()}


def campaign_data(sight: Sight) -> dict[str, Any]:
    """Return a campaign in numbers."""
    data: dict[str, Any] = {"campaign": sight.name, "trouble": sight.trouble}
    data["fireworks"] = dict(sight.stored.counts) if sight.stored is not None else {}
    if sight.look is not None:
        story = sight.look.story
        data["summary"] = sight.look.summary.model_dump(mode="json")
        data["walkers"] = [asdict(state) for state in story.walkers]
        data["damaged"] = story.damaged
        data["warnings"] = warnings_of(story.generations)
    return data


def halt_page(look: Look, walker: int, cycle: int) -> HaltPage:
    """Return the page of a halt."""
    halts = look.story.halts
    at = next((k for k, halt in enumerate(halts) if (halt.walker, halt.cycle) == (walker, cycle)), None)
    if at is None:
        raise Missing(f"walker {walker} has not halted in cycle {cycle}")
    scene = look.once(f"halt {walker} {cycle}", lambda _: interactive.halt_scene(halts[at]))
    shown = {"scene": scene, **({"cutout": scene["cutout"]} if scene.get("cutout") else {})}
    return HaltPage(halts[at], shown, *_neighbours(halts, at))


def generation_page(look: Look, number: int, *, wants_parity: bool) -> GenerationPage:
    """Return the page of a generation; its parity costs an evaluation of its labels, which is done once."""
    known = look.story.generations
    at = next((k for k, generation in enumerate(known) if generation.number == number), None)
    if at is None:
        raise Missing(f"there is no generation {number}, or its record is damaged")
    found, trouble = _parity(look, number) if wants_parity else ({}, "")
    earlier, later = _neighbours([generation.number for generation in known], at)
    return GenerationPage(known[at], found, trouble, earlier, later)


def _parity(look: Look, number: int) -> tuple[dict[str, Chart], str]:
    try:
        # not within the look: other pages of the campaign don't wait for it
        found = parity_of(look.story.directory, number)
    except MlipError as error:
        return {}, str(error)
    return {"parity": look.once(f"parity {number}", lambda _: interactive.parity_chart(found))}, ""


def _of_story(look: Look) -> dict[str, Any]:
    story, summary = look.story, look.summary
    intervals = measures.reach(story.generations)
    steps = [state for state in story.walkers if not state.is_rehearsal]
    total = sum(state.last_step for state in steps)
    untrained = untrained_error(story.generations, story.validation)
    return {
        "state": now_of(story),
        "done": min(1.0, sum(state.step for state in steps) / total) if total else None,
        "spark": spark(intervals, logarithmic=True),
        "spark_label": f"MD steps to a halt by generation, from {intervals[0]:,.0f} to {intervals[-1]:,.0f}"
        if intervals
        else "",
        "steps_to_halt": round(intervals[-1]) if intervals else None,
        "labels": summary.labels,
        "labels_failed": summary.labels_failed,
        "force_rmse_ev_a": measures.force_error(story.generations),
        "untrained_force_rmse_ev_a": untrained.force_rmse_ev_a if untrained is not None else None,
        "untrained_on": untrained.of if untrained is not None else "",
        "wall_s": summary.seconds.total,
        "run_s": story.ledger.run_s,
        "changed": story.events[-1]["time"] if story.events else None,
    }


def _neighbours(items: Sequence[Any], at: int) -> tuple[Any, Any]:
    return items[at - 1] if at else None, items[at + 1] if at + 1 < len(items) else None
