"""A worker, an oracle and a structure for the stand-in of VASP, and the cases that are recorded of it."""

import sys

from ase.build import bulk

from mlip_fw.models.oracle import VaspOracle
from mlip_fw.models.worker import Worker

CASES = ("converged", "unconverged", "brmix", "too-few-bands", "zpotrf", "memory", "killed")
"""Folders of ``tests/data/vasp``."""
POTCARS = {"Cu_pv": 17, "Au": 11}


def worker(options="", **env):
    return Worker(vasp_cmd=f"{sys.executable} -m mlip_fw.testing.vasp {options}", **env)


def oracle(**settings):
    return VaspOracle(kind="vasp", kpoint_spacing_1_a=0.5, **settings)


def alloy():
    """Return a crystal whose species alternate, so that sorting them moves every atom but one."""
    atoms = bulk("Cu", cubic=True)
    atoms.symbols[[0, 2]] = "Au"
    atoms.rattle(0.1, seed=1)
    return atoms
