"""Ionic steps of ``OUTCAR``, with their electronic convergence."""

from __future__ import annotations

import re
from pathlib import Path

from ase import Atoms
from ase.io import read

from mlip_fw.errors import CampaignError
from mlip_fw.io.labelled.raw import ML_STEP, NELM, Raw, bare, fixed_by

_STEP_ENDS = re.compile(r"^.*FREE ENERGIE OF THE ION-ELECTRON SYSTEM.*$", re.MULTILINE)
_ITERATION = re.compile(r"Iteration\s+\d+\(\s*(\d+)\)")
_NELM = re.compile(r"NELM\s*=\s*(\d+)\s*;")
_REACHED, _NOT_REACHED = "EDIFF is reached", "EDIFF was not reached"


def read_outcar_steps(path: Path) -> list[Raw]:
    """Read all ionic steps with ASE; constraints are those of a ``CONTCAR`` or ``POSCAR`` beside it.

    Raises
    ------
    CampaignError
        If there is no complete ionic step.
    """
    faults = _faults(path.read_text(errors="replace"))
    if not faults:
        raise CampaignError("it has no whole ionic step; give one that ran to its end")
    frames = read(path, index=":", format="vasp-out")
    if len(frames) != len(faults):
        raise CampaignError(f"it has {len(faults)} energies and {len(frames)} structures; give its vasprun.xml")
    return [_raw(atoms, fault) for atoms, fault in zip(frames, faults, strict=True)]


def _raw(atoms: Atoms, fault: str | None) -> Raw:
    results = atoms.calc.results
    facts = {name: results[name] for name in ("free_energy", "stress") if results.get(name) is not None}
    columns = {"forces": results["forces"]} if "forces" in results else {}
    return Raw(bare(atoms), facts, columns, fixed_by(atoms), fault)


def _faults(text: str) -> list[str | None]:
    """Return, for each ionic step, why it must not be used; None if it may."""
    limit = _NELM.search(text)
    found: list[str | None] = []
    start = 0
    for end in _STEP_ENDS.finditer(text):
        found.append(_fault(text[start : end.start()], end[0], int(limit[1]) if limit else NELM))
        start = end.end()
    return found


def _fault(step: str, closing: str, limit: int) -> str | None:
    iterations = [int(number) for number in _ITERATION.findall(step)]
    if closing.split()[:1] == ["ML"] or not iterations:
        return ML_STEP
    if _NOT_REACHED in step or (iterations[-1] >= limit and _REACHED not in step):
        return f"SCF not converged ({iterations[-1]} of NELM = {limit} steps)"
    if "aborting loop" in step and _REACHED not in step:
        return "SCF stopped before it converged"
    return None
