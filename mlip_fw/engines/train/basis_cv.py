"""Cross-validation of a basis over blocks of labels that are alike, to compare bases before one is fitted.

The folds of a fit take labels in turn, so that of each temperature some are in every training set. MD asks for more: it
goes on to temperatures and volumes that no label has. So labels are sorted by the size of their forces, which grows
with both, and cut into blocks; each block is predicted from the others, the hottest one from the colder ones.
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
_RIDGES = np.logspace(-6, 0, 13)
_UNSEEN = 1e-12


@dataclass(frozen=True)
class Blocks:
    """Labels in blocks of similar forces, in ascending order of these."""

    frames: list[list[Atoms]]

    @classmethod
    def of(cls, frames: Sequence[Atoms]) -> Blocks:
        """Sort labels into at most five blocks; of many labels or atoms, an even sample."""
        ordered = sorted(frames, key=_force_rms)
        per_label = sum(map(len, frames)) / max(len(frames), 1)
        limit = max(_MAX_BLOCKS, min(_MAX_LABELS, int(_MAX_ATOMS / max(per_label, 1))))
        places = np.unique(np.linspace(0, len(ordered) - 1, limit).round().astype(int))
        chosen = [ordered[k] for k in places]
        parts = np.array_split(np.arange(len(chosen)), min(_MAX_BLOCKS, len(chosen)))
        return cls([[chosen[k] for k in part] for part in parts])

    @property
    def all(self) -> list[Atoms]:
        """All labels in the blocks."""
        return [atoms for block in self.frames for atoms in block]


@dataclass(frozen=True)
class BasisRows:
    """Force rows of all blocks in one basis, as normal matrices [X | y]'[X | y], which serve all its subsets.

    Energies and stresses are left out: their zeros, and the pressure of plane waves, have nothing to do with a basis.
    """

    blocks: list[np.ndarray]
    """(n + 1, n + 1) normal matrix of each block."""
    n_rows: int
    degrees: np.ndarray
    """(n,) relative penalty of each function."""

    @classmethod
    def of(cls, shape: AcePotential, degrees: np.ndarray, blocks: Blocks) -> BasisRows:
        """Evaluate all labels; ``shape`` is a potential whose coefficients are zero."""
        found, n_rows = [], 0
        for frames in blocks.frames:
            parts = [_rows(atoms, shape) for atoms in frames]
            rows = np.concatenate(parts)
            n_rows += len(rows)
            found.append(rows.T @ rows)
        return cls(found, n_rows, degrees)

    def cv_force_rmse_ev_a(self, columns: np.ndarray | None = None) -> float:
        """Return the cross-validation error of the forces with ``columns`` (all functions) at its best ridge, eV/Å.

        Notes
        -----
        Columns are scaled to unit norm and penalised by their roughness, as in the fit itself. The eigenvalues of
        normal matrices are exact to 1e-16 of the largest, so ridges start at 1e-6, not at the 1e-8 of the fit.
        """
        columns = np.arange(len(self.degrees)) if columns is None else columns
        with_target = np.append(columns, self.blocks[0].shape[0] - 1)
        blocks = [block[np.ix_(with_target, with_target)] for block in self.blocks]
        whole, degrees, n = self._whole[np.ix_(with_target, with_target)], self.degrees[columns], len(columns)
        norms = np.sqrt(np.diag(whole)[:n])
        scale = np.where(norms > _UNSEEN * norms.max(initial=0.0), norms, 1.0) * degrees / degrees.mean()
        losses = np.zeros(len(_RIDGES))
        for block in blocks:
            rest = whole - block
            values, vectors = np.linalg.eigh(rest[:n, :n] / scale[:, None] / scale)
            projected = vectors.T @ (rest[:n, n] / scale)
            kept = np.maximum(values, 0.0)[:, None] + _RIDGES**2
            found = np.vstack([vectors @ (projected[:, None] / kept) / scale[:, None], -np.ones(len(_RIDGES))])
            losses += np.einsum("ir,ij,jr->r", found, block, found, optimize=True)
        return float(np.sqrt(max(losses.min(), 0.0) / max(self.n_rows, 1)))

    @cached_property
    def _whole(self) -> np.ndarray:
        return np.asarray(sum(self.blocks))


def _rows(atoms: Atoms, shape: AcePotential) -> np.ndarray:
    """Return the force rows [X | y] (m, n + 1) of a label, less core repulsion, of the components to train on."""
    known = known_forces(atoms)
    forces = atoms.get_forces(apply_constraint=False) - shape.evaluate(atoms, gamma=False).forces_ev_a
    return np.column_stack([shape.design(atoms).forces[known], forces[known]])


def _force_rms(atoms: Atoms) -> float:
    forces = atoms.get_forces(apply_constraint=False)[known_forces(atoms)]
    return float(np.sqrt(np.mean(forces**2))) if forces.size else 0.0
