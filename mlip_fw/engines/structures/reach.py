"""Cutoffs that fit a structure: enough neighbours to tell its atoms apart, and not more than MD can afford."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from vesin import NeighborList

from mlip_fw.campaign.dataset import is_imported
from mlip_fw.engines.structures.geometry import heights_a
from mlip_fw.models.campaign import AUTO_CUTOFFS_A, Campaign

_MIN, _USUAL, _MAX = 14.0, 50.0, 115.0
"""Mean number of neighbours: least, that of the cutoff taken before there are labels, and most (6 Å: 77 in copper)."""
_MAX_FRAMES = 8
_WITHOUT_FRAMES_A = 6.0
_SPARE = 0.97
"""A cell may shrink by 3 % and still be as thick as the cutoff."""


def neighbours_within(frames: Sequence[Atoms], cutoffs_a: Sequence[float]) -> np.ndarray:
    """Return the mean number of neighbours of an atom within each cutoff, over an even sample of the structures."""
    places = np.unique(np.linspace(0, len(frames) - 1, _MAX_FRAMES).round().astype(int))
    chosen = [frames[k] for k in places]
    pairs = NeighborList(cutoff=max(cutoffs_a), full_list=True)
    distances = np.concatenate(
        [
            pairs.compute(points=atoms.positions, box=atoms.cell.array, periodic=True, quantities="d")[0]
            for atoms in chosen
        ]
    )
    return np.array([np.sum(distances <= cutoff) for cutoff in cutoffs_a]) / sum(map(len, chosen))


def possible_cutoffs_a(frames: Sequence[Atoms], campaign: Campaign) -> list[float]:
    """Return the cutoffs that may be chosen for structures like ``frames``, in ascending order, Å.

    A fixed cutoff is the only one. With ``auto`` they are those with 14 to 115 neighbours that are no longer than the
    thinnest cell is thick: for dense materials up to 5.5 or 6 Å, for sparse ones up to 8 Å. Imported labels may be
    thinner, as primitive cells are.
    """
    if campaign.potential.cutoff_a != "auto":
        return [campaign.potential.cutoff_a]
    if not frames:
        return [_WITHOUT_FRAMES_A]
    own = [float(heights_a(atoms.cell.array).min()) for atoms in frames if not is_imported(atoms)]
    thinnest = _SPARE * min(own, default=np.inf)
    counts = neighbours_within(frames, AUTO_CUTOFFS_A)
    pairs = list(zip(AUTO_CUTOFFS_A, counts.tolist(), strict=True))
    found = [cutoff for cutoff, count in pairs if _MIN <= count <= _MAX and cutoff <= thinnest]
    sparse = [cutoff for cutoff, count in pairs if count <= _MAX and cutoff <= thinnest]
    return found or sparse[-3:] or [AUTO_CUTOFFS_A[0]]


def largest_cutoff_a(frames: Sequence[Atoms], campaign: Campaign) -> float:
    """Return the largest cutoff that may be chosen, for which cells and cut-outs have to be large enough, Å."""
    return possible_cutoffs_a(frames, campaign)[-1]


def usual_cutoff_a(frames: Sequence[Atoms], campaign: Campaign) -> float:
    """Return the cutoff for as long as there are no labels to choose it by: that with nearest to 50 neighbours, Å."""
    possible = possible_cutoffs_a(frames, campaign)
    if len(possible) == 1:
        return possible[0]
    counts = neighbours_within(frames, possible)
    return possible[int(np.argmin(np.abs(np.log(np.maximum(counts, 1) / _USUAL))))]
