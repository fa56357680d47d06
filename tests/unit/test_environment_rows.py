"""Rows of labelled atoms: packed when they are many, made again when they are damaged."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.engines.ace.basis import linear_basis
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.train import environment_rows as rows_module
from mlip_fw.engines.train.environment_rows import EnvironmentRows
from mlip_fw.io.files import write_arrays
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
    monkeypatch.setattr(rows_module, "_MIN_TO_PACK", 4)
    return EnvironmentRows(tmp_path, dataset, shape)


@pytest.fixture
def again(dataset, shape, tmp_path):
    """Return what gives the rows as another training finds them."""
    return lambda: EnvironmentRows(tmp_path, dataset, shape)


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def of(rows, names):
    """Return all rows of each element, in the order of ``names``."""
    found = {}
    for element in ("Au", "Cu"):
        blocks = list(rows.blocks(element, names))
        order = np.argsort(np.concatenate([block.places for block in blocks]), kind="stable")
        found[element] = np.concatenate([block.rows for block in blocks])[order]
    return found


def same(found, expected):
    return all(np.array_equal(found[element], expected[element]) for element in ("Au", "Cu"))


def test_all_environments_with_their_labels(rows, dataset, shape):
    found = of(rows, NAMES[:3])
    assert {element: len(part) for element, part in found.items()} == {"Au": 3, "Cu": 21}
    expected = shape.evaluate_with_projections(dataset.read("label1"))[1]
    assert np.array_equal(found["Cu"][8:15], expected["Cu"])
    assert rows.counts(NAMES) == {"Au": 13, "Cu": 30}
    assert rows.counts([]) == {"Au": 0, "Cu": 0}


def test_packing_changes_nothing(rows, again, tmp_path):
    loose = of(rows, NAMES)
    rows.pack(NAMES[:3])
    assert files(tmp_path) == [f"{name}.npz" for name in NAMES]
    rows.pack(NAMES[:4])
    assert [name[:6] for name in files(tmp_path)] == ["label4", "label5", "packed", "packed"]
    assert same(of(again(), NAMES), loose)
    assert same(of(again(), NAMES[::-1]), of(rows, NAMES[::-1]))
    assert again().counts(NAMES) == rows.counts(NAMES)


def test_a_label_that_is_gone_is_left_out_of_its_pack(rows, again):
    few = of(rows, [*NAMES[:2], *NAMES[3:5]])
    rows.pack(NAMES)
    rows.counts(NAMES)
    rows.pack(NAMES)
    assert same(of(again(), [*NAMES[:2], *NAMES[3:5]]), few)


def test_each_label_counts_once_if_two_trainings_packed_it(rows, again, tmp_path):
    expected = of(rows, NAMES)
    kept = {path: path.read_bytes() for path in tmp_path.iterdir()}
    rows.pack(NAMES)
    for path, content in kept.items():
        path.write_bytes(content)
    again().pack(NAMES[1:])
    assert len(list(tmp_path.glob("packed-*.npz"))) == 2
    assert same(of(again(), NAMES), expected)


def test_packs_are_never_written_again(rows, again, tmp_path):
    of(rows, NAMES[:4])
    rows.pack(NAMES)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    more = again()
    of(more, NAMES)
    more.pack(NAMES)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in before} == before


@pytest.mark.parametrize("suffix", ["npz", "npy"])
@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04broken", 100, None])
def test_damaged_pack_is_made_again(rows, again, tmp_path, suffix, damage):
    expected = of(rows, NAMES)
    rows.pack(NAMES)
    [path] = tmp_path.glob(f"packed-*.{suffix}")
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-damage] if isinstance(damage, int) else damage)
    assert same(of(again(), NAMES), expected)
    if (suffix, damage) != ("npz", None):
        assert files(tmp_path) == [f"{name}.npz" for name in NAMES]


def test_a_pack_that_does_not_fit_its_contents_is_made_again(rows, again, tmp_path):
    expected = of(rows, NAMES)
    rows.pack(NAMES)
    [path] = tmp_path.glob("packed-*.npy")
    np.save(path, np.load(path)[:-10])
    assert same(of(again(), NAMES), expected)


def test_a_pack_of_an_older_version_is_made_again(rows, again, tmp_path):
    expected = of(rows, NAMES)
    for path in tmp_path.iterdir():
        path.unlink()
    write_arrays(tmp_path / "packed.npz", {"names": np.array(NAMES), **expected, "ends_of_Au": [], "ends_of_Cu": []})
    assert same(of(again(), NAMES), expected)
    assert files(tmp_path) == [f"{name}.npz" for name in NAMES]


def test_packed_rows_are_not_evaluated(rows, again, monkeypatch):
    expected = of(rows, NAMES)
    rows.pack(NAMES)
    monkeypatch.setattr(AcePotential, "evaluate_with_projections", None)
    assert same(of(again(), NAMES), expected)
