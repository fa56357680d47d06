"""Outputs of VASP: units, signs, order, and when a run is believed."""

import re

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk

from mlip_fw.engines.oracle.vasp.faults import complaint_about
from mlip_fw.io.vasp import for_vasp, read_outcar_end, read_vasprun, species_order, stress_from_kilobar
from mlip_fw.testing.vasp_files import Answer, Inputs, outcar, vasprun

INCAR = {"ENCUT": "520", "EDIFF": "1e-06", "NELM": "60", "ALGO": "Fast"}


@pytest.fixture
def written(tmp_path):
    """Return a function that writes outputs with known numbers."""

    def make(energy=-1.25, forces=None, stress=None, steps=7, ended="reached", atoms=None, closing=True):
        atoms = bulk("Cu", cubic=True) if atoms is None else atoms
        kinds = len(set(atoms.numbers))
        inputs = Inputs(INCAR, atoms, (2, 2, 2), ["PAW_PBE X fake"] * kinds, 44.0)
        answer = Answer(
            energy,
            np.zeros((len(atoms), 3)) if forces is None else forces,
            np.zeros((3, 3)) if stress is None else stress,
        )
        (tmp_path / "vasprun.xml").write_text(vasprun(inputs, answer, steps))
        text = outcar(inputs, answer, steps, ended)
        (tmp_path / "OUTCAR").write_text(text if closing else text[: text.index("General timing")])
        return tmp_path

    return make


def test_numbers_arrive(written):
    forces = np.arange(12.0).reshape(4, 3)
    run = read_vasprun(written(forces=forces) / "vasprun.xml")
    assert (run.energy_ev, run.scf_steps, run.max_scf_steps) == (-1.25, 7, 60)
    assert np.array_equal(run.forces_ev_a, forces)


def test_stress_has_ases_sign_unit_and_order(written):
    # 10 kbar are 1 GPa; VASP counts compression as positive
    kilobar = np.array([[10.0, 1.0, 2.0], [1.0, 20.0, 3.0], [2.0, 3.0, 30.0]])
    expected = -np.array([1.0, 2.0, 3.0, 0.3, 0.2, 0.1]) * units.GPa
    assert stress_from_kilobar(kilobar) == pytest.approx(expected)
    assert read_vasprun(written(stress=kilobar) / "vasprun.xml").stress_ev_a3 == pytest.approx(expected)


def test_known_stress_in_ev():
    assert stress_from_kilobar(np.eye(3) * 1602.176634)[0] == pytest.approx(-1.0)


def test_order_of_species_is_stable():
    atoms = Atoms("CuAuCuOAu", np.zeros((5, 3)), cell=[9, 9, 9], pbc=True)
    assert species_order(atoms).tolist() == [3, 0, 2, 1, 4]


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9, 0.999])
def test_torn_vasprun(written, cut):
    path = written() / "vasprun.xml"
    text = path.read_text()
    path.write_text(text[: int(cut * len(text))])
    with pytest.raises(ValueError, match="torn"):
        read_vasprun(path)


def test_missing_vasprun(tmp_path):
    with pytest.raises(ValueError, match=r"there is no vasprun\.xml"):
        read_vasprun(tmp_path / "vasprun.xml")


@pytest.mark.parametrize("name", ["forces", "stress"])
def test_vasprun_without_an_array(written, name):
    path = written() / "vasprun.xml"
    path.write_text(path.read_text().replace(f'name="{name}"', 'name="other"'))
    with pytest.raises(ValueError, match=f"has no {name}"):
        read_vasprun(path)


@pytest.mark.parametrize(("ended", "converged"), [("reached", True), ("not reached", False), ("stopped", False)])
def test_end_of_the_loop(written, ended, converged):
    end = read_outcar_end(written(ended=ended) / "OUTCAR")
    assert (end.converged, end.finished) == (converged, True)


def test_last_loop_counts(written):
    folder = written(ended="reached")
    first = (folder / "OUTCAR").read_text()
    (folder / "OUTCAR").write_text(first + (written(ended="not reached") / "OUTCAR").read_text())
    assert not read_outcar_end(folder / "OUTCAR").converged


def test_missing_outcar(tmp_path):
    assert not read_outcar_end(tmp_path / "OUTCAR").finished


def test_sound_run_is_believed(written):
    assert complaint_about(written(), for_vasp(bulk("Cu", cubic=True))) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"closing": False}, "no closing lines"),
        ({"steps": 60}, "did not converge in NELM = 60"),
        ({"ended": "stopped"}, "hard stop was set"),
        ({"ended": "not reached"}, "EDIFF was not reached"),
        ({"atoms": bulk("Cu", cubic=True, a=3.7)}, "of another structure"),
        ({"atoms": bulk("Ag", cubic=True, a=3.61)}, "of another structure"),
        ({"atoms": bulk("Cu")}, "of another structure"),
        ({"forces": np.full((4, 3), np.nan)}, "not a finite number: force"),
        ({"forces": np.zeros((3, 3))}, r"forces have shape \(3, 3\), expected \(4, 3\)"),
        ({"energy": np.inf}, "not a finite number: energy"),
        ({"stress": np.full((3, 3), np.nan)}, "not a finite number: stress"),
    ],
)
def test_unsound_run_is_not_believed(written, changes, said):
    assert re.search(said, complaint_about(written(**changes), for_vasp(bulk("Cu", cubic=True))))
