"""The labels that a campaign starts with: what becomes of files as users have them, and what is said of them."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.io import write
from typer.testing import CliRunner

from mlip_fw.campaign.dataset import Dataset, label_name
from mlip_fw.campaign.directory import input_hashes
from mlip_fw.cli.main import app
from mlip_fw.engines.ace.potential import Design
from mlip_fw.engines.structures.given_labels import given_labels
from mlip_fw.engines.train.given_files import check_given_files
from mlip_fw.engines.train.linear_fit import LinearFit
from mlip_fw.errors import CampaignError
from mlip_fw.export.frame import pacemaker_frame
from mlip_fw.io.campaign_file import campaign_text, read_campaign, write_campaign
from mlip_fw.io.labelled.audit import sentences
from mlip_fw.io.structures import FORCE_UNKNOWN, MASK, atoms_with_forces, known_forces, mask_of, stress_of, with_labels
from mlip_fw.launchpad.filepad.path_map import PathMap, input_paths
from mlip_fw.steps import bootstrap
from mlip_fw.steps.bootstrap import import_dataset
from mlip_fw.validation.parity import Pair, frame_errors
from tests.helpers.labelled_files import Style, Truth, outcar, pw_out, truth, vasprun


def copper(seed, n_atoms=4):
    """Return a rattled cell of copper with its truth by EMT; the free energy is lower by 0.32 eV."""
    atoms = bulk("Cu", cubic=True) * (1, 1, n_atoms // 4)
    atoms.rattle(0.05, seed=seed)
    atoms.calc = EMT()
    forces, stress = atoms.get_forces(), atoms.get_stress()
    energy = atoms.get_potential_energy()
    return Truth(Atoms(atoms), energy, 0.32, forces, stress, np.zeros((len(atoms), 3), dtype=bool), False)


FRAMES = [copper(seed) for seed in range(3)]


@pytest.fixture
def given(small, tmp_path):
    """Return a function that writes a text to a file and gives what a campaign understands of it."""

    def make(text, name="labels.xyz", small_changes=None, **settings):
        path = tmp_path / name
        path.write_text(text)
        dataset = {"file": str(path), **settings}
        return given_labels(small(bootstrap={"dataset": dataset}, **(small_changes or {})))

    return make


def labels(found):
    return [frame.label for frame in found.frames]


class TestEnergy:
    """The energy of a label is the one that its forces are the derivative of."""

    @pytest.mark.parametrize("name", ["vasprun.xml", "OUTCAR", "labels.xyz"])
    def test_is_the_free_energy(self, given, name):
        text = {
            "vasprun.xml": vasprun(FRAMES),
            "OUTCAR": outcar(FRAMES),
            "labels.xyz": Style(free="free_energy").text(FRAMES),
        }[name]
        found = given(text, name)
        assert [label.energy_ev for label in labels(found)] == pytest.approx([t.energy for t in FRAMES], abs=1e-7)
        assert list(found.audit.energy_from) == ["e_fr_energy" if name == "vasprun.xml" else "free_energy"]

    def test_is_another_one_if_the_user_says_so(self, given):
        found = given(Style(free="free_energy").text(FRAMES), energy="energy")
        assert labels(found)[0].energy_ev == pytest.approx(FRAMES[0].energy + 0.32)

    def test_two_kinds_in_one_file_are_refused(self, given):
        text = Style(free="free_energy").text(FRAMES[:2]) + Style().text(FRAMES[2:])
        with pytest.raises(CampaignError, match=r"structure 0 has a free energy .* structure 2 has no free energy"):
            given(text)


class TestConvergence:
    @pytest.mark.parametrize("name", ["vasprun.xml", "OUTCAR"])
    def test_step_of_vasp_that_did_not_converge_is_left_out_by_name(self, given, name):
        text = vasprun(FRAMES, [7, 7, 20], nelm=20) if name == "vasprun.xml" else outcar(FRAMES, [1, 1, 0], nelm=20)
        found = given(text, name)
        assert [label.energy_ev for label in labels(found)] == pytest.approx([t.energy for t in FRAMES[:2]], abs=1e-7)
        said = f"structure 2 of {name}: SCF not converged (20 of NELM = 20 steps); left out"
        assert said in sentences(found.audit)

    def test_step_of_a_force_field_is_no_label(self, given):
        text = outcar(FRAMES).replace("  FREE ENERGIE", " ML FREE ENERGIE", 1)
        found = given(text, "OUTCAR")
        assert [one.frame for one in found.audit.left_out] == [0]
        assert "machine-learned" in found.audit.left_out[0].reason

    def test_pw_output_without_convergence_is_refused_in_words(self, given):
        text = pw_out(FRAMES[:1], ["     convergence NOT achieved after 100 iterations: stopping\n"])
        with pytest.raises(CampaignError, match="no structure to train on: SCF not converged after 100 iterations"):
            given(text, "pw.out")


class TestStress:
    @pytest.mark.parametrize("kind", ["virial9", "virial6", "stress6", "stress9", "both9"])
    def test_is_that_of_the_virial(self, given, kind):
        found = given(Style(forces="force", stress=kind).text(FRAMES))
        for frame, true in zip(found.frames, FRAMES, strict=True):
            assert stress_of(frame.atoms) == pytest.approx(true.stress, abs=1e-9)
        assert found.audit.with_stress == 3

    def test_that_contradicts_the_virial_is_refused(self, given):
        text = Style(stress="both9").text([replace(FRAMES[0])])
        wrong = text.replace('virial="', 'virial="9.0 0 0 0 9.0 0 0 0 9.0" old="')
        with pytest.raises(CampaignError, match=r"virial and stress disagree by .* virial: virial.*stress: stress"):
            given(wrong)
        assert given(wrong, stress="stress").audit.stress_from == {"stress": 1}

    def test_factor(self, given):
        found = given(Style().text(FRAMES), stress_factor=-1)
        assert stress_of(found.frames[0].atoms) == pytest.approx(-FRAMES[0].stress)
        assert found.audit.units == ["stress times -1"]

    def test_of_each_atom_is_not_used(self, given):
        text = re.sub(r"(Properties=\S+)", r"\1:virial:R:9", Style(stress="none").text(FRAMES))
        rows = [row + " 1" * 9 if row and "Lattice" not in row and len(row) > 3 else row for row in text.split("\n")]
        found = given("\n".join(rows))
        assert found.audit.with_stress == 0
        assert found.audit.notes == ["not used: virial"]


class TestNames:
    def test_of_mace(self, given):
        found = given(Style(prefix="REF_", stress="none", extras=True).text(FRAMES))
        assert [label.energy_ev for label in labels(found)] == pytest.approx([t.energy for t in FRAMES])
        assert found.audit.energy_from == {"REF_energy": 3}
        assert found.audit.forces_from == {"REF_forces": 3}

    def test_that_nobody_knows_are_named(self, given):
        with pytest.raises(CampaignError, match=r"it has my_energy, my_forces; .*energy: …, forces: …"):
            given(Style(energy="my_energy", forces="my_forces", stress="none").text(FRAMES))
        found = given(
            Style(energy="my_energy", forces="my_forces", stress="none").text(FRAMES),
            energy="my_energy",
            forces="my_forces",
        )
        assert labels(found)[1].energy_ev == pytest.approx(FRAMES[1].energy)

    def test_of_two_conventions_that_disagree_are_refused(self, given):
        text = Style(prefix="REF_", stress="none").text(FRAMES).replace("Lattice", "energy=7.5 Lattice")
        with pytest.raises(CampaignError, match=r"REF_energy and energy disagree by .*`bootstrap: \{dataset:"):
            given(text)
        assert labels(given(text, energy="REF_energy"))[0].energy_ev == pytest.approx(FRAMES[0].energy)

    def test_that_are_given_and_not_there(self, given):
        with pytest.raises(
            CampaignError, match=r"has no my_energy, which bootstrap\.dataset\.energy names; it has energy"
        ):
            given(Style().text(FRAMES), energy="my_energy")
        with pytest.raises(CampaignError, match=r"bootstrap\.dataset\.virial: no structure has virial"):
            given(Style().text(FRAMES), virial="virial")

    def test_are_not_for_files_that_have_their_own(self, given):
        with pytest.raises(CampaignError, match=r"energy_unit is not for files of format vasp-xml"):
            given(vasprun(FRAMES), "vasprun.xml", energy_unit="Hartree")


class TestVacuum:
    @pytest.mark.parametrize("cell", ['Lattice="9 0 0 0 9 0 0 0 9" pbc="F F F"', ""])
    def test_around_a_dimer(self, given, cell):
        text = f'2\n{cell} Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.5 stress="1 1 1 0 0 0"\n'
        text += "Cu 0 0 0 0 0 0.5\nCu 0 0 2.2 0 0 -0.5\n"
        [frame] = (found := given(text)).frames
        assert frame.atoms.pbc.all()
        assert np.diag(frame.atoms.cell.array).min() >= 5.0  # the cutoff
        assert frame.atoms.cell[2, 2] >= 7.2
        assert frame.label.energy_ev == -1.5
        assert stress_of(frame.atoms) is None
        assert found.audit.in_vacuum == 1
        assert any("put in cells with vacuum" in sentence for sentence in sentences(found.audit))

    def test_free_atoms_keep_their_energy(self, given):
        free = '1\nLattice="20 0 0 0 20 0 0 0 20" {} Properties=species:S:1:pos:R:3:forces:R:3 energy=-0.19\n'
        free += "Cu 9 9 9 0 0 0\n"
        for pbc in ('pbc="T T T"', 'pbc="F F F"'):
            found = given(Style().text(FRAMES) + free.format(pbc))
            assert found.frames[-1].label.energy_ev == -0.19
            assert found.audit.free_atoms_ev == {"Cu": -0.19}
            assert found.audit.free_atoms == 1

    def test_free_atom_needs_no_forces(self, given):
        text = "1\nProperties=species:S:1:pos:R:3 REF_energy=-0.19 config_type=IsolatedAtom\nCu 0 0 0\n"
        [frame] = given(text).frames
        assert frame.label.energy_ev == -0.19
        assert not frame.label.forces_ev_a.any()


class TestCopies:
    def test_are_counted(self, given):
        found = given(Style().text([*FRAMES, *FRAMES]))
        assert len(found.frames) == 3
        assert "3 of 6 structures are copies" in sentences(found.audit)

    def test_are_seen_in_another_order_of_atoms(self, given):
        order = [2, 0, 3, 1]
        other = replace(FRAMES[1], atoms=FRAMES[1].atoms[order], forces=FRAMES[1].forces[order])
        other.atoms.positions += FRAMES[1].atoms.cell.array[0]
        assert given(Style().text([*FRAMES, other])).audit.copies == 1

    def test_that_contradict_are_refused_by_name(self, given):
        other = replace(FRAMES[1], energy=FRAMES[1].energy + 20.0, forces=1.3 * FRAMES[1].forces)
        with pytest.raises(
            CampaignError, match=r"1 of 4 structures are copies, .*structures 1 and 3 \(energies differ by 20"
        ):
            given(Style().text([*FRAMES, other]))


class TestFixedAtoms:
    """A force that a constraint made zero is unknown; all else of the atom is right."""

    @pytest.fixture
    def slab(self, tmp_path):
        """Return the truth, and a trajectory in which half of the atoms are fixed, with forces that ASE made zero."""
        true = copper(7, n_atoms=8)
        atoms = true.atoms.copy()
        atoms.set_constraint(FixAtoms([0, 1, 2, 3]))
        forces = true.forces.copy()
        forces[:4] = 0.0
        atoms.calc = SinglePointCalculator(atoms, energy=true.energy, forces=forces, stress=true.stress)
        return true, atoms

    def test_of_zero_force(self, small, slab, tmp_path):
        true, atoms = slab
        write(tmp_path / "slab.traj", atoms)
        found = given_labels(small(bootstrap={"dataset": str(tmp_path / "slab.traj")}))
        [frame] = found.frames
        assert atoms_with_forces(frame.atoms).tolist() == [False] * 4 + [True] * 4
        assert mask_of(frame.atoms).all()
        assert frame.atoms.calc.results["forces"][4:] == pytest.approx(true.forces[4:])
        assert stress_of(frame.atoms) == pytest.approx(true.stress)
        assert (found.audit.fixed_atoms, found.audit.forces_unknown) == (4, 4)

    def test_of_true_force(self, small, slab, tmp_path):
        true, atoms = slab
        atoms.calc.results["forces"] = true.forces
        write(tmp_path / "slab.traj", atoms)
        found = given_labels(small(bootstrap={"dataset": str(tmp_path / "slab.traj")}))
        assert known_forces(found.frames[0].atoms).all()
        assert found.audit.notes == ["4 fixed atoms have true forces, which are trained on"]

    def test_of_zero_force_though_nothing_says_that_they_are_fixed(self, given):
        true = copper(7, n_atoms=8)
        true.fixed[:4], true.is_zeroed = True, True
        found = given(Style(mask="none").text([true]))
        assert atoms_with_forces(found.frames[0].atoms).tolist() == [False] * 4 + [True] * 4

    def test_label_keeps_it(self, given, tmp_path):
        true = copper(7, n_atoms=8)
        true.fixed[:4, 2], true.is_zeroed = True, True
        found = given(Style(mask="components").text([true]))
        import_dataset(found, Dataset(tmp_path), "level-0")
        label = Dataset(tmp_path).read(label_name(found.frames[0].atoms, {"kind": "dataset"}))
        assert label.arrays[FORCE_UNKNOWN].tolist() == true.fixed.tolist()
        assert MASK not in label.arrays
        assert label.info["source_frame"] == 0
        again = given((tmp_path / "labels").glob("*.extxyz").__next__().read_text(), "again.extxyz")
        assert again.frames[0].atoms.arrays[FORCE_UNKNOWN].tolist() == true.fixed.tolist()


def test_unknown_forces_leave_a_linear_fit_alone():
    rng = np.random.default_rng(3)
    forces_rows, energy_row, truth_of = rng.normal(size=(4, 3, 6)), rng.normal(size=6), rng.normal(size=6)
    forces, known = forces_rows @ truth_of, rng.integers(0, 2, (4, 3)).astype(bool)
    design = Design(energy=energy_row, forces=forces_rows, stress=None, projections=np.zeros((4, 6)))
    wrong = np.where(known, forces, 0.0)
    fit = LinearFit.empty(6).with_label(design, float(energy_row @ truth_of), wrong, known=known)
    errors = fit.errors(truth_of)
    assert errors.force_rmse_ev_a < 1e-9
    assert errors.energy_rmse_ev_atom < 1e-9
    assert fit.folds[0].force.n_rows == known.sum()
    assert fit.folds[0].energy.n_rows == 1


def test_unknown_forces_are_no_error():
    atoms = Atoms("Cu2", positions=[[0, 0, 0], [3, 3, 3]], cell=[9, 9, 9], pbc=True)
    oracle = with_labels(atoms, 0.0, np.zeros((2, 3)), np.zeros(6))
    mine = with_labels(atoms, 0.2, np.array([[0.3, 0, 0], [9.0, 0, 0]]), np.zeros(6))
    oracle.arrays[FORCE_UNKNOWN] = np.array([[False] * 3, [True] * 3])
    found = frame_errors([Pair(mine, oracle)])
    assert found.force_rmse_ev_a == pytest.approx(np.sqrt(0.09 / 3))
    assert found.energy_rmse_ev_atom == pytest.approx(0.1)
    assert found.stress_rmse_gpa == 0.0
    table = pacemaker_frame([oracle], {})
    assert table["w_energy"].tolist() == [1.0]
    assert table["w_forces"][0].tolist() == [1.0, 0.0]


class TestCampaignFile:
    def test_section_with_a_file_alone_is_a_path(self, small):
        one, other = (small(bootstrap={"dataset": d}) for d in ("a.xyz", {"file": "a.xyz"}))
        assert one == other
        assert one.identity() == other.identity()

    def test_path_in_a_section_is_relative_to_the_file(self, small, tmp_path):
        (tmp_path / "a.xyz").write_text(Style().text(FRAMES))
        write_campaign(tmp_path / "c.yaml", small(bootstrap={"dataset": {"file": "a.xyz", "energy_unit": "ha"}}))
        campaign = read_campaign(tmp_path / "c.yaml")
        assert campaign.bootstrap.dataset_settings.file == str(tmp_path / "a.xyz")
        assert campaign.bootstrap.dataset_settings.energy_unit == "Hartree"
        assert campaign.named_files()["bootstrap.dataset"] == str(tmp_path / "a.xyz")
        assert "bootstrap.dataset" in input_hashes(campaign)
        assert input_paths(campaign)[str(tmp_path / "a.xyz")] == "inputs/bootstrap.dataset/a.xyz"
        there = PathMap(campaign, "/there", tmp_path / "copy").here(campaign.plain())["bootstrap"]["dataset"]
        assert there["file"] == str(tmp_path / "copy" / "inputs/bootstrap.dataset/a.xyz")
        assert "energy_unit: Hartree" in campaign_text(campaign)

    def test_faults_are_told_by_key(self, small):
        with pytest.raises(CampaignError, match=r"bootstrap\.dataset\.energyy is not a key .* did you mean energy\?"):
            small(bootstrap={"dataset": {"file": "a.xyz", "energyy": "E"}})
        with pytest.raises(CampaignError, match=r"bootstrap\.dataset\.stress_unit should be .*'GPa'"):
            small(bootstrap={"dataset": {"file": "a.xyz", "stress_unit": "psi"}})

    @pytest.mark.parametrize("unit", ["eV/A^3", "eV/Å³", "ev/ang^3", "eV/Angstrom**3"])
    def test_spellings_of_units(self, small, unit):
        campaign = small(bootstrap={"dataset": {"file": "a.xyz", "stress_unit": unit}})
        assert campaign.bootstrap.dataset_settings.stress_unit == "eV/Å³"


def test_check_says_what_it_understood(small, tmp_path):
    (tmp_path / "labels.xyz").write_text(Style(prefix="REF_", stress="virial9").text([*FRAMES, FRAMES[0]]))
    write_campaign(tmp_path / "c.yaml", small(bootstrap={"dataset": "labels.xyz"}, md={"engine": "embedded"}))
    said = json.loads(CliRunner().invoke(app, ["check", str(tmp_path / "c.yaml"), "--json"]).stdout)["dataset"]
    assert said["frames"] == 4
    assert said["labels"] == 3
    assert said["copies"] == 1
    assert said["elements"] == {"Cu": 12}
    assert said["energy_from"] == {"REF_energy": 3}
    assert said["stress_from"] == {"REF_virial": 3}
    low, high = said["energy_range_ev_atom"]
    assert [low, high] == pytest.approx(sorted(t.energy / 4 for t in FRAMES)[:: len(FRAMES) - 1])
    assert said["largest_force_ev_a"] == pytest.approx(max(np.linalg.norm(t.forces, axis=1).max() for t in FRAMES))
    closest = min(t.atoms.get_all_distances(mic=True)[np.triu_indices(4, 1)].min() for t in FRAMES)
    assert said["closest_pairs_a"]["Cu-Cu"] == pytest.approx(closest, abs=1e-9)
    table = CliRunner().invoke(app, ["check", str(tmp_path / "c.yaml")]).stdout
    assert "from REF_energy (3 structures)" in table
    assert "1 of 4 structures are copies" in table


def test_bootstrap_says_it_too(given, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(bootstrap.logger, "info", lambda text, *values: said.append(text % values))
    found = given(vasprun(FRAMES, [7, 20, 7], nelm=20), "vasprun.xml")
    import_dataset(found, Dataset(tmp_path), "level-0")
    assert said == [
        "bootstrap.dataset: 2 labels from 3 structures; "
        "energy from e_fr_energy, forces from forces, stress from stress",
        "bootstrap.dataset: structure 1 of vasprun.xml: SCF not converged (20 of NELM = 20 steps); left out",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n\n", "holds no atoms|can't read|is of format"),
        (b"0\n\n", "0 atoms"),
        ("3\nß".encode("utf-16"), "must begin with its number of atoms|can't read|is of format"),
        (b"2\nenergy=1\nCu 0 0 0", "ends after 1 of its 2 atoms"),
    ],
)
def test_odd_files(small, tmp_path, content, said):
    (tmp_path / "labels.xyz").write_bytes(content)
    with pytest.raises(CampaignError, match=said):
        check_given_files(small(bootstrap={"dataset": str(tmp_path / "labels.xyz")}))


def test_other_elements_are_named(given):
    gold = truth(np.random.default_rng(1), n_atoms=2)
    gold.atoms.symbols = ["Cu", "Au"]
    gold.atoms.positions = [[0, 0, 0], [2.6, 0, 0]]
    with pytest.raises(CampaignError, match="structure 0 has Au, which elements does not name; add it there"):
        given(Style().text([gold]))
