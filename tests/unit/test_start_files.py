"""What a start file says besides elements, positions and cell: the same in every format, or refused."""

import re

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.constraints import FixAtoms, FixBondLengths, FixCartesian, FixedLine, FixedPlane, FixScaled, Hookean
from ase.io import write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlip_fw.engines.sampling.small_cell_prerun import fixed_and_masses
from mlip_fw.engines.structures.fixed_atoms import temperature_of
from mlip_fw.engines.structures.start import start_notes, start_structures
from mlip_fw.io.constraints import FIXED
from tests.helpers.campaigns import make_small
from tests.helpers.start_files import CELL, CIF, SLAB, campaign_of, columns, refusal, save, slab_in, start_of

NAMES = {"vasp": "POSCAR", "extxyz": "s.extxyz", "traj": "s.traj", "aims": "geometry.in", "espresso-in": "s.pwi"}
A_FS = units.Ang / units.fs


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", NAMES)
def test_slab_keeps_its_lower_layers(tmp_path, kind):
    slab_in(tmp_path / NAMES[kind], kind)
    campaign = campaign_of(tmp_path / NAMES[kind])
    [atoms] = start_structures(campaign)
    assert atoms.arrays[FIXED].all(axis=1).tolist() == [True] * 18 + [False] * 18
    # a calculator would give them zero forces
    assert not atoms.constraints
    assert start_notes(campaign, [atoms]) == ["structure.file fixes 18 of 36 atoms: they stay where they are in MD"]


MASKS = st.lists(st.tuples(*[st.booleans()] * 3), min_size=8, max_size=8)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=MASKS, kind=st.sampled_from([*NAMES]))
def test_any_components_are_the_same_in_every_format(tmp_path, rows, kind):
    fixed = np.array(rows * 4)
    fixed[-1] = False
    atoms = CELL.copy()
    constraint = FixScaled if kind == "vasp" else FixCartesian
    atoms.set_constraint([constraint(k, row) for k, row in enumerate(fixed) if row.any()])
    save(atoms, tmp_path / NAMES[kind], kind)
    found = start_of(tmp_path / NAMES[kind]).arrays.get(FIXED, np.zeros((32, 3), dtype=bool))
    assert (found == fixed).all()


def test_directions_along_axes_are_components(tmp_path):
    atoms = CELL.copy()
    atoms.set_constraint(
        [FixedPlane([0, 1], (0, 0, 1)), FixedLine(5, (0, 1, 0)), FixAtoms([7]), FixCartesian(0, (1, 0, 0))]
    )
    atoms.write(tmp_path / "s.traj")
    found = start_of(tmp_path / "s.traj").arrays[FIXED]
    expected = np.zeros((32, 3), dtype=bool)
    expected[0], expected[1], expected[5], expected[7] = (1, 0, 1), (0, 0, 1), (1, 0, 1), True
    assert (found == expected).all()
    note = "structure.file fixes x, z of 3 of 32 atoms: these stay as they are in MD"
    campaign = campaign_of(tmp_path / "s.traj")
    assert note in start_notes(campaign, start_structures(campaign))


def test_components_follow_the_cell_into_the_frame_of_lammps(tmp_path):
    """Its first vector is along y here, which becomes x there."""
    atoms = CELL.copy()
    atoms.set_cell(np.roll(np.eye(3), 1, axis=1) * [7.4, 7.5, 7.6], scale_atoms=True)
    atoms.set_constraint(FixCartesian([3], (False, True, False)))
    atoms.write(tmp_path / "s.traj")
    assert start_of(tmp_path / "s.traj").arrays[FIXED][3].tolist() == [True, False, False]


def test_scaled_flags_of_a_hexagonal_slab_are_components_where_they_can_be(tmp_path):
    """T T F holds z, whatever a and b are; F T T in such a cell is no component."""
    atoms = bulk("Cu", "hcp", a=2.6, c=4.4) * (4, 4, 2)
    atoms.set_constraint([FixScaled([0], (False, False, True)), FixScaled([2], (True, True, False))])
    write(tmp_path / "POSCAR", atoms, format="vasp")
    found = start_of(tmp_path / "POSCAR").arrays[FIXED]
    assert found[0].tolist() == [False, False, True]
    assert found[2].tolist() == [True, True, False]
    atoms.set_constraint(FixScaled([4], (True, False, False)))
    write(tmp_path / "POSCAR", atoms, format="vasp")
    assert "fixes atom 4 (from 0) in directions that are not x, y or z of LAMMPS" in refusal(tmp_path / "POSCAR")


