"""Pacemaker: what it is given, what is believed of what it says, and when it is its turn."""

import os
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from pyace import ACEBBasisSet, BBasisConfiguration
from ruamel.yaml import YAML

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.basis import core_radius_a
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.train import schedule
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.engines.train.given_files import check_given_files
from mlip_fw.engines.train.pacemaker.command import can_run, require_pacemaker
from mlip_fw.engines.train.pacemaker.form import (
    form_of,
    functions_of,
    read_form,
    transfer_coefficients,
    with_cores_of,
    without_cores,
)
from mlip_fw.engines.train.pacemaker.frame import kappa_of, loss_of, rmse_of, rows_of, write_frame
from mlip_fw.engines.train.pacemaker.inputs import settings_of, write_input
from mlip_fw.engines.train.pacemaker.metrics import read_metrics
from mlip_fw.engines.train.pacemaker.template import Template, read_template, write_template
from mlip_fw.engines.train.pacemaker.trainer import refine_with_pacemaker
from mlip_fw.engines.train.pacemaker.trouble import FitTrouble, diagnose
from mlip_fw.engines.train.schedule import decided, is_due, is_left_to_do
from mlip_fw.errors import CampaignError, TrainingError, WorkerError
from mlip_fw.io.structures import MASK, with_labels
from mlip_fw.models.worker import Worker
from mlip_fw.runtime.subprocesses import CommandResult

HEADER = "ladder_step cycle_step iter_num loss rmse_epa rmse_f_comp"


def labelled(seed, mask=None):
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms.rattle(0.05 + 0.01 * seed, seed=seed)
    atoms.calc = EMT()
    made = with_labels(atoms, atoms.get_potential_energy(), atoms.get_forces(), None)
    if mask is not None:
        made.arrays[MASK] = mask
    return made


def apart(distance_a):
    """Return a label with two atoms this far from each other."""
    atoms = labelled(0)
    atoms.positions[1] = atoms.positions[0] + [distance_a, 0, 0]
    return with_labels(atoms, 1.0, np.zeros((32, 3)), None)


def _decided(campaign, directory):
    return decided(campaign, directory.begun(), directory.root)


def stand_in(options=""):
    return Worker(pacemaker_cmd=f"{sys.executable} -m mlip_fw.testing.pacemaker {options}")


@pytest.fixture(scope="module")
def learnt(small_campaign, tmp_path_factory):
    """Return a campaign that pacemaker polishes, with one linear generation of two labels."""
    root = tmp_path_factory.mktemp("learnt")
    generations, dataset = Generations(root), Dataset(root)
    for seed in range(2):
        dataset.add(f"{seed:016x}", labelled(seed), {})
    campaign = small_campaign(potential={"kind": "pacemaker", "pacemaker": {"iterations": 3}})
    train_generation(generations, dataset, campaign)
    return root, campaign


@pytest.fixture
def campaign_there(learnt, tmp_path):
    """Return a copy of it that a test may change."""
    root, campaign = learnt
    shutil.copytree(root, tmp_path / "campaign")
    return Generations(tmp_path / "campaign"), Dataset(tmp_path / "campaign"), campaign, tmp_path / "campaign/polishing"


def linear_of(learnt):
    return BBasisConfiguration(str(Generations(learnt[0]).potential(0)))


