"""The perfect crystal whose properties are compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms

from mlip_fw.engines.structures.geometry import heights_a
from mlip_fw.engines.structures.reach import usual_cutoff_a
from mlip_fw.engines.structures.start import unit_cell
from mlip_fw.models.campaign import Campaign
from mlip_fw.validation.sources import UnmeasurableError


@dataclass(frozen=True)
class Crystal:
    """A unit cell, and the supercell in which its properties are computed."""

    unit: Atoms
    repeat: tuple[int, int, int]

    def cell(self, scale: float = 1.0) -> Atoms:
        """Return the repeated cell, all lengths times ``scale``."""
        return self.scaled_unit(scale) * self.repeat

    def scaled_unit(self, scale: float) -> Atoms:
        """Return the unit cell, all lengths times ``scale``."""
        atoms = self.unit.copy()
        atoms.set_cell(atoms.cell.array * scale, scale_atoms=True)
        return atoms


def crystal_of(campaign: Campaign) -> Crystal:
    """Return the crystal of a campaign, in the cell of its MD if that may be labelled whole.

    An oracle that samples few k-points says different things of different cells. The cell that was learnt
    from is the one to compare in.

    Raises
    ------
    UnmeasurableError
        If the campaign names no crystal, or a random alloy.
    """
    settings = campaign.validation.crystal or campaign.structure.bulk
    if settings is None:
        raise UnmeasurableError("the campaign starts from a file; give the crystal in validation.crystal")
    if settings.substitute:
        raise UnmeasurableError("a random alloy is not a perfect crystal; give one in validation.crystal")
    try:
        unit = unit_cell(settings)
    except Exception as error:
        raise UnmeasurableError(f"ASE can't build the crystal ({type(error).__name__}: {error})") from error
    if foreign := sorted(set(unit.get_chemical_symbols()) - set(campaign.elements)):
        raise UnmeasurableError(f"the crystal has {', '.join(foreign)}, which elements does not name")
    repeat, limit = tuple(settings.repeat), campaign.candidates.cutout.max_atoms
    if len(unit) * np.prod(repeat) > limit:
        cutoff_a = usual_cutoff_a([unit * tuple(settings.repeat)], campaign)
        repeat = tuple(int(n) for n in np.ceil(cutoff_a / heights_a(unit.cell.array)))
    if len(unit) * np.prod(repeat) > limit:
        raise UnmeasurableError(
            f"no cell as thick as the cutoff has at most {limit} atoms (candidates.cutout.max_atoms)"
        )
    a, b, c = repeat
    return Crystal(unit, (a, b, c))
