"""Rows of labelled atoms: packed when they are many, made again when they are damaged."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from mlip_fw.dataset import Dataset
from mlip_fw.engines.ace import AcePotential
from mlip_fw.engines.train import rows as rows_module
from mlip_fw.engines.train.basis import linear_basis
from mlip_fw.engines.train.rows import Rows
from mlip_fw.io.structures import with_labels

NAMES = [f"label{k}" for k in range(6)]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Return six labels of two elements; the last one has a mask."""
    made = Dataset(tmp_path_factory.mktemp("labels"))
    for k, name in enumerate(NAMES):
        atoms = bulk("Cu", cubic=True, a=3.7) * (2, 1, 1)
        atoms.symbols[:k] = "Au"
        atoms.rattle(0.05, seed=k)
        atoms.calc = EMT()
        atoms = with_labels(atoms, atoms.get_potential_energy(), atoms.get_forces(), None)
        if k == 5:
            atoms.arrays["mask"] = np.arange(8) < 3
        made.add(name, atoms, {})
    return made


@pytest.fixture(scope="module")
def shape():
    return AcePotential(linear_basis(["Au", "Cu"], 5.0, 10))


@pytest.fixture
def rows(dataset, shape, tmp_path, monkeypatch):
    """Return rows that are packed from four labels on."""
    monkeypatch.setattr(rows_module, "_FEWEST_TO_PACK", 4)
    return Rows(tmp_path, dataset, shape)


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def same(found, expected):
    return all(np.array_equal(found[element], expected[element]) for element in ("Au", "Cu"))


def test_all_environments_in_the_order_of_labels(rows, dataset, shape):
    found = rows.of(NAMES[:3])
    assert {element: len(part) for element, part in found.items()} == {"Au": 3, "Cu": 21}
    expected = shape.evaluate_with_projections(dataset.read("label1"))[1]
    assert np.array_equal(found["Cu"][8:15], expected["Cu"])
    assert rows.of([])["Cu"].shape == (0, 10)


def test_packing_changes_nothing(rows, tmp_path):
    loose = rows.of(NAMES[:3])
    assert files(tmp_path) == [f"{name}.npz" for name in NAMES[:3]]
    all_of_them = rows.of(NAMES)
    assert files(tmp_path) == ["packed.npz"]
    assert same(rows.of(NAMES), all_of_them)
    assert same(rows.of(NAMES[:3]), loose)
    assert len(rows.of(NAMES[5:])["Au"]) == 3


def test_what_comes_after_packing_is_loose(rows, tmp_path):
    rows.of(NAMES[:4])
    found = rows.of(NAMES)
    assert files(tmp_path) == ["label4.npz", "label5.npz", "packed.npz"]
    assert same(rows.of(NAMES), found)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04broken", None])
def test_damaged_pack_is_made_again(rows, tmp_path, damage):
    expected, path = rows.of(NAMES), tmp_path / "packed.npz"
    path.unlink() if damage is None else path.write_bytes(damage)
    assert same(rows.of(NAMES), expected)
    assert files(tmp_path) == ["packed.npz"]


def test_packed_rows_are_not_evaluated(rows, monkeypatch):
    expected = rows.of(NAMES)
    monkeypatch.setattr(AcePotential, "evaluate_with_projections", None)
    assert same(rows.of(NAMES), expected)
