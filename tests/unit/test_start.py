"""Bad start structures."""

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.io import write
from pyace import create_multispecies_basis_config

from mlip_fw.engines.structures.start import start_of_walker, start_structures
from mlip_fw.engines.train.given_files import check_given_files
from mlip_fw.errors import CampaignError
from mlip_fw.io.structures import with_labels


def from_file(small, tmp_path, atoms, **changes):
    write(tmp_path / "start.extxyz", atoms)
    return small(structure={"file": str(tmp_path / "start.extxyz"), "bulk": None}, **changes)


def test_crystal(small):
    [atoms] = start_structures(small())
    assert len(atoms) == 32
    assert atoms.pbc.all()


def test_substitution_is_reproducible(small):
    changes = {
        "structure": {
            "bulk": {"symbol": "Cu", "cubic": True, "a": 3.7, "repeat": [2, 2, 2], "substitute": {"Au": 0.25}}
        },
        "elements": ["Cu", "Au"],
    }
    [one], [two] = start_structures(small(**changes)), start_structures(small(**changes))
    assert one.get_chemical_formula() == "Au8Cu24"
    assert (one.numbers == two.numbers).all()
    assert (start_structures(small(**changes, seed=6))[0].numbers != one.numbers).any()


@pytest.mark.parametrize(
    ("elements", "said"),
    [(["Au"], "the structure has Cu"), (["Cu", "Au"], "elements names Au")],
)
def test_elements_must_fit(small, elements, said):
    with pytest.raises(CampaignError, match=said):
        start_structures(small(elements=elements))


@pytest.fixture
def several(small, tmp_path):
    """Return a function that makes a campaign whose starts are files of the given structures."""

    def make(*structures, **changes):
        paths = [str(tmp_path / f"{index}.extxyz") for index in range(len(structures))]
        for path, atoms in zip(paths, structures, strict=True):
            write(path, atoms)
        return small(**{"structure": {"bulk": None, "files": paths}, "md": {"walkers": len(paths)}, **changes})

    return make


COPPER, GOLD = bulk("Cu", cubic=True) * (2, 2, 2), bulk("Au", cubic=True) * (2, 2, 3)


def test_several_starts_have_the_elements_together(several):
    starts = start_structures(several(COPPER, GOLD, elements=["Au", "Cu"]))
    assert [atoms.get_chemical_formula() for atoms in starts] == ["Cu32", "Au48"]
    with pytest.raises(CampaignError, match=r"structure\.files\.1 has Au, which elements \(Cu\) does not name"):
        start_structures(several(COPPER, GOLD))
    with pytest.raises(
        CampaignError, match=r"Ni, which structure\.files\.0 and structure\.files\.1 \(Au, Cu\) do not have"
    ):
        start_structures(several(COPPER, GOLD, elements=["Au", "Cu", "Ni"]))


def test_every_start_is_checked(several):
    close = COPPER.copy()
    close.positions[1] = close.positions[0] + [0.3, 0, 0]
    with pytest.raises(CampaignError, match=r"structure\.files\.1: .*0\.30 Å apart"):
        start_structures(several(COPPER, close))
    lost = several(COPPER, COPPER)
    Path(lost.structure.files[1]).unlink()
    with pytest.raises(CampaignError, match=r"structure\.files\.1: there is no file"):
        start_structures(lost)


def test_walkers_take_starts_in_turn(several):
    campaign = several(COPPER, GOLD, elements=["Au", "Cu"], md={"walkers": 5})
    found = [start_of_walker(campaign, walker) for walker in range(5)]
    assert [len(atoms) for atoms, _ in found] == [32, 48, 32, 48, 32]
    assert [is_taken for _, is_taken in found] == [False, False, True, True, True]


def test_start_without_a_walker_is_refused(several):
    with pytest.raises(CampaignError, match=r"md\.walkers \(1\) is less than the number of structure\.files \(2\)"):
        several(COPPER, GOLD, elements=["Au", "Cu"], md={"walkers": 1})


def test_too_small_cell(small):
    changes = {"structure": {"bulk": {"symbol": "Cu", "cubic": True, "repeat": [1, 2, 2]}}}
    with pytest.raises(CampaignError, match=r"3\.61 Å thick, less than potential.cutoff_a"):
        start_structures(small(**changes))


def test_missing_file(small, tmp_path):
    with pytest.raises(CampaignError, match="there is no file"):
        start_structures(small(structure={"file": str(tmp_path / "no.xyz"), "bulk": None}))