@pytest.mark.parametrize(("false", "true"), [(".FALSE.", ".TRUE."), ("f", "t"), (".F.", ".T."), ("F", "T")])
def test_flags_of_a_poscar_are_words_of_fortran(tmp_path, false, true):
    slab_in(tmp_path / "POSCAR", "vasp")
    text = re.sub(r"\bT\b", true, re.sub(r"\bF\b", false, (tmp_path / "POSCAR").read_text()))
    (tmp_path / "POSCAR").write_text(text)
    assert start_of(tmp_path / "POSCAR").arrays[FIXED].all(axis=1).sum() == 18
    (tmp_path / "POSCAR").write_text(text.replace(false, "0"))
    assert "has flags '0 0 0'; give each atom three of T and F" in refusal(tmp_path / "POSCAR")


@pytest.mark.parametrize(
    ("constraint", "name"),
    [(Hookean(0, 1, rt=2.0, k=3.0), "Hookean"), (FixBondLengths([(0, 1)]), "FixBondLengths")],
)
def test_other_constraints_are_refused_by_name(tmp_path, constraint, name):
    atoms = CELL.copy()
    atoms.set_constraint(constraint)
    atoms.write(tmp_path / "s.traj")
    assert f"has a constraint {name}, which MD here does not keep" in refusal(tmp_path / "s.traj")


def test_barostat_does_not_go_with_fixed_atoms(tmp_path):
    slab_in(tmp_path / "POSCAR", "vasp")
    md = {"stages": [{"ensemble": "npt", "temperature_k": 300, "pressure_bar": 0, "n_steps": 100}]}
    assert "fixes 18 of 36 atoms, but md.stages.0 is npt" in refusal(tmp_path / "POSCAR", md=md)
    SLAB.write(tmp_path / "POSCAR", format="vasp")
    assert len(start_of(tmp_path / "POSCAR", md=md)) == 36


def test_something_must_move(tmp_path):
    atoms = CELL.copy()
    atoms.set_constraint(FixAtoms(range(32)))
    atoms.write(tmp_path / "s.traj")
    assert "fixes all of its atoms" in refusal(tmp_path / "s.traj")


VELOCITIES = np.random.default_rng(2).normal(scale=0.002, size=(32, 3))
"""Å/fs"""


@pytest.mark.parametrize("name", ["velo", "vel"])
def test_columns_of_velocities_are_in_angstrom_per_femtosecond(tmp_path, name):
    columns(tmp_path / "s.extxyz", f"{name}:R:3", VELOCITIES)
    atoms = start_of(tmp_path / "s.extxyz")
    assert atoms.get_velocities() == pytest.approx(VELOCITIES * A_FS, rel=1e-12)
    mass, speed = 63.546 * 1.66053906660e-27, VELOCITIES * 1e5
    kelvin = mass * (speed**2).sum() / (3 * 32 - 3) / 1.380649e-23
    [note] = start_notes(campaign_of(tmp_path / "s.extxyz"), [atoms])
    assert note == f"structure.file has velocities: {kelvin:.4g} K"


@pytest.mark.parametrize("name", ["velocities", "velocity", "v", "Velocity", "dft_velo"])
def test_other_columns_of_velocities_are_refused_by_name(tmp_path, name):
    columns(tmp_path / "s.extxyz", f"{name}:R:3", VELOCITIES)
    assert f"has a column {name}, which seems to hold velocities" in refusal(tmp_path / "s.extxyz")


