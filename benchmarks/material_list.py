"""The materials of `benchmarks/materials.py`: how each is built, what its campaign does, and what labels it.

Defaults are chosen on the materials of the set "choose" and judged on those of the set "judge". The sets have no
material in common; each has metals, an ionic and a molecular material.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Any, ClassVar, Literal

import numpy as np
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.mixing import SumCalculator
from ase.calculators.tip3p import TIP3P, angleHOH, rOH
from ase.io import read
from ase.md.langevin import Langevin
from ase.spacegroup import crystal

_EXAMPLES = Path(__file__).parent.parent / "examples" / "structures"
EMT = {"kind": "ase", "calculator": "emt"}
LJ = {"kind": "ase", "calculator": "lj", "parameters": {"sigma": 3.405, "epsilon": 0.01032, "rc": 8.5, "smooth": True}}
XTB = {"kind": "ase", "calculator": "tblite", "parameters": {"method": "GFN2-xTB", "verbosity": 0}}
CHGNET = {"kind": "ase", "calculator": "chgnet.model.dynamics:CHGNetCalculator"}
PW = {"kind": "espresso", "functional": "LDA", "scf_accuracy_ev_atom": 1e-6}


@dataclass(frozen=True)
class Material:
    """A material with the campaign that learns it."""

    name: str
    used_to: Literal["choose", "judge"]
    kind: Literal["metal", "covalent", "noble gas", "ionic", "molecular"]
    starts: Callable[[], list[Atoms]]
    """Start structures, one for each walker."""
    oracle: dict[str, Any]
    """Section ``oracle`` of the campaign file."""
    ramp_k: tuple[int, int]
    n_steps: int
    timestep_fs: float
    test_k: tuple[int, ...]
    """Temperatures of the MD from which the test's frames are taken."""
    frames_per_start: int = 4
    """Frames to test on, from each start and at each temperature."""
    tested_on: Literal["oracle", "potential"] = "oracle"
    """Whose MD gives those frames. That of the final potential, where MD by the oracle takes too long."""
    sections: dict[str, Any] = field(default_factory=dict)
    """Further sections of the campaign file; what is not said here has its default."""

    @property
    def missing(self) -> str | None:
        """What this machine lacks to label it; None if all is there."""
        if self.oracle["kind"] == "espresso":
            return None if which("pw.x") else "pw.x"
        package = {"tblite": "tblite", CHGNET["calculator"]: "chgnet"}.get(self.oracle["calculator"])
        return package if package is not None and find_spec(package) is None else None

    def campaign(self, seed: int, starts: list[str]) -> dict[str, Any]:
        """Return the campaign file, without anything that has a default.

        Parameters
        ----------
        starts
            Names of the files of the start structures.
        """
        elements = {symbol for atoms in self.starts() for symbol in atoms.get_chemical_symbols()}
        stage = {"ensemble": "nvt", "temperature_k": list(self.ramp_k), "n_steps": self.n_steps}
        md = {"engine": "embedded", "walkers": len(starts), "timestep_fs": self.timestep_fs, "stages": [stage]}
        head = {"campaign": self.name, "seed": seed, "elements": sorted(elements), "structure": {"files": starts}}
        return {**head, "md": md, "oracle": self.oracle, **self.sections}


def from_examples(*names: str) -> Callable[[], list[Atoms]]:
    """Return what reads start structures of the examples."""
    return lambda: [read(_EXAMPLES / f"{name}.extxyz") for name in names]


def repeated(*arguments: Any, times: int, **more: Any) -> Callable[[], list[Atoms]]:
    """Return what repeats a cell of :func:`ase.build.bulk`."""
    return lambda: [bulk(*arguments, **more) * (times, times, times)]


