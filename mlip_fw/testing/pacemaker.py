"""A stand-in for pacemaker: ``pacemaker_cmd: python -m mlip_fw.testing.pacemaker --fail nan``.

It reads what mlip_fw wrote for pacemaker and does everything but fitting: the potential that it was to start
from comes out, and the errors in ``metrics.txt`` are true ones. Or it plays a failure, for ever, or with
``+ok`` after its name only at the first attempt. Nothing that it makes is a result.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pyace import ACEBBasisSet, BBasisConfiguration
from ruamel.yaml import YAML

from mlip_fw.engines.ace import AcePotential
from mlip_fw.engines.train.pacemaker.form import carried_over
from mlip_fw.engines.train.pacemaker.output import METRICS, OUTPUT

_COLUMNS = ("ladder_step", "cycle_step", "iter_num", "loss", "rmse_epa", "rmse_f_comp")
_MODULE = "ModuleNotFoundError: No module named 'tensorflow'"
_NUMPY = "TypeError: only 0-dimensional arrays can be converted to Python scalars"
_WORDS = {"no_tensorflow": _MODULE, "numpy": _NUMPY, "no_space": "OSError: [Errno 28] No space left on device"}
_METADATA = {"pacemaker_version": "0.4", "tensorpot_version": "0.6"}


def main() -> None:
    """Play pacemaker."""
    parser = argparse.ArgumentParser()
    parser.add_argument("input", type=Path)
    parser.add_argument("-ip", dest="initial")
    parser.add_argument("--no-predict", action="store_true")
    parser.add_argument("--fail", default="", help="no_tensorflow, numpy, no_space, nan, killed, crash, foreign, …")
    parser.add_argument("--step-s", type=float, default=0.0, help="time of one step, s")
    options = parser.parse_args()
    given: dict[str, Any] = YAML(typ="safe", pure=True).load(options.input)
    fate, _, until = options.fail.partition("+")
    if until == "ok" and list(Path().glob(f"attempt_*_{METRICS}")):
        fate = ""
    if fate in _WORDS:
        raise SystemExit(_WORDS[fate])
    _fit(given, _start(given, options.initial), fate, options.step_s)


def _start(given: dict[str, Any], initial: str | None) -> BBasisConfiguration:
    """Return where to start: with ``-ip`` the target, with the coefficients of the initial potential."""
    if initial is None:
        return BBasisConfiguration(given["potential"])
    begin, target = BBasisConfiguration(initial), BBasisConfiguration(given["potential"]["filename"])
    zero = ACEBBasisSet(target)
    zero.basis_coeffs = np.zeros(len(zero.basis_coeffs))
    whole, kept = zero.to_BBasisConfiguration(), carried_over(begin, target)
    known = {block.block_name: {str(f): f for f in block.funcspecs} for block in kept.funcspecs_blocks}
    assert known
    return whole


def _fit(given: dict[str, Any], potential: BBasisConfiguration, fate: str, step_s: float) -> None:
    energy, force = _errors(potential, given["data"]["filename"])
    loss = energy**2 + force**2
    with Path(METRICS).open("w") as table:
        table.write(" ".join(_COLUMNS) + "\n")
        for step in range(given["fit"]["maxiter"] + 1):
            value = {"nan": float("nan"), "diverge": loss * 2**step}.get(fate, loss)
            table.write(f"0 0 {step} {value} {energy} {force * (2 if fate == 'foreign' else 1)}\n")
            table.flush()
            potential.save("interim_potential_0.yaml")
            time.sleep(step_s)
            if fate in ("killed", "memory") and step == 1:
                os.kill(os.getpid(), signal.SIGKILL)
    if fate == "crash":
        raise SystemExit("KeyError: 'who knows'")
    if fate != "silent":
        potential.metadata = _METADATA
        potential.save(OUTPUT)


def _errors(potential: BBasisConfiguration, frame: str) -> tuple[float, float]:
    """Return the errors of energy (eV/atom) and force (eV/Å) over the labels that mlip_fw wrote."""
    ace, energies, forces = AcePotential(ACEBBasisSet(potential)), [], []
    for _, row in pd.read_pickle(frame, compression="gzip").iterrows():
        answer = ace.evaluate(row["ase_atoms"], gamma=False)
        energies.append((answer.energy_ev - row["energy"]) / len(row["ase_atoms"]))
        forces.append((answer.forces_ev_a - row["forces"]).reshape(-1))
    return float(np.sqrt(np.mean(np.square(energies)))), float(np.sqrt(np.mean(np.concatenate(forces) ** 2)))


if __name__ == "__main__":
    main()
    sys.stdout.flush()
