"""The labels as a generation of the potential sees them: parity and the worst atoms."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from mlip_fw.dataset import Dataset
from mlip_fw.engines.ace import AcePotential
from mlip_fw.errors import MlipError
from mlip_fw.generations import Generations
from mlip_fw.io.structures import mask_of
from mlip_fw.layout import CampaignDirectory

MOST_LABELS = 60
_MOST_WORST = 20
_KEPT = 16


@dataclass(frozen=True)
class WorstAtom:
    """An atom whose force is far off."""

    label: str
    atom: int
    symbol: str
    error_ev_a: float
    """Length of the error of the force."""


@dataclass(frozen=True)
class Parity:
    """A generation against the reference; masked atoms are left out, and energies of cut-outs with them."""

    energies: np.ndarray
    """(n, 2) reference and potential, eV/atom, both relative to the reference energies of the elements."""
    forces: np.ndarray
    """(m, 2) components, reference and potential, eV/Å."""
    worst: list[WorstAtom]
    """The worst first."""


@dataclass(frozen=True)
class _Seen:
    energies: np.ndarray
    forces: np.ndarray
    worst: list[WorstAtom]


def parity_of(directory: CampaignDirectory, generation: int, most_labels: int = MOST_LABELS) -> Parity:
    """Return the labels that a generation was trained on, as it sees them.

    Parameters
    ----------
    directory
        The campaign.
    generation
        Its number.
    most_labels
        Of more labels, as many are taken at even distances, and the first and the last.

    Raises
    ------
    MlipError
        If the generation or its record can't be read.
    """
    return _parity(directory.root.as_posix(), generation, most_labels)


@functools.lru_cache(maxsize=_KEPT)
def _parity(root: str, generation: int, most_labels: int) -> Parity:
    directory = CampaignDirectory(root)
    generations, dataset = Generations(directory.root), Dataset(directory.root)
    record = generations.record(generation)
    if record is None:
        raise MlipError(f"generation {generation} of {root} has no whole training.json; restore it")
    names = [name for name in record.labels if dataset.has(name)]
    if len(names) > most_labels:
        names = [names[k] for k in np.linspace(0, len(names) - 1, most_labels).astype(int)]
    potential = AcePotential.from_files(generations.potential(generation))
    seen = [_seen(name, dataset, potential, record.reference_energy_ev) for name in names]
    worst = sorted((atom for one in seen for atom in one.worst), key=lambda atom: -atom.error_ev_a)
    return Parity(
        energies=np.concatenate([np.zeros((0, 2)), *(one.energies for one in seen)]),
        forces=np.concatenate([np.zeros((0, 2)), *(one.forces for one in seen)]),
        worst=worst[:_MOST_WORST],
    )


def _seen(name: str, dataset: Dataset, potential: AcePotential, references: dict[str, float]) -> _Seen:
    atoms = dataset.read(name)
    answer, mask, symbols = potential.evaluate(atoms, gamma=False), mask_of(atoms), atoms.get_chemical_symbols()
    forces = np.stack([atoms.get_forces()[mask], answer.forces_ev_a[mask]], axis=-1)
    energies = np.zeros((0, 2))
    if mask.all():
        relative = atoms.get_potential_energy() - sum(references.get(symbol, 0.0) for symbol in symbols)
        energies = np.array([[relative, answer.energy_ev]]) / len(atoms)
    errors = np.where(mask, np.linalg.norm(answer.forces_ev_a - atoms.get_forces(), axis=1), -1.0)
    order = np.argsort(-errors)[: min(_MOST_WORST, int(mask.sum()))]
    return _Seen(
        energies=energies,
        forces=forces.reshape(-1, 2),
        worst=[WorstAtom(name, int(k), symbols[k], float(errors[k])) for k in order],
    )
