"""Energy rows of a linear fit, with constant offsets per element of imported and own labels projected out.

Energies of imported labels (``bootstrap.dataset``) and of the campaign's own oracle may have different zeros: other
pseudopotentials, another code, energies of formation. Such offsets have nothing to do with forces, and a fit that had
to represent them would spoil the forces. So energy rows are stored with composition columns in front, separate for
imported and own labels; if the zeros differ, the offsets become free parameters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from mlip_fw.campaign.dataset import is_imported
from mlip_fw.engines.train.qr_update import add_rows


@dataclass(frozen=True)
class EnergyOffsets:
    """Triangular factor R of energy rows [composition if imported | composition if own | X | y], per atom."""

    r: np.ndarray
    """(2 n_elements + n + 1, the same) upper triangular."""
    n_elements: int

    @classmethod
    def empty(cls, n_functions: int, n_elements: int) -> EnergyOffsets:
        """Return the factor of no labels."""
        size = 2 * n_elements + n_functions + 1
        return cls(np.zeros((size, size)), n_elements)

    def with_energy(self, origin: np.ndarray, row: np.ndarray, target: float) -> EnergyOffsets:
        """Return the factor updated with row (n,), target and composition columns ``origin`` of one label."""
        return EnergyOffsets(add_rows(self.r, np.concatenate([origin, row, [target]])[None]), self.n_elements)


def origin_of(atoms: Atoms, elements: Sequence[str], *, is_imported: bool) -> np.ndarray:
    """Return (2 n_elements,) composition columns: atomic fractions, first half if imported, second half if own."""
    counts = Counter(atoms.get_chemical_symbols())
    fractions = np.array([counts[name] / len(atoms) for name in elements])
    nothing = np.zeros(len(elements))
    return np.concatenate([fractions, nothing] if is_imported else [nothing, fractions])


def project_out_offsets(folds: Sequence[EnergyOffsets]) -> tuple[list[np.ndarray], np.ndarray]:
    """Eliminate the offsets; return the factor (n + 1, n + 1) of each fold, and rows that all folds share.

    The factors are the parts of the folds that offsets do not act on. The sum of squared residuals of factors and
    shared rows is that at the optimal offsets.
    """
    heads, width = _heads(folds)
    constants = heads[:, :width]
    left = heads[:, width:] - constants @ (np.linalg.pinv(constants) @ heads[:, width:])
    return [fold.r[width:, width:] for fold in folds], left


def offsets_of(folds: Sequence[EnergyOffsets], coefficients: np.ndarray) -> np.ndarray:
    """Return (2, n_elements) optimal offsets of imported and own labels, eV per atom.

    Where compositions do not determine them, the difference between imported and own offsets is minimal.
    """
    heads, width = _heads(folds)
    left = heads[:, width:] @ np.append(-coefficients, 1.0)
    imported, own = heads[:, : width // 2], heads[:, width // 2 : width]
    common, more = np.split(np.linalg.pinv(np.hstack([imported + own, own])) @ left, 2)
    return np.array([common, common + more])


def has_two_origins(folds: Sequence[EnergyOffsets]) -> bool:
    """Return whether there are energies of imported and of own labels."""
    width = folds[0].n_elements
    return all(any(fold.r[:, part].any() for fold in folds) for part in (slice(0, width), slice(width, 2 * width)))


def on_common_zero(frames: Sequence[Atoms], imported_offset_ev: Mapping[str, float] | None) -> list[Atoms]:
    """Return the labels with offsets per element subtracted from energies of imported ones; None: no offsets."""
    return [
        _less(atoms, imported_offset_ev) if imported_offset_ev and is_imported(atoms) else atoms for atoms in frames
    ]


def _less(atoms: Atoms, offset_ev: Mapping[str, float]) -> Atoms:
    moved = atoms.copy()
    energy = atoms.get_potential_energy() - sum(offset_ev.get(symbol, 0.0) for symbol in atoms.get_chemical_symbols())
    moved.calc = SinglePointCalculator(moved, **{**atoms.calc.results, "energy": energy})
    return moved


def _heads(folds: Sequence[EnergyOffsets]) -> tuple[np.ndarray, int]:
    width = 2 * folds[0].n_elements
    return np.vstack([fold.r[:width] for fold in folds]), width