class TestForm:
    def test_start_says_what_the_linear_potential_says(self, learnt):
        linear, atoms = linear_of(learnt), labelled(3)
        form = form_of(learnt[1], Template(), linear)
        start = transfer_coefficients(linear, form)
        assert {e.ndensity for e in ACEBBasisSet(start).map_embedding_specifications.values()} == {2}
        answers = [AcePotential(ACEBBasisSet(f)).evaluate(atoms, gamma=False) for f in (linear, start)]
        assert answers[1].energy_ev == pytest.approx(answers[0].energy_ev, abs=1e-9)
        assert np.abs(answers[1].forces_ev_a - answers[0].forces_ev_a).max() < 1e-8

    def test_larger_basis_keeps_what_was_learnt(self, learnt, small):
        linear = linear_of(learnt)
        campaign = small(potential={"kind": "pacemaker", "pacemaker": {"functions_per_element": 40}})
        form = form_of(campaign, Template(), linear)
        start = transfer_coefficients(linear, form)
        assert form.total_number_of_functions == 40
        assert functions_of(start) == functions_of(linear) < functions_of(form)

    def test_cores_are_taken_off_and_put_back(self, learnt):
        linear = linear_of(learnt)
        bare = without_cores(linear)
        assert [b.core_rep_parameters[0] for b in bare.funcspecs_blocks] == [0.0]
        dimer = Atoms("Cu2", [[0, 0, 0], [1.0, 0, 0]], cell=[20, 20, 20], pbc=True)
        energies = [
            AcePotential(ACEBBasisSet(f)).evaluate(dimer, gamma=False).energy_ev
            for f in (linear, bare, with_cores_of(linear, bare))
        ]
        assert energies[0] == pytest.approx(energies[2])
        assert energies[0] > energies[1] + 10

    def test_no_user_and_no_date_is_kept(self, learnt):
        form = linear_of(learnt)
        form.metadata["user"] = "somebody"
        assert "user" not in without_cores(form).metadata

    def test_template_decides_the_form(self, small, learnt, tmp_path):
        template = written(tmp_path, potential=FORM)
        form = form_of(small(), read_template(str(template)), linear_of(learnt))
        assert {e.ndensity for e in ACEBBasisSet(form).map_embedding_specifications.values()} == {1}
        assert form.total_number_of_functions == 12

    def test_template_that_reaches_further_is_refused(self, small, learnt, tmp_path):
        far = {**FORM, "bonds": {"ALL": {**FORM["bonds"]["ALL"], "rcut": 6.5}}}
        with pytest.raises(CampaignError, match=r"reaches 6.5 Å, further than potential.cutoff_a = 5 Å"):
            form_of(small(), read_template(str(written(tmp_path, potential=far))), linear_of(learnt))

    def test_half_a_potential_is_none(self, learnt, tmp_path):
        text = Generations(learnt[0]).potential(0).read_text()
        (tmp_path / "torn.yaml").write_text(text[: len(text) // 2])
        (tmp_path / "nan.yaml").write_text(text.replace("c: [", "c: [.nan, ", 1))
        assert read_form(tmp_path / "torn.yaml") is None
        assert read_form(tmp_path / "nan.yaml") is None
        assert read_form(tmp_path / "none.yaml") is None


FORM = {
    "embeddings": {"ALL": {"npot": "FinnisSinclairShiftedScaled", "fs_parameters": [1, 1], "ndensity": 1}},
    "bonds": {
        "ALL": {
            "radbase": "SBessel",
            "radparameters": [5.25],
            "rcut": 4.5,
            "dcut": 0.01,
            "NameOfCutoffFunction": "cos",
        }
    },
    "functions": {
        "number_of_functions_per_element": 12,
        "ALL": {"nradmax_by_orders": [8, 4], "lmax_by_orders": [0, 2]},
    },
}


def written(folder, **sections):
    path = folder / "template.yaml"
    with path.open("w") as handle:
        YAML(typ="safe", pure=True).dump(sections, handle)
    return path


class TestTemplate:
    def test_what_is_ours_is_named_and_left(self, tmp_path, caplog):
        fit = {"maxiter": 7, "weighting": {"type": "EnergyBasedWeightingPolicy"}, "callbacks": ["os.system"]}
        path = written(tmp_path, seed=3, data={"filename": "x"}, fit=fit, backend={"evaluator": "pyace"})
        template = read_template(str(path))
        assert (template.fit, template.backend, template.potential) == ({"maxiter": 7}, {}, None)
        assert "backend.evaluator, data, fit.callbacks, fit.weighting, seed" in caplog.text

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("fit: {maxiter: many}", "fit.maxiter must be a whole number from 1 on, not 'many'"),
            ("fit: {loss: 3}", "fit.loss must be a mapping"),
            ("fit: {loss: {kappa: much}}", "fit.loss.kappa must be auto or a number from 0 to 1, not 'much'"),
            ("potential: {bonds: {}}", "its section potential has no embeddings, functions"),
            ("potential: pot.yaml", "its section potential must be a mapping of keys, not 'pot.yaml'"),
            ("- a list", "must hold sections"),
            ("alice: a word\nbob: another", "t.yaml must hold sections"),
            ("fit: {loss: {L2_coeffs: heavy}}", "fit.loss.L2_coeffs must be a number from 0 on, not 'heavy'"),
            ("fit: {loss: {L1_coeffs: .nan}}", "fit.loss.L1_coeffs must be a number from 0 on, not nan"),
            ("fit: {optimizer: 2020-01-01}", "fit.optimizer must be text"),
            ("fit: !!python/object/apply:os.system [ls]", "is not valid YAML"),
        ],
    )
    def test_what_can_not_be_used_is_refused(self, tmp_path, text, complaint):
        (tmp_path / "t.yaml").write_text(text)
        with pytest.raises(CampaignError, match=complaint):
            read_template(str(tmp_path / "t.yaml"))

    def test_file_that_is_no_template_is_not_repeated(self, tmp_path, caplog):
        (tmp_path / "notes").write_text("".join(f"key{k:02d}-{'x' * 100}: word\n" for k in range(30)) + "fit: {}\n")
        read_template(str(tmp_path / "notes"))
        assert "key07" in caplog.text and "and 22 more" in caplog.text and len(caplog.text) < 800
        assert "key08" not in caplog.text

    def test_impossible_potential_is_found_before_the_campaign(self, small, tmp_path):
        bad = {**FORM, "embeddings": {"ALL": {**FORM["embeddings"]["ALL"], "npot": "None"}}, "bonds": {"ALL": {}}}
        path = written(tmp_path, potential=bad)
        with pytest.raises(CampaignError, match="pyace can't make its potential"):
            check_given_files(small(potential={"kind": "pacemaker", "pacemaker": {"template": str(path)}}))

    def test_written_one_gives_the_same(self, tmp_path):
        template = read_template(str(written(tmp_path, potential=FORM, fit={"maxiter": 7}, secret="word")))
        write_template(tmp_path / "inputs" / "t.yaml", template)
        assert read_template(str(tmp_path / "inputs" / "t.yaml")) == template
        assert "word" not in (tmp_path / "inputs" / "t.yaml").read_text()

    def test_missing_one_is_refused(self, tmp_path):
        with pytest.raises(CampaignError, match="there is no file"):
            read_template(str(tmp_path / "none.yaml"))


