"""What a campaign cost: working time by part, core-hours, seconds per label."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from mlip_fw.campaign.events import Event
from mlip_fw.campaign.file_cache import time_of
from mlip_fw.campaign.journal import sessions
from mlip_fw.engines.md.script import GAMMA_LOG
from mlip_fw.views.analysis.analysis_records import AnalysisRecords

_HOUR_S = 3600.0
PARTS = ("md", "candidates", "label", "train", "validation")
_ENDS = {
    Event.HALTED: "md",
    Event.CRASHED: "md",
    Event.MD_FINISHED: "md",
    Event.MD_OUT_OF_TIME: "md",
    Event.SELECTED: "candidates",
    Event.LABELLED: "label",
    Event.LABEL_OUT_OF_TIME: "label",
    Event.QUARANTINED: "label",
    Event.TRAINED: "train",
    Event.POLISHED: "train",
    Event.AUDITING: "validation",
    Event.AUDITED: "validation",
    Event.VALIDATING: "validation",
    Event.VALIDATED: "validation",
}
"""Part of the work that each event ends; its ``seconds`` are the duration. Labels of a validation count as that."""


@dataclass(frozen=True)
class Costs:
    """Where the time of a campaign went.

    ``elapsed_s`` is the time from the first event to the end of the last work, including breaks between sessions.
    ``wall_s`` is the total duration of the sessions: each ``mlip-fw run``, or on a LaunchPad all of the time, up to the
    last sign of life (an event, or a line of gamma of MD that still runs). ``run_s`` is the part of it in which
    something ran. ``md_s``, ``candidates_s``, ``label_s``, ``train_s`` and ``validation_s`` are working times; work in
    parallel adds up to more than ``run_s``. ``waiting_s`` is the wall time in which nothing ran: time in the queue and
    between Fireworks. ``shares`` are fractions of the wall time by part; where three things run in parallel, each
    counts a third of that time.
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
    """By part, and ``waiting``; their sum is 1, or 0 before any work."""
    labels: int
    """Computed labels to train on: neither imported ones nor those of a validation."""
    validation_labels: int
    """Computed labels of the validation."""
    seconds_per_label: float | None
    """Duration of reference calculations, failed ones included, per label to train on or to audit; None without any."""
    core_hours: dict[str, float | None]
    """By part; None where the cores of any of its calculations were not recorded."""


class _Record(Protocol):
    """What was recorded about one MD run, selection, label or training."""

    @property
    def seconds(self) -> float: ...

    @property
    def cores(self) -> int | None: ...


@dataclass(frozen=True)
class _Work:
    """An interval of time, s since 1970, in which one part of the work ran."""

    part: str
    start: float
    end: float


def costs_of(records: AnalysisRecords) -> Costs:
    """Return what a campaign cost so far."""
    spans = _spans(records)
    work = [clipped for one in _all_work(records) for clipped in _clipped(one, spans)]
    wall = sum(end - start for start, end in spans)
    busy = _by_part(work)
    run = min(wall, sum(busy.values()))
    waiting = wall - run
    pieces, labels = _pieces(records), len(records.labels.keys() - records.imported)
    computed = len({**records.audit_labels, **records.labels}.keys() - records.imported)
    seconds = {name: sum(took for took, _ in pieces[name]) for name in PARTS}
    return Costs(
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
        validation_labels=len(records.validation_labels),
        seconds_per_label=seconds["label"] / computed if computed else None,
        core_hours={name: _core_hours(pieces[name]) for name in PARTS},
    )


def _pieces(records: AnalysisRecords) -> dict[str, list[tuple[float, int | None]]]:
    """Return seconds and cores of each recorded calculation, by part."""
    first = [records.first_selection] if records.first_selection is not None else []
    files: dict[str, list[_Record | None]] = {
        "md": [run.result for run in records.runs],
        "candidates": [*first, *records.selections.values()],
        "label": [
            *{**records.audit_labels, **records.labels}.values(),
            *records.quarantine,
            *records.audit_quarantine,
        ],
        "train": list(records.trainings.values()),
        "validation": [*records.validation_labels.values(), *records.validation_quarantine],
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


def _spans(records: AnalysisRecords) -> list[tuple[float, float]]:
    """Return the sessions; that of a campaign at work lasts until the last line that its MD wrote."""
    spans = sessions(records.events)
    if spans and not records.is_over:
        last_lines = [time_of(run.folder / GAMMA_LOG) or 0.0 for run in records.runs if run.result is None]
        spans[-1] = (spans[-1][0], max([spans[-1][1], *last_lines]))
    return spans


def _all_work(records: AnalysisRecords) -> Iterator[_Work]:
    # a label that was continued by another job records the seconds of all its jobs
    counted: dict[str, float] = {}
    for event in records.events:
        part, seconds = _ENDS.get(event["event"]), event.get("seconds")
        if part is None or not isinstance(seconds, int | float):
            continue
        part = "validation" if event.get("apart") else part
        new = seconds - counted.get(_label_of(event), 0.0)
        if event["event"] == Event.LABEL_OUT_OF_TIME:
            counted[_label_of(event)] = seconds
        yield _Work(part, event["time"] - max(0.0, new), event["time"])
    for run in records.runs:
        start = records.md_starts.get(run.key)
        if run.result is None and start is not None:
            yield _Work("md", start["time"], time_of(run.folder / GAMMA_LOG) or start["time"])


def _label_of(event: dict[str, Any]) -> str:
    return str(event.get("label", ""))


def _clipped(work: _Work, spans: list[tuple[float, float]]) -> Iterator[_Work]:
    for start, end in spans:
        if work.start < end and work.end > start:
            yield _Work(work.part, max(work.start, start), min(work.end, end))


def _by_part(work: list[_Work]) -> dict[str, float]:
    """Return the time by part; where several things ran in parallel, the time is divided between them."""
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
