"""What the stand-in for pacemaker says of a potential and labels: the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pyace import ACEBBasisSet, BBasisConfiguration

from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.train.pacemaker.form import changed, name_of


def completed(potential: Any, initial: Path | None) -> BBasisConfiguration:
    """Return where a fit starts: with ``-ip`` the target's functions, those of the initial potential as they are."""
    if initial is None:
        return BBasisConfiguration(potential)
    begin, target = BBasisConfiguration(str(initial)), BBasisConfiguration(potential["filename"])
    known = {(b.block_name, *name_of(f)): f.coeffs for b in begin.funcspecs_blocks for f in b.funcspecs}

    def change(block: Any) -> None:
        functions = [function.copy() for function in block.funcspecs]
        for function in functions:
            function.coeffs = known.get((block.block_name, *name_of(function)), [0.0] * len(function.coeffs))
        block.funcspecs = functions

    return changed(target, change)


def errors_of(potential: BBasisConfiguration, frame: str) -> tuple[float, float]:
    """Return the errors of energy (eV/atom) and force (eV/Å) over the labels that mlip_fw wrote."""
    ace, energies, forces = AcePotential(ACEBBasisSet(potential)), [], []
    for _, row in pd.read_pickle(frame, compression="gzip").iterrows():
        answer = ace.evaluate(row["ase_atoms"], gamma=False)
        energies.append((answer.energy_ev - row["energy"]) / len(row["ase_atoms"]))
        forces.append((answer.forces_ev_a - row["forces"]).reshape(-1))
    return float(np.sqrt(np.mean(np.square(energies)))), float(np.sqrt(np.mean(np.concatenate(forces) ** 2)))