def solid_solution() -> list[Atoms]:
    """Return copper with a quarter of its atoms replaced by gold."""
    atoms = bulk("Cu", cubic=True, a=3.75) * (3, 3, 3)
    atoms.symbols[np.random.default_rng(3).permutation(len(atoms))[: len(atoms) // 4]] = "Au"
    return [atoms]


def spinel() -> list[Atoms]:
    """Return MgAl2O4, in which Mg has four neighbours and Al six."""
    sites = [(0.125, 0.125, 0.125), (0.5, 0.5, 0.5), (0.2623, 0.2623, 0.2623)]
    return [plain(crystal(["Mg", "Al", "O"], sites, spacegroup=227, setting=2, cellpar=[8.12] * 3 + [90] * 3))]


def benzene() -> list[Atoms]:
    """Return the orthorhombic crystal of benzene (Bacon et al., Proc. R. Soc. A 279, 98 (1964)), four molecules."""
    carbon = [(-0.0569, 0.1387, -0.0054), (-0.1335, 0.0460, 0.1264), (-0.0774, -0.0925, 0.1295)]
    hydrogen = [(-0.0976, 0.2447, -0.0177), (-0.2409, 0.0794, 0.2218), (-0.1371, -0.1631, 0.2312)]
    symbols, sites = ["C"] * 3 + ["H"] * 3, carbon + hydrogen
    return [plain(crystal(symbols, sites, spacegroup=61, cellpar=[7.39, 9.42, 6.81, 90, 90, 90]))]


def plain(atoms: Atoms) -> Atoms:
    """Return the atoms without what their builder noted beside them."""
    return Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)


class Springs(Calculator):
    """Springs O-H, O-H and H-H that hold the molecules of water together; TIP3P has forces between molecules only."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def calculate(self, atoms: Atoms | None = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        """Compute energy and forces; the atoms of a molecule lie together, whatever the cell."""
        super().calculate(atoms, properties, system_changes)
        forces, energy = np.zeros((len(self.atoms), 3)), 0.0
        lengths = (rOH, rOH, 2 * rOH * np.sin(np.radians(angleHOH / 2)))
        for (first, second), length, stiffness in zip(
            ((0, 1), (0, 2), (1, 2)), lengths, (45.0, 45.0, 15.0), strict=True
        ):
            apart = self.atoms.positions[second::3] - self.atoms.positions[first::3]
            distance = np.linalg.norm(apart, axis=1, keepdims=True)
            pull = stiffness * (distance - length) * apart / distance
            forces[first::3] += pull
            forces[second::3] -= pull
            energy += 0.5 * stiffness * float(np.sum((distance - length) ** 2))
        self.results = {"energy": energy, "forces": forces}


@cache
def _water(n: int, n_steps: int) -> Atoms:
    """Return ``n`` molecules of water at 1 g/cm³, as TIP3P molecules with springs leave them after MD at 300 K."""
    length, rng = (18.015 * n / 0.6022) ** (1 / 3), np.random.default_rng(1)
    per_side = int(np.ceil(n ** (1 / 3)))
    atoms = Atoms(cell=[length] * 3, pbc=True)
    for site in np.ndindex(per_side, per_side, per_side):
        if len(atoms) == 3 * n:
            break
        one = molecule("H2O")
        one.set_distance(0, 1, rOH, fix=0)
        one.set_distance(0, 2, rOH, fix=0)
        one.set_angle(1, 0, 2, angleHOH)
        one.euler_rotate(*rng.uniform(0, 360, 3), center="COM")
        one.translate(np.array(site) * length / per_side - one.get_center_of_mass())
        atoms += one
    atoms.calc = SumCalculator([TIP3P(rc=0.499 * length), Springs()])
    Langevin(atoms, 0.5 * units.fs, temperature_K=300, friction=0.02 / units.fs, rng=rng).run(n_steps)
    return plain(atoms)


def water() -> list[Atoms]:
    """Return 32 molecules of the liquid."""
    return [_water(32, 1000).copy()]


def _material(*arguments: Any, **more: Any) -> tuple[str, Material]:
    return arguments[0], Material(*arguments, **more)


_HARD_TO_RUN = {"tested_on": "potential", "frames_per_start": 2}
MATERIALS: dict[str, Material] = dict(
    [
        _material(
            "cu",
            "choose",
            "metal",
            repeated("Cu", cubic=True, a=3.61, times=3),
            EMT,
            (300, 1600),
            2000,
            2.0,
            (300, 950, 1600),
        ),
        _material("cu-au", "choose", "metal", solid_solution, EMT, (300, 900), 2000, 2.0, (300, 600, 900)),
        _material(
            "argon",
            "choose",
            "noble gas",
            repeated("Ar", cubic=True, a=5.31, times=3),
            LJ,
            (20, 120),
            2000,
            4.0,
            (20, 70, 120),
        ),
        _material(
            "si",
            "choose",
            "covalent",
            repeated("Si", a=5.43, times=2),
            PW | {"ecutwfc_ry": 20.0, "smearing": "none", "kpoint_spacing_1_a": 0.6},
            (300, 900),
            1000,
            2.0,
            (300, 900),
            **_HARD_TO_RUN,
        ),
        _material(
            "nacl",
            "choose",
            "ionic",
            repeated("NaCl", "rocksalt", cubic=True, a=5.7, times=2),
            CHGNET,
            (300, 900),
            2000,
            2.0,
            (300, 600, 900),
            **_HARD_TO_RUN,
        ),
        _material(
            "benzene", "choose", "molecular", benzene, XTB, (100, 300), 2000, 0.5, (100, 200, 300), **_HARD_TO_RUN
        ),
        _material(
            "ag",
            "judge",
            "metal",
            repeated("Ag", cubic=True, a=4.09, times=3),
            EMT,
            (300, 1200),
            2000,
            2.0,
            (300, 750, 1200),
        ),
        _material(
            "ni-defects",
            "judge",
            "metal",
            from_examples("ni-crystal", "ni-vacancy", "ni-interstitial"),
            EMT,
            (300, 1000),
            500,
            2.0,
            (300, 1000),
            frames_per_start=2,
            sections={"bootstrap": {"n_structures": 3}},
        ),
        _material(
            "cu-surface", "judge", "metal", from_examples("cu-surface"), EMT, (300, 1000), 1000, 2.0, (300, 650, 1000)
        ),
        _material(
            "al",
            "judge",
            "metal",
            repeated("Al", a=4.0, times=3),
            PW | {"ecutwfc_ry": 15.0, "smearing_width_ev": 0.4, "kpoint_spacing_1_a": 0.5},
            (300, 900),
            1000,
            2.0,
            (300, 900),
            **_HARD_TO_RUN,
        ),
        _material(
            "mgo",
            "judge",
            "ionic",
            repeated("MgO", "rocksalt", cubic=True, a=4.21, times=2),
            CHGNET,
            (300, 1500),
            2000,
            1.0,
            (300, 900, 1500),
            tested_on="potential",
        ),
        _material("spinel", "judge", "ionic", spinel, CHGNET, (300, 1500), 2000, 1.0, (300, 900, 1500), **_HARD_TO_RUN),
        _material("water", "judge", "molecular", water, XTB, (300, 500), 4000, 0.5, (300, 400, 500), **_HARD_TO_RUN),
    ]
)
"""By name, the cheap ones of each set first."""
