"""Parity of a generation of the potential: its energies and forces against those of its training set.

A child process evaluates them, so that a crash of pyace does not end the server or notebook that asked.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.file_cache import stamp_of
from mlip_fw.campaign.generations import Generations
from mlip_fw.errors import ChildError, MlipError
from mlip_fw.runtime.fork_server import ForkServer

MAX_LABELS = 60
TIMEOUT_S = 120.0
"""Time limit of the child process."""
_RETRY_AFTER_S = 60.0
"""An evaluation that failed is not repeated for this long."""
_EVALUATE = "mlip_fw.views.analysis.parity_child:evaluate"
_MAX_CACHED = 16


@dataclass(frozen=True)
class WorstAtom:
    """An atom with one of the largest force errors."""

    label: str
    atom: int
    symbol: str
    error_ev_a: float
    """Norm of the difference of the force vectors."""


@dataclass(frozen=True)
class Parity:
    """Energies and forces of a generation and of the reference.

    Atoms outside the mask are left out, and so are the energies of the cut-outs that have such atoms.
    """

    energies: np.ndarray
    """(n, 2) reference and potential, eV/atom, both relative to the reference energies of the elements."""
    forces: np.ndarray
    """(m, 2) components, reference and potential, eV/Å."""
    worst: list[WorstAtom]
    """By error, largest first."""


@dataclass(frozen=True)
class _Question:
    root: Path
    generation: int
    max_labels: int
    stamps: tuple[tuple[int, int] | None, ...]
    """Time and size of the files of the generation: they differ if it was made anew."""


# An evaluation takes seconds and a child process, and several pages and threads of one server ask for it: the process
# keeps the results, and evaluates one generation at a time.
_results: dict[_Question, Parity] = {}
_failures: dict[_Question, tuple[float, str]] = {}
_one_at_a_time = threading.Lock()


def parity_of(directory: CampaignDirectory, generation: int, max_labels: int = MAX_LABELS) -> Parity:
    """Return parity of a generation on the labels that it was trained on.

    Parameters
    ----------
    directory
        The campaign.
    generation
        Its number.
    max_labels
        Of more labels, this many are taken at even distances, the first and the last included.

    Raises
    ------
    MlipError
        If the generation or its record can't be read, or the child process crashed or took longer than ``TIMEOUT_S``.
    """
    generations = Generations(directory.root)
    files = (generations.folder(generation) / "training.json", generations.potential(generation))
    question = _Question(directory.root, generation, max_labels, tuple(map(stamp_of, files)))
    if (found := _results.get(question)) is not None:
        return found
    with _one_at_a_time:
        return _results.get(question) or _evaluated_once(question)


def _evaluated_once(question: _Question) -> Parity:
    failed_at, why = _failures.get(question, (0.0, ""))
    if why and time.monotonic() - failed_at < _RETRY_AFTER_S:
        raise MlipError(why)
    try:
        found = _evaluated(question)
    except (MlipError, OSError) as error:
        why = f"generation {question.generation} can't be compared with its labels: {_reason(error)}"
        _remember(_failures, question, (time.monotonic(), why))
        raise MlipError(why) from error
    _remember(_results, question, found)
    return found


def _evaluated(question: _Question) -> Parity:
    server = ForkServer(preload=())
    try:
        answer = server.call(_EVALUATE, _argument(question), folder=question.root, timeout_s=TIMEOUT_S)
    finally:
        server.close()
    return Parity(
        energies=np.array(answer["energies"], dtype=float).reshape(-1, 2),
        forces=np.array(answer["forces"], dtype=float).reshape(-1, 2),
        worst=[WorstAtom(*atom) for atom in answer["worst"]],
    )


def _argument(question: _Question) -> dict[str, Any]:
    generations, dataset = Generations(question.root), Dataset(question.root)
    record = generations.record(question.generation)
    if record is None:
        raise MlipError(f"{generations.folder(question.generation)} has no whole training.json; restore it")
    names = [name for name in record.labels if dataset.has(name)]
    if len(names) > question.max_labels:
        names = [names[k] for k in np.linspace(0, len(names) - 1, question.max_labels).astype(int)]
    return {
        "root": str(question.root),
        "potential": str(generations.potential(question.generation)),
        "labels": names,
        "references": record.reference_energy_ev,
    }


def _reason(error: Exception) -> str:
    message = str(error).replace(_EVALUATE, "the process that evaluates them")
    is_from_child = isinstance(error, ChildError) and MlipError.__name__ in error.kinds
    return message.partition(": ")[2] if is_from_child else message


def _remember(cache: dict[_Question, Any], question: _Question, found: object) -> None:
    cache[question] = found
    while len(cache) > _MAX_CACHED:
        del cache[next(iter(cache))]
