"""Structures that several tests look at, and the plan of an MD run."""

import functools
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.geometry import find_mic

from mlip_fw.engines.md import script
from mlip_fw.models.md import Stage

PLAN = script.RunPlan(
    title="test",
    elements=("Au", "Cu"),
    cutoff_a=5.0,
    potential=Path("/c/gen_0000/potential.yaml"),
    start=Path("/c/start.data"),
    is_restart=False,
    velocity_seed=12,
    stage=Stage(ensemble="npt", temperature_k=[300, 900], pressure_bar=[0, 1000], n_steps=1000),
    stage_first_step=500,
    stage_last_step=1500,
    first_step=500,
    timestep_fs=2.0,
    gamma_halt=5.0,
    check_interval=10,
)


@functools.cache
def disordered():
    """Spheres of 2 Å, each moved at random again and again."""
    rng, atoms = np.random.default_rng(4), bulk("Cu", cubic=True, a=3.8) * (5, 5, 5)
    positions, edge = atoms.positions.copy(), atoms.cell[0, 0]
    for k in np.tile(np.arange(len(atoms)), 60):
        there = positions[k] + rng.normal(scale=0.5, size=3)
        d = positions - there
        squared = ((d - edge * np.round(d / edge)) ** 2).sum(axis=1)
        squared[k] = np.inf
        if squared.min() > 4.0:
            positions[k] = there
    return Atoms(atoms.numbers, positions, cell=atoms.cell, pbc=True)


def liquid():
    return disordered().copy()


def alloy_cell(seed, repeat=(2, 2, 2), rattle=0.08):
    """Return a random, rattled, triclinic Cu-Au cell."""
    rng = np.random.default_rng(seed)
    atoms = bulk("Cu", cubic=True, a=3.8) * repeat
    atoms.symbols[rng.permutation(len(atoms))[: len(atoms) // 3]] = "Au"
    shear = np.array([[0, 0, 0], [0.12, 0, 0], [-0.07, 0.09, 0]])
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + shear), scale_atoms=True)
    atoms.positions += rng.normal(scale=rattle, size=atoms.positions.shape)
    return atoms


def apart(one, other):
    """Return how far the atoms of two last frames are apart; into which cell LAMMPS wraps them does not matter."""
    return find_mic(one.frame.positions - other.frame.positions, one.frame.cell)[1]
