"""The active set of all labels, from the one before and the rows of new labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlip_fw.engines.maxvol import MOST_SWAPS, TOLERANCE, ActiveSet, Exchange, exchange
from mlip_fw.engines.train.rows import Rows, RowsByElement

_NEAR = 0.7
"""Rows of at least this gamma take part where all are looked at. Exchanges lift some of them above the tolerance, and
that would take one look more. They are a few in a hundred."""


@dataclass(frozen=True)
class Settled:
    """Active sets in which no environment of the labels extrapolates."""

    active: dict[str, ActiveSet]
    swaps: int
    gamma_max: float
    """Largest gamma of all environments, or a bound on it where the old ones were not looked at."""


def settle(
    before: dict[str, ActiveSet] | None, gamma_before: float, fresh: RowsByElement, rows: Rows, names: list[str]
) -> Settled:
    """Exchange rows of the active sets until no environment of any label has a gamma above the tolerance.

    Parameters
    ----------
    before
        Active sets so far; None if there are none.
    gamma_before
        Largest gamma in them of the labels that are not new.
    fresh
        (n_environments, n_functions) rows of the new labels, by element.
    rows
        Those of all labels.
    names
        All labels, old and new, in the order that decides between equals.

    Notes
    -----
    Old rows were within the tolerance of the active set before. So only new ones can begin an exchange, and where
    none does, the active set stays as it is, and with it gamma of the old rows: they are not read. An exchange changes
    the components of every row. Then all are looked at, again and again until none is above the tolerance: with A and
    A' the active sets before and after, gamma may become the largest column sum of |A A'⁻¹| times what it was, which is
    4 to 8 after ten to fifty exchanges and would leave out no row.

    Which rows take part depends on their gamma, and their order on ``names``; nothing depends on how they are
    stored. So a training made again gives the same bits, whether its rows were kept or not.
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
    return Settled(active, swaps, max(gammas))


def _settle_all(found: Exchange, rows: Rows, element: str, names: list[str]) -> tuple[Exchange, float]:
    """Let the rows of all labels take part, and return the largest gamma that is left too."""
    near, gamma_max = _near(found.active, rows, element, names)
    while gamma_max > TOLERANCE:
        more = exchange(found.active, near, max_swaps=max(MOST_SWAPS - found.swaps, 0))
        if not more.swaps:
            break
        found = found.followed_by(more)
        near, gamma_max = _near(found.active, rows, element, names)
    return found, gamma_max


def _near(active: ActiveSet, rows: Rows, element: str, names: list[str]) -> tuple[np.ndarray, float]:
    """Return rows that are above the tolerance or not far below, in the order of ``names``, and the largest gamma."""
    places, parts, gamma_max = [np.zeros(0, dtype=int)], [np.zeros((0, len(active.inverse)))], 0.0
    for block in rows.blocks(element, names):
        gamma = active.gamma(block.rows)
        places.append(block.places[gamma >= _NEAR])
        parts.append(block.rows[gamma >= _NEAR])
        gamma_max = max(gamma_max, float(gamma.max(initial=0.0)))
    order = np.argsort(np.concatenate(places), kind="stable")
    return np.concatenate(parts)[order], gamma_max
