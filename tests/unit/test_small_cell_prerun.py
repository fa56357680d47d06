"""Which campaigns have a small-cell prerun, and in which cell."""

import numpy as np
import pytest
from ase.build import bulk, fcc100
from ase.io import write

from mlip_fw.engines.sampling.small_cell import seamless_cell
from mlip_fw.engines.sampling.small_cell_prerun import is_prerun, prerun_cells, start_of_run
from mlip_fw.engines.structures.geometry import heights_a
from tests.helpers.structures import liquid

MAX = 150
ALLOY = {"bulk": {"symbol": "Cu", "a": 3.8, "cubic": True, "repeat": [4, 4, 4], "substitute": {"Au": 0.5}}}


def alloy(n=5, rattle_a=0.0):
    atoms = bulk("Cu", cubic=True, a=3.85) * (n, n, n)
    atoms.symbols[np.random.default_rng(1).permutation(len(atoms))[: len(atoms) // 2]] = "Au"
    atoms.rattle(rattle_a, seed=1)
    return atoms


@pytest.fixture
def campaign(small):
    """Return a function that makes a campaign of an alloy that is too large to be labelled."""

    def make(elements=("Cu", "Au"), structure=ALLOY, **changes):
        changes = {"candidates": {"cutout": {"max_atoms": MAX}}} | changes
        return small(elements=list(elements), structure={"bulk": None, **structure}, **changes)

    return make


@pytest.mark.slow
@pytest.mark.parametrize("rattle_a", [0.0, 0.15])
def test_a_crystal_has_a_seamless_cell_cold_or_hot(rattle_a):
    cell = seamless_cell(alloy(rattle_a=rattle_a), MAX, 6.0)
    assert MAX / 4 < len(cell) <= MAX
    assert heights_a(cell.cell.array).min() >= 6.0


def test_a_slab_has_a_seamless_cell_with_its_vacuum():
    slab = fcc100("Cu", (10, 10, 6), a=3.61, vacuum=8.0)
    slab.pbc = True
    cell = seamless_cell(slab, MAX, 6.0)
    assert np.ptp(cell.positions[:, 2]) == pytest.approx(np.ptp(slab.positions[:, 2]))
    assert cell.cell[2, 2] > np.ptp(cell.positions[:, 2]) + 8.0


@pytest.mark.slow
def test_a_liquid_has_none():
    assert seamless_cell(liquid(), MAX, 6.0) is None


def test_a_cell_in_which_atoms_would_see_their_own_images_is_none():
    assert seamless_cell(alloy(3), 40, 8.0) is None


def test_atoms_keep_their_velocities():
    start = alloy()
    start.set_velocities(start.positions)
    cell = seamless_cell(start, MAX, 6.0)
    sites = {tuple(v) for v in start.get_velocities().round(6)}
    assert {tuple(v) for v in cell.get_velocities().round(6)} <= sites
    assert len({tuple(v) for v in cell.get_velocities().round(6)}) == len(cell)


@pytest.mark.slow
def test_an_alloy_that_is_too_large_rehearses(campaign):
    made = campaign(md={"walkers": 3})
    [(walker, cell)] = prerun_cells(made).items()
    assert walker == 3
    assert set(cell.symbols) == {"Cu", "Au"}
    assert len(cell) <= MAX
    assert [is_prerun(made, k) for k in (2, 3)] == [False, True]
    start, draws_velocities = start_of_run(made, 3)
    assert (len(start), draws_velocities) == (len(cell), True)
    assert len(start_of_run(made, 2)[0]) == 256


NO_REHEARSAL = [
    {"candidates": {"cutout": {"max_atoms": 256}}},
    {"candidates": {"cutout": {"max_atoms": MAX, "mode": "never"}}},
    {"bootstrap": {"rehearsal": "never"}},
    {"potential": {"initial": "given.yaml"}},
    {"md": {"walkers": 100}},
]


@pytest.mark.parametrize("changes", NO_REHEARSAL, ids=lambda changes: str(next(iter(changes.values()))))
def test_other_campaigns_do_not_rehearse(campaign, changes):
    assert prerun_cells(campaign(**changes)) == {}


@pytest.mark.parametrize(("asked", "walkers"), [("auto", []), ("always", [1])])
def test_one_element_rehearses_only_if_asked_to(campaign, asked, walkers):
    pure = {"bulk": ALLOY["bulk"] | {"substitute": {}}}
    made = campaign(elements=["Cu"], structure=pure, bootstrap={"rehearsal": asked})
    assert list(prerun_cells(made)) == walkers


@pytest.mark.slow
def test_each_start_that_is_too_large_has_a_rehearsal_of_its_own(campaign, tmp_path):
    starts = [bulk("Cu", cubic=True) * (2, 2, 2), alloy(), bulk("Cu", cubic=True) * (4, 4, 4), alloy(6)]
    paths = [str(tmp_path / f"{k}.extxyz") for k in range(4)]
    for path, atoms in zip(paths, starts, strict=True):
        write(path, atoms)
    made = campaign(structure={"files": paths}, md={"walkers": 5})
    assert list(prerun_cells(made)) == [6, 8]
