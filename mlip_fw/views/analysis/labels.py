"""Labels and failed labels: where each comes from, what it cost, and which generation was trained on it first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.events import Event
from mlip_fw.campaign.file_cache import time_of
from mlip_fw.campaign.label_files import LabelFile
from mlip_fw.campaign.records import WalkerCycle
from mlip_fw.models.label import QuarantineRecord
from mlip_fw.models.selection import Choice
from mlip_fw.views.analysis.analysis_records import AnalysisRecords

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
    """Repairs of settings that the calculation needed."""
    code: str
    """Program that computed it, as ``ase emt``."""
    origin: str
    """``bootstrap``, ``imported``, ``validation``, or the halt that it comes from as ``w00 c0001``."""
    walker: int | None
    cycle: int | None
    strategy: str | None
    gamma_max: float | None
    learnt_by: int | None
    """The first generation that was trained on it; None before."""
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
    cycle: WalkerCycle | None = None
    choice: Choice | None = None


def label_rows(records: AnalysisRecords) -> list[LabelRow]:
    """Return all labels, those of the validation too, the oldest first."""
    origins, learnt_by = _origins(records), _learnt_by(records)
    event_times = records.times(Event.LABELLED, by="label")
    rows = [
        _row(
            name,
            label,
            origins.get(name, _Origin()),
            learnt_by.get(name),
            event_times.get(name) or _written(name, records),
        )
        for name, label in records.labels.items()
    ]
    for name, label in records.validation_labels.items():
        rows.append(
            _row(
                name,
                label,
                _Origin(VALIDATION),
                None,
                event_times.get(name) or _written(name, records, is_validation=True),
            )
        )
    return sorted(rows, key=lambda row: (row.time or 0.0, row.hash))


def quarantine_rows(records: AnalysisRecords) -> list[QuarantineRow]:
    """Return all structures that could not be labelled, those of the validation last."""
    origins = _origins(records)
    found = [(record, origins.get(record.hash, _Origin())) for record in records.quarantine]
    found += [(record, _Origin(VALIDATION)) for record in records.validation_quarantine]
    return [QuarantineRow(record, origin.name, *(origin.cycle or (None, None))) for record, origin in found]


def origin_of(key: WalkerCycle) -> str:
    """Return the name of the halt of a walker and cycle, as ``w00 c0001``."""
    return f"w{key[0]:02d} c{key[1]:04d}"


def _row(name: str, label: LabelFile, origin: _Origin, learnt_by: int | None, time: float | None) -> LabelRow:
    walker, cycle = origin.cycle or (None, None)
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


def _origins(records: AnalysisRecords) -> dict[str, _Origin]:
    found = dict(_chosen(records))
    return {**found, **{name: _Origin(IMPORTED) for name in records.imported}}


def _chosen(records: AnalysisRecords) -> Iterator[tuple[str, _Origin]]:
    for key, selection in records.selections.items():
        for choice in selection.chosen:
            yield choice.hash, _Origin(origin_of(key), key, choice)
    if records.first_selection is not None:
        for choice in records.first_selection.chosen:
            yield choice.hash, _Origin(BOOTSTRAP, None, choice)


def _learnt_by(records: AnalysisRecords) -> dict[str, int]:
    found: dict[str, int] = {}
    for number, record in records.trainings.items():
        for name in record.new_labels if record is not None else []:
            found.setdefault(name, number)
    return found


def _written(name: str, records: AnalysisRecords, *, is_validation: bool = False) -> float | None:
    root = records.directory.validation if is_validation else records.directory.root
    return time_of(Dataset(root).path(name))
