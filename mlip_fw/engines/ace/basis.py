"""Basis of the potential: ACE basis functions, and the repulsion of atomic cores (ZBL)."""

from __future__ import annotations

import hashlib
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from pyace import ACEBBasisSet, BBasisConfiguration, create_multispecies_basis_config

from mlip_fw.errors import TrainingError
from mlip_fw.models.base import RadialName

_CORE_FRACTION = 0.6
CORE_WIDTH_A = 0.2
"""Width of the range below the core radius in which all but the core repulsion is switched off, Å."""
_BOND = 2
"""Blocks of one and of two elements hold radial functions; those of more elements use them."""
_COULOMB_EV_A = 14.399645
_BOHR_A = 0.529177
_ZBL = ((0.18175, 3.19980), (0.50986, 0.94229), (0.28022, 0.40290), (0.02817, 0.20162))
"""(weight, decay) of the terms of the universal screening function."""
_FUNCTIONS = {
    "UNARY": {"nradmax_by_orders": [15, 6, 4, 3, 2], "lmax_by_orders": [0, 4, 3, 2, 1]},
    "BINARY": {"nradmax_by_orders": [15, 6, 3, 2, 1], "lmax_by_orders": [0, 3, 2, 1, 1]},
    "TERNARY": {"nradmax_by_orders": [15, 3, 2, 1], "lmax_by_orders": [0, 2, 2, 1]},
    "ALL": {"nradmax_by_orders": [15, 3, 2, 1], "lmax_by_orders": [0, 2, 2, 1]},
}


def core_radius_a(first: str, second: str) -> float:
    """Return the distance below which the cores of two elements repel, Å."""
    radii = [covalent_radii[atomic_numbers[name]] for name in (first, second)]
    return float(_CORE_FRACTION * sum(radii))


def zbl_ev(first: str, second: str, distance_a: float) -> float:
    """Return the screened Coulomb repulsion of two nuclei (Ziegler, Biersack and Littmark, 1985), eV."""
    charges = [atomic_numbers[name] for name in (first, second)]
    reduced = distance_a * sum(z**0.23 for z in charges) / (0.8854 * _BOHR_A)
    screening = sum(weight * math.exp(-decay * reduced) for weight, decay in _ZBL)
    return float(_COULOMB_EV_A * charges[0] * charges[1] / distance_a * screening)


def core_repulsion(first: str, second: str) -> tuple[float, float]:
    """Return (prefactor, lambda) of a pair's core repulsion, 2 · prefactor · exp(-lambda r²) / r.

    The two parameters make it equal to the ZBL repulsion at the core radius and at half of it.
    """
    outer = core_radius_a(first, second)
    near, far = (r * zbl_ev(first, second, r) / 2 for r in (outer / 2, outer))
    decay = math.log(near / far) / (0.75 * outer**2)
    return far * math.exp(decay * outer**2), decay


@dataclass(frozen=True)
class Radials:
    """Radial functions of all pairs of elements: their family, its parameter and the cutoff."""

    name: RadialName = "SBessel"
    decay: float = 5.25
    """λ of ChebExpCos and ChebPow: how strongly they resolve short distances; SBessel has no parameter."""
    cutoff_a: float = 6.0

    @classmethod
    def of(cls, basis: ACEBBasisSet) -> Radials:
        """Return those of a basis; of pairs that differ, those of the pair with the largest cutoff."""
        bond = max(basis.map_bond_specifications.values(), key=lambda bond: float(bond.rcut))
        return cls(str(bond.radbasename), float(bond.radparameters[0]), float(bond.rcut))  # type: ignore[arg-type]

    def __str__(self) -> str:
        parameter = "" if self.name == "SBessel" else f" (λ {self.decay:g})"
        return f"{self.name}{parameter}, {self.cutoff_a:g} Å"