def test_velocities_stated_twice_must_agree(tmp_path):
    momenta = VELOCITIES * A_FS * 63.546
    columns(tmp_path / "s.extxyz", "velo:R:3:momenta:R:3", VELOCITIES, momenta)
    assert start_of(tmp_path / "s.extxyz").get_velocities() == pytest.approx(VELOCITIES * A_FS, rel=1e-9)
    columns(tmp_path / "s.extxyz", "velo:R:3:momenta:R:3", VELOCITIES, 2 * momenta)
    assert "columns velo and momenta state different velocities" in refusal(tmp_path / "s.extxyz")


def test_velocities_in_another_unit_are_too_hot_to_believe(tmp_path):
    columns(tmp_path / "s.extxyz", "velo:R:3", 1000 * VELOCITIES)
    assert re.search(r"has velocities of 2\.\d+e\+08 K \(velo\); check their unit", refusal(tmp_path / "s.extxyz"))


def test_velocities_of_a_poscar(tmp_path):
    atoms = CELL.copy()
    atoms.set_velocities(VELOCITIES * A_FS)
    write(tmp_path / "POSCAR", atoms, format="vasp")
    assert start_of(tmp_path / "POSCAR").get_velocities() == pytest.approx(VELOCITIES * A_FS, abs=1e-12)
    (tmp_path / "POSCAR").write_text("Direct".join((tmp_path / "POSCAR").read_text().rsplit("Cartesian", 1)))
    assert "are in the mode 'Direct'; give them in Å/fs" in refusal(tmp_path / "POSCAR")


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", ["vasp", "traj", "aims"])
def test_velocities_along_what_is_fixed_are_taken_away(tmp_path, kind):
    atoms = CELL.copy()
    atoms.set_velocities(VELOCITIES * A_FS)
    part = FixScaled if kind == "vasp" else FixCartesian
    atoms.set_constraint([FixAtoms([0, 1]), part([4], (False, False, True))])
    options = {"write_velocities": True} if kind == "aims" else {}
    write(tmp_path / NAMES[kind], atoms, format=kind, **options)
    found = start_of(tmp_path / NAMES[kind]).get_velocities() / A_FS
    expected = VELOCITIES.copy()
    expected[:2], expected[4, 2] = 0, 0
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ["masses", "mass"])
def test_one_mass_of_an_element_is_kept(tmp_path, name):
    columns(tmp_path / "s.extxyz", f"{name}:R:1:velo:R:3", np.full(32, 200.0), VELOCITIES)
    campaign = campaign_of(tmp_path / "s.extxyz")
    [atoms] = start_structures(campaign)
    assert atoms.get_masses() == pytest.approx(200.0)
    assert atoms.get_velocities() == pytest.approx(VELOCITIES * A_FS, rel=1e-12)
    assert start_notes(campaign, [atoms])[1] == "structure.file gives Cu a mass of 200 u (usual: 63.546): MD uses it"
    assert fixed_and_masses(campaign, 0) == (None, (200.0,))


def test_usual_masses_are_nothing_to_keep(tmp_path):
    columns(tmp_path / "s.extxyz", "masses:R:1", np.full(32, 63.546))
    campaign = campaign_of(tmp_path / "s.extxyz")
    assert fixed_and_masses(campaign, 0) == (None, None)
    assert start_notes(campaign, start_structures(campaign)) == []
    assert fixed_and_masses(make_small(), 0) == (None, None)


@pytest.mark.parametrize("first", [62.93, 200.0])
def test_several_masses_of_an_element_are_refused(tmp_path, first):
    masses = np.where(np.arange(32) % 2, 262.93 - first, first)
    columns(tmp_path / "s.extxyz", "masses:R:1", masses)
    said = refusal(tmp_path / "s.extxyz")
    assert "gives Cu several masses (62.93 u for 16 atoms, 200 u for 16 atoms)" in said


@pytest.mark.parametrize("mass", [0.0, np.nan, 6586.0])
def test_masses_that_are_none(tmp_path, mass):
    """The last is of copper in eV fs²/Å²."""
    columns(tmp_path / "s.extxyz", "mass:R:1", np.full(32, mass))
    assert "the unit is u" in refusal(tmp_path / "s.extxyz")


