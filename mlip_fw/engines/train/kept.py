"""What a generation keeps of its fit, for the next training and for uncertainties."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlip_fw.engines.train.linear import Fold, LinearFit, Triangle
from mlip_fw.errors import TrainingError
from mlip_fw.io.files import read_arrays, write_arrays

_FIT = "fit.npz"


def read_fit(folder: Path, n_labels: int) -> tuple[LinearFit, np.ndarray]:
    """Return the fit of the generation in ``folder``, and the coefficients (n,) that its penalty pulls to.

    Raises
    ------
    TrainingError
        If there is no whole file of it.
    """
    kept = read_arrays(folder / _FIT)
    if kept is None:
        raise TrainingError(f"{folder} has no whole {_FIT}; remove that folder and run again")
    folds = tuple(
        Fold(Triangle(e, int(m)), Triangle(f, int(n)))
        for e, f, m, n in zip(kept["energy"], kept["force"], kept["n_energy"], kept["n_force"], strict=True)
    )
    return LinearFit(folds, n_labels), kept["prior"]


def write_fit(folder: Path, fit: LinearFit, prior: np.ndarray) -> None:
    """Write a fit into the folder of its generation."""
    arrays = {
        "energy": np.array([fold.energy.r for fold in fit.folds]),
        "n_energy": np.array([fold.energy.n_rows for fold in fit.folds]),
        "force": np.array([fold.force.r for fold in fit.folds]),
        "n_force": np.array([fold.force.n_rows for fold in fit.folds]),
        "prior": prior,
    }
    write_arrays(folder / _FIT, arrays)
