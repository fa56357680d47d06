"""What the campaign cost: time by what was done, core-hours, seconds per label."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from mlip_fw.engines.md.script import GAMMA_LOG
from mlip_fw.story.reading import time_of
from mlip_fw.story.sources import Sources
from mlip_fw.summary import sessions

_HOUR_S = 3600.0
PARTS = ("md", "candidates", "label", "train", "validation")
_ENDS = {
    "halted": "md",
    "crashed": "md",
    "md_finished": "md",
    "md_out_of_time": "md",
    "selected": "candidates",
    "labelled": "label",
    "label_out_of_time": "label",
    "quarantined": "label",
    "trained": "train",
    "polished": "train",
    "validating": "validation",
    "validated": "validation",
}
"""Events that end a piece of work, which took their ``seconds``; labels of a validation are its own."""


@dataclass(frozen=True)
class Ledger:
    """Where the time of a campaign went.

    ``elapsed_s`` is the time from the first event to the end of the last work, nights between two sessions included.
    ``wall_s`` is the sum of the sessions: each ``mlip-fw run``, or on a LaunchPad all of the time, up
    to the last sign of life (an event, or a line of gamma of MD that still runs). ``run_s`` is the part of it in which
    something ran. ``md_s``, ``candidates_s``, ``label_s``, ``train_s`` and ``validation_s`` are times of work; side by
    side they may add up to more than ``run_s``. ``waiting_s`` is the wall time in which nothing ran: time in the queue
    and between Fireworks. ``shares`` are of the wall time, by what was being done: of a moment with three things at
    work, each has a third.
    """

    elapsed_s: float
    wall_s: float
    run_s: float
    md_s: float
    candidates_s: float
    label_s: float
    train_s: float
    validation_s: float
    waiting_s: float
    shares: dict[str, float]
    """Of the parts and ``waiting``; they add up to 1, or are all 0 before work."""
    labels: int
    """Reference calculations that gave a label to train on: neither imported ones nor those of a validation."""
    validation_labels: int
    """Those of a validation."""
    seconds_per_label: float | None
    """Time of reference calculations to train on, failed ones too, by label; None without labels."""
    core_hours: dict[str, float | None]
    """By part; None where the number of cores of any piece of its work was not recorded."""


class _Costs(Protocol):
    """A file of results."""

    @property
    def seconds(self) -> float: ...

    @property
    def cores(self) -> int | None: ...


@dataclass(frozen=True)
class _Work:
    part: str
    start: float
    end: float


def ledger_of(sources: Sources) -> Ledger:
    """Return what a campaign cost."""
    spans = _spans(sources)
    work = [clipped for one in _all_work(sources) for clipped in _clipped(one, spans)]
    wall = sum(end - start for start, end in spans)
    busy = _by_part(work)
    run = min(wall, sum(busy.values()))
    waiting = wall - run
    pieces, labels = _pieces(sources), len(sources.labels.keys() - sources.imported)
    seconds = {name: sum(took for took, _ in pieces[name]) for name in PARTS}
    return Ledger(
        elapsed_s=_elapsed(spans, work),
        wall_s=wall,
        run_s=run,
        md_s=seconds["md"],
        candidates_s=seconds["candidates"],
        label_s=seconds["label"],
        train_s=seconds["train"],
        validation_s=seconds["validation"],
        waiting_s=waiting,
        shares={name: value / wall if wall else 0.0 for name, value in {**busy, "waiting": waiting}.items()},
        labels=labels,
        validation_labels=len(sources.apart_labels),
        seconds_per_label=seconds["label"] / labels if labels else None,
        core_hours={name: _core_hours(pieces[name]) for name in PARTS},
    )


def _pieces(sources: Sources) -> dict[str, list[tuple[float, int | None]]]:
    """Return seconds and cores of each piece of work that a file of results tells of."""
    first = [sources.first_selection] if sources.first_selection is not None else []
    files: dict[str, list[_Costs | None]] = {
        "md": [run.result for run in sources.runs],
        "candidates": [*first, *sources.selections.values()],
        "label": [*sources.labels.values(), *sources.quarantine],
        "train": list(sources.records.values()),
        "validation": [*sources.apart_labels.values(), *sources.apart_quarantine],
    }
    return {name: [(one.seconds, one.cores) for one in found if one is not None] for name, found in files.items()}


def _core_hours(pieces: list[tuple[float, int | None]]) -> float | None:
    total = 0.0
    for seconds, cores in pieces:
        if seconds and cores is None:
            return None
        total += seconds * (cores or 0) / _HOUR_S
    return total


def _elapsed(spans: list[tuple[float, float]], work: list[_Work]) -> float:
    """Return the time from the first event to the end of the last piece of work."""
    return max(one.end for one in work) - spans[0][0] if work else 0.0


def _spans(sources: Sources) -> list[tuple[float, float]]:
    """Return the sessions; the last of a campaign that is not over goes on to the last sign of life of its MD."""
    spans = sessions(sources.events)
    if spans and not sources.is_over:
        alive = [time_of(run.folder / GAMMA_LOG) or 0.0 for run in sources.runs if run.result is None]
        spans[-1] = (spans[-1][0], max([spans[-1][1], *alive]))
    return spans


def _all_work(sources: Sources) -> Iterator[_Work]:
    known: dict[str, float] = {}
    for event in sources.events:
        part, seconds = _ENDS.get(event["event"]), event.get("seconds")
        if part is None or not isinstance(seconds, int | float):
            continue
        part = "validation" if event.get("apart") else part
        new = seconds - known.get(_name(event), 0.0)
        if event["event"] == "label_out_of_time":
            known[_name(event)] = seconds
        yield _Work(part, event["time"] - max(0.0, new), event["time"])
    for run in sources.runs:
        begun = sources.starts.get(run.turn)
        if run.result is None and begun is not None:
            yield _Work("md", begun["time"], time_of(run.folder / GAMMA_LOG) or begun["time"])


def _name(event: dict[str, Any]) -> str:
    return str(event.get("label", ""))


def _clipped(work: _Work, spans: list[tuple[float, float]]) -> Iterator[_Work]:
    for start, end in spans:
        if work.start < end and work.end > start:
            yield _Work(work.part, max(work.start, start), min(work.end, end))


def _by_part(work: list[_Work]) -> dict[str, float]:
    """Return the time by part; a moment with several things at work is divided between them."""
    changes = sorted([(one.start, 1, one.part) for one in work] + [(one.end, -1, one.part) for one in work])
    at_work, busy = dict.fromkeys(PARTS, 0), dict.fromkeys(PARTS, 0.0)
    before = 0.0
    for time, change, part in changes:
        if total := sum(at_work.values()):
            for name, number in at_work.items():
                busy[name] += (time - before) * number / total
        at_work[part] += change
        before = time
    return busy
