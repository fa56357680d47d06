"""Files of LAMMPS: writing data files, reading dumps, gamma and log messages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
from ase import Atoms, units

from mlip_fw.io.files import atomic_file

_HALT = re.compile(r"Fix halt condition for fix-id (\S+) met on step (\d+) with value (\S+)")
_ERROR = re.compile(r"^ERROR[^:]*: (.+)$", re.MULTILINE)
_METAL_VELOCITY = units.Ang / (1000 * units.fs)
"""Å/ps, LAMMPS' metal unit, in ASE's unit of velocity."""
_UNHELD = ("f_true_force[1]", "f_true_force[2]", "f_true_force[3]")
"""Dump columns of the forces before ``fix setforce`` zeroed those on fixed components."""


def write_data(path: Path, atoms: Atoms, elements: tuple[str, ...]) -> None:
    """Write a data file with velocities, if there are any; atom types are the positions in ``elements``."""
    from ase.io import write

    plain = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    if atoms.has("masses"):
        plain.set_masses(atoms.get_masses())
    plain.set_momenta(atoms.get_momenta())
    with atomic_file(path) as temporary:
        write(
            temporary,
            plain,
            format="lammps-data",
            specorder=list(elements),
            units="metal",
            atom_style="atomic",
            masses=True,
            velocities=bool(np.any(plain.get_momenta())),
        )


def read_dump(path: Path) -> list[tuple[int, Atoms]]:
    """Read (step, frame) pairs of a text dump with columns ``id element x y z …``.

    Frames have gamma as the array ``gamma`` (n,), velocities as momenta, and forces as the array ``md_forces``, if the
    dump has these columns. An incomplete last frame is skipped.
    """
    frames = []
    with path.open() as handle:
        while (frame := _next_frame(handle)) is not None:
            frames.append(frame)
    return frames


def dump_steps(path: Path) -> list[int]:
    """Return the steps of all frames of a text dump, including an incomplete last one."""
    with path.open() as handle:
        return [int(next(handle, "0")) for line in handle if line.startswith("ITEM: TIMESTEP")]


def read_dumped_step(path: Path, step: int) -> Atoms | None:
    """Read the frame of one step of a text dump as :func:`read_dump` does, skipping the others."""
    with path.open() as handle:
        for line in handle:
            if line.startswith("ITEM: TIMESTEP") and int(next(handle, "-1")) == step:
                found = _next_frame(chain([line, f"{step}\n"], handle))
                return None if found is None else found[1]
    return None


def _next_frame(lines: Iterator[str]) -> tuple[int, Atoms] | None:
    try:
        if not next(lines).startswith("ITEM: TIMESTEP"):
            return None
        step = int(next(lines))
        next(lines)
        n = int(next(lines))
        box_kind = next(lines).split()[3:]
        box = np.array([[float(v) for v in next(lines).split()] for _ in range(3)])
        names = next(lines).split()[2:]
        rows = [next(lines).split() for _ in range(n)]
    except StopIteration:
        return None
    if any(len(row) != len(names) for row in rows):
        return None
    return step, _frame(names, rows, box, triclinic="xy" in box_kind)


def _frame(titles: list[str], rows: list[list[str]], box: np.ndarray, *, triclinic: bool) -> Atoms:
    from ase.io.lammpsrun import construct_cell

    column = {name: k for k, name in enumerate(titles)}

    def values(*wanted: str) -> np.ndarray:
        return np.array([[float(row[column[name]]) for name in wanted] for row in rows])

    cell, origin = construct_cell(box[:, :2].reshape(-1), box[:, 2] if triclinic else np.zeros(3))
    positions = values("x", "y", "z") - origin
    atoms = Atoms([row[column["element"]] for row in rows], positions, cell=cell, pbc=True)
    if "vx" in column:
        atoms.set_velocities(values("vx", "vy", "vz") * _METAL_VELOCITY)
    for names in (("fx", "fy", "fz"), _UNHELD):
        if names[0] in column:
            atoms.set_array("md_forces", values(*names))
    for name in ("f_gamma", "d_gamma"):
        if name in column:
            atoms.set_array("gamma", values(name)[:, 0])
    return atoms


def read_gamma_log(path: Path) -> np.ndarray:
    """Return (n, 2) steps and largest extrapolation grades; empty if there are none yet.

    Lines that are not numbers, and an incomplete last line, are skipped.
    """
    whole = path.read_text(errors="replace").rpartition("\n")[0] if path.is_file() else ""
    lines = [line for line in whole.split("\n") if line[:1].isdigit()]
    try:
        rows = np.array(" ".join(lines).split(), dtype=float).reshape(len(lines), 2)
    except ValueError:
        found = (_step_and_gamma(line.split()) for line in lines)
        rows = np.array([row for row in found if row is not None]).reshape(-1, 2)
    return np.asarray(rows[np.isfinite(rows).all(axis=1)])


def _step_and_gamma(fields: list[str]) -> tuple[float, float] | None:
    try:
        step, gamma = fields
        return float(int(step)), float(gamma)
    except ValueError:
        return None


def halt_in_log(log: str, fix_id: str) -> tuple[int, float] | None:
    """Return step and value of the last halt by ``fix_id`` in a log; None if there is none."""
    found = [m for m in _HALT.finditer(log) if m.group(1) == fix_id]
    return (int(found[-1].group(2)), float(found[-1].group(3))) if found else None


def error_in_log(log: str) -> str | None:
    """Return the last error message in a log; None if there is none."""
    found = _ERROR.findall(log)
    return str(found[-1]).strip() if found else None


def thermo_in_log(log: str, column: str) -> dict[int, float]:
    """Return one column of LAMMPS' thermodynamic output by step; the later value if a step occurs twice.

    Parameters
    ----------
    log
        Text of ``log.lammps``.
    column
        As its heading says: ``Temp`` (K), ``PotEng`` (eV), and so on.
    """
    heading: list[str] = []
    found: dict[int, float] = {}
    for line in log.splitlines():
        fields = line.split()
        if fields[:1] == ["Step"]:
            heading = fields
        elif column in heading and len(fields) == len(heading) and fields[0].isdecimal():
            try:
                found[int(fields[0])] = float(fields[heading.index(column)])
            except ValueError:
                continue
    return found


def temperatures_in_log(path: Path) -> dict[int, float]:
    """Return temperatures (K) by step from a log file; empty if there are none."""
    text = path.read_text(errors="replace") if path.is_file() else ""
    measured = thermo_in_log(text, "Temp")
    return {step: kelvin for step, kelvin in measured.items() if np.isfinite(kelvin) and kelvin >= 0}
