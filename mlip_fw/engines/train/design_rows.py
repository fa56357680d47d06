"""Design-matrix rows and targets of one label."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms

from mlip_fw.campaign.dataset import is_imported
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.potential import AcePotential, Design
from mlip_fw.engines.train.energy_offsets import origin_of
from mlip_fw.engines.train.linear_fit import LinearFit
from mlip_fw.io.structures import known_forces, mask_of, stress_of
from mlip_fw.models.campaign import Campaign


@dataclass(frozen=True)
class DesignRows:
    """Rows and targets of a label, after subtraction of reference energies and core repulsion."""

    design: Design
    energy_ev: float
    forces_ev_a: np.ndarray
    """(n_atoms, 3)"""
    mask: np.ndarray
    known: np.ndarray
    """(n_atoms, 3) of bool: force components that are known and inside the mask."""
    stress_ev_a3: np.ndarray | None
    origin: np.ndarray | None = None
    """(2 n_elements,) composition columns (:func:`origin_of`), in a campaign with imported labels."""
    cores_ev: float = 0.0
    """Energy of core repulsion, which was subtracted."""

    def added_to(self, fit: LinearFit, weights: tuple[float, float] | None = None) -> LinearFit:
        """Return the fit updated with this label; ``weights`` are those of its energy, and of its forces and stress."""
        label = self.design, self.energy_ev, self.forces_ev_a, self.mask, self.stress_ev_a3
        return fit.with_label(*label, weights, self.origin, self.known)

    def relative_to(self, energies_ev: dict[str, float], atoms: Atoms) -> DesignRows:
        """Return the rows of the same label ``atoms`` for other reference energies."""
        return replace(self, energy_ev=_energy_above(energies_ev, atoms) - self.cores_ev)


def _energy_above(energies_ev: dict[str, float], atoms: Atoms) -> float:
    free = sum(energies_ev[symbol] for symbol in atoms.get_chemical_symbols())
    return float(atoms.get_potential_energy()) - free


def design_rows_of(
    atoms: Atoms,
    energies_ev: dict[str, float],
    shape: AcePotential,
    campaign: Campaign,
    *,
    with_imported_stress: bool = True,
) -> DesignRows:
    """Return the design-matrix rows and targets of a label.

    Parameters
    ----------
    atoms
        The label.
    energies_ev
        Reference energies of the elements.
    shape
        A potential with the basis of the fit and all coefficients zero, so that it has core repulsion only.
    campaign
        Says whether stresses are fitted.
    with_imported_stress
        Whether stresses of imported labels are fitted too.
    """
    imported = is_imported(atoms)
    stress = stress_of(atoms) if campaign.potential.stress_weight else None
    counts = stress is not None and (with_imported_stress or not imported)
    two_origins = campaign.bootstrap.dataset is not None
    cores = shape.evaluate(atoms, gamma=False)
    return DesignRows(
        design=shape.design(atoms, stress=stress is not None),
        energy_ev=_energy_above(energies_ev, atoms) - cores.energy_ev,
        forces_ev_a=atoms.get_forces(apply_constraint=False) - cores.forces_ev_a,
        mask=mask_of(atoms),
        known=known_forces(atoms),
        stress_ev_a3=stress - cores.stress_ev_a3(atoms.get_volume()) if stress is not None and counts else None,
        cores_ev=cores.energy_ev,
        origin=origin_of(atoms, shape.elements, is_imported=imported) if two_origins else None,
    )


def in_training_order(generations: Generations, number: int, labels: Iterable[str]) -> list[str]:
    """Return ``labels`` in the order in which generations up to ``number`` were trained on them; unknown ones last."""
    known = [name for new in reversed(list(_new_labels(generations, number))) for name in new]
    places = {name: place for place, name in enumerate(known)}
    return sorted(labels, key=lambda name: (places.get(name, len(places)), name))


def _new_labels(generations: Generations, number: int | None) -> Iterator[list[str]]:
    while number is not None and (record := generations.record(number)) is not None:
        yield record.new_labels
        number = record.parent
