"""Labels and failures: where each comes from, what it cost, and who learnt it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mlip_fw.dataset import Dataset
from mlip_fw.models.label import QuarantineRecord
from mlip_fw.models.selection import Choice
from mlip_fw.story.label_files import LabelFile
from mlip_fw.story.reading import time_of
from mlip_fw.story.sources import Sources, Turn

BOOTSTRAP, IMPORTED, VALIDATION = "bootstrap", "imported", "validation"


@dataclass(frozen=True)
class LabelRow:
    """One labelled structure."""

    hash: str
    formula: str
    n_atoms: int
    n_trained: int
    """Atoms within the mask."""
    seconds: float
    corrections: int
    code: str
    origin: str
    """``bootstrap``, ``imported``, ``validation``, or the halt that it comes from as ``w00 c0001``."""
    walker: int | None
    cycle: int | None
    strategy: str | None
    gamma_max: float | None
    learnt_by: int | None
    """The first generation that was trained on it."""
    time: float | None
    """When it was made, s since 1970."""


@dataclass(frozen=True)
class QuarantineRow:
    """One structure that could not be labelled."""

    record: QuarantineRecord
    origin: str
    walker: int | None
    cycle: int | None


@dataclass(frozen=True)
class _Origin:
    name: str = "unknown"
    turn: Turn | None = None
    choice: Choice | None = None


def label_rows(sources: Sources) -> list[LabelRow]:
    """Return all labels, those of the validation too, the oldest first."""
    origins, learnt = _origins(sources), _learnt(sources)
    told = sources.times("labelled", by="label")
    rows = [
        _row(name, label, origins.get(name, _Origin()), learnt.get(name), told.get(name) or _written(name, sources))
        for name, label in sources.labels.items()
    ]
    for name, label in sources.apart_labels.items():
        rows.append(_row(name, label, _Origin(VALIDATION), None, told.get(name) or _written(name, sources, apart=True)))
    return sorted(rows, key=lambda row: (row.time or 0.0, row.hash))


def quarantine_rows(sources: Sources) -> list[QuarantineRow]:
    """Return all structures that could not be labelled, those of the validation last."""
    origins = _origins(sources)
    found = [(record, origins.get(record.hash, _Origin())) for record in sources.quarantine]
    found += [(record, _Origin(VALIDATION)) for record in sources.apart_quarantine]
    return [QuarantineRow(record, origin.name, *(origin.turn or (None, None))) for record, origin in found]


def origin_of(turn: Turn) -> str:
    """Return the name of a halt, as ``w00 c0001``."""
    return f"w{turn[0]:02d} c{turn[1]:04d}"


def _row(name: str, label: LabelFile, origin: _Origin, learnt_by: int | None, time: float | None) -> LabelRow:
    walker, cycle = origin.turn or (None, None)
    return LabelRow(
        hash=name,
        formula=label.formula,
        n_atoms=label.n_atoms,
        n_trained=label.n_trained,
        seconds=label.seconds,
        corrections=label.corrections,
        code=label.code,
        origin=origin.name,
        walker=walker,
        cycle=cycle,
        strategy=origin.choice.strategy if origin.choice is not None else None,
        gamma_max=origin.choice.gamma_max if origin.choice is not None else None,
        learnt_by=learnt_by,
        time=time,
    )


def _origins(sources: Sources) -> dict[str, _Origin]:
    found = dict(_chosen(sources))
    return {**found, **{name: _Origin(IMPORTED) for name in sources.imported}}


def _chosen(sources: Sources) -> Iterator[tuple[str, _Origin]]:
    for turn, selection in sources.selections.items():
        for choice in selection.chosen:
            yield choice.hash, _Origin(origin_of(turn), turn, choice)
    if sources.first_selection is not None:
        for choice in sources.first_selection.chosen:
            yield choice.hash, _Origin(BOOTSTRAP, None, choice)


def _learnt(sources: Sources) -> dict[str, int]:
    found: dict[str, int] = {}
    for number, record in sources.records.items():
        for name in record.new_labels if record is not None else []:
            found.setdefault(name, number)
    return found


def _written(name: str, sources: Sources, *, apart: bool = False) -> float | None:
    root = sources.directory.validation if apart else sources.directory.root
    return time_of(Dataset(root).path(name))
