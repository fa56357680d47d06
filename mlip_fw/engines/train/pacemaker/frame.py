"""The labels as pacemaker reads them, with their weights.

Every label has a weight, however large its forces: pacemaker's own energy-based weights leave out structures of high
energy or force, and those are what the campaign looked for.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from ase import Atoms
from ase.neighborlist import neighbor_list
from pyace import ACEBBasisSet, BBasisConfiguration

from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.io.files import atomic_file
from mlip_fw.io.structures import atoms_with_forces, mask_of

logger = logging.getLogger("mlip_fw")


@dataclass(frozen=True)
class Row:
    """One label: its weights, and its targets without the energies of free atoms and of core repulsion."""

    atoms: Atoms
    energy_ev: float
    forces_ev_a: np.ndarray
    """(n_atoms, 3)"""
    energy_weight: float
    force_weights: np.ndarray
    """(n_atoms,)"""


def rows_of(frames: list[Atoms], energies_ev: dict[str, float], form: BBasisConfiguration) -> list[Row]:
    """Return the labels with targets and weights for pacemaker.

    Atoms outside of a label's mask have no weight, and neither has the energy of such a label. The same holds for atoms
    within each other's core, which pacemaker can't evaluate. Of an atom whose force is not known, only the force has
    no weight.

    Parameters
    ----------
    energies_ev
        Energies of free atoms by element, fixed once for the campaign.
    form
        A potential with the core repulsion.
    """
    bare = _bare(form)
    reaches = _reaches(form)
    rows = [_row(atoms, energies_ev, bare, reaches) for atoms in frames]
    lost = sum(
        int(np.sum(atoms_with_forces(atoms) & (row.force_weights == 0)))
        for atoms, row in zip(frames, rows, strict=True)
    )
    if lost:
        logger.warning("pacemaker: %d atoms weigh nothing, because they are within each other's core", lost)
    return rows


def kappa_of(rows: list[Row], energy_weight: float) -> float:
    """Return the share of forces in pacemaker's loss at which energies weigh as in a linear fit.

    Parameters
    ----------
    energy_weight
        Of an energy per atom (eV) against a force component (eV/Å), in that fit.
    """
    n_atoms = sum(float(row.force_weights.sum()) for row in rows)
    n_energies = sum(row.energy_weight for row in rows)
    return n_atoms / (n_atoms + energy_weight**2 * n_energies)


def loss_of(potential: AcePotential, rows: list[Row], kappa: float) -> float:
    """Return the loss that pacemaker minimises, without its regularisation, of a potential without core repulsion."""
    energy, force = 0.0, 0.0
    for row in rows:
        answer = potential.evaluate(row.atoms, gamma=False)
        energy += row.energy_weight * ((answer.energy_ev - row.energy_ev) / len(row.atoms)) ** 2
        force += float(row.force_weights @ ((answer.forces_ev_a - row.forces_ev_a) ** 2).sum(axis=1))
    n_energies, n_atoms = _totals(rows)
    return (1 - kappa) * energy / n_energies + kappa * force / n_atoms


def rmse_of(potential: AcePotential, rows: list[Row]) -> float:
    """Return the force RMSE (eV/Å) as pacemaker reports it: over the components of all atoms, whatever their weight."""
    squares = [((potential.evaluate(r.atoms, gamma=False).forces_ev_a - r.forces_ev_a) ** 2).reshape(-1) for r in rows]
    return float(np.sqrt(np.mean(np.concatenate(squares))))


def write_frame(path: Path, rows: list[Row]) -> None:
    """Write the labels as the compressed pickle that pacemaker reads; mlip_fw never reads one."""
    n_energies, n_atoms = _totals(rows)
    # pacemaker divides by the sum of all energy weights; where no energy counts, kappa is 1
    no_energy = 0.0 if any(row.energy_weight for row in rows) else 1.0
    table = pd.DataFrame(
        {
            "ase_atoms": [row.atoms for row in rows],
            "energy_corrected": [row.energy_ev for row in rows],
            "energy": [row.energy_ev for row in rows],
            "forces": [row.forces_ev_a for row in rows],
            "w_energy": [(row.energy_weight or no_energy) / n_energies for row in rows],
            "w_forces": [row.force_weights / n_atoms for row in rows],
        }
    )
    # names as pandas 3 keeps them are not readable for pandas 2, which pacemaker may have
    table.columns = table.columns.astype(object)
    with atomic_file(path) as temporary:
        table.to_pickle(temporary, compression="gzip", protocol=4)


def _totals(rows: list[Row]) -> tuple[float, float]:
    return (
        sum(row.energy_weight for row in rows) or 1.0,
        sum(float(row.force_weights.sum()) for row in rows) or 1.0,
    )


def _bare(form: BBasisConfiguration) -> AcePotential:
    """Return a potential of which only the core repulsion is left: all its coefficients are zero."""
    basis = ACEBBasisSet(form)
    basis.basis_coeffs = np.zeros(len(basis.basis_coeffs))
    return AcePotential(basis)


def _reaches(form: BBasisConfiguration) -> dict[tuple[str, str], float]:
    """Return the range of the core repulsion, Å, by pair of elements."""
    return {
        (names[0], names[-1]): float(block.r_in)
        for block in form.funcspecs_blocks
        if len(names := block.block_name.split()) <= 2 and block.r_in > 0
    }


def _row(atoms: Atoms, energies_ev: dict[str, float], bare: AcePotential, reaches: dict[tuple[str, str], float]) -> Row:
    cores = bare.evaluate(atoms, gamma=False)
    free = sum(energies_ev[symbol] for symbol in atoms.get_chemical_symbols())
    weights = atoms_with_forces(atoms).astype(float)
    counts = bool(mask_of(atoms).all())
    if reaches:
        in_cores = np.unique(neighbor_list("i", atoms, reaches))
        weights[in_cores] = 0.0
        counts = counts and not len(in_cores)
    return Row(
        atoms=Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True),
        energy_ev=float(atoms.get_potential_energy()) - free - cores.energy_ev,
        forces_ev_a=atoms.get_forces(apply_constraint=False) - cores.forces_ev_a,
        energy_weight=float(counts),
        force_weights=weights,
    )
