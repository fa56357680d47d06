"""Calibration of uncertainties: gamma and committee spread against true force errors on labels not yet trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.train.committee import Committee
from mlip_fw.errors import TrainingError
from mlip_fw.io.structures import atoms_with_forces

MAX_LABELS = 60
_BIN_EDGES = 10 ** np.arange(-1.0, 4.01, 0.25)
_MIN_IN_BIN = 10


@dataclass(frozen=True)
class UnseenAtoms:
    """Atoms of labels, evaluated by the generation before the one that was trained on them."""

    gamma: np.ndarray
    """(n,) extrapolation grade."""
    spread_ev_a: np.ndarray
    """(n,) spread of the force over the committee; NaN where a generation has none, or it was not asked for."""
    error_ev_a: np.ndarray
    """(n,) length of the true error of the force."""

    @property
    def gamma_and_error(self) -> np.ndarray:
        """(n, 2) extrapolation grade and length of the force error, eV/Å."""
        return np.column_stack([self.gamma, self.error_ev_a])

    @property
    def overconfidence(self) -> float:
        """Ratio of root-mean-square error to root-mean-square spread; 0 without atoms."""
        known = np.isfinite(self.spread_ev_a)
        spread, error = (float(np.sum(values[known] ** 2)) for values in (self.spread_ev_a, self.error_ev_a))
        return float(np.sqrt(error / spread)) if spread > 0 else 0.0

    def quantiles(self, which: float) -> np.ndarray:
        """Return (m, 2) median gamma and ``which``-quantile of the error, for bins of gamma with at least 10 atoms."""
        bins = np.digitize(self.gamma, _BIN_EDGES)
        full = [b for b in np.unique(bins) if np.sum(bins == b) >= _MIN_IN_BIN]
        points = [(np.median(self.gamma[bins == b]), np.quantile(self.error_ev_a[bins == b], which)) for b in full]
        return np.array(points).reshape(-1, 2)


def unseen_atoms(
    generations: Generations, dataset: Dataset, max_labels: int = MAX_LABELS, *, with_spread: bool = True
) -> UnseenAtoms:
    """Return gamma, committee spread and true force error on labels, by the generation before they were trained on.

    Parameters
    ----------
    generations, dataset
        Of a campaign.
    max_labels
        Upper limit; of more labels an evenly spaced sample is taken, with the first and the last.
    with_spread
        Whether to compute committee spreads, the slowest part.

    Notes
    -----
    Atoms that are masked out, or whose reference force is unknown, are left out.
    """
    records = [record for n in generations.numbers() if (record := generations.record(n)) is not None]
    pairs = [(r.parent, name) for r in records for name in r.new_labels if r.parent is not None]
    pairs = [(parent, name) for parent, name in pairs if dataset.has(name)]
    if len(pairs) > max_labels:
        pairs = [pairs[k] for k in np.linspace(0, len(pairs) - 1, max_labels).astype(int)]
    found = [_seen_by(parent, name, generations, dataset, with_spread) for parent, name in pairs]
    return UnseenAtoms(*np.concatenate(found, axis=1)) if found else UnseenAtoms(np.zeros(0), np.zeros(0), np.zeros(0))


def _seen_by(parent: int, name: str, generations: Generations, dataset: Dataset, with_spread: bool) -> np.ndarray:
    """Return (3, n): gamma, spread and error of the trained atoms of a label."""
    atoms = dataset.read(name)
    answer = AcePotential.from_files(generations.potential(parent)).evaluate(atoms)
    assert answer.gamma is not None
    errors = np.linalg.norm(answer.forces_ev_a - atoms.get_forces(), axis=1)
    spread = _spread(parent, atoms, generations) if with_spread else np.full(len(atoms), np.nan)
    return np.array([answer.gamma, spread, errors])[:, atoms_with_forces(atoms)]


def _spread(parent: int, atoms: Atoms, generations: Generations) -> np.ndarray:
    try:
        return Committee.of_generation(generations, parent).force_spread_ev_a(atoms)
    except TrainingError:
        return np.full(len(atoms), np.nan)
