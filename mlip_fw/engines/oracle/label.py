"""One label by whichever oracle, checked before and after.

The modules of an oracle are imported where it is used: those of VASP take a second.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ase import Atoms

from mlip_fw.engines.oracle.answer import Answer, Labelled
from mlip_fw.engines.oracle.ase_oracle import label_with_ase, require_calculator, trusted_calculator
from mlip_fw.engines.oracle.sanity import refuse_implausible, refuse_unphysical
from mlip_fw.models.oracle import AseOracle, EspressoOracle, Oracle
from mlip_fw.models.worker import Worker


def require_oracle(oracle: Oracle, worker: Worker, elements: list[str]) -> None:
    """Check that this machine can make labels.

    Raises
    ------
    CampaignError
        If the settings can't be right anywhere.
    WorkerError
        If a program, a package or a pseudopotential is missing here.
    """
    if isinstance(oracle, AseOracle):
        require_calculator(oracle, worker)
    elif isinstance(oracle, EspressoOracle):
        from mlip_fw.engines.oracle.espresso.oracle import require_espresso

        require_espresso(oracle, worker, elements)
    else:
        from mlip_fw.engines.oracle.vasp.oracle import require_vasp

        require_vasp(oracle, worker, elements)


def level_of_theory(oracle: Oracle, worker: Worker, elements: list[str]) -> dict[str, Any]:
    """Return all that, besides the structure, decides the value of a label, as plain JSON values."""
    if isinstance(oracle, AseOracle):
        return {"kind": oracle.kind, "calculator": oracle.calculator, "parameters": oracle.parameters}
    if isinstance(oracle, EspressoOracle):
        from mlip_fw.engines.oracle.espresso.oracle import espresso_level

        return espresso_level(oracle, worker, elements)
    from mlip_fw.engines.oracle.vasp.oracle import vasp_level

    return vasp_level(oracle, worker, elements)


def make_label(
    atoms: Atoms, oracle: Oracle, worker: Worker, elements: list[str], folder: Path, peers: Iterable[Atoms] = ()
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
    answer = _ask(atoms, oracle, worker, elements, folder, known)
    if isinstance(answer, Labelled):
        refuse_implausible(answer.atoms, oracle, known)
    return answer


def _ask(atoms: Atoms, oracle: Oracle, worker: Worker, elements: list[str], folder: Path, peers: list[Atoms]) -> Answer:
    if isinstance(oracle, AseOracle):
        trusted_calculator(oracle, worker)
        return label_with_ase(atoms, oracle, peers, folder)
    if isinstance(oracle, EspressoOracle):
        from mlip_fw.engines.oracle.espresso.oracle import label_with_espresso

        return label_with_espresso(atoms, oracle, worker, folder, elements)
    from mlip_fw.engines.oracle.vasp.oracle import label_with_vasp

    return label_with_vasp(atoms, oracle, worker, folder)
