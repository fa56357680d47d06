"""Energies in a linear fit, up to a constant per element for labels of each origin.

Labels that came with the campaign and those of its own oracle may be energies from another zero: other
pseudopotentials, another code, energies of formation. Such a constant says nothing of the forces, and a fit that had
to represent it would ruin them. So the rows of all energies are kept with the composition in front, that of imported
labels apart from that of own ones; where the zeros differ the constants are left free.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from mlip_fw.dataset import is_imported
from mlip_fw.engines.train.triangles import with_rows


@dataclass(frozen=True)
class Zeros:
    """R of the rows [composition of an imported label | of an own one | X | y] of energies per atom."""

    r: np.ndarray
    """(2 n_elements + n + 1, the same) upper triangular."""
    n_elements: int

    @classmethod
    def empty(cls, n_functions: int, n_elements: int) -> Zeros:
        """Return those of no labels."""
        size = 2 * n_elements + n_functions + 1
        return cls(np.zeros((size, size)), n_elements)

    def with_energy(self, origin: np.ndarray, row: np.ndarray, target: float) -> Zeros:
        """Fold in the row (n,) and target of one label, with its ``origin`` (2 n_elements,)."""
        return Zeros(with_rows(self.r, np.concatenate([origin, row, [target]])[None]), self.n_elements)


def origin_of(atoms: Atoms, elements: Sequence[str], *, is_imported: bool) -> np.ndarray:
    """Return (2 n_elements,) the fractions of the elements, at the places of imported or of own labels."""
    counts = Counter(atoms.get_chemical_symbols())
    fractions = np.array([counts[name] / len(atoms) for name in elements])
    nothing = np.zeros(len(elements))
    return np.concatenate([fractions, nothing] if is_imported else [nothing, fractions])


def without_zeros(folds: Sequence[Zeros]) -> tuple[list[np.ndarray], np.ndarray]:
    """Return of each fold the triangle (n + 1, n + 1) of what no constant can change, and what is left in common.

    The squares of residuals of all of it add up to the least that any constants leave.
    """
    heads, width = _heads(folds)
    constants = heads[:, :width]
    left = heads[:, width:] - constants @ (np.linalg.pinv(constants) @ heads[:, width:])
    return [fold.r[width:, width:] for fold in folds], left


def constants_of(folds: Sequence[Zeros], coefficients: np.ndarray) -> np.ndarray:
    """Return (2, n_elements) the constants that fit best what is left of the energies: imported, own; eV per atom.

    Where compositions leave a choice, those of own labels differ as little as possible from those of imported ones.
    """
    heads, width = _heads(folds)
    left = heads[:, width:] @ np.append(-coefficients, 1.0)
    imported, own = heads[:, : width // 2], heads[:, width // 2 : width]
    common, more = np.split(np.linalg.pinv(np.hstack([imported + own, own])) @ left, 2)
    return np.array([common, common + more])


def has_two_origins(folds: Sequence[Zeros]) -> bool:
    """Return whether there are energies of imported and of own labels."""
    width = folds[0].n_elements
    return all(any(fold.r[:, part].any() for fold in folds) for part in (slice(0, width), slice(width, 2 * width)))


def on_one_zero(frames: Sequence[Atoms], imported_offset_ev: Mapping[str, float] | None) -> list[Atoms]:
    """Return labels with the energies of imported ones less their offset by element; None: there is none."""
    return [
        _less(atoms, imported_offset_ev) if imported_offset_ev and is_imported(atoms) else atoms for atoms in frames
    ]


def _less(atoms: Atoms, offset_ev: Mapping[str, float]) -> Atoms:
    moved = atoms.copy()
    energy = atoms.get_potential_energy() - sum(offset_ev.get(symbol, 0.0) for symbol in atoms.get_chemical_symbols())
    moved.calc = SinglePointCalculator(moved, **{**atoms.calc.results, "energy": energy})
    return moved


def _heads(folds: Sequence[Zeros]) -> tuple[np.ndarray, int]:
    width = 2 * folds[0].n_elements
    return np.vstack([fold.r[:width] for fold in folds]), width
