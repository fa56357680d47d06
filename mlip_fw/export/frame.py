"""The dataset in the format of pacemaker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from ase import Atoms

from mlip_fw.io.files import atomic_file
from mlip_fw.io.structures import atoms_with_forces, mask_of


def pacemaker_frame(frames: list[Atoms], reference_energy_ev: dict[str, float]) -> pd.DataFrame:
    """Return labelled structures as a table for ``pacemaker``.

    Atoms that are masked out have no weight, and neither has the energy of a structure with such atoms; of atoms whose
    force is not known, the force alone has none;
    all others weigh the same. The weights of each kind add up to 1, as pacemaker's own do.

    Parameters
    ----------
    reference_energy_ev
        Energy of each element that ``energy_corrected`` leaves out.
    """
    whole = np.array([float(mask_of(atoms).all()) for atoms in frames])
    known = [atoms_with_forces(atoms) for atoms in frames]
    n_trained = sum(int(these.sum()) for these in known)
    energies = [float(atoms.get_potential_energy()) for atoms in frames]
    free = [sum(reference_energy_ev.get(s, 0.0) for s in atoms.get_chemical_symbols()) for atoms in frames]
    return pd.DataFrame(
        {
            "ase_atoms": [Atoms(a.numbers, a.positions, cell=a.cell, pbc=a.pbc) for a in frames],
            "energy": energies,
            "energy_corrected": np.subtract(energies, free),
            "forces": [atoms.get_forces() for atoms in frames],
            "w_energy": whole / max(1.0, whole.sum()),
            "w_forces": [these / max(1, n_trained) for these in known],
        }
    )


def write_pacemaker_frame(path: Path, frames: list[Atoms], reference_energy_ev: dict[str, float]) -> None:
    """Write the table of :func:`pacemaker_frame`, a gzipped pickle, in one step."""
    with atomic_file(path) as temporary:
        pacemaker_frame(frames, reference_energy_ev).to_pickle(temporary, compression="gzip", protocol=4)
