"""What the campaign cost: wall time by what was done, core-hours, seconds per label."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from mlip_fw.engines.md.script import GAMMA_LOG
from mlip_fw.story.reading import time_of
from mlip_fw.story.sources import Sources
from mlip_fw.summary import sessions

_HOUR_S = 3600.0
PARTS = ("md", "candidates", "label", "train")
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
}
"""Events that end a piece of work, which took their ``seconds``."""


@dataclass(frozen=True)
class Ledger:
    """Where the time of a campaign went.

    ``wall_s`` is the time in which it was at work: each session from its start to its last sign of life (an event, or
    a line of gamma of MD that still runs). ``md_s``, ``candidates_s``, ``label_s`` and ``train_s`` are times of work;
    side by side they may add up to more than that. ``waiting_s`` is the wall time in which nothing was at work: time in
    the queue and between Fireworks. ``shares`` are of the wall time, by what was being done: of a moment with three
    things at work, each has a third.
    """

    wall_s: float
    md_s: float
    candidates_s: float
    label_s: float
    train_s: float
    waiting_s: float
    shares: dict[str, float]
    """Of ``md``, ``candidates``, ``label``, ``train`` and ``waiting``; they add up to 1, or are all 0 before work."""
    labels: int
    """Reference calculations that gave a label, those of the validation too."""
    seconds_per_label: float | None
    """Time of reference calculations, failed ones too, by label; None without labels."""
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
    waiting = max(0.0, wall - sum(busy.values()))
    pieces, labels = _pieces(sources), _computed(sources)
    seconds = {name: sum(took for took, _ in pieces[name]) for name in PARTS}
    return Ledger(
        wall_s=wall,
        md_s=seconds["md"],
        candidates_s=seconds["candidates"],
        label_s=seconds["label"],
        train_s=seconds["train"],
        waiting_s=waiting,
        shares={name: value / wall if wall else 0.0 for name, value in {**busy, "waiting": waiting}.items()},
        labels=labels,
        seconds_per_label=seconds["label"] / labels if labels else None,
        core_hours={name: _core_hours(pieces[name]) for name in PARTS},
    )


def _pieces(sources: Sources) -> dict[str, list[tuple[float, int | None]]]:
    """Return seconds and cores of each piece of work that a file of results tells of."""
    first = [sources.first_selection] if sources.first_selection is not None else []
    files: dict[str, list[_Costs | None]] = {
        "md": [run.result for run in sources.runs],
        "candidates": [*first, *sources.selections.values()],
        "label": [
            *sources.labels.values(),
            *sources.apart_labels.values(),
            *sources.quarantine,
            *sources.apart_quarantine,
        ],
        "train": list(sources.records.values()),
    }
    return {name: [(one.seconds, one.cores) for one in found if one is not None] for name, found in files.items()}


def _core_hours(pieces: list[tuple[float, int | None]]) -> float | None:
    total = 0.0
    for seconds, cores in pieces:
        if seconds and cores is None:
            return None
        total += seconds * (cores or 0) / _HOUR_S
    return total


def _computed(sources: Sources) -> int:
    return len(sources.labels.keys() - sources.imported) + len(sources.apart_labels)


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