def linear_basis(
    elements: list[str],
    cutoff_a: float,
    functions_per_element: int,
    name: RadialName = "SBessel",
    decay: float = 5.25,
) -> ACEBBasisSet:
    """Return a basis that is linear in its coefficients, all of them zero.

    Parameters
    ----------
    elements
        Chemical symbols.
    cutoff_a
        Radial cutoff, Å.
    functions_per_element
        Requested number of functions; limits on radial and angular indices may allow fewer. The functions of a smaller
        basis are among those of a larger one.
    name, decay
        Radial functions and their parameter λ, see :class:`Radials`.

    Raises
    ------
    TrainingError
        If pyace can't make such a basis.

    Notes
    -----
    The keys are those of pacemaker's ``potential`` section (pacemaker.readthedocs.io). Core
    repulsion acts only below :func:`core_radius_a`, where no MD of condensed matter goes.
    """
    radials = Radials(name, decay, cutoff_a)
    config = {
        "deltaSplineBins": 0.001,
        "elements": elements,
        "embeddings": {
            "ALL": {
                "npot": "FinnisSinclairShiftedScaled",
                "fs_parameters": [1, 1],
                "ndensity": 1,
                "rho_core_cut": 200000,
                "drho_core_cut": 250,
            }
        },
        "bonds": {"ALL": _bond(radials, 0.0, (0.0, 1.0)), **_pairs(elements, radials)},
        "functions": {"number_of_functions_per_element": functions_per_element, **_FUNCTIONS},
    }
    try:
        basis = ACEBBasisSet(create_multispecies_basis_config(config))
    except Exception as error:
        raise TrainingError(
            f"pyace made no basis of {functions_per_element} functions for {', '.join(elements)}: {error}"
        ) from error
    basis.basis_coeffs = np.zeros(len(basis.basis_coeffs))
    return basis


def with_radials(basis: ACEBBasisSet, radials: Radials) -> ACEBBasisSet:
    """Return a basis of the same functions with other radial functions, in a tenth of the time of a new one."""
    config: BBasisConfiguration = basis.to_BBasisConfiguration()
    # pyace hands out copies of blocks, so they are put back
    blocks = [block.copy() for block in config.funcspecs_blocks]
    for block in blocks:
        if block.number_of_species <= _BOND:
            block.rcutij, block.radbase, block.radparameters = radials.cutoff_a, radials.name, [radials.decay]
    config.funcspecs_blocks = blocks
    changed = ACEBBasisSet(config)
    changed.basis_coeffs = np.zeros(len(changed.basis_coeffs))
    return changed


def require_linear(basis: ACEBBasisSet, source: str) -> None:
    """Refuse a potential whose energy is not linear in its coefficients."""
    for embedding in basis.map_embedding_specifications.values():
        exponents = list(embedding.FS_parameters)
        if embedding.ndensity != 1 or exponents[:2] != [1, 1]:
            raise TrainingError(
                f"{source} is not linear (ndensity {embedding.ndensity}, fs_parameters {exponents}); "
                "the linear trainer can go on only from a potential with ndensity 1 and fs_parameters [1, 1]"
            )


def copy_of(basis: ACEBBasisSet, coefficients: np.ndarray) -> ACEBBasisSet:
    """Return a basis of the same functions with other ``coefficients`` (n_functions,)."""
    config: BBasisConfiguration = basis.to_BBasisConfiguration()
    copy = ACEBBasisSet(config)
    copy.basis_coeffs = np.asarray(coefficients, dtype=float)
    return copy


Name = tuple[object, ...]
"""Elements, n, l and L of a function, which identify it in bases of all sizes."""


def names_of(basis: ACEBBasisSet) -> list[Name]:
    """Return what identifies each function, in the order of the coefficients."""
    return [
        (function.mu0, tuple(function.mus), tuple(function.ns), tuple(function.ls), tuple(function.LS))
        for first, rest in zip(basis.basis_rank1, basis.basis, strict=True)
        for function in [*first, *rest]
    ]


def fingerprint(basis: ACEBBasisSet) -> str:
    """Return a hash of the functions of a basis, independent of the coefficients: 12 hexadecimal digits."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "basis.yaml"
        copy_of(basis, np.zeros(len(basis.basis_coeffs))).save(str(path))
        return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def _bond(radials: Radials, core_a: float, repulsion: tuple[float, float]) -> dict[str, object]:
    return {
        "radbase": radials.name,
        "radparameters": [radials.decay],
        "rcut": radials.cutoff_a,
        "dcut": 0.01,
        "NameOfCutoffFunction": "cos",
        "core-repulsion": list(repulsion),
        "r_in": core_a,
        "delta_in": CORE_WIDTH_A,
        "inner_cutoff_type": "distance",
    }


def _pairs(elements: list[str], radials: Radials) -> dict[object, dict[str, object]]:
    pairs: dict[object, dict[str, object]] = {}
    for first in elements:
        for second in elements:
            key: object = first if first == second else (first, second)
            pairs[key] = _bond(radials, core_radius_a(first, second), core_repulsion(first, second))
    return pairs
