"""Reading and writing ``fit.npz``: the factors of a fit, for the next training and for uncertainties."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlip_fw.engines.train.energy_offsets import EnergyOffsets
from mlip_fw.engines.train.folds import Fold, TriangularFactor
from mlip_fw.engines.train.linear_fit import N_FOLDS, LinearFit
from mlip_fw.engines.train.stresses import StressFactor
from mlip_fw.errors import TrainingError
from mlip_fw.io.files import read_arrays, write_arrays

_FIT = "fit.npz"


def read_fit(folder: Path, n_labels: int) -> tuple[LinearFit, np.ndarray]:
    """Return the fit of the generation in ``folder``, and the prior mean (n,) of its coefficients.

    Raises
    ------
    TrainingError
        If the file is missing or damaged.
    """
    kept = read_arrays(folder / _FIT)
    if kept is None:
        raise TrainingError(f"{folder} has no whole {_FIT}; remove that folder and run again")
    energies, forces = ([TriangularFactor(r, n) for r, n in _counted(kept, name)] for name in ("energy", "force"))
    stresses = [StressFactor(r, n) for r, n in _counted(kept, "stress")]
    stresses = stresses or [StressFactor.empty(len(kept["prior"]))] * len(energies)
    offsets: list[EnergyOffsets | None] = [None] * len(energies)
    if "zeros" in kept:
        offsets = [EnergyOffsets(r, (len(r) - len(kept["prior"]) - 1) // 2) for r in kept["zeros"]]
    folds = tuple(Fold(*parts) for parts in zip(energies, forces, stresses, offsets, strict=True))
    frees = bool(kept.get("frees_zeros", False))
    down_weighted = folds[N_FOLDS] if len(folds) > N_FOLDS else None
    fit = LinearFit(
        folds[:N_FOLDS], n_labels, has_stresses="stress" in kept, frees_offsets=frees, down_weighted=down_weighted
    )
    return fit, kept["prior"]


def write_fit(folder: Path, fit: LinearFit, prior: np.ndarray) -> None:
    """Write a fit and its prior mean (n,) into the folder of its generation."""
    arrays = {
        "energy": np.array([fold.energy.r for fold in fit.all_folds]),
        "n_energy": np.array([fold.energy.n_rows for fold in fit.all_folds]),
        "force": np.array([fold.force.r for fold in fit.all_folds]),
        "n_force": np.array([fold.force.n_rows for fold in fit.all_folds]),
        "prior": prior,
    }
    if fit.has_stresses:
        arrays["stress"] = np.array([part.r for part in fit.stresses])
        arrays["n_stress"] = np.array([part.n_rows for part in fit.stresses])
    if fit.offsets:
        arrays["zeros"] = np.array([part.r for part in fit.offsets])
        arrays["frees_zeros"] = np.array(fit.frees_offsets)
    write_arrays(folder / _FIT, arrays)


def _counted(kept: dict[str, np.ndarray], name: str) -> list[tuple[np.ndarray, float]]:
    """Return (factor, number of rows) of each fold; empty if the file has no arrays of this name."""
    return list(zip(kept[name], kept[f"n_{name}"].tolist(), strict=True)) if name in kept else []
