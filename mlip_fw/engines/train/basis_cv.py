"""Cross-validation of a basis over blocks of labels that are alike, to compare bases before one is fitted.

The folds of a fit take labels in turn, so that of each temperature some are in every training set. MD asks for more: it
goes on to temperatures and volumes that no label has. So labels are sorted by the size of their forces, which grows
with both, and cut into blocks; each block is predicted from the others, the hottest one from the colder ones. Once
there are many labels, MD has been where it goes, and they are taken in turn.

Errors count relative to the forces of their label: of absolute ones, a few very hot labels would be the whole sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from ase import Atoms

from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.io.structures import known_forces

_MAX_BLOCKS = 5
_MAX_LABELS = 24
_MAX_ATOMS = 2400
"""More labels than these are sampled evenly over the sizes of their forces: enough to compare bases."""
_MANY = 24
"""From so many labels on they are taken in turn."""
_MIN_FORCES = 0.3
"""Labels with forces below this fraction of the root mean square of all count as if they had so large ones."""
_RIDGES = np.logspace(-6, 0, 13)
_UNSEEN = 1e-12


@dataclass(frozen=True)
class Blocks:
    """Labels in blocks of similar forces, in ascending order of these; many labels in turn."""

    frames: list[list[Atoms]]

    @classmethod
    def of(cls, frames: Sequence[Atoms]) -> Blocks:
        """Sort labels into at most five blocks; of many labels or atoms, an even sample."""
        ordered = sorted(frames, key=_force_rms)
        per_label = sum(map(len, frames)) / max(len(frames), 1)
        limit = max(_MAX_BLOCKS, min(_MAX_LABELS, int(_MAX_ATOMS / max(per_label, 1))))
        places = np.unique(np.linspace(0, len(ordered) - 1, limit).round().astype(int))
        n_blocks = min(_MAX_BLOCKS, len(places))
        in_turn = [places[k::n_blocks] for k in range(n_blocks)]
        parts = in_turn if len(frames) >= _MANY else np.array_split(places, n_blocks)
        return cls([[ordered[k] for k in part] for part in parts])

    @property
    def all(self) -> list[Atoms]:
        """All labels in the blocks."""
        return [atoms for block in self.frames for atoms in block]


@dataclass(frozen=True)
class CrossValidated:
    """Cross-validation error of the forces."""

    relative: float
    """Root mean square of the errors, each divided by the root mean square force of its label."""
    rmse_ev_a: float


@dataclass(frozen=True)
class BasisRows:
    """Force rows of all blocks in one basis, as normal matrices [X | y]'[X | y], which serve all its subsets.

    Energies and stresses are left out: their zeros, and the pressure of plane waves, have nothing to do with a basis.
    """

    blocks: list[np.ndarray]
    """(n + 1, n + 1) normal matrix of each block."""
    relative: list[np.ndarray]
    """The same of rows that are divided by the root mean square force of their label."""
    n_rows: int
    degrees: np.ndarray
    """(n,) relative penalty of each function."""

    @classmethod
    def of(cls, shape: AcePotential, degrees: np.ndarray, blocks: Blocks) -> BasisRows:
        """Evaluate all labels; ``shape`` is a potential whose coefficients are zero."""
        min_force_ev_a = _MIN_FORCES * float(np.sqrt(np.mean([_force_rms(atoms) ** 2 for atoms in blocks.all])))
        found, relative, n_rows = [], [], 0
        for frames in blocks.frames:
            rows = [_rows(atoms, shape) for atoms in frames]
            forces = [max(_force_rms(atoms), min_force_ev_a) or 1.0 for atoms in frames]
            n_rows += sum(map(len, rows))
            found.append(_normal(rows))
            relative.append(_normal([part / force for part, force in zip(rows, forces, strict=True)]))
        return cls(found, relative, n_rows, degrees)

    def cross_validated(self, columns: np.ndarray | None = None) -> CrossValidated:
        """Return the cross-validation error of the forces with ``columns`` (all functions) at its best ridge.

        Notes
        -----
        Columns are scaled to unit norm and penalised by their roughness, as in the fit itself. The eigenvalues of
        normal matrices are exact to 1e-16 of the largest, so ridges start at 1e-6, not at the 1e-8 of the fit.
        """
        columns = np.arange(len(self.degrees)) if columns is None else columns
        inside = np.ix_(*2 * (np.append(columns, self.blocks[0].shape[0] - 1),))
        whole, degrees, n = self._whole[inside], self.degrees[columns], len(columns)
        norms = np.sqrt(np.diag(whole)[:n])
        scale = np.where(norms > _UNSEEN * norms.max(initial=0.0), norms, 1.0) * degrees / degrees.mean()
        losses = np.zeros((2, len(_RIDGES)))
        for block, relative in zip(self.blocks, self.relative, strict=True):
            rest = whole - block[inside]
            values, vectors = np.linalg.eigh(rest[:n, :n] / scale[:, None] / scale)
            projected = vectors.T @ (rest[:n, n] / scale)
            kept = np.maximum(values, 0.0)[:, None] + _RIDGES**2
            found = np.vstack([vectors @ (projected[:, None] / kept) / scale[:, None], -np.ones(len(_RIDGES))])
            for k, matrix in enumerate((relative[inside], block[inside])):
                losses[k] += np.einsum("ir,ij,jr->r", found, matrix, found, optimize=True)
        errors = np.sqrt(np.maximum(losses[:, np.argmin(losses[0])], 0.0) / max(self.n_rows, 1))
        return CrossValidated(*errors.tolist())

    @cached_property
    def _whole(self) -> np.ndarray:
        return np.asarray(sum(self.blocks))


def _normal(rows: Sequence[np.ndarray]) -> np.ndarray:
    joined = np.concatenate(rows)
    return np.asarray(joined.T @ joined)


def _rows(atoms: Atoms, shape: AcePotential) -> np.ndarray:
    """Return the force rows [X | y] (m, n + 1) of a label, less core repulsion, of the components to train on."""
    known = known_forces(atoms)
    forces = atoms.get_forces(apply_constraint=False) - shape.evaluate(atoms, gamma=False).forces_ev_a
    return np.column_stack([shape.design(atoms).forces[known], forces[known]])


def _force_rms(atoms: Atoms) -> float:
    forces = atoms.get_forces(apply_constraint=False)[known_forces(atoms)]
    return float(np.sqrt(np.mean(forces**2))) if forces.size else 0.0
