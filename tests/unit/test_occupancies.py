"""A file with partly occupied sites is an average of structures, and refused."""

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

from tests.helpers.start_files import CIF, columns, refusal, start_of

SITES = [(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)]


def cif(path, rows, occupancy=True):
    text = CIF.replace("_atom_site_fract_z\n", "_atom_site_fract_z\n" + "_atom_site_occupancy\n" * occupancy)
    path.write_text(text.format(rows="\n".join(rows)))
    return path


def rows_of(*species, share="1.0", name="X"):
    return [f"{s}{name}{k} {s} {x} {y} {z} {share}" for k, (x, y, z) in enumerate(SITES) for s in species]


@pytest.mark.parametrize("share", ["1.0", "1", "1.000(2)", ".", "?"])
def test_full_sites_are_accepted(tmp_path, share):
    assert len(start_of(cif(tmp_path / "s.cif", rows_of("Cu", share=share)))) == 4


def test_missing_column_is_accepted(tmp_path):
    assert len(start_of(cif(tmp_path / "s.cif", rows_of("Cu", share=""), occupancy=False))) == 4


@pytest.mark.parametrize("share", ["0.5", "0.5(1)", "0.98"])
def test_vacancies_are_refused_with_their_site(tmp_path, share):
    rows = rows_of("Cu")
    rows[2] = f"Cu2b Cu 0.5 0 0.5 {share}"
    said = refusal(cif(tmp_path / "s.cif", rows))
    assert "1 of 4 sites of" in said
    assert f"are occupied in part, the first is Cu2b (Cu {share[:4].rstrip('(')})" in said
    assert "Make an ordered or a random cell of it" in said


def test_mixed_sites_are_refused_though_they_are_full(tmp_path):
    rows = [f"{s}{k} {s} {x} {y} {z} {o}" for k, (x, y, z) in enumerate(SITES) for s, o in (("Cu", 0.6), ("Au", 0.4))]
    assert "8 of 8 sites of" in (said := refusal(cif(tmp_path / "s.cif", rows), elements=["Au", "Cu"]))
    assert "are occupied in part, the first is Cu0 (Cu 0.6 and Au 0.4)" in said


def test_two_atoms_on_a_site_are_refused_without_occupancies(tmp_path):
    """ASE would keep the first."""
    path = cif(tmp_path / "s.cif", rows_of("Cu", "Au", share=""), occupancy=False)
    assert "CuX0 and AuX0" in refusal(path, elements=["Au", "Cu"])


def test_occupancies_of_other_formats(tmp_path):
    columns(tmp_path / "s.extxyz", "occupancy:R:1", np.where(np.arange(32) == 3, 0.5, 1.0))
    assert "1 of 32 atoms have occupancy other than 1, the first is atom 3 from 0 (0.5)" in refusal(
        tmp_path / "s.extxyz"
    )
    columns(tmp_path / "s.extxyz", "occupancy:R:1", np.ones(32))
    assert len(start_of(tmp_path / "s.extxyz")) == 32
    atoms = bulk("Cu", cubic=True) * 2
    atoms.info["occupancy"] = {"0": {"Cu": 0.5}}
    write(tmp_path / "s.traj", atoms)
    assert "has a site of partial occupancy (Cu 0.5)" in refusal(tmp_path / "s.traj")
