"""What the rest of a campaign makes of generations by pacemaker: MD, candidates, uncertainties, export."""

import shutil
import sys

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.train.calibration import unseen_atoms
from mlip_fw.engines.train.committee import Committee
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.engines.train.pacemaker import publish, trainer
from mlip_fw.engines.train.pacemaker.trainer import refine_with_pacemaker
from mlip_fw.errors import DirectoryError, TrainingError
from mlip_fw.export.folder import export_campaign
from mlip_fw.export.rebuild import compare, rebuild
from mlip_fw.io.campaign_file import read_campaign
from mlip_fw.io.structures import with_labels
from mlip_fw.models.training import Stability
from mlip_fw.models.worker import Worker
from tests.helpers.programs import run_pacemaker_here

WORKER = Worker(pacemaker_cmd=f"{sys.executable} -m mlip_fw.testing.pacemaker")
BAD = Stability(
    sound=False,
    reasons=["the atoms fly apart"],
    least_dimer_slope_ev_a=1.0,
    energy_drift_ev_atom=None,
    temperature_k=600.0,
    seconds=0.0,
)


def labelled(seed):
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms.rattle(0.05 + 0.01 * seed, seed=seed)
    atoms.calc = EMT()
    return with_labels(atoms, atoms.get_potential_energy(), atoms.get_forces(), None)


def learn(directory, campaign, seed):
    Dataset(directory.root).add(f"{seed:016x}", labelled(seed), {})
    return train_generation(Generations(directory.root), Dataset(directory.root), campaign)


def polished(directory, campaign):
    return refine_with_pacemaker(
        Generations(directory.root), Dataset(directory.root), campaign, WORKER, directory.refining
    )


@pytest.fixture(scope="module")
def made(small_campaign, tmp_path_factory):
    """Return the directory of a campaign with generations linear, pacemaker, linear, pacemaker."""
    root = tmp_path_factory.mktemp("made")
    (root / "mine.yaml").write_text("fit: {maxiter: 2}\nsecret: {of: mine}\n")
    settings = {"kind": "pacemaker", "pacemaker": {"template": str(root / "mine.yaml")}}
    campaign, directory = small_campaign(potential=settings), CampaignDirectory(root / "c")
    directory.claim(campaign)
    with pytest.MonkeyPatch.context() as patch:
        run_pacemaker_here(patch)
        for seed in range(2):
            learn(directory, campaign, seed)
            polished(directory, campaign)
    return directory


@pytest.fixture
def copied(made, tmp_path, pacemaker_here):
    """Return a copy of it that a test may change."""
    shutil.copytree(made.root, tmp_path / "c")
    return CampaignDirectory(tmp_path / "c")


def test_sound_ones_are_for_md(made):
    generations = Generations(made.root)
    assert [generations.trainer(n) for n in range(4)] == ["linear", "pacemaker"] * 2
    assert generations.record(3).stability.sound
    assert generations.fit_for_md() == generations.newest_to_select_with() == 3


def test_unfit_one_is_refused_and_never_started_from(copied, monkeypatch, caplog):
    generations, campaign = Generations(copied.root), copied.read_campaign()
    learn(copied, campaign, 2)
    monkeypatch.setattr(publish, "check_stability", lambda *_: BAD)
    assert polished(copied, campaign).generation == 5
    assert generations.refused() == {5: ["the atoms fly apart"]}
    assert generations.fit_for_md() == generations.newest_to_select_with() == 4
    known = trainer._known(generations, generations.record(4))
    assert known == [generations.potential(4)]


def test_active_set_of_a_refused_linear_generation_is_of_use(copied):
    generations = Generations(copied.root)
    record = learn(copied, copied.read_campaign(), 2)
    path = generations.folder(4) / "training.json"
    path.write_text(record.model_copy(update={"stability": BAD}).model_dump_json())
    assert (generations.fit_for_md(), generations.newest_to_select_with()) == (3, 4)


def test_uncertainties_are_those_of_the_linear_generations(made):
    generations, dataset = Generations(made.root), Dataset(made.root)
    with pytest.raises(TrainingError, match="was not fitted to labels linearly"):
        Committee.of_generation(generations, 3)
    unseen = unseen_atoms(generations, dataset)
    # the second label, by generation 0
    assert len(unseen.gamma) == 32
    assert np.isfinite(unseen.spread_ev_a).all()


def test_exported_one_says_who_trained_it_and_is_not_made_again(made, tmp_path):
    card = export_campaign(made, tmp_path / "pot")
    assert (card.generation, card.trainer, card.labels) == (3, "pacemaker", 2)
    assert card.recipe.steps == [["0" * 16], ["0" * 15 + "1"]]
    assert {"pacemaker": "0.4", "tensorpotential": "0.6"}.items() <= card.versions.items()
    text = (tmp_path / "pot" / "README.md").read_text()
    assert "pacemaker, from a linear fit" in text
    assert "mlip-fw rebuild" not in text and "initial:" not in text and "{%" not in text
    assert "Bochkarev2022" in (tmp_path / "pot" / "citations.bib").read_text()
    assert (tmp_path / "pot" / "pacemaker.yaml").is_file() and (tmp_path / "pot" / "pacemaker.txt").is_file()
    template = read_campaign(tmp_path / "pot" / "campaign.yaml").potential.pacemaker.template
    assert template == str(tmp_path / "pot/inputs/pacemaker-template.yaml")
    assert "mine" not in (tmp_path / "pot/inputs/pacemaker-template.yaml").read_text()
    with pytest.raises(DirectoryError, match=r"generation 3 in .* is by pacemaker.*only linear generations"):
        next(rebuild(tmp_path / "pot", tmp_path / "again"))


def test_linear_one_of_the_same_campaign_is_made_again_to_the_bit(made, tmp_path):
    export_campaign(made, tmp_path / "pot", 2)
    assert not (tmp_path / "pot" / "pacemaker.yaml").exists()
    assert list(rebuild(tmp_path / "pot", tmp_path / "again")) == [0, 1]
    assert compare(tmp_path / "pot", tmp_path / "again").is_identical
