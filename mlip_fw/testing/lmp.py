"""A stand-in for LAMMPS with ML-PACE: ``lmp_cmd: python -m mlip_fw.testing.lmp --halt-at 10,20``.

It reads the script that mlip_fw wrote, checks that it says what a native run needs, moves the atoms a
little at random, and ends as it is told to: the gammas that it writes are pyace's own, the halts are
pure fiction. Nothing that it makes is a result.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read

from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.md import script
from mlip_fw.engines.md.engine_check import TITLE

_HELP = "* Pair styles:\n\npace            pace/extrapolation\n"
_WANTED = (
    "fix gamma all pair",
    "compute max_gamma all reduce max f_gamma",
    "fix watchdog all halt",
    "write_restart",
    "restart ",
)
_NEAR_A, _FAR_A = 0.03, 0.6


@dataclass(frozen=True)
class Script:
    """What the stand-in understands of the script."""

    start: Path
    is_restart: bool
    potential: Path
    elements: list[str]
    last_step: int
    check_interval: int

    @classmethod
    def parse(cls, text: str) -> Script:
        """Read a script, and refuse one that lacks what a native run needs."""
        missing = [line for line in _WANTED if line not in text]
        if missing:
            raise SystemExit(f"ERROR: the script lacks {missing}")
        kind, start = re.findall(r"^read_(data|restart) (\S+)$", text, re.MULTILINE)[0]
        potential, active_set, elements = re.findall(r"^pair_coeff \* \* (\S+) (\S+) (.+)$", text, re.MULTILINE)[0]
        for path in (start, potential, active_set):
            if not Path(path).is_file():
                raise SystemExit(f"ERROR: cannot open {path}")
        interval = int(re.findall(r"^fix watchdog all halt (\d+)", text, re.MULTILINE)[0])
        last = int(re.findall(r"run (\d+) upto", text)[0])
        return cls(Path(start), kind == "restart", Path(potential), elements.split(), last, interval)


def main() -> None:
    """Play LAMMPS."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("-h", dest="help", action="store_true")
    parser.add_argument("-in", dest="script", type=Path)
    parser.add_argument("-log", dest="log", type=Path)
    parser.add_argument("-nocite", action="store_true")
    parser.add_argument("--no-pace", action="store_true", help="be a LAMMPS without ML-PACE")
    parser.add_argument("--halt-at", default="", help="steps at which to halt, separated by commas")
    parser.add_argument("--halt-every", type=int, default=0, help="halt at every multiple of this step")
    parser.add_argument("--stuck-at", type=int, default=-1, help="halt at this step, whatever was learnt")
    parser.add_argument("--wild", action="store_true", help="go too far unless gamma is checked at every step")
    parser.add_argument("--misbehave", choices=sorted(_MISBEHAVIOUR), help="end as a broken run does")
    parser.add_argument("--once", type=Path, help="misbehave only while this file does not exist, then make it")
    parser.add_argument("--dump", action="store_true", help="write a trajectory, too")
    options = parser.parse_args()
    if options.help:
        print("no pace" if options.no_pace else _HELP)
        return
    plan = Script.parse(options.script.read_text())
    step, atoms = _start(plan)
    halts = sorted(int(s) for s in options.halt_at.split(",") if s)
    if options.halt_every:
        halts += list(range(0, plan.last_step, options.halt_every))
    end, halted = next(((h, True) for h in sorted(halts) if step < h < plan.last_step), (plan.last_step, False))
    at_start = step >= options.stuck_at >= 0 and plan.is_restart
    if options.stuck_at >= 0 and step <= options.stuck_at:
        end, halted = options.stuck_at, True
    if TITLE in options.script.read_text():
        end, halted, at_start, options.misbehave = 1, True, False, None
    if options.misbehave and not (options.once and options.once.exists()):
        if options.once:
            options.once.touch()
        _MISBEHAVIOUR[options.misbehave](options.log)
    scale = _FAR_A if options.wild and halted and plan.check_interval > 1 else _NEAR_A
    if options.dump:
        _write_trajectory(plan, atoms, step, end)
    _write(plan, options.log, atoms, end, halted, at_start and end == step, scale)


def _start(plan: Script) -> tuple[int, Atoms]:
    if plan.is_restart:
        kept = json.loads(plan.start.read_text())
        return kept["step"], Atoms(kept["symbols"], kept["positions"], cell=kept["cell"], pbc=True)
    types = {k + 1: name for k, name in enumerate(plan.elements)}
    atoms = read(plan.start, format="lammps-data", atom_style="atomic")
    return 0, Atoms([types[t] for t in atoms.arrays["type"]], atoms.positions, cell=atoms.cell, pbc=True)


