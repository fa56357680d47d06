"""Estimated cost of a label: enough to compare the candidates of one campaign."""

from __future__ import annotations

import math

from ase import Atoms

from mlip_fw.engines.oracle.backend import backend_of
from mlip_fw.io.kpoints import kpoint_grid
from mlip_fw.models.oracle import OracleSettings


def label_cost(atoms: Atoms, oracle: OracleSettings) -> float:
    """Return the cost of labelling ``atoms``, in units that are the same for all structures of one oracle."""
    return backend_of(oracle).cost(atoms, oracle)


def plane_wave_cost(atoms: Atoms, kpoint_spacing_1_a: float | None) -> float:
    """Return the cost of a plane-wave calculation: k-points × atoms^1.5 × volume.

    Notes
    -----
    For each k-point a plane-wave code applies the Hamiltonian (bands × plane waves) and orthogonalises
    (bands² × plane waves). Bands grow with the atoms and plane waves with the volume, so vacuum is paid
    for too. The power 1.5 of the atoms lies between: pw.x 6.7 on aluminium took 4.6 times the processor
    time when 16 atoms became 32, and 6.1 times when those became 64.
    """
    return float(n_kpoints(atoms, kpoint_spacing_1_a) * len(atoms) ** 1.5 * atoms.get_volume())


def n_kpoints(atoms: Atoms, spacing_1_a: float | None) -> int:
    """Return the number of k-points of a Γ-centred mesh, k and −k counted once; other symmetry is not used."""
    mesh = kpoint_grid(atoms.cell.array, spacing_1_a) or (1, 1, 1)
    their_own_negative = math.prod(2 - n % 2 for n in mesh)
    return (math.prod(mesh) + their_own_negative) // 2