class TestFrame:
    def test_targets_leave_out_free_atoms_and_masks_weigh_nothing(self, learnt, tmp_path):
        mask = np.ones(32, dtype=bool)
        mask[:5] = False
        frames = [labelled(0), labelled(1, mask)]
        rows = rows_of(frames, {"Cu": 0.5}, form_of(learnt[1], Template(), linear_of(learnt)))
        write_frame(tmp_path / "f.pckl.gzip", rows)
        table = pd.read_pickle(tmp_path / "f.pckl.gzip", compression="gzip")
        assert table["energy"][0] == pytest.approx(frames[0].get_potential_energy() - 16)
        assert list(table["w_energy"]) == [1.0, 0.0]
        assert np.all(table["w_forces"][1][:5] == 0)
        assert np.concatenate(list(table["w_forces"])).sum() == pytest.approx(1)
        assert np.allclose(table["w_forces"][0], table["w_forces"][1][5:].max())

    def test_high_forces_weigh_as_much(self, learnt):
        wild = labelled(25)
        assert np.abs(wild.get_forces()).max() > 5
        rows = rows_of([labelled(0), wild], {"Cu": 0.0}, without_cores(linear_of(learnt)))
        assert np.array_equal(rows[0].force_weights, rows[1].force_weights)
        assert rows[0].energy_weight == rows[1].energy_weight == 1

    def test_atoms_within_a_core_weigh_nothing_and_that_is_said(self, learnt, caplog):
        rows = rows_of([apart(1.2)], {"Cu": 0.0}, linear_of(learnt))
        assert np.flatnonzero(rows[0].force_weights == 0).tolist() == [0, 1]
        assert rows[0].energy_weight == 0
        assert "2 atoms weigh nothing, because they are within each other's core" in caplog.text

    def test_atoms_outside_of_the_core_count_however_close(self, learnt, caplog):
        """There the potential without cores is the whole one: these are the largest forces that a label may have."""
        close, linear = apart(1.01 * core_radius_a("Cu", "Cu")), linear_of(learnt)
        (row,) = rows_of([close], {"Cu": 0.0}, linear)
        assert row.force_weights.all() and not caplog.text
        answers = [AcePotential(ACEBBasisSet(f)).evaluate(close, gamma=False) for f in (linear, without_cores(linear))]
        assert np.abs(answers[0].forces_ev_a - answers[1].forces_ev_a).max() < 1e-8

    def test_energies_weigh_as_in_the_linear_fit(self, learnt):
        rows = rows_of([labelled(s) for s in range(3)], {"Cu": 0.0}, linear_of(learnt))
        kappa = kappa_of(rows, 10.0)
        # a frame of 32 atoms: 100 (eV/atom)² of its energy for each (eV/Å)² of its 32 forces
        assert (1 - kappa) / 3 / (kappa / 96) == pytest.approx(100)

    def test_no_whole_label_leaves_forces_alone(self, learnt, tmp_path):
        rows = rows_of([labelled(0, np.arange(32) > 3)], {"Cu": 0.0}, linear_of(learnt))
        write_frame(tmp_path / "f", rows)
        assert kappa_of(rows, 10.0) == 1
        assert pd.read_pickle(tmp_path / "f", compression="gzip")["w_energy"].sum() == 1


