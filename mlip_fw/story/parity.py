"""The labels as a generation of the potential sees them: parity and the worst atoms.

A child process evaluates them: whatever pyace does there, who asked goes on.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlip_fw.dataset import Dataset
from mlip_fw.engines.warm import Nursery
from mlip_fw.errors import ChildError, MlipError
from mlip_fw.generations import Generations
from mlip_fw.layout import CampaignDirectory
from mlip_fw.story.reading import stamp_of

MOST_LABELS = 60
LIMIT_S = 120.0
"""The child may take so long."""
_FAILED_FOR_S = 60.0
"""What failed is not tried again before."""
_EVALUATE = "mlip_fw.story.parity_child:evaluate"
_KEPT = 16


@dataclass(frozen=True)
class WorstAtom:
    """An atom whose force is far off."""

    label: str
    atom: int
    symbol: str
    error_ev_a: float
    """Length of the error of the force."""


@dataclass(frozen=True)
class Parity:
    """A generation against the reference; masked atoms are left out, and energies of cut-outs with them."""

    energies: np.ndarray
    """(n, 2) reference and potential, eV/atom, both relative to the reference energies of the elements."""
    forces: np.ndarray
    """(m, 2) components, reference and potential, eV/Å."""
    worst: list[WorstAtom]
    """The worst first."""


@dataclass(frozen=True)
class _Question:
    root: Path
    generation: int
    most_labels: int
    stamps: tuple[tuple[int, int] | None, ...]
    """Of the files of the generation, which change with it."""


_known: dict[_Question, Parity] = {}
_failed: dict[_Question, tuple[float, str]] = {}
_alone = threading.Lock()


def parity_of(directory: CampaignDirectory, generation: int, most_labels: int = MOST_LABELS) -> Parity:
    """Return the labels that a generation was trained on, as it sees them.

    Parameters
    ----------
    directory
        The campaign.
    generation
        Its number.
    most_labels
        Of more labels, as many are taken at even distances, and the first and the last.

    Raises
    ------
    MlipError
        If the generation or its record can't be read, or the child crashed or took longer than ``LIMIT_S``.
    """
    generations = Generations(directory.root)
    files = (generations.folder(generation) / "training.json", generations.potential(generation))
    question = _Question(directory.root, generation, most_labels, tuple(map(stamp_of, files)))
    if (found := _known.get(question)) is not None:
        return found
    with _alone:
        return _known.get(question) or _found(question)


def _found(question: _Question) -> Parity:
    failed_at, why = _failed.get(question, (0.0, ""))
    if why and time.monotonic() - failed_at < _FAILED_FOR_S:
        raise MlipError(why)
    try:
        found = _evaluated(question)
    except (MlipError, OSError) as error:
        why = f"generation {question.generation} can't be compared with its labels: {_reason(error)}"
        _keep(_failed, question, (time.monotonic(), why))
        raise MlipError(why) from error
    _keep(_known, question, found)
    return found


def _evaluated(question: _Question) -> Parity:
    nursery = Nursery(preload=())
    try:
        said = nursery.call(_EVALUATE, _argument(question), folder=question.root, timeout_s=LIMIT_S)
    finally:
        nursery.close()
    return Parity(
        energies=np.array(said["energies"], dtype=float).reshape(-1, 2),
        forces=np.array(said["forces"], dtype=float).reshape(-1, 2),
        worst=[WorstAtom(*atom) for atom in said["worst"]],
    )


def _argument(question: _Question) -> dict[str, Any]:
    generations, dataset = Generations(question.root), Dataset(question.root)
    record = generations.record(question.generation)
    if record is None:
        raise MlipError(f"{generations.folder(question.generation)} has no whole training.json; restore it")
    names = [name for name in record.labels if dataset.has(name)]
    if len(names) > question.most_labels:
        names = [names[k] for k in np.linspace(0, len(names) - 1, question.most_labels).astype(int)]
    return {
        "root": str(question.root),
        "potential": str(generations.potential(question.generation)),
        "labels": names,
        "references": record.reference_energy_ev,
    }


def _reason(error: Exception) -> str:
    said = str(error).replace(_EVALUATE, "the process that evaluates them")
    is_told = isinstance(error, ChildError) and MlipError.__name__ in error.kinds
    return said.partition(": ")[2] if is_told else said


def _keep(kept: dict[_Question, Any], question: _Question, found: object) -> None:
    kept[question] = found
    while len(kept) > _KEPT:
        del kept[next(iter(kept))]
