"""A campaign in a notebook: what ``mlip_fw.load`` returns, and what it says when there is nothing to load."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from matplotlib.figure import Figure

import mlip_fw
from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.errors import DirectoryError
from mlip_fw.io.structures import with_labels, write_frames
from mlip_fw.views.notebook.tables import GENERATIONS, HALTS, LABELS
from tests.helpers.written_campaigns import START, Scribe, hashed

A, B, C, D = (hashed(0x1000 * n) for n in range(0xA, 0xE))
E = hashed(0xE000)
HOSTILE = "<script>alert('&')</script>"
FIGURES = ("gamma", "errors", "halt_intervals", "costs", "calibration")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("campaigns")
    scribe = Scribe(folder / "cu-melt")
    scribe.begin((A, B))
    scribe.turn(0, 0, [C], temperature_k=300.0, measured_temperature_k=230.0)
    scribe.turn(0, 1, [D], steps=300, temperature_k=300.0, measured_temperature_k=410.0)
    scribe.explore(0, 2, steps=600, outcome="finished")
    scribe.fail(E)
    write_frames(folder / "cu-melt" / "quarantine" / f"{E}.extxyz", [bulk("Cu")])
    scribe.end()
    Scribe(folder / "cu-begun")
    return folder


@pytest.fixture(scope="module")
def loaded(folder):
    return mlip_fw.load(folder / "cu-melt")


@pytest.fixture(scope="module")
def begun(folder):
    return mlip_fw.load(str(folder / "cu-begun"))


@pytest.fixture(scope="module")
def learnt(small_campaign, tmp_path_factory):
    """Return a campaign with two real generations of a small potential."""
    scribe = Scribe(tmp_path_factory.mktemp("learnt") / "cu")
    for seed, rattle in enumerate((0.03, 0.2)):
        atoms = bulk("Cu", cubic=True, a=3.61) * (2, 2, 2)
        atoms.rattle(rattle, seed=seed)
        atoms.calc = EMT()
        labelled = with_labels(atoms, atoms.get_potential_energy(), atoms.get_forces(), None)
        scribe.dataset.add(hashed(seed), labelled, {})
        train_generation(Generations(scribe.directory.root), Dataset(scribe.directory.root), small_campaign())
    return mlip_fw.load(scribe.directory.root)


def test_empty_tables_have_an_index_of_the_same_kind(loaded, begun):
    for name in ("labels", "halts", "generations"):
        assert len(getattr(begun, name)) == 0 < len(getattr(loaded, name))
        assert getattr(begun, name).index.dtype == getattr(loaded, name).index.dtype


@pytest.mark.parametrize("name", ["~nobody-of-that-name/c", "n" * 5000])
def test_names_that_no_directory_can_have(name):
    with pytest.raises(DirectoryError, match="can't look at"):
        mlip_fw.load(name)


def test_package_is_cheap_to_import():
    code = "import mlip_fw, sys; mlip_fw.load; exit(sorted({'numpy', 'pandas', 'ase', 'matplotlib'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "[]\n")


class TestTables:
    def test_labels(self, loaded):
        labels = loaded.labels
        assert labels.index.tolist() == [A, B, C, D]
        assert labels["origin"].tolist() == ["bootstrap", "bootstrap", "w00 c0000", "w00 c0001"]
        assert labels["cycle"].tolist() == [pd.NA, pd.NA, 0, 1]
        assert labels["learnt_by"].tolist() == [0, 0, 1, 2]
        assert labels["seconds"].sum() == 40
        assert labels.loc[A, "time_utc"].timestamp() == START + 10

    def test_halts(self, loaded):
        halts = loaded.halts
        assert halts[["walker", "cycle", "step"]].to_numpy().tolist() == [[0, 0, 100], [0, 1, 400]]
        assert halts["time_ps"].tolist() == [0.1, 0.4], "a step is 1 fs by default"
        assert halts["temperature_k"].tolist() == [230, 410]
        assert halts["target_temperature_k"].tolist() == [300, 300]
        assert halts["steps_since_last"].tolist() == [100, 300]
        assert halts["labels_done"].tolist() == [1, 1]
        assert halts["seconds_to_resume"].tolist() == [13, 13]

    def test_generations(self, loaded):
        generations = loaded.generations
        assert generations["labels"].tolist() == [2, 3, 4]
        assert generations["md_steps"].tolist() == [100, 300, 600]
        assert generations["md_steps_per_halt"].tolist()[:2] == [100, 300]
        assert np.isnan(generations["md_steps_per_halt"].iloc[2]), "the last one did not halt"
        assert np.isnan(generations["new_force_rmse_ev_a"].iloc[0]), "nothing was there before the first one"
        assert generations["new_force_rmse_ev_a"].iloc[1] == 0.05

    def test_tables_of_a_campaign_that_has_just_begun_have_their_columns(self, begun):
        for table, columns in ((begun.labels, LABELS), (begun.halts, HALTS), (begun.generations, GENERATIONS)):
            assert len(table) == 0
            assert table.columns.tolist() == [column.name for column in columns]
            assert table.dtypes.astype(str).tolist() == [column.kind for column in columns]

    def test_kinds_of_columns_do_not_depend_on_what_is_in_them(self, loaded):
        for table, columns in ((loaded.labels, LABELS), (loaded.halts, HALTS), (loaded.generations, GENERATIONS)):
            assert table.dtypes.astype(str).tolist() == [column.kind for column in columns]

    def test_answers_are_those_of_now(self, tmp_path):
        scribe = Scribe(tmp_path / "runs")
        running = mlip_fw.load(tmp_path / "runs")
        assert len(running.labels) == 0
        scribe.begin((A, B))
        assert len(running.labels) == 2
        assert running.summary.labels == 2


class TestStructures:
    def test_label_by_the_first_digits_of_its_hash(self, loaded):
        assert loaded.atoms(C).get_potential_energy() == loaded.atoms(C[:13]).get_potential_energy() == -4

    def test_quarantined_structure_has_no_energy(self, loaded):
        assert loaded.atoms(E).calc is None

    def test_unknown_and_ambiguous_hashes(self, loaded):
        with pytest.raises(DirectoryError, match=f"has no label 000000000000c00f; did you mean {C}"):
            loaded.atoms("000000000000c00f")
        with pytest.raises(DirectoryError, match="5 hashes begin with 0000: .*; give more digits"):
            loaded.atoms("0000")
        with pytest.raises(DirectoryError, match="labels` lists them"):
            loaded.atoms("")

    def test_all_labelled_ones_in_the_order_of_the_table(self, loaded):
        assert [atoms.info["label_hash"] for atoms in loaded.labelled()] == [A, B, C, D]

    def test_halted_frame(self, loaded):
        assert loaded.halted(0, 1).arrays["gamma"].tolist() == [1, 11, 2, 3]
        with pytest.raises(
            DirectoryError, match=r"did not halt in cycle 2; halts \(walker, cycle\): \(0, 0\), \(0, 1\)"
        ):
            loaded.halted(0, 2)

    def test_halted_frame_that_is_damaged(self, tmp_path):
        scribe = Scribe(tmp_path / "cu")
        scribe.begin()
        (scribe.explore(0, 0) / "halt.extxyz").write_text("4\n")
        for look in (mlip_fw.load(tmp_path / "cu").halted, mlip_fw.load(tmp_path / "cu").plot_halt):
            with pytest.raises(DirectoryError, match="cycle_0000 can't be read"):
                look(0, 0)


class TestCalculator:
    @pytest.mark.parametrize("generation", [0, 1, None])
    def test_it_is_the_potential_of_the_generation(self, learnt, generation):
        atoms = bulk("Cu", cubic=True, a=3.7) * (2, 2, 2)
        atoms.rattle(0.3, seed=9)
        number = 1 if generation is None else generation
        expected = AcePotential.from_files(Generations(learnt.path).potential(number)).evaluate(atoms)
        atoms.calc = learnt.calculator(generation)
        assert atoms.get_potential_energy() == pytest.approx(expected.energy_ev)
        assert np.allclose(atoms.get_forces(), expected.forces_ev_a)
        assert np.allclose(atoms.get_stress(), expected.stress_ev_a3(atoms.get_volume()))
        assert np.allclose(atoms.calc.results["gamma"], expected.gamma)

    def test_generation_that_is_not_there(self, learnt, begun):
        with pytest.raises(DirectoryError, match="has no generation 7; there are: 0, 1"):
            learnt.calculator(7)
        with pytest.raises(DirectoryError, match="has no generation; there are: none yet"):
            begun.calculator()
        with pytest.raises(DirectoryError, match="has no generation -1"):
            learnt.plot_parity(-1)


class TestFigures:
    @pytest.mark.parametrize("kind", FIGURES)
    @pytest.mark.parametrize("which", ["begun", "learnt"])
    def test_notebooks_show_every_figure(self, request, which, kind):
        figure = getattr(request.getfixturevalue(which), f"plot_{kind}")()
        assert isinstance(figure, Figure)
        assert figure._repr_png_().startswith(b"\x89PNG")

    def test_parity_and_halt(self, learnt, loaded):
        assert learnt.plot_parity().axes
        assert loaded.plot_halt(0, 0).axes


class TestRepr:
    def test_table_of_where_it_stands(self, loaded):
        assert "CONVERGED" in repr(loaded)
        shown = loaded._repr_html_()
        assert "<th>halts</th><td>2</td>" in shown
        assert "cu-melt" in shown

    def test_hostile_text_is_text(self, tmp_path):
        scribe = Scribe(tmp_path / HOSTILE.replace("/", "_"))
        scribe.end("STOPPED", HOSTILE)
        shown = mlip_fw.load(scribe.directory.root)._repr_html_()
        assert "<script" not in shown
        assert shown.count("&lt;script&gt;") == 3


class TestNothingToLoad:
    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("cu-metl", "cu-metl is not there; did you mean cu-melt"),
            ("zirconia", r"zirconia is not there; in \S+ there are: cu-begun, cu-melt"),
            ("cu-melt/labels", r"has no campaign.yaml; did you mean \S+cu-melt"),
            (".", r"\. is not a campaign directory: it has no campaign.yaml; in \S+ there are: cu-begun, cu-melt"),
            ("cu-melt/campaign.yaml", "is a file; give the directory of a campaign"),
            ("/nowhere/cu", "there is no campaign in /nowhere"),
        ],
    )
    def test_nearest_campaign_is_named(self, folder, monkeypatch, name, said):
        monkeypatch.chdir(folder)
        with pytest.raises(DirectoryError, match=said):
            mlip_fw.load(name)

    def test_campaign_that_has_not_begun(self, tmp_path):
        (tmp_path / "campaign.yaml").write_text("")
        with pytest.raises(DirectoryError, match="has not started here"):
            mlip_fw.load(tmp_path)

    def test_a_few_of_many_are_named(self, tmp_path):
        for number in range(12):
            Scribe(tmp_path / f"run-{number:02d}")
        with pytest.raises(DirectoryError, match="run-07 and 4 more"):
            mlip_fw.load(tmp_path / "zirconia")
