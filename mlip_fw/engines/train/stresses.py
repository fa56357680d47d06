"""Stress rows of a linear fit, with a constant pressure projected out.

With one plane-wave cutoff for cells of all volumes, all stresses have nearly the same pressure error (Pulay stress),
which the energies do not have (Francis and Payne, J. Phys.: Condens. Matter 2, 4395 (1990)). A fit to both would
compromise between them and get the volume wrong. So a pressure offset, the same for all labels, is a nearly free
parameter: stress differences are fitted, and the pressure follows from the energies. It is not free for oracles
without Pulay stress, because energies of a few labels (of an alloy, each of another composition) may not determine the
pressure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlip_fw.engines.train.qr_update import add_rows

PRESSURE_PENALTY = 0.05
"""Weight of the penalty on the pressure offset, in units of one stress component: nearly free."""
_IS_DIAGONAL = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])


@dataclass(frozen=True)
class StressFactor:
    """Triangular factor R of stress rows [1 or 0 | X | y]; the first column is 1 for diagonal components (pressure)."""

    r: np.ndarray
    """(n + 2, n + 2) upper triangular."""
    n_rows: float
    """Sum of the weights of the rows."""

    @classmethod
    def empty(cls, n_functions: int) -> StressFactor:
        """Return the factor of no labels."""
        return cls(np.zeros((n_functions + 2, n_functions + 2)), 0)

    def with_stress(self, rows: np.ndarray, targets: np.ndarray, weight: float = 1.0) -> StressFactor:
        """Return the factor updated with ``rows`` (6, n) and ``targets`` (6,); their squares count ``weight`` times."""
        if not weight:
            return self
        new = np.column_stack([_IS_DIAGONAL, rows, targets])
        folded = add_rows(self.r, new if weight == 1 else np.sqrt(weight) * new)
        return StressFactor(folded, self.n_rows + weight * len(targets))


def project_out_pressure(folds: Sequence[StressFactor], *, is_free: bool = True) -> list[tuple[np.ndarray, np.ndarray]]:
    """Eliminate the pressure offset; return (row (1, n + 1), factor (n + 1, n + 1)) for each fold.

    The row is the part of the fold that the offset acts on, the factor the rest. The sum of squared residuals of both
    is that at the optimal offset, including its penalty. If the offset is not free, nothing is eliminated.
    """
    heads = np.array([fold.r[0] for fold in folds])
    pressure = heads[:, 0]
    seen = float(pressure @ pressure)
    lost = (1 - PRESSURE_PENALTY / np.hypot(np.sqrt(seen), PRESSURE_PENALTY)) / seen if seen and is_free else 0.0
    left = heads - lost * np.outer(pressure, pressure @ heads)
    return [(row[None, 1:], fold.r[1:, 1:]) for row, fold in zip(left, folds, strict=True)]


def pressure_offset(folds: Sequence[StressFactor], coefficients: np.ndarray) -> float | None:
    """Return the optimal offset of the labels' diagonal stresses from those of the fit, eV/Å³; None if unknown."""
    heads = np.array([fold.r[0] for fold in folds])
    seen = float(heads[:, 0] @ heads[:, 0])
    return float(heads[:, 0] @ (heads[:, -1] - heads[:, 1:-1] @ coefficients)) / seen if seen else None


def stress_rmse(folds: Sequence[StressFactor], coefficients: np.ndarray | None) -> float | None:
    """Return the root mean square residual without any offset; without coefficients, that of the targets.

    None if there is no stress.
    """
    n_rows = sum(fold.n_rows for fold in folds)
    if not n_rows:
        return None
    residuals = [f.r[:, -1] if coefficients is None else f.r[:, 1:-1] @ coefficients - f.r[:, -1] for f in folds]
    return float(np.linalg.norm(np.concatenate(residuals)) / np.sqrt(n_rows))
