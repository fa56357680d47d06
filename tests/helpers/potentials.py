"""Labels by EMT, and potentials that were trained on them."""

import atexit
import shutil
import tempfile
from pathlib import Path

from ase.build import bulk
from ase.calculators.emt import EMT

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.io.campaign_file import parse_campaign
from mlip_fw.io.structures import with_labels
from tests.helpers.campaigns import SMALL


def copper_potential(root):
    generations, _, _ = taught(root, 4, parse_campaign(SMALL, "test"))
    return AcePotential.from_files(generations.potential(0))


def labelled(seed, element="Cu", substitute=None, offset=0.0):
    atoms = bulk(element, cubic=True) * (2, 2, 2)
    if substitute:
        atoms.symbols[:: 3 + seed % 3] = substitute
    atoms.rattle(0.05 + 0.01 * seed, seed=seed)
    atoms.calc = EMT()
    return with_labels(atoms, atoms.get_potential_energy() + offset * len(atoms), atoms.get_forces(), None)


def teach(root, seeds, campaign, one_by_one=False, **options):
    """Train a generation on labels of these seeds; return generations, dataset and the record of the last one."""
    generations, dataset, record = Generations(root), Dataset(root), None
    for seed in seeds:
        dataset.add(f"label{seed}", labelled(seed, **options), {})
        if one_by_one:
            record = train_generation(generations, dataset, campaign)
    return generations, dataset, record or train_generation(generations, dataset, campaign)


_TAUGHT = {}


def taught(root, n_labels, campaign, **options):
    """Do the same as :func:`teach`, once for each number of labels: training is reproducible, copies are as good."""
    key = (n_labels, campaign.model_dump_json(), *sorted(options.items()))
    if key not in _TAUGHT:
        kept = Path(tempfile.mkdtemp(prefix="taught"))
        atexit.register(shutil.rmtree, kept, ignore_errors=True)
        _TAUGHT[key] = kept, teach(kept, range(n_labels), campaign, **options)[2]
    kept, record = _TAUGHT[key]
    shutil.copytree(kept, root, dirs_exist_ok=True)
    return Generations(root), Dataset(root), record.model_copy(deep=True)