def _write_trajectory(plan: Script, atoms: Atoms, first: int, last: int) -> None:
    """Write a frame at each check before the last; every run has others."""
    frames, potential = [], AcePotential.from_files(plan.potential)
    where = f"{Path.cwd().parent.name}/{Path.cwd().name}".encode()
    for step in range(first, last, plan.check_interval):
        moved = atoms.copy()
        moved.positions += np.random.default_rng([step, *where]).normal(scale=_NEAR_A, size=moved.positions.shape)
        answer = potential.evaluate(moved)
        assert answer.gamma is not None
        frames.append(_dump(moved, answer.gamma, step, answer.forces_ev_a))
    Path(script.DUMP).write_text("".join(frames))


def _write(plan: Script, log: Path, atoms: Atoms, step: int, halted: bool, at_start: bool, scale: float) -> None:
    moved = atoms.copy()
    if not at_start:
        # walkers differ, as they do in earnest
        moved.positions += np.random.default_rng([step, *str(Path.cwd().parent.name).encode()]).normal(
            scale=scale, size=moved.positions.shape
        )
    answer = AcePotential.from_files(plan.potential).evaluate(moved)
    gamma = answer.gamma
    assert gamma is not None
    said = f"Fix halt condition for fix-id watchdog met on step {step} with value {gamma.max()}\n" if halted else ""
    if at_start:
        said = f"{script.HALTED_AT_START}: step {step} gamma {gamma.max()}\n"
    thermo = f"   Step   PotEng\n {step} {answer.energy_ev:.10g}\n"
    echo = Path(script.SCRIPT).read_text()
    log.write_text(f"LAMMPS (stand-in)\n{echo}{thermo}{said}Loop time of 0 on 1 procs\nTotal wall time: 0:00:00\n")
    Path(script.GAMMA_LOG).write_text(f"# step max_gamma\n{step} {gamma.max()}\n")
    kept = {
        "step": step,
        "symbols": moved.get_chemical_symbols(),
        "positions": moved.positions.tolist(),
        "cell": moved.cell.tolist(),
    }
    Path(script.LAST_RESTART).write_text(json.dumps(kept))
    Path(script.LAST_DUMP).write_text(_dump(moved, gamma, step, answer.forces_ev_a))


def _dump(atoms: Atoms, gamma: np.ndarray, step: int, forces: np.ndarray) -> str:
    lines = ["ITEM: TIMESTEP", str(step), "ITEM: NUMBER OF ATOMS", str(len(atoms)), *_bounds(atoms.cell.array)]
    lines.append("ITEM: ATOMS id element x y z vx vy vz fx fy fz f_gamma")
    for k, (symbol, position) in enumerate(zip(atoms.get_chemical_symbols(), atoms.positions, strict=True)):
        numbers = [*position, 0.0, 0.0, 0.0, *forces[k], gamma[k]]
        lines.append(f"{k + 1} {symbol} " + " ".join(f"{number:.17g}" for number in numbers))
    return "\n".join(lines) + "\n"


def _bounds(cell: np.ndarray) -> list[str]:
    """Return the box of a dump: of a tilted one the bounds of the whole, as LAMMPS writes them."""
    (lx, _, _), (xy, ly, _), (xz, yz, lz) = cell
    along_x, along_y = (0.0, xy, xz, xy + xz), (0.0, yz)
    rows = [(min(along_x), lx + max(along_x), xy), (min(along_y), ly + max(along_y), xz), (0.0, lz, yz)]
    return ["ITEM: BOX BOUNDS xy xz yz pp pp pp", *(" ".join(f"{number:.17g}" for number in row) for row in rows)]


def _lose_atoms(log: Path) -> None:
    log.write_text("ERROR: Lost atoms: original 32 current 31 (src/thermo.cpp:494)\n")
    sys.exit(1)


def _explode(log: Path) -> None:
    """Leave one sound frame that extrapolates, then lose atoms."""
    plan = Script.parse(Path(script.SCRIPT).read_text())
    step, atoms = _start(plan)
    atoms.positions += np.random.default_rng(99).normal(scale=0.12, size=atoms.positions.shape)
    answer = AcePotential.from_files(plan.potential).evaluate(atoms)
    assert answer.gamma is not None
    Path(script.DUMP).write_text(_dump(atoms, answer.gamma, step + 2 * plan.check_interval, answer.forces_ev_a))
    _lose_atoms(log)


def _say_nothing(log: Path) -> None:
    sys.exit(0)


def _be_killed(log: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _write_nan(log: Path) -> None:
    log.write_text("Loop time of 0\nTotal wall time: 0:00:00\n")
    Path(script.LAST_RESTART).write_text("{}")
    atoms = Atoms("Cu", [[np.nan, 0, 0]], cell=[5, 5, 5], pbc=True)
    Path(script.LAST_DUMP).write_text(_dump(atoms, np.array([1.0]), 100, np.zeros((1, 3))))
    sys.exit(0)


_MISBEHAVIOUR: dict[str, Callable[[Path], None]] = {
    "explode": _explode,
    "lost-atoms": _lose_atoms,
    "silent": _say_nothing,
    "killed": _be_killed,
    "nan": _write_nan,
}


if __name__ == "__main__":
    main()
