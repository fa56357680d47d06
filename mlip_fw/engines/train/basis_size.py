"""Number of functions of a basis that labels support."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from ase import Atoms

from mlip_fw.io.structures import mask_of
from mlip_fw.models.campaign import Campaign

_SIZES = (400, 800, 1600, 3200)
_USUAL = 200
_PER_FUNCTION = 2.0
"""Environments that each function needs above the usual size."""
_APART = 1.25
"""Minimum ratio of sizes that are worth comparing."""


def count_environments(frames: Iterable[Atoms]) -> dict[str, int]:
    """Return the number of environments (atoms inside the mask) of each element in ``frames``."""
    counts: dict[str, int] = {}
    for atoms in frames:
        for symbol in np.array(atoms.get_chemical_symbols())[mask_of(atoms)]:
            counts[str(symbol)] = counts.get(str(symbol), 0) + 1
    return counts


def possible_sizes(environments: Mapping[str, int], campaign: Campaign) -> list[int]:
    """Return the numbers of functions per element that may be chosen, in ascending order.

    The smallest is :func:`usual_size`: fewer functions are rarely better, and gamma finds less that is new with them.
    More than 200 functions need two environments each: trained on a few cold labels, such bases were twice as wrong
    in the heat.

    A size that the campaign gives is the only one.
    """
    wanted = campaign.potential.functions_per_element
    if wanted != "auto":
        return [wanted]
    usual, limit = usual_size(environments, campaign), int(_mean(environments) / _PER_FUNCTION)
    sizes = [usual, *(size for size in _SIZES if usual < size <= limit)]
    return [*sizes, limit] if _APART * sizes[-1] <= limit <= _SIZES[-1] else sizes


def usual_size(environments: Mapping[str, int], campaign: Campaign) -> int:
    """Return the number of functions without a comparison: the mean number of environments, at most 200.

    The active set of an element holds one environment for each function, and gamma is large for all that is new until
    it is filled. At least 50 for each element of the campaign, up to 200: the functions of an atom are divided among
    all combinations of neighbouring elements, and few functions leave hardly any for each combination. Gamma then finds
    nothing new in MD, and no labels are made although the potential is poor.
    """
    return int(np.clip(_mean(environments), campaign.min_functions, _USUAL))


def _mean(environments: Mapping[str, int]) -> int:
    found = [n for n in environments.values() if n]
    return int(sum(found) / max(1, len(found)))