def salt(hydrogen):
    """Return a CIF of LiH, its hydrogen atoms of the kinds given in turn."""
    cell, rows = bulk("LiH", "rocksalt", a=4.08, cubic=True) * (2, 2, 2), []
    for k, (symbol, place) in enumerate(zip(cell.get_chemical_symbols(), cell.get_scaled_positions(), strict=True)):
        name = symbol if symbol == "Li" else hydrogen[k // 2 % len(hydrogen)]
        rows.append(f"{name}{k} {name} {' '.join(f'{x:.4f}' for x in place)}")
    return CIF.format(rows="\n".join(rows))


def test_deuterium_has_its_mass_and_goes_with_no_hydrogen(tmp_path):
    (tmp_path / "s.cif").write_text(salt("D"))
    atoms = start_of(tmp_path / "s.cif", elements=["H", "Li"])
    assert set(np.round(atoms.get_masses()[atoms.numbers == 1], 3)) == {2.014}
    (tmp_path / "s.cif").write_text(salt("DH"))
    assert "H several masses (1.008 u for 16" in refusal(tmp_path / "s.cif", elements=["H", "Li"])


def test_masses_of_a_pw_input_are_the_usual_ones_or_refused(tmp_path):
    slab_in(tmp_path / "s.pwi", "espresso-in")
    text = (tmp_path / "s.pwi").read_text()
    (tmp_path / "s.pwi").write_text(text.replace("63.546", "1.0"))
    assert "ATOMIC_SPECIES" in refusal(tmp_path / "s.pwi")
    (tmp_path / "s.pwi").write_text(text + "\nATOMIC_VELOCITIES a.u\n" + "Cu 0 0 0\n" * 36)
    assert "the card ATOMIC_VELOCITIES" in refusal(tmp_path / "s.pwi")


@pytest.mark.parametrize("name", ["fixed", "frozen", "constraints", "if_pos", "selective_dynamics", "is_fixed"])
def test_columns_that_seem_to_fix_atoms_are_refused(tmp_path, name):
    columns(tmp_path / "s.extxyz", f"{name}:I:1", np.ones(32))
    assert f"has a column {name}, which seems to fix atoms" in refusal(tmp_path / "s.extxyz")


@pytest.mark.parametrize("facts", ["units=bohr", "length_unit=au", "positions_units=nm"])
def test_other_units_of_length_are_refused(tmp_path, facts):
    columns(tmp_path / "s.extxyz", "tag:I:1", np.ones(32), facts=facts)
    assert "which is not read; give it in Å" in refusal(tmp_path / "s.extxyz")
    columns(tmp_path / "s.extxyz", "tag:I:1", np.ones(32), facts="units=angstrom")
    assert len(start_of(tmp_path / "s.extxyz")) == 32


def test_temperature_counts_what_moves():
    atoms = Atoms("Cu4", positions=np.arange(12).reshape(4, 3), cell=np.eye(3) * 12, pbc=True)
    atoms.set_velocities(np.full((4, 3), 0.01))
    fixed = np.zeros((4, 3), dtype=bool)
    fixed[0] = True
    # nine components move and no total momentum is conserved: m v² for each
    assert temperature_of(atoms, fixed) == pytest.approx(63.546 * 1e-4 / units.kB, rel=1e-12)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_constraint_of_a_lattice_vector_is_refused(tmp_path):
    """ASE would fix an atom instead."""
    CELL.write(tmp_path / "geometry.in", format="aims")
    text = (tmp_path / "geometry.in").read_text()
    assert len(start_of(tmp_path / "geometry.in")) == 32
    head, mark, tail = text.partition("lattice_vector")
    first, end, rest = tail.partition("\n")
    (tmp_path / "geometry.in").write_text(f"{head}{mark}{first}{end}constrain_relaxation .true.\n{rest}")
    assert "constrains a lattice_vector" in refusal(tmp_path / "geometry.in")


def test_cell_in_lower_case_is_not_called_missing(tmp_path):
    columns(tmp_path / "s.extxyz", "tag:I:1", np.ones(32))
    text = (tmp_path / "s.extxyz").read_text().replace("Lattice", "lattice")
    (tmp_path / "s.extxyz").write_text(text)
    assert "calls its cell lattice; extended XYZ reads Lattice" in refusal(tmp_path / "s.extxyz")
