"""Sources of energies, forces and stresses: the potential, or labels of the oracle that may have to be made first.

A property is a function of a source. It is measured twice, by the potential and by the oracle, in the same
way. A source of labels that lacks one says so; what is missing is labelled, and the property measured again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container, Sequence

import numpy as np
from ase import Atoms

from mlip_fw.campaign.dataset import Dataset, label_name
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.io.structures import canonical, with_labels


class NotYetError(Exception):
    """Labels that a property needs are not there yet."""


class UnmeasurableError(Exception):
    """A property can't be had; the text is the reason."""


class Source(ABC):
    """Gives structures their energies, forces and stresses."""

    @abstractmethod
    def label(self, structures: Sequence[Atoms]) -> list[Atoms]:
        """Return copies of ``structures`` with energy, forces and, if there is one, stress."""


class PotentialSource(Source):
    """A potential, with the energies of free atoms added."""

    def __init__(self, potential: AcePotential, reference_energy_ev: dict[str, float]) -> None:
        self.potential, self._free = potential, reference_energy_ev
        self.gamma_max = 0.0
        """Largest extrapolation grade of all structures so far."""

    def label(self, structures: Sequence[Atoms]) -> list[Atoms]:
        """Evaluate ``structures``; the array ``gamma`` (n,) comes with them."""
        return [self._labelled(atoms) for atoms in structures]

    def _labelled(self, atoms: Atoms) -> Atoms:
        answer = self.potential.evaluate(atoms)
        assert answer.gamma is not None
        self.gamma_max = max(self.gamma_max, float(answer.gamma.max()))
        free = sum(self._free.get(symbol, 0.0) for symbol in atoms.get_chemical_symbols())
        stress = answer.stress_ev_a3(atoms.get_volume())
        labelled = with_labels(atoms, answer.energy_ev + free, answer.forces_ev_a, stress)
        labelled.arrays["gamma"] = answer.gamma
        return labelled


class OracleSource(Source):
    """Labels that are kept apart from the training set; remembers which are missing."""

    def __init__(self, dataset: Dataset, level_of_theory: dict[str, object], given_up: Container[str] = ()) -> None:
        self._dataset, self._level, self._given_up = dataset, level_of_theory, given_up
        self.missing: dict[str, Atoms] = {}
        """Structures to label, by name."""

    def label(self, structures: Sequence[Atoms]) -> list[Atoms]:
        """Return the labels of ``structures``.

        Raises
        ------
        NotYetError
            If some are to be made first.
        UnmeasurableError
            If one could not be made, or is given up.
        """
        kept = [canonical(atoms) for atoms in structures]
        names = [label_name(atoms, self._level) for atoms in kept]
        if failed := [name for name in names if self._dataset.is_quarantined(name) and not self._dataset.has(name)]:
            raise UnmeasurableError(f"label {failed[0]} failed; see validation/quarantine/{failed[0]}.json")
        missing = {name: atoms for name, atoms in zip(names, kept, strict=True) if not self._dataset.has(name)}
        if lost := [name for name in missing if name in self._given_up]:
            raise UnmeasurableError(
                f"label {lost[0]} was made several times, but is not in validation/labels: does somebody remove "
                "files there? `mlip-fw validate` tries again"
            )
        if missing:
            self.missing |= missing
            raise NotYetError
        return [_aligned(self._dataset.read(name), atoms) for name, atoms in zip(names, structures, strict=True)]


def energies(frames: Sequence[Atoms]) -> np.ndarray:
    """Return the (n,) energies of labelled structures, eV."""
    return np.array([atoms.get_potential_energy() for atoms in frames])


def stress_of(atoms: Atoms) -> np.ndarray:
    """Return the (6,) stress of a labelled structure, eV/Å³, in ASE's order.

    Raises
    ------
    UnmeasurableError
        If the oracle gave none.
    """
    stress = atoms.calc.results.get("stress")
    if stress is None:
        raise UnmeasurableError("the oracle gives no stress")
    return np.asarray(stress, dtype=float)


def _aligned(label: Atoms, atoms: Atoms) -> Atoms:
    """Return ``atoms`` with what the label says: a label is wrapped into its cell, and the order is the same."""
    results = label.calc.results
    return with_labels(atoms, results["energy"], results["forces"], results.get("stress"))
