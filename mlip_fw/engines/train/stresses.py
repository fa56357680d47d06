"""Stresses in a linear fit, up to a constant pressure.

Plane waves with one cutoff for cells of all volumes make every stress wrong by nearly the same
pressure, which is in no energy (Francis and Payne, J. Phys.: Condens. Matter 2, 4395 (1990)). A fit
to both would end between them, with a wrong volume. So a constant pressure, the same for all labels,
is left nearly free: the fit is told how stresses differ, and takes the pressure from the energies
if they say anything about it. Where an oracle's stresses are the slopes of its energies, they say the
pressure too: first labels of an alloy, each of another composition, have energies that do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlip_fw.engines.train.triangles import with_rows

FIRMNESS = 0.05
"""Weight of the constant pressure being zero, as of so many stress components."""
_IS_DIAGONAL = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])


@dataclass(frozen=True)
class Stresses:
    """R of the rows [1 or 0 | X | y] of stress components, with their number; 1 where the pressure adds to them."""

    r: np.ndarray
    """(n + 2, n + 2) upper triangular."""
    n_rows: float
    """A row of a smaller weight counts as little."""

    @classmethod
    def empty(cls, n_functions: int) -> Stresses:
        """Return those of no labels."""
        return cls(np.zeros((n_functions + 2, n_functions + 2)), 0)

    def with_stress(self, rows: np.ndarray, targets: np.ndarray, weight: float = 1.0) -> Stresses:
        """Fold in the ``rows`` (6, n) and ``targets`` (6,) of one label, whose squares count ``weight`` times."""
        if not weight:
            return self
        new = np.column_stack([_IS_DIAGONAL, rows, targets])
        folded = with_rows(self.r, new if weight == 1 else np.sqrt(weight) * new)
        return Stresses(folded, self.n_rows + weight * len(targets))


def up_to_a_pressure(folds: Sequence[Stresses], *, is_free: bool = True) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return of each fold the one row (1, n + 1) that has the pressure, and the triangle (n + 1, n + 1) of the others.

    What the rows have in common over all folds is nearly gone: squares of residuals add up to the least that any
    pressure leaves, with the cost of that pressure. If it is not free, all is kept as it is.
    """
    heads = np.array([fold.r[0] for fold in folds])
    pressure = heads[:, 0]
    seen = float(pressure @ pressure)
    lost = (1 - FIRMNESS / np.hypot(np.sqrt(seen), FIRMNESS)) / seen if seen and is_free else 0.0
    left = heads - lost * np.outer(pressure, pressure @ heads)
    return [(row[None, 1:], fold.r[1:, 1:]) for row, fold in zip(left, folds, strict=True)]


def pressure_offset(folds: Sequence[Stresses], coefficients: np.ndarray) -> float | None:
    """Return the constant that fits best what the labels' diagonal stresses are above those of the coefficients."""
    heads = np.array([fold.r[0] for fold in folds])
    seen = float(heads[:, 0] @ heads[:, 0])
    return float(heads[:, 0] @ (heads[:, -1] - heads[:, 1:-1] @ coefficients)) / seen if seen else None


def stress_rmse(folds: Sequence[Stresses], coefficients: np.ndarray | None) -> float | None:
    """Return the root mean square residual, with the constant pressure in it; without coefficients, of the targets.

    None if there is no stress.
    """
    n_rows = sum(fold.n_rows for fold in folds)
    if not n_rows:
        return None
    residuals = [f.r[:, -1] if coefficients is None else f.r[:, 1:-1] @ coefficients - f.r[:, -1] for f in folds]
    return float(np.linalg.norm(np.concatenate(residuals)) / np.sqrt(n_rows))
