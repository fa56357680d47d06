"""Import of a user's potential (``potential.initial``) as generation 0."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from ase import Atoms

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.generations import Generations
from mlip_fw.campaign.seeds import derived_seed
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.sampling.bootstrap import first_structures
from mlip_fw.engines.structures.start import start_structures
from mlip_fw.engines.train.generation import write_generation
from mlip_fw.engines.train.linear_fit import LinearFit
from mlip_fw.engines.train.stability import check_stability
from mlip_fw.io.files import write_json
from mlip_fw.io.pace import read_active_set, read_basis
from mlip_fw.io.structures import with_labels
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.training import TrainingRecord

_MAX_FRAMES = 8


def import_initial(generations: Generations, source: Path, dataset: Dataset, campaign: Campaign) -> TrainingRecord:
    """Publish a user's potential and its active set as generation 0, with the stability test of every generation.

    The test starts from the smallest of some labels of ``dataset``; without labels, from the first bootstrap structure.
    Later fits use its coefficients as prior mean, unless the test has shown the potential to be unsound. Faults at
    short distances or in the hot run are only warnings, because the repulsion constraints of later fits remove them.
    """
    started = time.perf_counter()
    basis = read_basis(source)
    elements = [str(name) for name in basis.elements_name]
    inverses = read_active_set(source.with_suffix(".asi"), elements)
    potential, coefficients = AcePotential(basis), np.array(basis.basis_coeffs)
    frames = list(dataset.sample(_MAX_FRAMES)) or _first_frames(potential, campaign)
    stability = check_stability(potential, frames, campaign, is_given=True)
    prior = coefficients if stability.sound else np.zeros_like(coefficients)
    with generations.new() as (number, folder):
        record = TrainingRecord(
            generation=number,
            labels=[],
            new_labels=[],
            n_atoms=0,
            n_environments=dict.fromkeys(elements, 0),
            functions_per_element=potential.n_functions(),
            reference_energy_ev={},
            ridge=0.0,
            active_set_swaps=0,
            gamma_max_dataset=0.0,
            stability=stability,
            seconds=time.perf_counter() - started,
        )
        write_generation(folder, basis, inverses, LinearFit.empty(len(coefficients)), prior)
        write_json(folder / "training.json", record)
    return record


def _first_frames(potential: AcePotential, campaign: Campaign) -> list[Atoms]:
    """Return the bootstrap structures, labelled with energies and forces of the potential itself."""
    rng = np.random.default_rng(derived_seed(campaign.seed, "bootstrap"))
    frames = []
    for atoms in first_structures(start_structures(campaign), campaign, rng):
        answer = potential.evaluate(atoms, gamma=False)
        frames.append(with_labels(atoms, answer.energy_ev, answer.forces_ev_a, None))
    return frames
