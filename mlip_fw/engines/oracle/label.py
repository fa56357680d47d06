"""One label by the oracle of a campaign, with checks of the structure before and of the label after."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ase import Atoms

from mlip_fw.engines.oracle.answer import Answer, Labelled
from mlip_fw.engines.oracle.backend import backend_of
from mlip_fw.engines.oracle.sanity import refuse_implausible, refuse_unphysical
from mlip_fw.models.oracle import OracleSettings
from mlip_fw.models.worker import Worker
from mlip_fw.plugins import ORACLES
from mlip_fw.runtime.cores import cores_of


def require_oracle(oracle: OracleSettings, worker: Worker, elements: list[str]) -> None:
    """Check that this machine can make labels.

    Raises
    ------
    CampaignError
        If the settings can't be right anywhere.
    WorkerError
        If a program, a package or a pseudopotential is missing here, or a plug-in claims the oracle's name too.
    """
    ORACLES.require(oracle.kind)
    backend_of(oracle).require(oracle, worker, elements)


def level_of_theory(oracle: OracleSettings, worker: Worker, elements: list[str]) -> dict[str, Any]:
    """Return all that, besides the structure, decides the value of a label, as plain JSON values."""
    return backend_of(oracle).level_of_theory(oracle, worker, elements)


def cores_of_labels(oracle: OracleSettings, worker: Worker) -> int:
    """Return how many cores a label keeps busy on this machine."""
    return cores_of(backend_of(oracle).command(worker))


def make_label(
    atoms: Atoms,
    oracle: OracleSettings,
    worker: Worker,
    elements: list[str],
    folder: Path,
    peers: Iterable[Atoms] = (),
) -> Answer:
    """Label one structure, without any constraints that it has.

    Parameters
    ----------
    elements
        All elements of the campaign, as for its level of theory.
    folder
        Where a code works; an unfinished calculation there is continued.
    peers
        Labels that are there already, to compare the energy with.

    Raises
    ------
    LabelError
        If no trustworthy label came of it; the text is the reason.
    WorkerError
        If this machine is to blame.
    """
    atoms = atoms.copy()
    atoms.set_constraint()  # with one, ASE shows forces of zero, in the label and wherever it is read
    refuse_unphysical(atoms)
    known = list(peers)
    answer = backend_of(oracle).label(atoms, oracle, worker, elements, folder, known)
    if isinstance(answer, Labelled):
        refuse_implausible(answer.atoms, oracle, known)
    return answer