class TestInput:
    def test_campaign_and_template_together(self, small, tmp_path):
        template = Template(fit={"maxiter": 50, "optimizer": "L-BFGS-B", "ladder_step": 10}, backend={"batch_size": 4})
        settings = settings_of(small(), template, 0.4)
        assert write_input(tmp_path, small(), settings, grows=False, iterations=50) == ("--no-predict", "input.yaml")
        written = YAML(typ="safe").load(tmp_path / "input.yaml")
        assert written["potential"] == "begin.yaml"
        assert written["data"]["reference_energy"] == {"Cu": 0.0}
        assert written["backend"] == {"batch_size": 4, "display_step": 20, "evaluator": "tensorpot"}
        assert (written["fit"]["loss"]["kappa"], written["fit"]["optimizer"]) == (0.4, "L-BFGS-B")
        assert "ladder_step" not in written["fit"]

    def test_growing_basis_starts_from_ip(self, small, tmp_path):
        settings = settings_of(small(), Template(fit={"ladder_step": 10}), 0.4)
        arguments = write_input(tmp_path, small(), settings, grows=True, iterations=9)
        assert arguments == ("--no-predict", "-ip", "begin.yaml", "input.yaml")
        written = YAML(typ="safe").load(tmp_path / "input.yaml")
        assert (written["potential"], written["fit"]["ladder_step"]) == ({"filename": "target.yaml"}, 10)
        assert written["fit"]["maxiter"] == 9

    def test_campaign_counts_more_than_its_template(self, small):
        campaign = small(potential={"pacemaker": {"iterations": 5}})
        assert settings_of(campaign, Template(fit={"maxiter": 50}), 0.4)["fit"]["maxiter"] == 5


class TestWords:
    @pytest.mark.parametrize(
        ("exit_code", "words", "trouble"),
        [
            (1, "ModuleNotFoundError: No module named 'tensorflow'", FitTrouble.NOT_INSTALLED),
            (1, "TypeError: only 0-dimensional arrays can be converted to Python scalars", FitTrouble.NUMPY),
            (1, "tensorflow...ResourceExhaustedError: OOM when allocating", FitTrouble.MEMORY),
            (1, "OSError: [Errno 28] No space left on device", FitTrouble.DISK),
            (-9, "", FitTrouble.MEMORY),
            (1, "Traceback\nKeyError: 'x'\n", FitTrouble.CRASHED),
            (0, "all is well", FitTrouble.INCOMPLETE),
        ],
    )
    def test_failures_are_named(self, tmp_path, exit_code, words, trouble):
        found = diagnose(CommandResult(exit_code, False, 1.0), tmp_path, words)
        assert found is not None
        assert found.trouble is trouble

    def test_metrics_are_read_and_torn_lines_left(self, tmp_path):
        (tmp_path / "metrics.txt").write_text(f"{HEADER}\n0 0 0 3.0 0.1 0.2\n0 0 1 2.0 0.05 0.1\n0 0 2 1.")
        assert [(m.iteration, m.loss, m.force_rmse_ev_a) for m in read_metrics(tmp_path)] == [(0, 3, 0.2), (1, 2, 0.1)]

    @pytest.mark.parametrize(("last", "trouble"), [("nan", FitTrouble.NAN), ("inf", FitTrouble.NAN)])
    def test_loss_that_is_no_number(self, tmp_path, last, trouble):
        (tmp_path / "metrics.txt").write_text(f"{HEADER}\n0 0 0 3.0 0.1 0.2\n0 0 1 {last} 0.1 0.1\n")
        assert diagnose(CommandResult(0, False, 1.0), tmp_path, "").trouble is trouble

    def test_metrics_of_another_version_are_no_numbers(self, tmp_path):
        (tmp_path / "metrics.txt").write_text("iter loss\n0 3.0\n")
        assert read_metrics(tmp_path) == []


