"""The child process of :mod:`mlip_fw.views.analysis.parity`: a crash of pyace ends only this process."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.io.structures import atoms_with_forces, mask_of

_MAX_WORST = 20
_OOM_SCORE = Path("/proc/self/oom_score_adj")


@dataclass(frozen=True)
class _LabelParity:
    """Parity of one label."""

    energies: np.ndarray
    forces: np.ndarray
    worst: list[tuple[str, int, str, float]]
    """Label, atom, symbol and force error in eV/Å."""


def evaluate(argument: dict[str, Any]) -> dict[str, Any]:
    """Evaluate labels of a campaign; argument and result are plain values, as they cross a pipe.

    Parameters
    ----------
    argument
        ``root``: the campaign directory; ``potential``: the ``.yaml`` of a generation; ``labels``: hashes;
        ``references``: energy of each element, eV.
    """
    _prefer_for_oom_kill()
    dataset, potential = Dataset(Path(argument["root"])), AcePotential.from_files(Path(argument["potential"]))
    found = [_label_parity(name, dataset, potential, argument["references"]) for name in argument["labels"]]
    worst = sorted((atom for one in found for atom in one.worst), key=lambda atom: -atom[-1])
    return {
        "energies": np.concatenate([np.zeros((0, 2)), *(one.energies for one in found)]).tolist(),
        "forces": np.concatenate([np.zeros((0, 2)), *(one.forces for one in found)]).tolist(),
        "worst": worst[:_MAX_WORST],
    }


def _prefer_for_oom_kill() -> None:
    """Have the kernel kill this process rather than the server or notebook when memory runs out."""
    with contextlib.suppress(OSError):
        _OOM_SCORE.write_text("1000")


def _label_parity(name: str, dataset: Dataset, potential: AcePotential, references: dict[str, float]) -> _LabelParity:
    atoms = dataset.read(name)
    answer, mask, symbols = potential.evaluate(atoms, gamma=False), mask_of(atoms), atoms.get_chemical_symbols()
    compared = atoms_with_forces(atoms)
    forces = np.stack([atoms.get_forces()[compared], answer.forces_ev_a[compared]], axis=-1)
    energies = np.zeros((0, 2))
    if mask.all():
        relative = atoms.get_potential_energy() - sum(references.get(symbol, 0.0) for symbol in symbols)
        energies = np.array([[relative, answer.energy_ev]]) / len(atoms)
    errors = np.where(compared, np.linalg.norm(answer.forces_ev_a - atoms.get_forces(), axis=1), -1.0)
    order = np.argsort(-errors)[: min(_MAX_WORST, int(compared.sum()))]
    return _LabelParity(
        energies=energies,
        forces=forces.reshape(-1, 2),
        worst=[(name, int(k), symbols[k], float(errors[k])) for k in order],
    )
