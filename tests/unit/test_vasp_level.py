"""What VASP is told: the same level of theory for every structure of a campaign."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from pymatgen.core import SETTINGS
from pymatgen.core.structure import Structure
from pymatgen.io.vasp.inputs import Incar

from mlip_fw.engines.oracle.vasp.inputs import incar_for, incar_template
from mlip_fw.engines.oracle.vasp.oracle import require_vasp, vasp_level
from mlip_fw.errors import CampaignError, WorkerError
from mlip_fw.io.vasp import for_vasp, write_vasp_inputs
from mlip_fw.models.oracle import VaspOracle
from mlip_fw.models.worker import Worker
from mlip_fw.testing.vasp_files import write_fake_potcars

WORKER = Worker(vasp_cmd="sh never run")


def oracle(**settings):
    return VaspOracle(kind="vasp", **settings)


@pytest.fixture
def potcars(tmp_path, monkeypatch):
    """Return a directory of fake POTCARs that pymatgen is set up for."""
    write_fake_potcars(tmp_path / "psp", {"Cu_pv": 17, "Cu": 11, "Au": 11, "Fe_pv": 14, "O": 6})
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", str(tmp_path / "psp"))
    return tmp_path / "psp"


@pytest.mark.parametrize("name", ["MPStaticSet", "MPScanStaticSet", "MatPESStaticSet"])
def test_every_input_set_is_static_with_forces_and_stress(name):
    incar = incar_template(oracle(input_set=name))
    expected = {
        "NSW": 0,
        "IBRION": -1,
        "ISIF": 2,
        "ISYM": 0,
        "ISMEAR": 0,
        "SIGMA": 0.05,
        "LREAL": False,
        "EDIFF": 1e-6,
        "LMAXMIX": 6,
    }
    assert {key: incar[key] for key in expected} == expected
    assert not {"KSPACING", "MAGMOM", "LORBIT", "LVTOT", "LDAUU"} & set(incar)


def test_input_set_decides_the_rest():
    assert incar_template(oracle())["ENCUT"] == 520
    assert incar_template(oracle(input_set="MatPESStaticSet"))["ENCUT"] == 680
    assert incar_template(oracle(input_set="MPScanStaticSet"))["METAGGA"].lower() == "r2scan"


@pytest.mark.parametrize("name", ["MPStaticSet", "MPScanStaticSet", "MatPESStaticSet"])
def test_no_tag_that_decides_depends_on_the_structure(name):
    one = oracle(input_set=name)
    structures = [
        bulk("Cu"),
        bulk("Al", cubic=True).repeat(3),
        Atoms("FeO", [[0, 0, 0], [2, 2, 2]], cell=[4, 4, 4], pbc=True),
        Atoms("Gd", cell=[3, 3, 3], pbc=True),
        fcc111("Pt", (2, 2, 3), vacuum=8.0, periodic=True),
    ]
    incars = [incar_for(one, for_vasp(atoms), keep_orbitals=False) for atoms in structures]
    assert all(incar == incars[0] for incar in incars)


def test_settings_reach_the_incar():
    incar = incar_template(
        oracle(encut_ev=400.0, smearing_width_ev=0.1, starting_moments_mub={"Fe": 2.0}, incar={"ivdw": 12, "NCORE": 4})
    )
    expected = {"ENCUT": 400.0, "SIGMA": 0.1, "ISPIN": 2, "IVDW": 12, "NCORE": 4}
    assert {key: incar[key] for key in expected} == expected


def test_moments_and_u_go_by_element():
    one = oracle(starting_moments_mub={"Fe": 3.0}, hubbard_u_ev={"Fe": 4.0})
    oxide = for_vasp(Atoms("FeOFe", np.arange(9).reshape(3, 3), cell=[9, 9, 9], pbc=True))
    incar = incar_for(one, oxide, keep_orbitals=False)
    assert incar["MAGMOM"] == [0.0, 3.0, 3.0]
    assert (incar["LDAU"], incar["LDAUU"], incar["LDAUL"]) == (True, [0.0, 4.0], [-1, 2])
    metal = incar_for(one, for_vasp(bulk("Fe")), keep_orbitals=False)
    assert metal["LDAUU"] == [4.0]


def test_incar_is_read_back_as_it_was_meant(tmp_path):
    structure = for_vasp(bulk("Cu", cubic=True))
    incar = incar_for(oracle(starting_moments_mub={"Cu": 1.0}), structure, keep_orbitals=True)
    write_vasp_inputs(tmp_path, structure, incar, (2, 3, 4), "POTCAR")
    found = Incar.from_file(tmp_path / "INCAR")
    assert {key: found[key] for key in incar} == incar
    assert (tmp_path / "KPOINTS").read_text().split()[-4:] == ["Gamma", "2", "3", "4"]
    assert np.allclose(Structure.from_file(tmp_path / "POSCAR").cart_coords, structure.cart_coords, atol=1e-9)


def test_left_handed_cell_is_turned(tmp_path):
    atoms = Atoms("Cu", [[1, 2, 3]], cell=[[4, 0, 0], [0, 0, 6], [0, 5, 0]], pbc=True)
    structure = for_vasp(atoms)
    assert np.linalg.det(structure.lattice.matrix) > 0
    assert np.allclose(structure.cart_coords, atoms.positions)
    assert structure.volume == pytest.approx(atoms.get_volume())


def test_level_holds_what_decides_and_nothing_else(potcars):
    level = vasp_level(oracle(), WORKER, ["Cu", "Au"])
    assert json.loads(json.dumps(level)) == level
    assert level["potcars"]["Cu"]["symbol"] == "Cu_pv"
    assert len(level["potcars"]["Au"]["sha256"]) == 64
    assert {"ENCUT", "ISMEAR", "EDIFF", "PREC"} <= set(level["incar"])
    assert not {"ALGO", "NELM", "LWAVE"} & set(level["incar"])


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"incar": {"NCORE": 8, "ALGO": "All", "NELM": 300}}, True),
        ({"timeout_s": 1000.0}, True),
        ({"incar": {"IVDW": 12}}, False),
        ({"incar": {"PREC": "Normal"}}, False),
        ({"encut_ev": 500.0}, False),
        ({"smearing_width_ev": 0.1}, False),
        ({"kpoint_spacing_1_a": 0.3}, False),
        ({"starting_moments_mub": {"Cu": 1.0}}, False),
        ({"hubbard_u_ev": {"Cu": 1.0}}, False),
        ({"potcars": {"Cu": "Cu"}}, False),
        ({"input_set": "MatPESStaticSet"}, False),
    ],
)
def test_what_makes_another_level(potcars, changes, same):
    plain, changed = (vasp_level(oracle(**settings), WORKER, ["Cu"]) for settings in ({}, changes))
    assert (plain == changed) is same


def test_another_potcar_file_is_another_level(potcars):
    before = vasp_level(oracle(), WORKER, ["Cu"])
    [path] = potcars.rglob("POTCAR.Cu_pv")
    path.write_text(path.read_text().replace(".2000E+01", ".2001E+01"))
    assert vasp_level(oracle(), WORKER, ["Cu"]) != before


def test_sound_settings_pass(potcars):
    sound = oracle(incar={"IVDW": 12, "ncore": 4, "ISMEAR": 1, "PSTRESS": 0, "LIBXC1": "GGA_X_PBE"})
    require_vasp(sound, WORKER, ["Cu", "O"])
    assert vasp_level(sound, WORKER, ["Cu", "O"]) != vasp_level(oracle(), WORKER, ["Cu", "O"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"incar": {"ENMCUT": 400}}, "ENMCUT is not a tag that pymatgen knows; did you mean ENCUT"),
        ({"incar": {"ENCUT": 400}}, "use oracle.encut_ev"),
        ({"incar": {"sigma": 0.1}}, "use oracle.smearing_width_ev"),
        ({"incar": {"NSW": 10}}, "one static calculation"),
        ({"incar": {"ISMEAR": -5}}, "tetrahedron method, whose forces"),
        ({"incar": {"ISMEAR": -2}}, "occupations from the file"),
        ({"incar": {"PSTRESS": 100}}, "adds a pressure to the stress"),
        ({"incar": {"EFIELD": 0.1}}, "by its place in the cell"),
        ({"incar": {"I_CONSTRAINED_M": 1}}, "its penalty"),
        ({"incar": {"KSPACING": 0.2}}, "use oracle.kpoint_spacing_1_a"),
        ({"incar": {"ISYM": 2}}, "without symmetry"),
        ({"incar": {"LDAUU": [4.0]}}, "use oracle.hubbard_u_ev"),
        ({"hubbard_u_ev": {"Na": 1.0}}, "Na has no p, d or f shell"),
        ({"potcar_functional": "PBE_55"}, "'PBE_55' is not one of pymatgen's libraries; did you mean PBE_5"),
        ({"input_set": "MPScanStaticSet", "potcar_functional": "LDA_54"}, "MPScanStaticSet: Invalid"),
        ({"potcars": {"Cu": "Ag"}}, "'Ag' is not a POTCAR of Cu"),
    ],
)
def test_settings_that_are_wrong_everywhere(potcars, settings, said):
    with pytest.raises(CampaignError, match=said):
        require_vasp(oracle(**settings), WORKER, ["Cu"])


@pytest.mark.parametrize(
    ("worker", "elements", "said"),
    [
        (Worker(), ["Cu"], "has no env.vasp_cmd; add it"),
        (Worker(vasp_cmd="  "), ["Cu"], "has no env.vasp_cmd"),
        (Worker(vasp_cmd="no-such-vasp"), ["Cu"], "no program 'no-such-vasp'"),
        (WORKER, ["Cu", "Ag"], r"no POTCAR Ag of PBE_54 for Ag .*pmg config -p .*PMG_VASP_PSP_DIR"),
    ],
)
def test_what_this_machine_lacks(potcars, worker, elements, said):
    with pytest.raises(WorkerError, match=said):
        require_vasp(oracle(), worker, elements)


def test_pymatgen_without_potcars(monkeypatch):
    monkeypatch.delitem(SETTINGS, "PMG_VASP_PSP_DIR", raising=False)
    with pytest.raises(WorkerError, match="PMG_VASP_PSP_DIR"):
        require_vasp(oracle(), WORKER, ["Cu"])


@pytest.mark.parametrize("text", ["", "  PAW_PBE Cu_pv\n 17.0\n", "\0\0\0"])
def test_damaged_potcar(potcars, text):
    [path] = potcars.rglob("POTCAR.Cu_pv")
    path.write_text(text)
    with pytest.raises(WorkerError, match="POTCAR Cu_pv of PBE_54 .*restore VASP's file"):
        require_vasp(oracle(), WORKER, ["Cu"])