@pytest.mark.usefixtures("pacemaker_here")
class TestSchedule:
    def test_first_after_enough_generations_then_again(self, campaign_there, small):
        generations, dataset, _, folder = campaign_there
        often = small(potential={"kind": "pacemaker", "pacemaker": {"every": 1, "iterations": 1}})
        seldom = small(potential={"kind": "pacemaker", "pacemaker": {"every": 2}})
        assert is_due(generations, often)
        assert not is_due(generations, seldom)
        assert not is_due(generations, small(potential={"kind": "linear"}))
        refine_with_pacemaker(generations, dataset, often, stand_in(), folder)
        assert not is_due(generations, often)
        assert not is_left_to_do(generations)
        dataset.add("00000000000000ff", labelled(9), {})
        train_generation(generations, dataset, often)
        assert is_due(generations, often)
        assert is_left_to_do(generations)

    def test_auto_is_decided_where_a_campaign_begins(self, small, tmp_path, monkeypatch):
        where = CampaignDirectory(tmp_path / "c")
        monkeypatch.setattr(schedule, "is_installed", lambda: True)
        first = _decided(small(potential={"kind": "auto"}), where)
        assert first.campaign.potential.kind == "pacemaker"
        assert first.words == "linear, polished by pacemaker every 10 generations and at the end (it is installed here)"
        where.claim(first.campaign)
        monkeypatch.setattr(schedule, "is_installed", lambda: False)
        assert _decided(small(potential={"kind": "auto"}), where).campaign == first.campaign
        assert _decided(small(potential={"kind": "auto"}), CampaignDirectory(tmp_path / "d")).words == (
            "linear (pacemaker is not installed here)"
        )

    def test_files_that_travel_are_for_the_linear_trainer(self, small, tmp_path, monkeypatch):
        monkeypatch.setattr(schedule, "is_installed", lambda: True)
        where = CampaignDirectory(tmp_path / "c")
        asked = small(potential={"kind": "auto"}, files="filepad")
        assert _decided(asked, where).words == "linear (files: filepad)"
        where.claim(small(potential={"kind": "pacemaker"}))
        with pytest.raises(CampaignError, match="began with pacemaker, whose files don't travel; say files: shared"):
            _decided(asked, where)
        with pytest.raises(CampaignError, match=r"kind: pacemaker needs one campaign directory.*say linear, or"):
            small(potential={"kind": "pacemaker"}, files="filepad")

    def test_template_with_auto_has_as_many_functions_as_the_linear_potential(self, small, learnt, tmp_path):
        shape = {**FORM, "functions": {"ALL": FORM["functions"]["ALL"]}}
        campaign = small(potential={"functions_per_element": "auto"})
        form = form_of(campaign, read_template(str(written(tmp_path, potential=shape))), linear_of(learnt))
        assert form.total_number_of_functions == 20


