"""What one label says to a linear fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from mlip_fw.engines.ace import AcePotential, Design
from mlip_fw.engines.train.linear import LinearFit
from mlip_fw.generations import Generations
from mlip_fw.io.structures import known_forces, mask_of, stress_of
from mlip_fw.models.campaign import Campaign


@dataclass(frozen=True)
class Lesson:
    """Rows and targets of a label, less the energies of free atoms and what cores of atoms do."""

    design: Design
    energy_ev: float
    forces_ev_a: np.ndarray
    """(n_atoms, 3)"""
    mask: np.ndarray
    known: np.ndarray
    """(n_atoms, 3) of bool: force components that are known."""
    stress_ev_a3: np.ndarray | None

    def taken_into(self, fit: LinearFit) -> LinearFit:
        """Return the fit with this lesson folded in."""
        return fit.with_label(self.design, self.energy_ev, self.forces_ev_a, self.mask, self.stress_ev_a3, self.known)


def lesson_of(atoms: Atoms, energies_ev: dict[str, float], shape: AcePotential, campaign: Campaign) -> Lesson:
    """Return what a label says to a fit.

    Parameters
    ----------
    atoms
        The label.
    energies_ev
        Energies of free atoms by element.
    shape
        The form of the potential, with coefficients zero: what it still does is core repulsion.
    campaign
        Says whether stresses count.
    """
    stress = stress_of(atoms) if campaign.potential.stress_weight else None
    cores = shape.evaluate(atoms, gamma=False)
    free = sum(energies_ev[symbol] for symbol in atoms.get_chemical_symbols())
    return Lesson(
        design=shape.design(atoms, stress=stress is not None),
        energy_ev=float(atoms.get_potential_energy()) - free - cores.energy_ev,
        forces_ev_a=atoms.get_forces(apply_constraint=False) - cores.forces_ev_a,
        mask=mask_of(atoms),
        known=known_forces(atoms),
        stress_ev_a3=None if stress is None else stress - cores.stress_ev_a3(atoms.get_volume()),
    )


def in_order(generations: Generations, number: int, labels: Iterable[str]) -> list[str]:
    """Return the ``labels`` of a linear generation in the order in which they were learnt, as far as that is known."""
    known = [name for new in reversed(list(_new_labels(generations, number))) for name in new]
    places = {name: place for place, name in enumerate(known)}
    return sorted(labels, key=lambda name: (places.get(name, len(places)), name))


def _new_labels(generations: Generations, number: int | None) -> Iterator[list[str]]:
    while number is not None and (record := generations.record(number)) is not None:
        yield record.new_labels
        number = record.parent
