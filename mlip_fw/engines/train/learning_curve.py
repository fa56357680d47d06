"""Force error of labels that a fit to other labels predicts, against the number of these: a learning curve.

It comes from the triangular factors of the cross-validation folds alone, so no label is evaluated again.
"""

from __future__ import annotations

from functools import reduce

import numpy as np

from mlip_fw.engines.train.folds import TriangularFactor, joint_rmse
from mlip_fw.engines.train.linear_fit import N_FOLDS, LinearFit
from mlip_fw.engines.train.qr_update import merge
from mlip_fw.engines.train.ridge_cv import ScaledProblem
from mlip_fw.engines.train.ridge_fit import FitTerms


def learning_curve(fit: LinearFit, terms: FitTerms, ridge: float) -> list[tuple[float, float]]:
    """Return (number of labels, force error of others, eV/Å) for fits to one fold, two folds, and so on.

    The last point is the cross-validation error; each is over all folds, predicted by the folds after it in turn.
    """
    n_folds, problem = min(fit.n_labels, N_FOLDS), terms.problem(fit)
    each = fit.n_labels / max(1, n_folds)
    return [(each * m, _rmse_from(fit, problem, terms.prior, ridge, m)) for m in range(1, n_folds)]


def _rmse_from(fit: LinearFit, problem: ScaledProblem, prior: np.ndarray, ridge: float, n_train: int) -> float:
    """Return the force error of each fold by a fit to the ``n_train`` folds after it, over all folds."""
    folds, found = problem.folds, []
    always = [] if problem.down_weighted is None else [problem.down_weighted]
    for k in range(len(folds)):
        taught = [folds[(k + step) % len(folds)] for step in range(1, n_train + 1)]
        rest = problem.spectrum(reduce(merge, [*always, *taught[1:]], taught[0]), prior)
        coefficients = prior + rest.solve(ridge) / problem.scale
        factor = fit.folds[k].force
        found.append(TriangularFactor(np.array([[factor.rmse(coefficients)]]) * np.sqrt(factor.n_rows), factor.n_rows))
    return joint_rmse(found, None)
