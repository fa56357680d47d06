"""What a validation counts and measures: frames, errors, calibration, and quantities with known answers."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from mlip_fw.campaign.dataset import Dataset, label_name
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.cli.validate import _print
from mlip_fw.io.lammps import dump_steps, read_dump, read_dumped_step
from mlip_fw.io.structures import MASK, with_labels
from mlip_fw.models.md import MDResult
from mlip_fw.models.structure import BulkSettings
from mlip_fw.models.validation import ValidationReport, ValidationSettings
from mlip_fw.validation import measure
from mlip_fw.validation.compare import Both, _conventional_factor, compare
from mlip_fw.validation.crystal import Crystal, crystal_of
from mlip_fw.validation.diagnosis import Findings
from mlip_fw.validation.figures import parity_figure
from mlip_fw.validation.holdout import eligible, hold_out
from mlip_fw.validation.parity import (
    Pair,
    calibration,
    errors_by_element,
    errors_by_temperature,
    frame_errors,
    gamma_and_errors,
)
from mlip_fw.validation.rdf import distribution
from mlip_fw.validation.sources import NotYetError, OracleSource, Source, UnmeasurableError

LEVEL = {"kind": "test"}


class Emt(Source):
    """EMT, and how many structures it was asked for."""

    def __init__(self, with_stress=True):
        self.asked, self._with_stress = 0, with_stress

    def label(self, structures):
        self.asked += len(structures)
        return [emt(atoms, with_stress=self._with_stress) for atoms in structures]


def emt(atoms, with_stress=True):
    copy = atoms.copy()
    copy.calc = EMT()
    stress = copy.get_stress() if with_stress else None
    return with_labels(atoms, copy.get_potential_energy(), copy.get_forces(), stress)


def copper(a=3.61, repeat=(2, 2, 2), cubic=True):
    return Crystal(bulk("Cu", "fcc", a=a, cubic=cubic), repeat)


def pair(symbols, errors, gamma, *, energy=0.0, temperature=None, mask=None):
    """Return a pair whose forces differ by ``errors`` along x."""
    atoms = Atoms(symbols, positions=np.arange(3 * len(errors)).reshape(-1, 3), cell=[9, 9, 9], pbc=True)
    zero, forces = np.zeros((len(errors), 3)), np.zeros((len(errors), 3))
    forces[:, 0] = errors
    oracle, mine = with_labels(atoms, 0.0, zero, np.zeros(6)), with_labels(atoms, energy, forces, np.full(6, 0.001))
    mine.arrays["gamma"] = np.array(gamma, dtype=float)
    if mask is not None:
        oracle.arrays[MASK] = np.array(mask)
    return Pair(mine, oracle, temperature)


class TestErrors:
    def test_all_frames(self):
        found = frame_errors([pair("CuAu", [0.3, 0.0], [1, 1], energy=0.2), pair("Cu", [0.0], [1])])
        assert found.force_rmse_ev_a == pytest.approx(np.sqrt(0.09 / 9))
        assert found.energy_rmse_ev_atom == pytest.approx(0.1 / np.sqrt(2))
        assert found.stress_rmse_gpa == pytest.approx(0.1602, abs=1e-3)
        assert (found.n_frames, found.n_atoms) == (2, 3)

    def test_of_a_cut_out_only_the_atoms_within_the_mask_count(self):
        found = frame_errors([pair("Cu2", [0.3, 9.0], [1, 1], energy=5.0, mask=[True, False])])
        assert found.force_rmse_ev_a == pytest.approx(np.sqrt(0.09 / 3))
        assert (found.energy_rmse_ev_atom, found.stress_rmse_gpa, found.n_atoms) == (0.0, None, 1)
        assert len(gamma_and_errors([pair("Cu2", [0.3, 9.0], [1, 5], mask=[True, False])])) == 1

    def test_by_element_and_by_temperature(self):
        pairs = [pair("CuAu", [0.3, 0.6], [1, 1], temperature=300.0 + 100 * k) for k in range(8)]
        assert errors_by_element(pairs) == pytest.approx({"Cu": 0.3 / np.sqrt(3), "Au": 0.6 / np.sqrt(3)})
        ranges = errors_by_temperature([*pairs, pair("Cu", [0.1], [1])])
        assert [(r.from_k, r.to_k, r.n_frames) for r in ranges] == [
            (300, 400, 2),
            (500, 600, 2),
            (700, 800, 2),
            (900, 1000, 2),
        ]
        assert errors_by_temperature([]) == []


def test_size_of_the_forces_stands_beside_their_error():
    mine = pair("Cu2", [0.3, 9.0], [1, 1], mask=[True, False])
    mine.potential.arrays[MASK] = mine.oracle.arrays[MASK]
    errors = frame_errors([Pair(mine.oracle, mine.potential)])
    assert errors.force_rms_ev_a == pytest.approx(0.3 / np.sqrt(3)), "without masked atoms"


class TestParityFigure:
    def test_forces_are_coloured_by_element_and_the_rest_by_temperature(self):
        pairs = [pair("CuAu", [0.3, 0.6], [1, 1], energy=0.1, temperature=300.0 * k) for k in (1, 2)]
        forces, energies, stresses, *bars = parity_figure(Findings(pairs=pairs)).axes
        assert [line.get_label() for line in forces.lines[:2]] == ["Au", "Cu"]
        assert energies.collections[0].get_array().tolist() == [300, 600]
        assert stresses.collections[0].get_array().tolist() == [300] * 6 + [600] * 6
        assert [bar.get_ylabel() for bar in bars] == ["measured temperature (K)"] * 2
        assert np.allclose(stresses.collections[0].get_offsets()[0], [0, 0.160218], atol=1e-6)

    def test_frames_without_a_temperature_have_one_colour(self):
        assert len(parity_figure(Findings(pairs=[pair("Cu", [0.1], [1], energy=0.1)])).axes) == 3


@pytest.mark.parametrize(("symbols", "n_rows"), [("CuAu", 2), ("Cu2", 0)])
def test_elements_of_an_alloy_are_told_apart_on_the_terminal(capsys, symbols, n_rows):
    pairs = [pair(symbols, [0.3, 0.6], [1, 1])]
    by_element = errors_by_element(pairs)
    report = ValidationReport(
        campaign="c",
        generation=0,
        level_of_theory="x",
        settings=ValidationSettings(),
        holdout=frame_errors(pairs),
        by_element=by_element,
        labels=1,
        labels_failed=0,
    )
    _print(report)
    rows = [[cell.strip() for cell in line.split("│")] for line in capsys.readouterr().out.splitlines()]
    said = {row[1]: row[3] for row in rows if len(row) > 3 and row[1] in by_element}
    assert said == {name: f"{1000 * error:.2f}" for name, error in list(by_element.items())[:n_rows]}


class TestCalibration:
    def test_promise_is_kept_where_gamma_is_small(self):
        learnt = np.column_stack([np.full(100, 0.5), np.arange(1, 101)])
        unseen = np.array([[0.2, 10.0], [0.9, 90.0], [3.0, 150.0], [3.5, 50.0], [50.0, 500.0]])
        found = calibration(unseen, learnt)
        assert found.promise_ev_a == pytest.approx(95, abs=0.1)
        assert [(b.from_gamma, b.n_atoms, b.covered) for b in found.bins] == [
            (0.0, 1, 1.0),
            (0.5, 1, 1.0),
            (2.0, 2, 0.5),
            (10.0, 1, 0.0),
        ]
        assert found.bins[-1].to_gamma is None
        assert 0 < found.rank_correlation < 1

    def test_nothing_to_say_of_hardly_any_atom(self):
        assert calibration(np.zeros((2, 2)), np.ones((9, 2))) is None
        assert calibration(np.ones((9, 2)), np.ones((9, 2))).rank_correlation is None


class TestQuantities:
    def test_minimum_is_found_from_a_wrong_lattice_constant(self):
        state = measure.equation_of_state(Emt(), copper(a=3.75))
        assert state.scale * 3.75 == pytest.approx(3.590, abs=0.001)
        assert state.bulk_modulus_gpa == pytest.approx(134.4, abs=1.0)

    def test_no_minimum_nearby(self):
        with pytest.raises(UnmeasurableError, match="no minimum"):
            measure.equation_of_state(Emt(), copper(a=5.5))

    def test_elastic_constants_of_a_cubic_crystal_take_four_labels(self):
        source = Emt()
        found = measure.elastic(source, copper(a=3.590), 1.0)
        assert source.asked == 4
        assert set(found) == {"C11", "C12", "C44", "bulk modulus, of stresses", "shear modulus"}
        assert found["bulk modulus, of stresses"] == pytest.approx((found["C11"] + 2 * found["C12"]) / 3, rel=1e-6)
        assert found["C44"] == pytest.approx(90.1, abs=1.0)

    def test_elastic_constants_of_a_hexagonal_crystal(self):
        crystal = Crystal(bulk("Cu", "hcp", a=2.54, c=4.15), (2, 2, 2))
        assert {"C11", "C12", "C13", "C33", "C44"} <= set(measure.elastic(Emt(), crystal, 1.0))

    def test_elastic_constants_need_a_stress(self):
        with pytest.raises(UnmeasurableError, match="no stress"):
            measure.elastic(Emt(with_stress=False), copper(), 1.0)

    def test_phonons_of_the_primitive_cell(self):
        source = Emt()
        bands = measure.phonons(source, copper(a=3.590), 1.0)
        assert source.asked == 1
        assert bands.gamma_thz.tolist() == [0.0, 0.0, 0.0]
        assert bands.frequencies_thz.max() == pytest.approx(8.1, abs=0.2)
        assert bands.ticks[0] == (0.0, "G")

    def test_surface_and_vacancy(self):
        crystal = copper(a=3.590)
        slab = measure.slab_cells(crystal, 1.0, [1, 0, 0])
        assert measure.surface_energy_j_m2(Emt(), slab) == pytest.approx(1.0, abs=0.3)
        vacancy = measure.vacancy_cells(crystal.cell())
        assert measure.vacancy_energy_ev(Emt(), vacancy) == pytest.approx(1.3, abs=0.3)

    def test_first_peak_is_where_the_neighbours_are(self):
        curve = distribution([copper().cell()], 3.6)
        assert curve.peak[0] == pytest.approx(3.61 / np.sqrt(2), abs=0.05)

    def test_lattice_constant_is_that_of_the_conventional_cell(self):
        for cubic in (True, False):
            unit = bulk("Cu", "fcc", a=3.61, cubic=cubic)
            assert _conventional_factor(unit) * unit.cell.lengths()[0] == pytest.approx(3.61)


class TestCrystal:
    def test_cell_of_the_md_is_taken_if_it_may_be_labelled(self, small):
        assert crystal_of(small()).repeat == (2, 2, 2)
        large = {"bulk": {"symbol": "Cu", "crystal": "fcc", "a": 3.61, "cubic": True, "repeat": [5, 5, 5]}}
        assert crystal_of(small(structure=large)).repeat == (2, 2, 2)
        with pytest.raises(UnmeasurableError, match="has at most 8 atoms"):
            crystal_of(small(structure=large, candidates={"cutout": {"max_atoms": 8}}))

    def test_crystals_that_are_none(self, small):
        mixed = {"bulk": {"symbol": "Cu", "a": 3.61, "cubic": True, "repeat": [2, 2, 2], "substitute": {"Au": 0.5}}}
        with pytest.raises(UnmeasurableError, match="random alloy"):
            crystal_of(small(elements=["Au", "Cu"], structure=mixed))
        named = small(elements=["Au", "Cu"], structure=mixed, validation={"crystal": {"symbol": "Cu", "cubic": True}})
        assert len(crystal_of(named).unit) == 4
        wrong = ValidationSettings(crystal=BulkSettings(symbol="Cu", crystal="nonsense"))
        with pytest.raises(UnmeasurableError, match="can't build"):
            crystal_of(small().model_copy(update={"validation": wrong}))

    def test_crystal_of_another_element(self, small):
        with pytest.raises(UnmeasurableError, match="has Ag, which elements does not name"):
            crystal_of(small(validation={"crystal": {"symbol": "Ag"}}))


class TestOracleSource:
    def test_what_is_missing_is_named_and_what_failed_is_a_reason(self, tmp_path):
        dataset, atoms = Dataset(tmp_path), copper().cell()
        source = OracleSource(dataset, LEVEL)
        with pytest.raises(NotYetError):
            source.label([atoms])
        ((name, missing),) = source.missing.items()
        assert name == label_name(missing, LEVEL)
        dataset.add(name, emt(missing), {})
        (label,) = source.label([atoms])
        assert label.get_potential_energy() == pytest.approx(emt(atoms).get_potential_energy())


class TestReasons:
    @pytest.fixture
    def reason(self, small):
        """Return a function that gives the reason why a property of a campaign is not compared."""

        def of(kind, **changes):
            campaign = small(validation={"properties": [kind]}, **changes)
            unmeasured = {}
            compare(Both(SimpleNamespace(gamma_max=0.0), None, None, campaign, None), [], unmeasured, {})
            return unmeasured[kind]

        return of

    def test_cells_of_different_shapes_need_k_points(self, reason):
        assert "the Γ point alone" in reason("surface", oracle={"kind": "espresso", "ecutwfc_ry": 12.0})

    def test_compounds_have_chemical_potentials(self, reason):
        alloy = {"bulk": {"symbol": "CuAu", "crystal": "rocksalt", "a": 5.5, "cubic": True, "repeat": [1, 1, 1]}}
        for kind in ("vacancy", "surface"):
            assert "chemical potentials" in reason(kind, elements=["Au", "Cu"], structure=alloy)

    def test_md_by_dft_is_not_started(self, reason):
        said = reason("rdf", oracle={"kind": "espresso", "ecutwfc_ry": 12.0})
        assert "give a trajectory file in validation.reference_trajectory" in said

    def test_a_file_names_no_crystal(self, reason):
        assert "give the crystal in validation.crystal" in reason(
            "elastic", structure={"bulk": None, "file": "/x.extxyz"}
        )


DUMP = """ITEM: TIMESTEP
{step}
ITEM: NUMBER OF ATOMS
1
ITEM: BOX BOUNDS pp pp pp
0 9
0 9
0 9
ITEM: ATOMS id element x y z f_gamma
1 Cu {x} 1 1 0.5
"""


def write_run(directory, cycle, steps, **facts):
    folder = directory.cycle(0, cycle)
    folder.mkdir(parents=True)
    (folder / "dump.lammpstrj").write_text("".join(DUMP.format(step=s, x=1 + s / 1000) for s in steps))
    result = {
        "engine": "lammps",
        "walker": 0,
        "cycle": cycle,
        "stage": 0,
        "generation": 0,
        "first_step": steps[0],
        "start": "x",
    }
    (folder / "result.json").write_text(MDResult(**result, **facts).model_dump_json())


class TestFrames:
    @pytest.fixture
    def directory(self, tmp_path):
        """Return a campaign whose only walker halted at step 200, though it ran to 500, and came to step 400."""
        found = CampaignDirectory(tmp_path / "c")
        write_run(found, 0, range(0, 510, 10), outcome="halted", step=200)
        write_run(found, 1, range(200, 410, 10), outcome="finished", step=400)
        return found

    def campaign(self, small):
        stage = {"ensemble": "nvt", "temperature_k": [300, 700], "n_steps": 400}
        return small(md={"stages": [stage]})

    def test_halts_and_what_came_beyond_them_are_left_out(self, directory, small):
        places = eligible(directory, self.campaign(small))
        assert [p.step for p in places] == [*range(10, 160, 10), *range(250, 410, 10)]
        assert [p.cycle for p in places] == [0] * 15 + [1] * 16
        assert [p.temperature_k for p in places if p.step in (100, 400)] == [400.0, 700.0]

    def test_frames_are_drawn_once_and_more_come_after_them(self, directory, small):
        drawn = hold_out(directory, self.campaign(small), 3, None, LEVEL)
        assert hold_out(directory, self.campaign(small), 3, None, LEVEL) == drawn
        write_run(directory, 2, range(400, 480, 10), outcome="walltime", step=470)
        more = hold_out(directory, self.campaign(small), 9, None, LEVEL)
        assert more[:3] == drawn
        assert len({held.step for held, _ in more}) == 9
        assert all(label_name(atoms, LEVEL) == held.hash for held, atoms in more)
        other = self.campaign(small).model_copy(update={"seed": 99})
        (directory.validation / "holdout.json").unlink()
        assert hold_out(directory, other, 3, None, LEVEL) != drawn

    def test_frame_that_is_trained_on_is_not_drawn(self, directory, small):
        every = hold_out(directory, self.campaign(small), 100, None, LEVEL)
        assert len(every) == 31
        (directory.validation / "holdout.json").unlink()
        held, atoms = every[0]
        Dataset(directory.root).add(held.hash, with_labels(atoms, 0.0, np.zeros((1, 3)), None), {})
        names = [held.hash for held, _ in hold_out(directory, self.campaign(small), 100, None, LEVEL)]
        assert len(names) == 30
        assert held.hash not in names

    def test_one_step_of_a_dump(self, directory):
        path = directory.cycle(0, 0) / "dump.lammpstrj"
        assert dump_steps(path) == list(range(0, 510, 10))
        frame = dict(read_dump(path))[130]
        assert np.array_equal(read_dumped_step(path, 130).positions, frame.positions)
        assert read_dumped_step(path, 135) is None

    def test_record_is_plain(self, directory, small):
        hold_out(directory, self.campaign(small), 2, None, LEVEL)
        kept = json.loads((directory.validation / "holdout.json").read_text())["frames"]
        assert set(kept[0]) == {"hash", "walker", "cycle", "step", "temperature_k", "measured_temperature_k"}

    def test_temperatures_are_measured_and_targets_are_kept_apart(self, directory, small):
        rows = "".join(f"{step} {300 + step / 10} 0\n" for step in range(0, 510, 10))
        (directory.cycle(0, 1) / "log.lammps").write_text(f"Step Temp PotEng\n{rows}")
        drawn = [held for held, _ in hold_out(directory, self.campaign(small), 31, None, LEVEL)]
        measured = {held.step: held.measured_temperature_k for held in drawn}
        assert (measured[100], measured[250], measured[400]) == (None, 325.0, 340.0)
        assert {held.step: held.temperature_k for held in drawn}[400] == 700.0

    def test_frames_drawn_by_an_earlier_version_get_theirs(self, directory, small):
        hold_out(directory, self.campaign(small), 31, None, LEVEL)
        record = directory.validation / "holdout.json"
        old = json.loads(record.read_text())
        for frame in old["frames"]:
            del frame["measured_temperature_k"]
        record.write_text(json.dumps(old))
        for cycle in (0, 1):
            rows = "".join(f"{step} 400 0\n" for step in range(0, 510, 10))
            (directory.cycle(0, cycle) / "log.lammps").write_text(f"Step Temp PotEng\n{rows}")
        drawn = [held for held, _ in hold_out(directory, self.campaign(small), 31, None, LEVEL)]
        assert {held.measured_temperature_k for held in drawn} == {400.0}
