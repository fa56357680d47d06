"""The small-cell prerun ("rehearsal" in campaign files): small cells go through all stages before the large ones do.

It is a walker whose number comes after those of the campaign's own walkers. It halts and goes on as they do, but its
cell is small enough to be labelled whole: no atom of it is near an artificial boundary. All of its atoms move, also
where the large cell has fixed ones.
"""

from __future__ import annotations

import logging

import numpy as np
from ase import Atoms

from mlip_fw.engines.sampling.small_cell import seamless_cell
from mlip_fw.engines.structures.reach import largest_cutoff_a
from mlip_fw.engines.structures.start import start_as_in_file, start_of_walker, start_structures
from mlip_fw.io.constraints import FIXED
from mlip_fw.models.campaign import Campaign

logger = logging.getLogger("mlip_fw")
_MAX_WALKERS = 100


def prerun_cells(campaign: Campaign) -> dict[int, Atoms]:
    """Return the small cell of each prerun by the number of its walker: one for each start structure that needs one.

    With ``auto`` an alloy needs one if it is too large to be labelled: the elements are arranged differently in each
    small piece of it, and rattled copies of a few pieces teach little of how such arrangements move.
    """
    cutout = campaign.candidates.cutout
    if campaign.bootstrap.rehearsal == "never" or cutout.mode == "never" or campaign.potential.initial is not None:
        return {}
    starts = start_structures(campaign)
    cutoff_a = largest_cutoff_a(starts, campaign)
    numbered = enumerate(starts, start=campaign.md.walkers)
    large = [(walker, start) for walker, start in numbered if _needs_prerun(start, campaign)]
    cells = {walker: seamless_cell(start, cutout.max_atoms, cutoff_a) for walker, start in large}
    return {walker: cell for walker, cell in cells.items() if cell is not None and walker < _MAX_WALKERS}


def _needs_prerun(start: Atoms, campaign: Campaign) -> bool:
    is_large = len(start) > campaign.candidates.cutout.max_atoms
    return is_large and (campaign.bootstrap.rehearsal == "always" or len(set(start.numbers)) > 1)


def is_prerun(campaign: Campaign, walker: int) -> bool:
    """Return whether a walker is a small-cell prerun."""
    return walker >= campaign.md.walkers


def start_of_run(campaign: Campaign, walker: int) -> tuple[Atoms, bool]:
    """Return the start of a walker or prerun, and whether it needs velocities other than those of its file."""
    if is_prerun(campaign, walker):
        cell = prerun_cells(campaign)[walker]
        logger.info("walker %d rehearses in a cell of %d atoms before the large one starts", walker, len(cell))
        return cell, True
    return start_of_walker(campaign, walker)


def fixed_and_masses(campaign: Campaign, walker: int) -> tuple[np.ndarray | None, tuple[float, ...] | None]:
    """Return what a walker keeps of its start file in every cycle, as restart files of LAMMPS don't hold it.

    Returns
    -------
    fixed : numpy.ndarray | None
        (n, 3) of bool, the components of atoms that stay; None if all move, as they do in a prerun.
    masses_u : tuple | None
        The mass of each element of the campaign, u; None if all are the usual ones.
    """
    rehearses = is_prerun(campaign, walker)
    atoms = start_as_in_file(campaign, walker - campaign.md.walkers if rehearses else walker)
    if atoms is None:
        return None, None
    masses = dict(zip(atoms.get_chemical_symbols(), atoms.get_masses().tolist(), strict=True))
    usual = {symbol: float(Atoms(symbol).get_masses()[0]) for symbol in campaign.elements}
    wanted = tuple(masses.get(symbol, usual[symbol]) for symbol in campaign.elements)
    fixed = None if rehearses else atoms.arrays.get(FIXED)
    return fixed, None if np.allclose(wanted, list(usual.values()), rtol=1e-6) else wanted