@pytest.mark.usefixtures("pacemaker_here")
class TestPolish:
    def test_generation_beside_the_linear_ones(self, campaign_there):
        generations, dataset, campaign, folder = campaign_there
        record = refine_with_pacemaker(generations, dataset, campaign, stand_in(), folder)
        linear = generations.record(0)
        assert (record.generation, record.trainer, record.parent, record.iterations) == (1, "pacemaker", 0, 3)
        assert record.labels == linear.labels
        assert record.reference_energy_ev == linear.reference_energy_ev
        assert record.dataset.force_rmse_ev_a == pytest.approx(linear.dataset.force_rmse_ev_a, rel=1e-6)
        assert record.dataset.energy_rmse_ev_atom == pytest.approx(linear.dataset.energy_rmse_ev_atom, rel=1e-6)
        assert record.versions == {"pacemaker": "0.4", "tensorpotential": "0.6"}
        assert not folder.exists()
        potential = AcePotential.from_files(generations.potential(1))
        assert potential.evaluate(dataset.read(record.labels[0])).gamma.max() <= 1.01
        # the linear fit goes on from the linear generation
        dataset.add("00000000000000ff", labelled(9), {})
        after = train_generation(generations, dataset, campaign)
        assert (after.generation, after.parent, after.new_labels) == (2, 0, ["00000000000000ff"])
        again = refine_with_pacemaker(generations, dataset, campaign, stand_in(), folder)
        assert (again.generation, again.parent, len(again.labels)) == (3, 2, 3)
        # all of its labels are its parent's
        assert again.new_labels == []

    def test_growing_basis(self, campaign_there, small):
        generations, dataset, _, folder = campaign_there
        settings = {"iterations": 2, "functions_per_element": 40}
        record = refine_with_pacemaker(
            generations, dataset, small(potential={"kind": "pacemaker", "pacemaker": settings}), stand_in(), folder
        )
        assert record.functions_per_element == {"Cu": 40}

    def test_labels_that_come_meanwhile_are_taken_in(self, campaign_there, monkeypatch):
        generations, dataset, campaign, folder = campaign_there
        from mlip_fw.engines.train.pacemaker import trainer

        true, looks = trainer.is_behind, []

        def another_trains(*given):
            if not looks:
                dataset.add("00000000000000ff", labelled(9), {})
                train_generation(generations, dataset, campaign)
            looks.append(1)
            return true(*given)

        monkeypatch.setattr(trainer, "is_behind", another_trains)
        record = refine_with_pacemaker(generations, dataset, campaign, stand_in(), folder)
        assert (record.generation, len(record.labels)) == (2, 3)

    def test_foreign_potential_is_not_believed(self, campaign_there):
        generations, dataset, campaign, folder = campaign_there
        with pytest.raises(TrainingError, match=r"pyace finds .* for the same potential"):
            refine_with_pacemaker(generations, dataset, campaign, stand_in("--fail foreign"), folder)
        assert generations.numbers() == [0]

    @pytest.mark.parametrize(("fate", "changed"), [("nan", "optimizer"), ("crash", "start")])
    def test_failures_are_mended(self, campaign_there, fate, changed):
        generations, dataset, campaign, folder = campaign_there
        record = refine_with_pacemaker(generations, dataset, campaign, stand_in(f"--fail {fate}+ok"), folder)
        assert len(record.corrections) == 1
        assert changed in str(record.corrections[0]["actions"])

    def test_energies_weigh_as_in_the_linear_generation(self, campaign_there, small):
        generations, dataset, campaign, folder = campaign_there
        path = generations.folder(0) / "training.json"
        record = generations.record(0).model_copy(update={"energy_weight": 40.0})
        path.write_text(record.model_dump_json())
        refine_with_pacemaker(generations, dataset, campaign, stand_in(), folder)
        kappa = YAML(typ="safe").load(generations.folder(1) / "pacemaker.yaml")["fit"]["loss"]["kappa"]
        # two labels of 32 atoms
        assert kappa == pytest.approx(64 / (64 + 40**2 * 2))

    def test_no_pacemaker_is_named(self, campaign_there, monkeypatch):
        generations, dataset, campaign, folder = campaign_there
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        with pytest.raises(WorkerError, match="has no env.pacemaker_cmd"):
            refine_with_pacemaker(generations, dataset, campaign, Worker(), folder)

    def test_better_of_all_starts_is_taken(self, campaign_there):
        generations, dataset, campaign, folder = campaign_there
        refine_with_pacemaker(generations, dataset, campaign, stand_in(), folder)
        rows = rows_of([dataset.read(n) for n in dataset.hashes()], {"Cu": 0.0}, linear_of((generations._root.parent,)))
        from mlip_fw.engines.train.pacemaker.resume import best_start

        linear = BBasisConfiguration(str(generations.potential(0)))
        form = without_cores(form_of(campaign, Template(), linear))
        folder.mkdir()
        worse = transfer_coefficients(linear, form)
        coefficients = np.array(worse.get_all_coeffs())
        worse.set_all_coeffs(coefficients * 1.5)
        worse.save(str(folder / "begin.yaml"))
        start, what = best_start(folder, [generations.potential(1), generations.potential(0)], form, rows, 0.5)
        assert what == "gen_0001"
        ace = AcePotential(ACEBBasisSet(start))
        assert loss_of(ace, rows, 0.5) < loss_of(AcePotential(ACEBBasisSet(worse)), rows, 0.5)
        assert rmse_of(ace, rows) > 0


