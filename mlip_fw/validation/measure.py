"""Properties of a crystal from any source of energies and forces, computed by ASE, pymatgen and phonopy."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.build import surface
from ase.eos import EquationOfState

from mlip_fw.validation.crystal import Crystal
from mlip_fw.validation.sources import Source, UnmeasurableError, energies, stress_of

_STRAINS = np.linspace(-0.02, 0.02, 7)
_ROUNDS = 4
_CENTRED = 0.01
_ELASTIC_STRAIN = 0.01
_DISPLACEMENT_A = 0.03
_LAYERS_A = 10.0
_VACUUM_A = 10.0
_BAND_POINTS = 101
_DECIMALS = 4


@dataclass(frozen=True)
class StateEquation:
    """Energy against volume, and its minimum."""

    scale: float
    """Lengths at the minimum, in units of the crystal's."""
    volume_a3: float
    """Per atom."""
    bulk_modulus_gpa: float
    volumes_a3: np.ndarray
    """(7,) per atom."""
    energies_ev: np.ndarray
    """(7,) per atom, above the lowest."""


def equation_of_state(source: Source, crystal: Crystal) -> StateEquation:
    """Scale the cell by up to 2 % around its minimum and fit Birch and Murnaghan's equation.

    Shape and fractional coordinates stay what they are.

    Raises
    ------
    UnmeasurableError
        If there is no minimum near the crystal.
    """
    centre = 1.0
    for _ in range(_ROUNDS):
        scales = np.round(centre * (1 + _STRAINS), 6)
        frames = source.label([crystal.cell(scale) for scale in scales])
        n = len(frames[0])
        volumes, levels = np.array([atoms.get_volume() for atoms in frames]) / n, energies(frames) / n
        minimum, modulus = _fit(volumes, levels)
        scale = float(scales[3] * (minimum / volumes[3]) ** (1 / 3))
        if abs(scale / centre - 1) < _CENTRED:
            return StateEquation(scale, minimum, modulus, volumes, levels - levels.min())
        centre = round(scale, 3)
    raise UnmeasurableError("no minimum of the energy near this crystal")


