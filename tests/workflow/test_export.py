"""A potential that leaves its campaign: examples run, the fit is made again to the bit, a new campaign goes on."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ase.io import read
from typer.testing import CliRunner

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.generations import Generations
from mlip_fw.cli.app import app
from mlip_fw.cli.main import main  # noqa: F401  adds all commands
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.errors import CampaignError, DirectoryError
from mlip_fw.export.folder import export_campaign
from mlip_fw.export.frame import pacemaker_frame
from mlip_fw.export.history import split_frames
from mlip_fw.export.rebuild import compare, rebuild
from mlip_fw.io.campaign_file import read_campaign, write_campaign
from mlip_fw.io.structures import MASK, read_frame
from mlip_fw.launcher.runner import run_campaign


@pytest.fixture(scope="module")
def worker(lent_lmp):
    from fireworks import FWorker

    return FWorker(name="stand-in", env={"lmp_cmd": f"{lent_lmp} --halt-at 40,70"})


@pytest.fixture(scope="module")
def learnt(tmp_path_factory, small_campaign, worker):
    """Return the directory of a campaign that has made three generations."""
    directory = CampaignDirectory(tmp_path_factory.mktemp("learnt") / "c")
    run_campaign(small_campaign(candidates={"max_labels_per_halt": 2}), directory, worker)
    return directory


@pytest.fixture(scope="module")
def exported(learnt, tmp_path_factory):
    """Return the folder that its newest potential was exported to, and its card."""
    folder = tmp_path_factory.mktemp("exported") / "pot"
    return folder, export_campaign(learnt, folder)


def energy_of_engine(folder):
    return (
        AcePotential.from_files(folder / "potential.yaml").evaluate(read_frame(folder / "structure.extxyz")).energy_ev
    )


def test_files_are_those_of_the_newest_generation(learnt, exported):
    folder, card = exported
    newest = Generations(learnt.root).potential(2)
    for suffix in (".yaml", ".asi", ".yace"):
        assert (folder / f"potential{suffix}").read_bytes() == newest.with_suffix(suffix).read_bytes()
    assert (card.generation, card.labels) == (2, len(Dataset(learnt.root).hashes()))
    assert card.domain.temperature_k == [300.0, 600.0]
    assert card.domain.measured_temperature_k is None, "the stand-in logs none"
    assert card.oracle_codes[0].startswith("ase emt 3.")
    assert card.unseen_errors.force_rmse_ev_a > 0
    text = (folder / "README.md").read_text()
    assert card.sha256["dataset.extxyz"] in text
    assert "{{" not in text
    (energy,) = card.reference_energy_ev.values()
    assert f"| Cu | {energy} |" in text
    assert "E(reference method) = E(potential) + sum over all atoms of the reference energy of their element" in text
    assert f"| training error | force RMSE {1000 * card.training_errors.force_rmse_ev_a:.2f} meV/Å" in text
    assert f"before training on them | force RMSE {1000 * card.unseen_errors.force_rmse_ev_a:.2f} meV/Å" in text
    assert (folder / "citations.bib").read_text().count("@article") == 6


def test_dataset_holds_every_label_and_says_where_its_masks_are(learnt, exported):
    folder, card = exported
    names = [name for step in card.recipe.steps for name in step]
    table = pd.read_pickle(folder / "dataset.pckl.gzip", compression="gzip")
    assert sorted(names) == Dataset(learnt.root).hashes()
    for name, frame, row in zip(names, read(folder / "dataset.extxyz", ":"), table.itertuples(), strict=True):
        label = Dataset(learnt.root).read(name)
        assert np.array_equal(frame.positions, label.positions)
        assert frame.get_potential_energy() == label.get_potential_energy() == row.energy
        assert row.energy_corrected == pytest.approx(row.energy - len(label) * card.reference_energy_ev["Cu"])
        assert np.array_equal(row.forces, label.get_forces())
    assert table["w_energy"].sum() == pytest.approx(1.0)
    assert sum(w.sum() for w in table["w_forces"]) == pytest.approx(1.0)


def test_masked_atoms_have_no_weight(exported):
    frames = read(exported[0] / "dataset.extxyz", ":2")
    frames[1].arrays[MASK] = np.arange(len(frames[1])) < 5
    table = pacemaker_frame(frames, {})
    assert table["w_energy"].tolist() == [1.0, 0.0]
    assert [np.count_nonzero(w) for w in table["w_forces"]] == [len(frames[0]), 5]


def test_split_frames_are_the_file_to_the_byte(exported):
    text = (exported[0] / "dataset.extxyz").read_text()
    frames = list(split_frames(text))
    assert "".join(frames) == text
    assert len(frames) == exported[1].labels


def test_example_for_ase_runs_and_gives_the_engines_energy(exported, tmp_path):
    folder, card = exported
    done = subprocess.run(
        [sys.executable, folder / "use_in_ase.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    said = {line[:14].strip(): float(line[14:].split()[0]) for line in done.stdout.splitlines()}
    energy, n = energy_of_engine(folder), len(read_frame(folder / "structure.extxyz"))
    assert said["energy"] == pytest.approx(energy, abs=1e-8)
    assert said["with reference"] == pytest.approx(energy + n * card.reference_energy_ev["Cu"], abs=1e-8)
    assert said["largest gamma"] <= 1.01


@pytest.mark.native
def test_examples_for_lammps_run_and_give_the_engines_energy(exported, native_lmp):
    folder, _ = exported
    subprocess.run([*native_lmp.split(), "-in", "in.lammps"], cwd=folder, check=True, capture_output=True)
    said = float((folder / "in.lammps.out").read_text().split()[1])
    assert said == pytest.approx(energy_of_engine(folder), abs=1e-8)
    done = subprocess.run(
        [*native_lmp.split(), "-in", "in.gamma.lammps"], cwd=folder, check=True, capture_output=True, text=True
    )
    (first,) = [line.split() for line in done.stdout.splitlines() if line.split()[:1] == ["0"]]
    assert float(first[4]) == pytest.approx(
        AcePotential.from_files(folder / "potential.yaml")
        .evaluate(read_frame(folder / "structure.extxyz"))
        .gamma.max(),
        rel=1e-5,
    )


def test_rebuilt_potential_is_the_same_bit_for_bit(learnt, exported, tmp_path):
    folder, _ = exported
    assert list(rebuild(folder, tmp_path / "again")) == [0, 1, 2]
    found = compare(folder, tmp_path / "again")
    assert found.is_identical
    assert found.potential.read_bytes() == (folder / "potential.yaml").read_bytes()


def test_order_of_the_labels_is_part_of_the_recipe(exported, tmp_path):
    """All labels at once give another rounding, which the comparison sees."""
    folder, card = exported
    steps = [[name for step in card.recipe.steps for name in step]]
    other = card.model_copy(update={"recipe": card.recipe.model_copy(update={"steps": steps})})
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "model.json").write_text(other.model_dump_json())
    assert list(rebuild(tmp_path, tmp_path / "again")) == [0]
    assert not compare(tmp_path, tmp_path / "again").is_identical


def test_changed_dataset_is_refused(exported, tmp_path):
    for path in exported[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "dataset.extxyz").write_text((tmp_path / "dataset.extxyz").read_text().replace("1", "2", 1))
    with pytest.raises(DirectoryError, match="is not the one that the potential was trained on"):
        list(rebuild(tmp_path, tmp_path / "again"))


@pytest.fixture(scope="module")
def continued(exported, tmp_path_factory, small_campaign, worker):
    """Return the directory of a campaign that began with the exported potential, active set and dataset."""
    folder, _ = exported
    campaign = small_campaign(
        campaign="onward",
        seed=11,
        potential={"initial": str(folder / "potential.yaml")},
        bootstrap={"dataset": str(folder / "dataset.extxyz")},
    )
    directory = CampaignDirectory(tmp_path_factory.mktemp("continued") / "c")
    return directory, run_campaign(campaign, directory, worker)


def test_campaign_goes_on_from_an_export(exported, continued):
    directory, summary = continued
    card = exported[1]
    assert (summary.outcome, summary.halts) == ("CONVERGED", 2)
    assert summary.labels > card.labels
    generations = Generations(directory.root)
    given, after = (AcePotential.from_files(generations.potential(k)).basis.basis_coeffs for k in (0, 1))
    assert given == AcePotential.from_files(exported[0] / "potential.yaml").basis.basis_coeffs
    assert not np.array_equal(given, after)
    assert len(generations.record(1).labels) == card.labels
    assert summary.dataset_force_rmse_ev_a < 5 * card.training_errors.force_rmse_ev_a


def test_what_went_on_is_rebuilt_with_the_potential_it_began_with(continued, tmp_path):
    card = export_campaign(continued[0], tmp_path / "pot")
    assert card.recipe.imported
    list(rebuild(tmp_path / "pot", tmp_path / "again"))
    assert compare(tmp_path / "pot", tmp_path / "again").is_identical


def test_exported_campaign_names_no_place_of_this_machine(continued, tmp_path):
    export_campaign(continued[0], tmp_path / "pot")
    text = (tmp_path / "pot" / "campaign.yaml").read_text()
    assert str(tmp_path.parent) not in text
    copy = read_campaign(tmp_path / "pot" / "campaign.yaml")
    assert copy.potential.initial == str(tmp_path / "pot" / "inputs" / "potential.yaml")
    assert (tmp_path / "pot" / "inputs" / "potential.asi").is_file()
    assert (tmp_path / "pot" / "inputs" / "dataset.extxyz").is_file()


@pytest.mark.parametrize("suffix", [".txt", ".yaml", ".asi"])
def test_other_files_are_not_published(learnt, small, tmp_path, suffix):
    secret = tmp_path / f"secret{suffix}"
    secret.write_text("not a structure")
    directory = CampaignDirectory(tmp_path / "c")
    shutil.copytree(learnt.root, directory.root)
    directory.campaign_file.unlink()
    write_campaign(directory.campaign_file, small(structure={"bulk": None, "file": str(secret)}))
    with pytest.raises(CampaignError, match="a file that the campaign names"):
        export_campaign(directory, tmp_path / "pot")
    assert not (tmp_path / "pot" / "inputs" / secret.name).exists()


def test_recipe_names_labels_and_no_other_files(exported, tmp_path):
    for path in exported[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    card = json.loads((tmp_path / "model.json").read_text())
    card["recipe"]["steps"][0][0] = "../../../elsewhere"
    (tmp_path / "model.json").write_text(json.dumps(card))
    with pytest.raises(DirectoryError, match="has no whole model.json"):
        list(rebuild(tmp_path, tmp_path / "again"))


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class TestPlace:
    """An export is whole or not there, and takes nothing of anybody else's away."""

    def test_own_files_stay_beside_a_second_export(self, learnt, exported, tmp_path):
        shutil.copytree(exported[0], tmp_path / "pot")
        (tmp_path / "pot" / ".git").mkdir()
        (tmp_path / "pot" / ".git" / "config").write_text("mine")
        (tmp_path / "pot" / "validation-old.png").write_text("of an earlier export")
        export_campaign(learnt, tmp_path / "pot")
        assert (tmp_path / "pot" / ".git" / "config").read_text() == "mine"
        assert {path.name for path in (tmp_path / "pot").iterdir()} - {path.name for path in exported[0].iterdir()} == {
            ".git"
        }

    def test_what_fails_leaves_the_export_before(self, learnt, exported, tmp_path, monkeypatch):
        shutil.copytree(exported[0], tmp_path / "pot")
        before = content(tmp_path / "pot")

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("mlip_fw.export.folder.write_data", full)
        for name in ("pot", "new"):
            with pytest.raises(DirectoryError, match=f"{name}: No space left on device; free some space"):
                export_campaign(learnt, tmp_path / name)
        assert content(tmp_path / "pot") == before
        assert not (tmp_path / "new").exists()

    def test_killed_export_is_made_anew(self, learnt, tmp_path):
        (tmp_path / "pot" / ".exporting").mkdir(parents=True)
        (tmp_path / "pot" / ".exporting" / "potential.yaml").write_text("half")
        (tmp_path / "pot" / "potential.yaml").write_text("moved, but not all of them")
        export_campaign(learnt, tmp_path / "pot")
        assert not (tmp_path / "pot" / ".exporting").exists()
        assert list(rebuild(tmp_path / "pot", tmp_path / "again"))

    def test_file_called_like_the_card_is_no_export(self, learnt, tmp_path):
        (tmp_path / "model.json").write_text("{}")
        (tmp_path / "thesis.txt").write_text("mine")
        with pytest.raises(DirectoryError, match="holds no export"):
            export_campaign(learnt, tmp_path)
        assert content(tmp_path).keys() == {Path("model.json"), Path("thesis.txt")}

    @pytest.mark.parametrize("name", ["potential.asi", "potential.yace"])
    def test_generation_that_is_not_whole(self, learnt, tmp_path, name):
        shutil.copytree(learnt.root, tmp_path / "c")
        (tmp_path / "c" / "potentials" / "gen_0002" / name).unlink()
        with pytest.raises(DirectoryError, match=f"has no {name}; restore it"):
            export_campaign(CampaignDirectory(tmp_path / "c"), tmp_path / "pot")
        assert not (tmp_path / "pot").exists()

    def test_lineage_in_a_circle(self, learnt, tmp_path):
        shutil.copytree(learnt.root, tmp_path / "c")
        record = tmp_path / "c" / "potentials" / "gen_0001" / "training.json"
        record.write_text(json.dumps({**json.loads(record.read_text()), "parent": 2}))
        with pytest.raises(DirectoryError, match="names generation 2 as its parent"):
            export_campaign(CampaignDirectory(tmp_path / "c"), tmp_path / "pot")


