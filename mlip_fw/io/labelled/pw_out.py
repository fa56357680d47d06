"""Structures in an output of pw.x, with their SCF convergence."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read

from mlip_fw.errors import CampaignError
from mlip_fw.io.labelled.raw import Raw, bare

_START, _POSITIONS, _CELL = "Program PWSCF", "ATOMIC_POSITIONS", "CELL_PARAMETERS"
_SCF = "Self-consistent Calculation"
_NOT_CONVERGED = re.compile(r"convergence NOT achieved(?: after\s+(\d+) iterations)?")
_ENERGY, _FORCES, _CONVERGED = (
    re.compile(r"^!", re.MULTILINE),
    "Forces acting on atoms",
    "convergence has been achieved",
)


def read_pw_out(path: Path) -> list[Raw]:
    """Read all structures whose SCF loop began.

    With smearing, the total energy of pw.x is the free energy, of which the forces are the derivative.

    Raises
    ------
    CampaignError
        If there is no structure with an energy.
    """
    lines = path.read_text(errors="replace").splitlines()
    starts = [k for k, line in enumerate(lines) if _START in line or line.startswith(_POSITIONS)]
    pieces = [lines[begin:end] for begin, end in zip(starts, [*starts[1:], len(lines)], strict=True)]
    tried = [piece for piece in pieces if any(_SCF in line or "iteration #" in line for line in piece)]
    faults = [_fault("\n".join(piece)) for piece in tried]
    kept = lines[: starts[0]] if starts else lines
    for piece in pieces:
        is_bad = piece in tried and faults[tried.index(piece)] is not None
        kept = kept + (_before_scf(piece) if is_bad else piece)
    if not tried:
        raise CampaignError("it has no structure whose self-consistency loop began; give one that ran")
    frames = _sound(kept, faults)
    held = _held(lines)
    return [Raw(Atoms(), fault=fault) if fault is not None else _raw(next(frames), held) for fault in faults]


def _sound(lines: list[str], faults: list[str | None]) -> Iterator[Atoms]:
    n_sound = sum(fault is None for fault in faults)
    if not n_sound:
        return iter(())
    text = io.StringIO("\n".join(lines) + "\n")
    frames = read(text, index=":", format="espresso-out")
    if len(frames) != n_sound:
        raise CampaignError(f"it has {n_sound} converged structures, ASE reads {len(frames)}; give them as extxyz")
    return iter(frames)


def _before_scf(piece: list[str]) -> list[str]:
    """Return the lines of a structure before its SCF loop, and the cell printed for the next structure."""
    scf = next(k for k, line in enumerate(piece) if _SCF in line or "iteration #" in line)
    cell = next((k for k in range(scf, len(piece)) if piece[k].startswith(_CELL)), len(piece))
    return piece[:scf] + piece[cell:]


def _fault(text: str) -> str | None:
    if match := _NOT_CONVERGED.search(text):
        return f"SCF not converged{f' after {match[1]} iterations' if match[1] else ''}"
    if _CONVERGED not in text:
        why = "the time was over" if "Maximum CPU time exceeded" in text else "the output ends"
        return f"{why} before the SCF converged"
    if not _ENERGY.search(text):
        return "the output ends before its energy"
    return None if _FORCES in text else "the output ends before its forces, or tprnfor was not set"


def _raw(atoms: Atoms, held: np.ndarray | None) -> Raw:
    results = atoms.calc.results
    facts = {name: results[name] for name in ("free_energy", "stress") if results.get(name) is not None}
    columns = {"forces": results["forces"]} if results.get("forces") is not None else {}
    fixed = held if held is not None and len(held) == len(atoms) else np.zeros((len(atoms), 3), dtype=bool)
    return Raw(bare(atoms), facts, columns, fixed)


def _held(lines: list[str]) -> np.ndarray | None:
    """Return (n_atoms, 3) of bool: components fixed by ``if_pos``, which pw.x prints beside updated positions."""
    start = next((k for k, line in enumerate(lines) if line.startswith(_POSITIONS)), None)
    if start is None:
        return None
    held = []
    for line in lines[start + 1 :]:
        parts = line.split()
        if len(parts) not in (4, 7):
            break
        held.append([flag == "0" for flag in parts[4:7]] if len(parts) == 7 else [False] * 3)
    return np.array(held) if held else None
