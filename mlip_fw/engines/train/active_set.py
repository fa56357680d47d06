"""Update of the active sets with the environments of new labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlip_fw.engines.sampling.maxvol import MAX_SWAPS, TOLERANCE, ActiveSet, Exchange, exchange
from mlip_fw.engines.train.environment_rows import EnvironmentRows, RowsByElement

_NEAR = 0.7
"""In a pass over all labels, rows with at least this gamma become candidates for exchanges. Exchanges raise gamma
of some of them above the tolerance, which would otherwise need another pass. They are a few per cent of all rows."""


@dataclass(frozen=True)
class UpdatedActiveSets:
    """Active sets for which no environment of any label extrapolates."""

    active: dict[str, ActiveSet]
    swaps: int
    gamma_max: float
    """Largest gamma of all environments; an upper bound where the old environments were not read."""


def update_active_sets(
    before: dict[str, ActiveSet] | None,
    gamma_before: float,
    fresh: RowsByElement,
    rows: EnvironmentRows,
    names: list[str],
) -> UpdatedActiveSets:
    """Exchange rows (MaxVol) until no environment of any label has a gamma above the tolerance.

    Parameters
    ----------
    before
        Active sets of the generation before; None for the first.
    gamma_before
        Largest gamma, in these active sets, of the labels that are not new.
    fresh
        (n_environments, n_functions) basis functions of the atoms of new labels, for each element.
    rows
        The same for all labels, on disk.
    names
        All labels; their order breaks ties between equal rows.

    Notes
    -----
    Rows of old labels are within the tolerance of the old active set, so only new rows can start an exchange. If none
    does, the active set and gamma of all old rows are unchanged, and old rows are not read. After an exchange gamma of
    every row changes, and passes over all rows are made until none is above the tolerance. A cheaper bound does not
    help: with A and A' the active sets before and after, gamma can grow by the largest column sum of |A A'⁻¹|, which is
    4 to 8 after ten to fifty exchanges and would exclude no row.

    Which rows are candidates depends on gamma alone, and their order on ``names``, never on how rows are stored. A
    repeated training therefore gives bitwise the same result, whether its rows were cached or not.
    """
    active, swaps, gammas = {}, 0, [0.0]
    for element, new in fresh.items():
        known = before[element] if before is not None else None
        start = ActiveSet.empty(new, new.shape[1]) if known is None or known.is_blank else known
        found = exchange(start, new)
        gamma = max(gamma_before, float(found.active.gamma(new).max(initial=0.0)))
        if before is not None and (found.swaps or gamma_before > TOLERANCE):
            found, gamma = _settle_all(found, rows, element, names)
        active[element] = found.active
        swaps += found.swaps
        gammas.append(gamma)
    return UpdatedActiveSets(active, swaps, max(gammas))


def _settle_all(found: Exchange, rows: EnvironmentRows, element: str, names: list[str]) -> tuple[Exchange, float]:
    """Repeat exchanges with rows of all labels; return the result and the largest gamma that remains."""
    near, gamma_max = _near(found.active, rows, element, names)
    while gamma_max > TOLERANCE:
        more = exchange(found.active, near, max_swaps=max(MAX_SWAPS - found.swaps, 0))
        if not more.swaps:
            break
        found = found.followed_by(more)
        near, gamma_max = _near(found.active, rows, element, names)
    return found, gamma_max


def _near(active: ActiveSet, rows: EnvironmentRows, element: str, names: list[str]) -> tuple[np.ndarray, float]:
    """Return the rows with gamma of at least ``_NEAR``, in the order of ``names``, and the largest gamma of all."""
    places, parts, gamma_max = [np.zeros(0, dtype=int)], [np.zeros((0, len(active.inverse)))], 0.0
    for block in rows.blocks(element, names):
        gamma = active.gamma(block.rows)
        places.append(block.places[gamma >= _NEAR])
        parts.append(block.rows[gamma >= _NEAR])
        gamma_max = max(gamma_max, float(gamma.max(initial=0.0)))
    order = np.argsort(np.concatenate(places), kind="stable")
    return np.concatenate(parts)[order], gamma_max