class TestTrouble:
    """These are processes of their own."""

    @pytest.mark.parametrize(
        ("fate", "error", "says"),
        [
            ("no_tensorflow", WorkerError, r"not installed beside it: .*'tensorflow'.*install mlip-fw\[pacemaker\]"),
            ("numpy", WorkerError, "NumPy is too new"),
            ("no_space", WorkerError, "no space left.*free space"),
            ("nan", TrainingError, "the loss is not a number.*tried: .*L-BFGS-B.*L2_coeffs"),
            ("diverge", TrainingError, "the loss grew"),
            ("crash", TrainingError, "KeyError: 'who knows'"),
            ("silent", TrainingError, "no whole potential and table of metrics"),
            ("killed", TrainingError, "out of memory.*tried"),
        ],
    )
    def test_failures_are_errors(self, campaign_there, fate, error, says):
        generations, dataset, campaign, folder = campaign_there
        with pytest.raises(error, match=says):
            refine_with_pacemaker(generations, dataset, campaign, stand_in(f"--fail {fate}"), folder)
        assert generations.numbers() == [0]

    def test_killed_one_is_mended(self, campaign_there):
        generations, dataset, campaign, folder = campaign_there
        record = refine_with_pacemaker(generations, dataset, campaign, stand_in("--fail killed+ok"), folder)
        assert len(record.corrections) == 1
        assert "batch_size" in str(record.corrections[0]["actions"])

    def test_walltime_without_a_step_is_an_error(self, campaign_there, monkeypatch):
        from mlip_fw.engines.train.pacemaker import job

        monkeypatch.setattr(job, "_SHORTEST_S", 0.1)
        generations, dataset, campaign, folder = campaign_there
        worker = stand_in().model_copy(update={"train_walltime_s": 0.5})
        with pytest.raises(WorkerError, match="did not make one step within train_walltime_s = 0.5 s"):
            refine_with_pacemaker(generations, dataset, campaign, worker, folder)


class TestProbe:
    @pytest.fixture
    def beside(self, tmp_path):
        """Return a function that makes a pacemaker beside a Python that says something and ends."""

        def make(said, exit_code=0):
            for name in ("pacemaker", "python"):
                (tmp_path / name).write_text(f"#!/bin/sh\necho '{said}'\necho '{said}' >&2\nexit {exit_code}\n")
                (tmp_path / name).chmod(0o755)
            return Worker(pacemaker_cmd=str(tmp_path / "pacemaker"))

        return make

    def test_versions_are_told(self, beside):
        assert can_run(beside("0.6.2 2.20.0 2.3.5")).endswith("tensorpotential 0.6.2, TensorFlow 2.20.0, NumPy 2.3.5")

    @pytest.mark.parametrize(
        ("said", "exit_code", "complaint"),
        [
            ("0.6.2 2.20.0 2.4.1", 0, "has NumPy 2.4.1; tensorpotential needs one below 2.4"),
            ("No module named tensorflow", 1, r"\(No module named tensorflow\); install mlip-fw\[pacemaker\]"),
        ],
    )
    def test_what_is_missing_is_told(self, beside, said, exit_code, complaint):
        with pytest.raises(WorkerError, match=complaint):
            can_run(beside(said, exit_code))

    def test_other_commands_are_started(self):
        with pytest.raises(WorkerError, match="ended with exit code 1"):
            can_run(Worker(pacemaker_cmd="false"))


@pytest.mark.parametrize(("own", "left", "limit"), [(None, 500.0, 500.0), (300.0, 500.0, 300.0), (900.0, 10.0, 60.0)])
def test_pacemaker_ends_before_its_batch_job(own, left, limit):
    assert Worker(train_walltime_s=own).ending_within(left).train_walltime_s == limit


@pytest.mark.parametrize("command", ["/nowhere/pacemaker -x", "pacemaker 'x", ""])
def test_program_that_is_not_here_is_told_before_the_campaign(small, command):
    campaign = small(potential={"kind": "pacemaker"})
    require_pacemaker(campaign, Worker(pacemaker_cmd="sh -c true"))
    with pytest.raises(WorkerError, match="can't run pacemaker_cmd .*; correct env.pacemaker_cmd"):
        require_pacemaker(campaign, Worker(pacemaker_cmd=command))
    require_pacemaker(small(potential={"kind": "linear"}), Worker(pacemaker_cmd=command))


def test_pipe_in_place_of_the_metrics_holds_nobody_up(tmp_path):
    os.mkfifo(tmp_path / "metrics.txt")
    assert read_metrics(tmp_path) == []
