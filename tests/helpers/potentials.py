"""Labels by EMT, and potentials that were trained on them."""

from ase.build import bulk
from ase.calculators.emt import EMT

from mlip_fw.dataset import Dataset
from mlip_fw.engines.ace import AcePotential
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.generations import Generations
from mlip_fw.io.campaign_file import parse_campaign
from mlip_fw.io.structures import with_labels
from tests.helpers.campaigns import SMALL


def copper_potential(root):
    generations, _, _ = teach(root, range(4), parse_campaign(SMALL, "test"))
    return AcePotential.from_files(generations.potential(0))


def labelled(seed, element="Cu", substitute=None, offset=0.0):
    atoms = bulk(element, cubic=True) * (2, 2, 2)
    if substitute:
        atoms.symbols[:: 3 + seed % 3] = substitute
    atoms.rattle(0.05 + 0.01 * seed, seed=seed)
    atoms.calc = EMT()
    return with_labels(atoms, atoms.get_potential_energy() + offset * len(atoms), atoms.get_forces(), None)


def teach(root, seeds, campaign, one_by_one=False, **options):
    generations, dataset, record = Generations(root), Dataset(root), None
    for seed in seeds:
        dataset.add(f"label{seed}", labelled(seed, **options), {})
        if one_by_one:
            record = train_generation(generations, dataset, campaign)
    return generations, dataset, record or train_generation(generations, dataset, campaign)
