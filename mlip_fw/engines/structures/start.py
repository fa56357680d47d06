"""Start structures of a campaign: building or reading them, and checking that MD can start from them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk

from mlip_fw.campaign.seeds import derived_seed
from mlip_fw.engines.structures.geometry import heights_a, too_close
from mlip_fw.engines.structures.start_file import notes_of, read_start, require_movable
from mlip_fw.errors import CampaignError
from mlip_fw.models.campaign import AUTO_CUTOFFS_A, Campaign
from mlip_fw.models.structure import BulkSettings

_MAX_ATOMS = 2_000_000


def start_structures(campaign: Campaign) -> list[Atoms]:
    """Return the checked start structures of a campaign, at least one.

    Raises
    ------
    CampaignError
        If one can't be built or read, is not fully periodic, is smaller than the cutoff, has atoms too
        close, non-finite positions, or constraints that MD can't keep, or if together they have other elements than
        the campaign.
    """
    settings = campaign.structure
    if settings.bulk is not None:
        starts = {"the structure": _crystal(settings.bulk, campaign.seed)}
    else:
        starts = {key: read_start(Path(name), key) for key, name in settings.named_files().items()}
    for where, atoms in starts.items():
        _check(atoms, where, campaign)
    present = {symbol for atoms in starts.values() for symbol in atoms.get_chemical_symbols()}
    if extra := sorted(set(campaign.elements) - present):
        lacking = f"{' and '.join(starts)} ({_list(present)}) {'does' if len(starts) == 1 else 'do'} not have"
        raise CampaignError(f"elements names {', '.join(extra)}, which {lacking}")
    return list(starts.values())


def start_of_walker(campaign: Campaign, walker: int) -> tuple[Atoms, bool]:
    """Return the start structure of a walker, and whether an earlier walker starts from the same one."""
    starts = start_structures(campaign)
    turn, index = divmod(walker, len(starts))
    return starts[index], turn > 0


def start_as_in_file(campaign: Campaign, index: int) -> Atoms | None:
    """Return a start structure as in its file, unchecked, with masses and fixed atoms; None if there is no file.

    Parameters
    ----------
    campaign
        The campaign.
    index
        Number of the walker; walkers of small-cell preruns come after the campaign's own.
    """
    files = list(campaign.structure.named_files().items())
    if not files:
        return None
    where, name = files[index % len(files)]
    return read_start(Path(name), where)


def start_notes(campaign: Campaign, starts: list[Atoms]) -> list[str]:
    """Return a sentence for each fixed atom, velocity and unusual mass that the files of ``starts`` contain."""
    keys = list(campaign.structure.named_files())
    return [note for where, atoms in zip(keys, starts, strict=False) for note in notes_of(atoms, where)]


def unit_cell(settings: BulkSettings) -> Atoms:
    """Return the unit cell of a crystal; whatever ASE raises for impossible settings is passed on."""
    return bulk(
        settings.symbol,
        settings.crystal,
        a=settings.a,
        c=settings.c,
        cubic=settings.cubic,
        orthorhombic=settings.orthorhombic,
    )


def _crystal(settings: BulkSettings, seed: int) -> Atoms:
    if math.prod(settings.repeat) > _MAX_ATOMS:
        raise CampaignError(f"structure.bulk.repeat {settings.repeat} makes more than {_MAX_ATOMS} cells")
    try:
        cell = unit_cell(settings)
        atoms = cell * tuple(settings.repeat)
    except Exception as error:
        raise CampaignError(f"structure.bulk: ASE can't build it ({type(error).__name__}: {error})") from error
    sites = np.random.default_rng(derived_seed(seed, "substitute")).permutation(len(atoms))
    taken = 0
    for element, fraction in sorted(settings.substitute.items()):
        number = round(fraction * len(atoms))
        atoms.symbols[sites[taken : taken + number]] = element
        taken += number
    return atoms


def _check(atoms: Atoms, where: str, campaign: Campaign) -> None:
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        raise CampaignError(f"{where}: a position or cell vector is not a finite number")
    named = set(campaign.elements)
    if missing := sorted(set(atoms.get_chemical_symbols()) - named):
        raise CampaignError(f"{where} has {', '.join(missing)}, which elements ({_list(named)}) does not name")
    if not atoms.pbc.all() or atoms.cell.rank < 3:
        raise CampaignError(
            f"{where} must be periodic in all three directions with a full cell; put vacuum around a molecule or a "
            "surface"
        )
    height, fixed = float(heights_a(atoms.cell.array).min()), campaign.potential.cutoff_a
    cutoff, what = (
        (AUTO_CUTOFFS_A[0], "the shortest cutoff that potential.cutoff_a: auto takes,")
        if fixed == "auto"
        else (fixed, "potential.cutoff_a =")
    )
    if height < cutoff:
        raise CampaignError(
            f"{where}: the MD cell is {height:.2f} Å thick, less than {what} {cutoff:g} Å, so that atoms "
            "would see their own images; repeat the structure or take a smaller cutoff"
        )
    if close := too_close(atoms):
        raise CampaignError(f"{where}: {close}; correct the structure")
    require_movable(atoms, where, campaign)


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names))
