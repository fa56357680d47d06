"""LAMMPS files that users give: units, types and labels mean what the file states."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.io import read

from mlip_fw.errors import CampaignError
from mlip_fw.io.lammps import write_data
from mlip_fw.io.structures import read_any

SPEEDS = {"metal": units.Ang / (1000 * units.fs), "real": units.Ang / units.fs}
DATA = """LAMMPS data file via write_data, version 2 Aug 2023, timestep = 1000{units}

3 atoms
2 atom types

{box}

Masses

1 63.546
2 196.97

Atoms # {style}

{atoms}

Velocities

3 3 0 0
1 1 0 0
2 2 0 0
"""
BOX = "1.0 9.0 xlo xhi\n0.0 8.0 ylo yhi\n0.0 8.0 zlo zhi"
ATOMS = {
    "atomic": "3 1 7 0 0 1 0 0\n1 2 1 0 0 0 0 0\n2 1 4 4 4 0 0 0",
    "charge": "3 1 0.5 7 0 0 1 0 0\n1 2 0.5 1 0 0 0 0 0\n2 1 0.5 4 4 4 0 0 0",
    "molecular": "3 9 1 7 0 0 1 0 0\n1 9 2 1 0 0 0 0 0\n2 9 1 4 4 4 0 0 0",
    "full": "3 9 1 0.5 7 0 0 1 0 0\n1 9 2 0.5 1 0 0 0 0 0\n2 9 1 0.5 4 4 4 0 0 0",
}


def data(path, *, stated=", units = metal", box=BOX, style="atomic", atoms=None):
    path.write_text(DATA.format(units=stated, box=box, style=style, atoms=atoms or ATOMS[style]))
    return path


def one(path):
    [atoms] = read_any(path, "structure.file")
    return atoms


def refusal(path):
    with pytest.raises(CampaignError) as caught:
        read_any(path, "structure.file")
    return str(caught.value)


@pytest.mark.parametrize("style", ATOMS)
def test_styles_images_and_the_order_of_atoms(tmp_path, style):
    atoms = one(data(tmp_path / "s.data", style=style))
    assert atoms.get_chemical_symbols() == ["Au", "Cu", "Cu"]
    assert atoms.positions.tolist() == [[1, 0, 0], [4, 4, 4], [15, 0, 0]]
    assert atoms.get_velocities()[:, 0] / SPEEDS["metal"] == pytest.approx([1, 2, 3])
    assert atoms.get_masses() == pytest.approx([196.97, 63.546, 63.546])


@pytest.mark.parametrize(("stated", "unit"), [(", units = real", "real"), (", units = metal", "metal"), ("", "metal")])
def test_velocities_are_in_the_units_that_are_stated(tmp_path, stated, unit):
    atoms = one(data(tmp_path / "s.data", stated=stated))
    assert atoms.get_velocities()[:, 0] / SPEEDS[unit] == pytest.approx([1, 2, 3])
    assert atoms.cell.lengths().tolist() == [8, 8, 8]


@pytest.mark.parametrize("name", ["si", "cgs", "electron", "micro", "nano", "lj"])
def test_other_units_are_refused_by_name(tmp_path, name):
    assert f"states units {name}, which are not read" in refusal(data(tmp_path / "s.data", stated=f", units = {name}"))


def test_types_in_another_order_than_the_elements(tmp_path):
    """Type 1 is copper in the file, and the second element of the campaign."""
    atoms = one(data(tmp_path / "s.data"))
    write_data(tmp_path / "start.data", atoms, ("Au", "Cu"))
    again = read(tmp_path / "start.data", format="lammps-data")
    assert again.get_chemical_symbols() == ["Au", "Cu", "Cu"]
    assert again.get_velocities() == pytest.approx(atoms.get_velocities())


def test_types_of_an_array_are_not_those_of_the_md(tmp_path):
    """As of an extended XYZ file with a column ``type``."""
    atoms = Atoms("CuAu", [[0, 0, 0], [4, 4, 4]], cell=[8, 8, 8], pbc=True)
    atoms.set_array("type", np.array([1, 2]))
    write_data(tmp_path / "start.data", atoms, ("Au", "Cu"))
    assert read(tmp_path / "start.data", format="lammps-data").get_chemical_symbols() == ["Cu", "Au"]


LABELS = "Atom Type Labels\n\n1 Cu\n2 Au\n\nMasses\n\nCu 63.546\nAu 196.97\n"


def labelled(path, style):
    """Write the same atoms with the labels of their types, and some other mass of copper."""
    column = 1 if style in ("atomic", "charge") else 2
    rows = [row.split() for row in ATOMS[style].splitlines()]
    atoms = "\n".join(
        " ".join([*row[:column], {"1": "Cu", "2": "Au"}[row[column]], *row[column + 1 :]]) for row in rows
    )
    text = DATA.format(units="", box=BOX, style=style, atoms=atoms)
    path.write_text(text.replace("Masses\n\n1 63.546\n2 196.97\n", LABELS.replace("63.546", "200.0")))
    return path


@pytest.mark.parametrize("style", ATOMS)
def test_type_labels(tmp_path, style):
    atoms = one(labelled(tmp_path / "s.data", style))
    assert atoms.get_chemical_symbols() == ["Au", "Cu", "Cu"]
    assert atoms.positions.tolist() == [[1, 0, 0], [4, 4, 4], [15, 0, 0]]
    assert atoms.get_masses() == pytest.approx([196.97, 200, 200])


def test_element_behind_a_mass_counts_more_than_the_mass(tmp_path):
    """As ASE and write_data leave it: 200 u would be mercury."""
    path = data(tmp_path / "s.data")
    path.write_text(path.read_text().replace("1 63.546", "1 200.0 # Cu"))
    assert one(path).get_chemical_symbols() == ["Au", "Cu", "Cu"]
    assert one(path).get_masses()[1] == pytest.approx(200.0)
    path.write_text(path.read_text().replace("1 200.0 # Cu", "1 142.5"))
    assert "gives type 1 a mass of 142.5, which is no element's in g/mol" in refusal(path)


@pytest.mark.parametrize(("mass", "symbol"), [("2.014", "H"), ("3.016", "H"), ("4.0026", "He"), ("58.6934", "Ni")])
def test_elements_by_mass(tmp_path, mass, symbol):
    path = data(tmp_path / "s.data")
    path.write_text(path.read_text().replace("1 63.546", f"1 {mass}"))
    assert one(path).get_chemical_symbols() == ["Au", symbol, symbol]


def test_general_triclinic_box(tmp_path):
    """LAMMPS manual, read_data: three vectors and an origin, atoms and velocities in their frame."""
    box = "0 8 0 avec\n0 0 8 bvec\n8 0 1 cvec\n1 0 0 abc origin"
    atoms = one(data(tmp_path / "anything", box=box))
    assert atoms.cell.tolist() == [[0, 8, 0], [0, 0, 8], [8, 0, 1]]
    assert atoms.positions.tolist() == [[1, 0, 0], [4, 4, 4], [7, 8, 0]]
    assert atoms.get_velocities()[:, 0] / SPEEDS["metal"] == pytest.approx([1, 2, 3])


def test_file_without_masses_is_refused(tmp_path):
    path = data(tmp_path / "s.data")
    path.write_text(path.read_text().replace("Masses\n\n1 63.546\n2 196.97\n", ""))
    assert "has no section Masses" in refusal(path)


@pytest.mark.parametrize("row", ["1 2 0.5 7 0 0", "1 1 1.0 8.9 0 0 0 0 0 0 0"])
def test_style_that_is_not_read_is_refused(tmp_path, row):
    assert "ASE can't read" in refusal(data(tmp_path / "s.data", style="dipole", atoms=row))


DUMP = """{head}ITEM: TIMESTEP
{step}
ITEM: NUMBER OF ATOMS
2
ITEM: BOX BOUNDS pp pp pp
1.0 9.0
0.0 8.0
0.0 8.0
ITEM: ATOMS {columns}
{rows}
"""


def dump(path, columns, rows, head=""):
    frames = [
        DUMP.format(head=head, step=0, columns=columns, rows=rows),
        DUMP.format(head="", step=5, columns=columns, rows=rows),
    ]
    path.write_text("".join(frames))
    return path


@pytest.mark.parametrize("unit", ["metal", "real", None])
def test_dump_in_the_units_that_it_states(tmp_path, unit):
    head = f"ITEM: UNITS\n{unit}\nITEM: TIME\n0.0\n" if unit else ""
    path = dump(tmp_path / "s.lammpstrj", "id element x y z vx vy vz", "2 Cu 5 4 4 2 0 0\n1 Au 1 0 0 1 0 0", head)
    frames = read_any(path, "structure.file")
    assert len(frames) == 2
    assert frames[1].get_chemical_symbols() == ["Au", "Cu"]
    assert frames[1].get_velocities()[:, 0] / SPEEDS[unit or "metal"] == pytest.approx([1, 2])
    assert frames[1].get_distance(0, 1) == pytest.approx(np.sqrt(48))


def test_dump_in_other_units_is_refused(tmp_path):
    path = dump(tmp_path / "s.lammpstrj", "id element x y z", "1 Cu 0 0 0\n2 Cu 4 4 4", "ITEM: UNITS\nlj\n")
    assert "states units lj, which are not read" in refusal(path)


def test_dump_of_scaled_coordinates_with_masses(tmp_path):
    path = dump(
        tmp_path / "s.lammpstrj",
        "id type element mass xs ys zs vx vy vz",
        "2 1 Cu 200 .5 .5 .5 2 0 0\n1 2 Au 197 0 0 0 1 0 0",
    )
    atoms = read_any(path, "structure.file")[-1]
    assert atoms.get_distance(0, 1) == pytest.approx(np.sqrt(48))
    assert atoms.get_masses().tolist() == [197, 200]
    assert atoms.get_velocities()[:, 0] / SPEEDS["metal"] == pytest.approx([1, 2])
    write_data(tmp_path / "start.data", atoms, ("Au", "Cu"))
    assert read(tmp_path / "start.data", format="lammps-data", Z_of_type={1: 79, 2: 29}).get_chemical_symbols() == [
        "Au",
        "Cu",
    ]


def test_dump_without_elements_is_refused(tmp_path):
    path = dump(tmp_path / "s.lammpstrj", "id type x y z", "1 1 0 0 0\n2 1 4 4 4")
    assert "has no column element" in refusal(path)