@pytest.mark.parametrize("content", ["", "not a structure at all\n", "2\nLattice=\nCu 0 0 0\n"])
def test_unreadable_file(small, tmp_path, content):
    (tmp_path / "bad.extxyz").write_text(content)
    with pytest.raises(CampaignError, match="structure.file"):
        start_structures(small(structure={"file": str(tmp_path / "bad.extxyz"), "bulk": None}))


def test_nan_positions(small, tmp_path):
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms.positions[3] = np.nan
    with pytest.raises(CampaignError, match="not a finite number"):
        start_structures(from_file(small, tmp_path, atoms))


def test_molecule_without_cell(small, tmp_path):
    with pytest.raises(CampaignError, match="periodic in all three directions"):
        start_structures(from_file(small, tmp_path, molecule("H2O"), elements=["H", "O"]))


def test_atoms_on_top_of_each_other(small, tmp_path):
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms.positions[1] = atoms.positions[0] + [0.3, 0, 0]
    with pytest.raises(CampaignError, match=r"0\.30 Å apart"):
        start_structures(from_file(small, tmp_path, atoms))


def test_unknown_crystal(small):
    with pytest.raises(CampaignError, match="ASE can't build it"):
        start_structures(small(structure={"bulk": {"symbol": "Cu", "crystal": "nonsense"}}))


def test_huge_crystal(small):
    with pytest.raises(CampaignError, match="more than"):
        start_structures(small(structure={"bulk": {"symbol": "Cu", "repeat": [10000, 10000, 10000]}}))


def test_dataset_without_forces(small, tmp_path):
    write(tmp_path / "d.extxyz", bulk("Cu", cubic=True))
    with pytest.raises(CampaignError, match="has no finite energy and forces"):
        check_given_files(small(bootstrap={"dataset": str(tmp_path / "d.extxyz")}))


def test_dataset_with_stresses_in_kbar(small, tmp_path):
    atoms = bulk("Cu", cubic=True)
    write(tmp_path / "d.extxyz", with_labels(atoms, 0.0, np.zeros((4, 3)), np.full(6, -20.0)))
    with pytest.raises(CampaignError, match=r"has a stress of 3204 GPa, more than .* the unit is eV/Å³"):
        check_given_files(small(bootstrap={"dataset": str(tmp_path / "d.extxyz")}))
    check_given_files(small(bootstrap={"dataset": str(tmp_path / "d.extxyz")}, potential={"stress_weight": 0}))


def test_initial_potential_without_active_set(small, tmp_path):
    (tmp_path / "p.yaml").write_text("")
    with pytest.raises(CampaignError, match=r"there is no file .*p\.asi"):
        check_given_files(small(potential={"initial": str(tmp_path / "p.yaml")}))


@pytest.mark.parametrize("kind", ["linear", "pacemaker"])
def test_initial_potential_that_is_not_linear(small, tmp_path, kind):
    """Before any MD, by `mlip-fw check` too: as of a generation by pacemaker."""
    form = {
        "deltaSplineBins": 0.001,
        "elements": ["Cu"],
        "embeddings": {"ALL": {"npot": "FinnisSinclairShiftedScaled", "fs_parameters": [1, 1, 1, 0.5], "ndensity": 2}},
        "bonds": {"ALL": {"radbase": "SBessel", "radparameters": [5.25], "rcut": 5.0, "dcut": 0.01}},
        "functions": {"number_of_functions_per_element": 4, "ALL": {"nradmax_by_orders": [2], "lmax_by_orders": [0]}},
    }
    create_multispecies_basis_config(form).save(str(tmp_path / "p.yaml"))
    (tmp_path / "p.asi").write_bytes(b"")
    with pytest.raises(CampaignError, match=r"is not linear \(ndensity 2.* bootstrap\.dataset instead"):
        check_given_files(small(potential={"kind": kind, "initial": str(tmp_path / "p.yaml")}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda atoms, _: atoms.positions.__setitem__((0, 0), np.nan), "no finite number"),
        (lambda atoms, _: atoms.set_cell(np.zeros((3, 3))), "no full cell"),
        (lambda atoms, _: atoms.positions.__setitem__(0, atoms.positions[1] + 0.01), "apart; leave it out"),
        (
            lambda _, forces: forces.__setitem__((0, 0), 900.0),
            "more than oracle.max_force_ev_a = 100; the unit is eV/Å",
        ),
    ],
)
def test_dataset_that_teaches_nonsense(small, tmp_path, change, said):
    atoms, forces = bulk("Cu", cubic=True) * 2, np.zeros((32, 3))
    change(atoms, forces)
    write(tmp_path / "d.extxyz", with_labels(atoms, 0.0, forces, None))
    with pytest.raises(CampaignError, match=said):
        check_given_files(small(bootstrap={"dataset": str(tmp_path / "d.extxyz")}))