def _fit(volumes: np.ndarray, levels: np.ndarray) -> tuple[float, float]:
    """Return volume and bulk modulus (GPa) of the minimum; outside of what was measured, the lowest of the ends."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            minimum, _, modulus = EquationOfState(volumes, levels, eos="birchmurnaghan").fit()
    except (ValueError, RuntimeError):
        minimum, modulus = np.nan, np.nan
    if np.isfinite(minimum) and volumes[0] <= minimum <= volumes[-1]:
        return float(minimum), float(modulus / units.GPa)
    return float(volumes[0] if levels[0] < levels[-1] else volumes[-1]), 0.0


def elastic(source: Source, crystal: Crystal, scale: float) -> dict[str, float]:
    """Return elastic constants in GPa from the stress of strained cells, atoms held in place.

    Parameters
    ----------
    scale
        Of the crystal at its minimum, by the same source.
    """
    from pymatgen.analysis.elasticity.elastic import ElasticTensor
    from pymatgen.analysis.elasticity.strain import Strain
    from pymatgen.analysis.elasticity.stress import Stress
    from pymatgen.core.tensors import symmetry_reduce
    from pymatgen.io.ase import AseAtomsAdaptor

    unit = AseAtomsAdaptor.get_structure(crystal.scaled_unit(scale))
    wanted = [sign * _ELASTIC_STRAIN * column for column in np.diag([1, 1, 1, 2, 2, 2]) for sign in (-1, 1)]
    alike = symmetry_reduce([Strain.from_voigt(voigt) for voigt in wanted], unit)
    reduced: list[tuple[Any, list[Any]]] = list(alike.items())  # type: ignore[no-untyped-call]
    cell = crystal.cell(scale)
    frames = source.label([cell, *(_strained(cell, np.array(strain)) for strain, _ in reduced)])
    strains, stresses = [], []
    for (strain, operations), atoms in zip(reduced, frames[1:], strict=True):
        stress = Stress(_gpa(atoms) - _gpa(frames[0]))
        strains += [strain, *(strain.transform(operation) for operation in operations)]
        stresses += [stress, *(stress.transform(operation) for operation in operations)]
    with _quiet():
        tensor = ElasticTensor.from_pseudoinverse(strains, stresses).fit_to_structure(unit)
    c = np.asarray(tensor.voigt)
    named = {f"C{i + 1}{j + 1}": float(c[i, j]) for i in range(6) for j in range(i, 6)}
    large = {name: value for name, value in named.items() if abs(value) > 1e-3 * np.abs(c).max()}
    return {**_distinct(large), "bulk modulus, of stresses": float(tensor.k_vrh), "shear modulus": float(tensor.g_vrh)}


def _distinct(constants: dict[str, float]) -> dict[str, float]:
    """Leave out what symmetry makes equal to a constant named before."""
    kept: dict[str, float] = {}
    for name, value in constants.items():
        if not any(np.isclose(value, other, rtol=1e-6) for other in kept.values()):
            kept[name] = value
    return kept


def _strained(cell: Atoms, strain: np.ndarray) -> Atoms:
    atoms = cell.copy()
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return atoms


def _gpa(atoms: Atoms) -> np.ndarray:
    xx, yy, zz, yz, xz, xy = stress_of(atoms) / units.GPa
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


@dataclass(frozen=True)
class Bands:
    """Phonons along a path."""

    gamma_thz: np.ndarray
    """(n,) at Γ."""
    path: np.ndarray
    """(m,) distance along the path."""
    frequencies_thz: np.ndarray
    """(m, n) imaginary ones are negative."""
    ticks: list[tuple[float, str]]
    """Where the special points are."""


def phonons(source: Source, crystal: Crystal, scale: float) -> Bands:
    """Return phonon frequencies of the primitive cell from displaced atoms, by phonopy."""
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    unit = crystal.scaled_unit(scale)
    plain = PhonopyAtoms(
        symbols=unit.get_chemical_symbols(), cell=unit.cell.array, scaled_positions=unit.get_scaled_positions()
    )
    with _quiet():
        phonon = Phonopy(plain, supercell_matrix=np.diag(crystal.repeat), primitive_matrix="auto")
        phonon.generate_displacements(distance=_DISPLACEMENT_A)
    frames = source.label([_atoms(cell) for cell in phonon.supercells_with_displacements])
    with _quiet():
        phonon.forces = [atoms.get_forces() for atoms in frames]
        phonon.produce_force_constants()
        phonon.symmetrize_force_constants()
        path = _atoms(phonon.primitive).cell.bandpath(npoints=_BAND_POINTS)
        distances, places, labels = path.get_linear_kpoint_axis()
        frequencies = np.array([phonon.get_frequencies(q) for q in path.kpts])
        at_gamma = np.asarray(phonon.get_frequencies([0, 0, 0]))
    # what is less is rounding: three of them are 0 at Γ
    at_gamma, frequencies = np.round(at_gamma, _DECIMALS) + 0.0, np.round(frequencies, _DECIMALS) + 0.0
    return Bands(at_gamma, distances, frequencies, list(zip(map(float, places), labels, strict=True)))


def _atoms(cell: object) -> Atoms:
    return Atoms(cell.symbols, scaled_positions=cell.scaled_positions, cell=cell.cell, pbc=True)  # type: ignore[attr-defined]


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def vacancy_cells(cell: Atoms) -> list[Atoms]:
    """Return the perfect cell and the same without one atom, to be relaxed."""
    broken = cell.copy()
    del broken[0]
    return [cell, broken]


def vacancy_energy_ev(source: Source, cells: list[Atoms]) -> float:
    """Return the vacancy formation energy of an elemental crystal, eV."""
    perfect, broken = energies(source.label(cells))
    n = len(cells[0])
    return float(broken - perfect * (n - 1) / n)


def slab_cells(crystal: Crystal, scale: float, miller: list[int]) -> list[Atoms]:
    """Return the perfect cell and a slab at least 10 Å thick with as much vacuum."""
    unit = crystal.scaled_unit(scale)
    thin = surface(unit, tuple(miller), 1, periodic=True)
    layers = int(np.ceil(_LAYERS_A / thin.cell.array[2, 2]))
    slab = surface(unit, tuple(miller), layers, vacuum=_VACUUM_A / 2, periodic=True)
    slab.pbc = True
    return [crystal.cell(scale), slab]


def surface_energy_j_m2(source: Source, cells: list[Atoms]) -> float:
    """Return the energy of one unrelaxed surface, J/m²."""
    perfect, slab = energies(source.label(cells))
    area = float(np.linalg.norm(np.cross(*cells[1].cell.array[:2])))
    energy = slab - perfect * len(cells[1]) / len(cells[0])
    return float(energy / (2 * area) * units.m**2 / units.J)
