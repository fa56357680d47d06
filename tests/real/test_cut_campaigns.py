"""Campaigns whose MD cell is too large to be labelled: cut-outs, masks, and what they teach."""

import json

import numpy as np
import pytest

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.generations import Generations
from mlip_fw.campaign.summary import md_results
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.io.files import read_model
from mlip_fw.io.structures import read_frame
from mlip_fw.models.md import MDOutcome
from mlip_fw.models.selection import Selection
from tests.helpers.campaigns import SMALL, merged, write
from tests.helpers.programs import check_contract, mlip_fw

pytestmark = pytest.mark.real
MAX = 90
LARGE = merged(
    SMALL,
    {
        "campaign": "large",
        "elements": ["Al"],
        "structure": {"bulk": {"symbol": "Al", "crystal": "fcc", "a": 4.0, "cubic": True, "repeat": [4, 4, 4]}},
        "md": {"engine": "embedded", "stages": [{"ensemble": "nvt", "temperature_k": [400, 1200], "n_steps": 250}]},
        "candidates": {"cutout": {"max_atoms": MAX}},
        "potential": {"functions_per_element": 60},
    },
)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Return (folder, standard output) of a campaign of 256 atoms that was run once."""
    folder = tmp_path_factory.mktemp("large")
    done = mlip_fw("run", write(LARGE, folder / "c.yaml"), "--json", folder=folder)
    return folder, done.stdout


def halts(folder):
    return [r for r in md_results(CampaignDirectory(folder / "large")) if r.outcome is MDOutcome.HALTED]


def test_no_label_is_larger_than_allowed(large):
    folder, out = large
    summary = json.loads(out)
    assert summary["outcome"] == "CONVERGED"
    assert summary["halts"] >= 1
    dataset = Dataset(folder / "large")
    sizes = [len(dataset.read(name)) for name in dataset.hashes()]
    assert max(sizes) <= MAX < 256
    assert summary["atoms_labelled"] == sum(sizes)


def test_contract(large, tmp_path):
    folder, out = large
    check_contract(folder / "large", out, tmp_path)


def test_cut_out_keeps_the_surroundings_and_says_what_was_cut(large):
    folder, _ = large
    directory = CampaignDirectory(folder / "large")
    dataset = Dataset(directory.root)
    for result in halts(folder):
        selection = read_model(directory.cycle(0, result.cycle) / "selection.json", Selection)
        assert selection.cutout["n_atoms"] <= MAX
        assert selection.cutout["gamma_after"] == pytest.approx(result.gamma_max, rel=1e-6)
        label = dataset.read(selection.chosen[0].hash)
        assert label.arrays["mask"].sum() == selection.cutout["n_trained"]


def test_training_makes_the_centre_known(large):
    folder, _ = large
    generations = Generations(folder / "large")
    for result in halts(folder):
        frame = read_frame(CampaignDirectory(folder / "large").cycle(0, result.cycle) / "halt.extxyz")
        before, after = (
            AcePotential.from_files(generations.potential(result.generation + k)).evaluate(frame).gamma[result.atom]
            for k in (0, 1)
        )
        assert before == pytest.approx(result.gamma_max, rel=1e-4)
        assert after <= LARGE["uncertainty"]["gamma_select"]


def test_only_masked_in_atoms_are_trained_on(large):
    folder, _ = large
    dataset, generations = Dataset(folder / "large"), Generations(folder / "large")
    trained = 0
    for name in dataset.hashes():
        mask = dataset.read(name).arrays.get("mask")
        trained += len(dataset.read(name)) if mask is None else int(np.sum(mask))
    assert generations.record(generations.newest()).n_environments == {"Al": trained}


def test_held_out_frames_are_cut_out_too(large):
    """A frame of 256 atoms is never labelled: a small cell around a random atom is, and its mask counts."""
    folder, _ = large
    report = json.loads(mlip_fw("validate", "large", "--frames", 2, "--json", folder=folder).stdout)
    apart = Dataset(folder / "large" / "validation")
    labels = [apart.read(name) for name in apart.hashes()]
    assert max(map(len, labels)) <= MAX
    assert report["holdout"]["n_frames"] == len(labels) == 2
    assert report["holdout"]["n_atoms"] == sum(int(label.arrays["mask"].sum()) for label in labels)
    assert report["holdout"]["force_rmse_ev_a"] < 0.2
