"""What a label costs, roughly: enough to compare candidates of one campaign."""

from __future__ import annotations

import math

from ase import Atoms

from mlip_fw.io.kpoints import kpoint_grid
from mlip_fw.models.oracle import AseOracle, Oracle


def label_cost(atoms: Atoms, oracle: Oracle) -> float:
    """Return the cost of labelling ``atoms``, in units that are the same for all structures of one oracle.

    Notes
    -----
    For each k-point a plane-wave code applies the Hamiltonian (bands × plane waves) and orthogonalises
    (bands² × plane waves). Bands grow with the atoms and plane waves with the volume, so vacuum is paid
    for too. The power 1.5 of the atoms lies between: pw.x 6.7 on aluminium took 4.6 times the processor
    time when 16 atoms became 32, and 6.1 times when those became 64. A calculator of ASE is taken to cost
    the same for every atom.
    """
    if isinstance(oracle, AseOracle):
        return float(len(atoms))
    return float(n_kpoints(atoms, oracle.kpoint_spacing_1_a) * len(atoms) ** 1.5 * atoms.get_volume())


def n_kpoints(atoms: Atoms, spacing_1_a: float | None) -> int:
    """Return the number of k-points of a Γ-centred mesh, k and −k counted once; other symmetry is not used."""
    mesh = kpoint_grid(atoms.cell.array, spacing_1_a) or (1, 1, 1)
    their_own_negative = math.prod(2 - n % 2 for n in mesh)
    return (math.prod(mesh) + their_own_negative) // 2
