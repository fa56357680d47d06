"""Atoms that stay where they are in MD: groups, held components, velocities and degrees of freedom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from ase.calculators.lammps import Prism

_AXES = "xyz"
_IDS_PER_LINE = 40
TRUE_FORCE = "true_force"
TEMPERATURE = "mobile_temp"


@dataclass(frozen=True)
class FixedAtoms:
    """Which atoms LAMMPS is to leave where they are, and along which axes others stay."""

    whole: tuple[str, ...]
    """Ids, or ranges of ids, of atoms that do not move at all."""
    along: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
    """Those of the other atoms that do not move along x, y, z."""
    lost: int
    """Degrees of freedom that the atoms which move at all lack: held components, and the total momentum along
    axes where nothing is held."""

    @classmethod
    def of(cls, fixed: np.ndarray) -> FixedAtoms:
        """Return it for (n, 3) of bool, True where a component of an atom stays."""
        whole = np.asarray(fixed.all(axis=1))
        held = fixed & ~whole[:, None]
        x, y, z = (_ids(held[:, axis]) for axis in range(3))
        return cls(_ids(whole), (x, y, z), int(held.sum() + _conserved(fixed).sum()))

    @property
    def holds_components(self) -> bool:
        """Whether some atoms move, but not along all axes."""
        return any(self.along)

    def groups(self) -> list[str]:
        """Return the commands that make the groups and the temperature of what moves."""
        held = (("fixed_" + axis, ids) for axis, ids in zip(_AXES, self.along, strict=True))
        return [
            *_group("fixed", self.whole),
            *(line for name, ids in held for line in _group(name, ids)),
            "group mobile subtract all fixed" if self.whole else "group mobile union all",
            f"compute {TEMPERATURE} mobile temp",
            f"compute_modify {TEMPERATURE} extra/dof {self.lost}",
        ]

    def holds(self) -> list[str]:
        """Return the commands that hold what is fixed; they come after the force field's, and keep its forces."""
        zeros = ("0.0 NULL NULL", "NULL 0.0 NULL", "NULL NULL 0.0")
        held = [(axis, zero) for axis, ids, zero in zip(_AXES, self.along, zeros, strict=True) if ids]
        return [
            *([f"fix {TRUE_FORCE} all store/force"] if held else []),
            *(f"fix hold_{axis} fixed_{axis} setforce {zero}" for axis, zero in held),
            *(["velocity fixed set 0.0 0.0 0.0"] if self.whole else []),
            *(f"velocity fixed_{axis} set {zero}" for axis, zero in held),
        ]


def temperature_of(atoms: Atoms, fixed: np.ndarray | None) -> float:
    """Return the temperature (K) of the velocities of ``atoms`` as LAMMPS counts degrees of freedom."""
    held = np.zeros((len(atoms), 3), dtype=bool) if fixed is None else fixed
    freedom = int((~held).sum() - _conserved(held).sum())
    speeds = _velocities(atoms)
    energy = 0.5 * float((atoms.get_masses()[:, None] * np.where(held, 0.0, speeds) ** 2).sum())
    return 2 * energy / (freedom * units.kB) if freedom > 0 else 0.0


def draw_velocities(atoms: Atoms, fixed: np.ndarray, temperature_k: float, seed: int) -> None:
    """Give ``atoms`` velocities of exactly ``temperature_k``, none along what is ``fixed``.

    Along an axis where nothing is fixed the total momentum is zero.
    """
    masses = atoms.get_masses()[:, None]
    drawn = np.random.default_rng(seed).normal(size=(len(atoms), 3)) / np.sqrt(masses)
    drawn = np.where(fixed, 0.0, drawn)
    drawn -= np.where(_conserved(fixed), (masses * drawn).sum(axis=0) / masses.sum(), 0.0)
    _set_velocities(atoms, drawn)
    _set_velocities(atoms, drawn * np.sqrt(temperature_k / temperature_of(atoms, fixed)))


def _conserved(fixed: np.ndarray) -> np.ndarray:
    """Return (3,) of bool: the axes along which the total momentum of the atoms is conserved."""
    return np.asarray(~fixed.any(axis=0))


def _velocities(atoms: Atoms) -> np.ndarray:
    return np.asarray(Prism(atoms.cell.array).vector_to_lammps(atoms.get_velocities()))


def _set_velocities(atoms: Atoms, velocities: np.ndarray) -> None:
    atoms.set_velocities(Prism(atoms.cell.array).vector_to_ase(velocities))


def _ids(chosen: np.ndarray) -> tuple[str, ...]:
    """Return the ids, from 1, of the chosen atoms, neighbours as a range."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], chosen.astype(int), [0]])))
    return tuple(str(a + 1) if b == a + 1 else f"{a + 1}:{b}" for a, b in edges.reshape(-1, 2).tolist())


def _group(name: str, ids: tuple[str, ...]) -> list[str]:
    lines = [ids[k : k + _IDS_PER_LINE] for k in range(0, len(ids), _IDS_PER_LINE)]
    return [f"group {name} id {' '.join(line)}" for line in lines]
