"""The first structures to be labelled: strained and rattled copies of the starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
from ase import Atoms

from mlip_fw.engines.candidates.cutout import require_room
from mlip_fw.engines.candidates.small_cell import middle_atoms, small_cell, some_atoms
from mlip_fw.engines.geometry import too_close
from mlip_fw.errors import CampaignError
from mlip_fw.io.structures import canonical
from mlip_fw.models.campaign import BootstrapSettings, Campaign, CutoutSettings

_TRIES = 20


def labelled_cell(start: Atoms, settings: CutoutSettings, cutoff_a: float) -> Atoms:
    """Return the cell whose copies are labelled first: the start, or a small cell like it if that is too large.

    Raises
    ------
    CampaignError
        If no small cell is like it, or no cut-out of an MD frame could hold what surrounds an atom.
    """
    if settings.mode == "never" or len(start) <= settings.max_atoms:
        return start
    for atom in middle_atoms(start):
        require_room(start, atom, cutoff_a, settings)
    small = small_cell(start, settings.max_atoms, cutoff_a)
    if len(small) > settings.max_atoms:
        raise CampaignError(
            f"the start structure has {len(start)} atoms, and no small cell of at most {settings.max_atoms} has all "
            "its elements and surroundings; raise candidates.cutout.max_atoms"
        )
    return small


def bootstrap_structures(start: Atoms, settings: BootstrapSettings, rng: np.random.Generator) -> list[Atoms]:
    """Return ``n_structures`` copies with random strain and displacements, no atoms too close."""
    return [_copy(start, settings, rng) for _ in range(settings.n_structures)]


def first_structures(starts: list[Atoms], campaign: Campaign, rng: np.random.Generator) -> list[Atoms]:
    """Return rattled copies of the start structures in turn: ``n_structures``, but at least one of each.

    A start that is too large to be labelled gives small cells like it: the first from its middle, the
    others from anywhere in it. Where they would have fewer atoms of an element than it has functions,
    there are twice as many.

    Raises
    ------
    CampaignError
        If no small cell is like it.
    """
    cutout, cutoff_a = campaign.candidates.cutout, campaign.potential.cutoff_a
    middles = [labelled_cell(start, cutout, cutoff_a) for start in starts]
    places = rng.spawn(1)[0]

    def cells(turn: int) -> Iterator[Atoms]:
        start, middle = starts[turn % len(starts)], middles[turn % len(starts)]
        yield middle if turn < len(starts) else _elsewhere(start, middle, campaign, places)
        if len(middle) < len(start) and _too_few(middle, campaign):
            yield _elsewhere(start, middle, campaign, places)

    turns = range(max(campaign.bootstrap.n_structures, len(starts)))
    return [_copy(cell, campaign.bootstrap, rng) for turn in turns for cell in cells(turn)]


def _elsewhere(start: Atoms, middle: Atoms, campaign: Campaign, rng: np.random.Generator) -> Atoms:
    """Return a small cell from another place of ``start``; from its middle if no other has all elements."""
    most = campaign.candidates.cutout.max_atoms
    if len(middle) == len(start):
        return middle
    found = small_cell(start, most, campaign.potential.cutoff_a, around=some_atoms(start, rng))
    return found if len(found) <= most else middle


def _too_few(cell: Atoms, campaign: Campaign) -> bool:
    """Return whether ``n_structures`` such cells leave the active set of an element without enough atoms."""
    least = min(Counter(cell.get_chemical_symbols()).values())
    return campaign.bootstrap.n_structures * least < campaign.fewest_functions


def _copy(start: Atoms, settings: BootstrapSettings, rng: np.random.Generator) -> Atoms:
    shrink = 1.0
    for _ in range(_TRIES):
        atoms = Atoms(start.numbers, start.positions, cell=start.cell, pbc=True)
        strain = rng.uniform(-1, 1, size=(3, 3)) * settings.strain * shrink
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.5 * (strain + strain.T)), scale_atoms=True)
        atoms.positions += rng.normal(scale=settings.rattle_a * shrink, size=(len(atoms), 3))
        if not too_close(atoms):
            break
        shrink *= 0.7
    return canonical(atoms)
