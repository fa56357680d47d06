"""First structures to label: strained and rattled copies of the start structures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
from ase import Atoms

from mlip_fw.engines.sampling.cutout.cut import require_room
from mlip_fw.engines.sampling.small_cell import middle_atoms, sample_atoms, small_cell
from mlip_fw.engines.structures.geometry import too_close
from mlip_fw.engines.structures.reach import largest_cutoff_a
from mlip_fw.errors import CampaignError
from mlip_fw.io.structures import canonical
from mlip_fw.models.campaign import BootstrapSettings, Campaign, CutoutSettings

_TRIES = 20


def labelled_cell(start: Atoms, settings: CutoutSettings, cutoff_a: float) -> Atoms:
    """Return the cell to rattle for the first labels: the start structure, or a small cell cut from it if too large.

    Raises
    ------
    CampaignError
        If no small cell has its elements and environments, or a cut-out of an MD frame would be too small to hold
        the environment of an atom.
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
    """Return ``n_structures`` copies with random strain and displacements in which no atoms are too close."""
    return [_copy(start, settings, rng) for _ in range(settings.n_structures)]


def first_structures(starts: list[Atoms], campaign: Campaign, rng: np.random.Generator) -> list[Atoms]:
    """Return ``n_structures`` rattled copies of the start structures in turn, at least one of each.

    From a start that is too large to label, small cells are cut: the first from its middle, the others at random
    places. Twice as many are cut if they would have fewer atoms of an element than the basis has functions for it,
    because the active set of that element could then not be filled.

    Raises
    ------
    CampaignError
        If no small cell has the elements and environments of a start.
    """
    cutout, cutoff_a = campaign.candidates.cutout, largest_cutoff_a(starts, campaign)
    middles = [labelled_cell(start, cutout, cutoff_a) for start in starts]
    places = rng.spawn(1)[0]

    def cells(turn: int) -> Iterator[Atoms]:
        start, middle = starts[turn % len(starts)], middles[turn % len(starts)]
        yield middle if turn < len(starts) else _elsewhere(start, middle, campaign, cutoff_a, places)
        if len(middle) < len(start) and _too_few(middle, campaign):
            yield _elsewhere(start, middle, campaign, cutoff_a, places)

    turns = range(max(campaign.bootstrap.n_structures, len(starts)))
    return [_copy(cell, campaign.bootstrap, rng) for turn in turns for cell in cells(turn)]


def _elsewhere(start: Atoms, middle: Atoms, campaign: Campaign, cutoff_a: float, rng: np.random.Generator) -> Atoms:
    """Return a small cell cut at a random place of ``start``; ``middle`` if that cell lacks an element."""
    limit = campaign.candidates.cutout.max_atoms
    if len(middle) == len(start):
        return middle
    found = small_cell(start, limit, cutoff_a, around=sample_atoms(start, rng))
    return found if len(found) <= limit else middle


def _too_few(cell: Atoms, campaign: Campaign) -> bool:
    """Return whether ``n_structures`` such cells have too few atoms of an element to fill its active set."""
    lower_limit = min(Counter(cell.get_chemical_symbols()).values())
    return campaign.bootstrap.n_structures * lower_limit < campaign.min_functions


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