class TestChangedExport:
    @pytest.fixture
    def copy(self, exported, tmp_path):
        return shutil.copytree(exported[0], tmp_path / "pot")

    @pytest.mark.parametrize("name", ["potential.yaml", "potential.asi", "potential.yace"])
    def test_potential_that_is_another_is_no_proof(self, copy, tmp_path, name):
        (copy / name).write_bytes((copy / name).read_bytes() + b"\n")
        with pytest.raises(DirectoryError, match=f"{name} is not the one that was exported"):
            rebuild(copy, tmp_path / "again")
        (copy / name).unlink()
        with pytest.raises(DirectoryError, match=f"{name} is missing"):
            rebuild(copy, tmp_path / "again")

    @pytest.mark.parametrize(
        "change",
        [
            lambda card: card["recipe"]["steps"].append(["0" * 16]),
            lambda card: card["recipe"]["steps"].append(card["recipe"]["steps"].pop()[:0]),
            lambda card: card["recipe"].update(imported=True),
            lambda card: card.update(elements=["Ag"]),
        ],
    )
    def test_recipe_that_does_not_fit(self, copy, tmp_path, change):
        card = json.loads((copy / "model.json").read_text())
        change(card)
        (copy / "model.json").write_text(json.dumps(card))
        with pytest.raises(DirectoryError, match="does not fit the files beside it"):
            rebuild(copy, tmp_path / "again")

    def test_card_of_another_version_is_told(self, copy, tmp_path):
        card = json.loads((copy / "model.json").read_text())
        (copy / "model.json").write_text(json.dumps({**card, "later_key": 1}))
        with pytest.raises(DirectoryError, match=r"no whole model\.json \(later_key: Extra inputs"):
            rebuild(copy, tmp_path / "again")


class TestCommands:
    def test_earlier_generation_and_second_export(self, learnt, tmp_path):
        for generation in ("1", "0"):
            arguments = ["export", str(learnt.root), "-o", str(tmp_path / "p"), "--generation", generation, "--json"]
            done = CliRunner().invoke(app, arguments, catch_exceptions=False)
            assert json.loads(done.stdout)["generation"] == int(generation)

    def test_other_folder_and_missing_generation_are_refused(self, learnt, tmp_path):
        (tmp_path / "mine.txt").write_text("")
        with pytest.raises(DirectoryError, match="holds no export"):
            export_campaign(learnt, tmp_path)
        with pytest.raises(DirectoryError, match="no generation 9; it has 0 to 2"):
            export_campaign(learnt, tmp_path / "new", generation=9)

    def test_rebuild_tells(self, exported):
        done = CliRunner().invoke(app, ["rebuild", str(exported[0]), "--json"], catch_exceptions=False)
        assert json.loads(done.stdout) == {"identical": True, "largest_difference": 0.0, "same_active_set": True}

    def test_folder_that_is_no_export(self, tmp_path):
        with pytest.raises(DirectoryError, match="is no exported potential"):
            list(rebuild(tmp_path, tmp_path / "again"))
