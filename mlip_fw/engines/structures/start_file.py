"""Start structures from files, with their masses, velocities and fixed atoms."""

from __future__ import annotations

from pathlib import Path

from ase import Atoms

from mlip_fw.engines.structures.fixed_atoms import temperature_of
from mlip_fw.errors import CampaignError
from mlip_fw.io.constraints import FIXED, fixed_components
from mlip_fw.io.moments import keep_moments
from mlip_fw.io.statements import take_over
from mlip_fw.io.structures import format_of, read_any
from mlip_fw.models.campaign import Campaign

_OTHER_MASS = 1e-3


def read_start(path: Path, where: str) -> Atoms:
    """Return the last frame of a start file with its masses and velocities.

    Constraints become the array ``FIXED``, (n, 3) of bool along the axes of LAMMPS, and are removed from the atoms.

    Raises
    ------
    CampaignError
        If the file can't be read, or has constraints that MD can't keep.
    """
    atoms = read_any(path, where)[-1]
    keep_moments(atoms)
    atoms.calc = None
    try:
        take_over(atoms, path, format_of(path, where), where)
        fixed = fixed_components(atoms, where)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise CampaignError(f"{where}: can't read all of {path} ({type(error).__name__}: {error})") from error
    # ASE sets the forces on constrained atoms to zero, but labels need the forces on all atoms
    atoms.set_constraint()
    if fixed is not None:
        atoms.set_array(FIXED, fixed)
    return atoms


def notes_of(atoms: Atoms, where: str) -> list[str]:
    """Return a sentence for each of fixed atoms, velocities and unusual masses that a start structure has."""
    notes, fixed = [], atoms.arrays.get(FIXED)
    if fixed is not None:
        if whole := int(fixed.all(axis=1).sum()):
            notes.append(f"{where} fixes {whole} of {len(atoms)} atoms: they stay where they are in MD")
        if len(partly := fixed[fixed.any(axis=1) & ~fixed.all(axis=1)]):
            along = ", ".join(axis for axis, held in zip("xyz", partly.any(axis=0), strict=True) if held)
            notes.append(f"{where} fixes {along} of {len(partly)} of {len(atoms)} atoms: these stay as they are in MD")
    if atoms.get_momenta().any():
        notes.append(f"{where} has velocities: {temperature_of(atoms, fixed):.4g} K")
    usual = Atoms(atoms.numbers).get_masses()
    for symbol, mass in sorted(set(zip(atoms.get_chemical_symbols(), atoms.get_masses().tolist(), strict=True))):
        standard = usual[atoms.get_chemical_symbols().index(symbol)]
        if abs(mass - standard) > _OTHER_MASS * standard:
            notes.append(f"{where} gives {symbol} a mass of {mass:.6g} u (usual: {standard:.6g}): MD uses it")
    return notes


def require_movable(atoms: Atoms, where: str, campaign: Campaign) -> None:
    """Refuse fixed atoms in a campaign whose MD can't keep them.

    Raises
    ------
    CampaignError
        If all atoms are fixed, or some are and a stage has a barostat.
    """
    fixed = atoms.arrays.get(FIXED)
    if fixed is None:
        return
    if fixed.all():
        raise CampaignError(f"{where} fixes all of its atoms, so that nothing would move in MD; remove the constraints")
    for index, stage in enumerate(campaign.md.stages):
        if stage.ensemble == "npt":
            raise CampaignError(
                f"{where} fixes {int(fixed.any(axis=1).sum())} of {len(atoms)} atoms, but md.stages.{index} is npt, "
                "whose barostat moves all of them with the cell; take nvt or nve, or remove the constraints"
            )
