"""The first labels of a large cell: small cells like it, or a refusal before anything is paid for."""

import numpy as np
import pytest
from ase.build import bulk

from mlip_fw.engines.sampling.bootstrap import first_structures, labelled_cell
from mlip_fw.errors import CampaignError
from mlip_fw.models.campaign import CutoutSettings

LARGE = bulk("Cu", cubic=True) * (5, 5, 5)


def test_small_start_is_labelled_whole():
    assert labelled_cell(LARGE, CutoutSettings(max_atoms=500), 6.0) is LARGE
    assert labelled_cell(LARGE, CutoutSettings(max_atoms=100, mode="never"), 6.0) is LARGE


def test_large_start_is_labelled_as_a_small_cell():
    assert len(labelled_cell(LARGE, CutoutSettings(max_atoms=150), 6.0)) <= 150


@pytest.mark.slow
def test_cut_outs_that_can_never_hold_the_surroundings_are_refused_at_once():
    with pytest.raises(CampaignError, match=r"max_atoms is 50, but a small cell .* has about (\d+) atoms") as caught:
        labelled_cell(LARGE, CutoutSettings(max_atoms=50), 6.0)
    said = int(str(caught.value).split(" has about ")[1].split()[0])
    assert 50 < said < 200
    assert len(labelled_cell(LARGE, CutoutSettings(max_atoms=said), 6.0)) <= said


def first_of(campaign, *starts):
    frames = first_structures(list(starts), campaign, np.random.default_rng(1))
    return frames, [len(atoms) for atoms in frames]


def test_first_structures_come_from_all_starts_in_turn(small):
    copper, thin = bulk("Cu", cubic=True) * (2, 2, 2), bulk("Cu", cubic=True) * (2, 2, 3)
    frames, sizes = first_of(small(bootstrap={"n_structures": 5}), copper, thin)
    assert sizes == [32, 48, 32, 48, 32]
    assert not np.allclose(frames[0].positions, frames[2].positions)
    assert first_of(small(bootstrap={"n_structures": 1}), copper, thin, copper)[1] == [32, 48, 32]


def test_first_structures_of_a_large_start_are_small(small):
    campaign = small(candidates={"cutout": {"max_atoms": 150}})
    _, [small_one, whole] = first_of(campaign, LARGE, bulk("Cu", cubic=True) * (2, 2, 2))
    assert small_one <= 150
    assert whole == 32


def test_nothing_is_cut_if_cutting_is_off(small):
    campaign = small(candidates={"cutout": {"mode": "never", "max_atoms": 100}}, bootstrap={"n_structures": 3})
    assert first_of(campaign, LARGE)[1] == [len(LARGE)] * 3


@pytest.mark.parametrize(("functions", "number"), [(100, 2), (200, 4)])
def test_small_cells_are_twice_as_many_if_they_have_fewer_atoms_than_functions(small, functions, number):
    campaign = small(candidates={"cutout": {"max_atoms": 150}}, potential={"functions_per_element": functions})
    _, sizes = first_of(campaign, LARGE)
    assert len(sizes) == number
    assert functions < sum(sizes)
    assert len(first_of(campaign, bulk("Cu", cubic=True) * (2, 2, 2))[1]) == 2


@pytest.mark.slow
def test_first_structures_of_a_large_alloy_come_from_different_places(small):
    start = bulk("Cu", cubic=True, a=3.85) * (5, 5, 5)
    start.symbols[np.random.default_rng(1).permutation(len(start))[:250]] = "Au"
    campaign = small(
        elements=["Au", "Cu"], candidates={"cutout": {"max_atoms": 150}}, potential={"functions_per_element": 200}
    )
    frames, _ = first_of(campaign, start)
    arrangements = [arrangement(atoms) for atoms in frames]
    assert len(frames) == 2 * campaign.bootstrap.n_structures
    assert arrangements[0] == arrangement(labelled_cell(start, campaign.candidates.cutout, 5.0))
    assert len(set(arrangements)) == 4
    again, _ = first_of(campaign, start)
    assert all(np.array_equal(new.positions, old.positions) for new, old in zip(again, frames, strict=True))


def arrangement(atoms):
    """Return what tells how the elements lie around each other: the sorted counts of unlike neighbours."""
    near = atoms.get_all_distances(mic=True) < 3.3
    unlike = atoms.numbers[:, None] != atoms.numbers[None]
    return tuple(sorted((near & unlike).sum(axis=1).tolist()))


@pytest.mark.slow
def test_where_no_other_place_has_all_elements_the_middle_is_taken_again(small):
    start = bulk("Cu", cubic=True) * (24, 2, 2)
    where = start.positions[:, 0] / 3.61
    start.symbols[where < 2] = "Ag"
    start.symbols[(where >= 16) & (where < 18)] = "Au"
    middle = np.flatnonzero(np.abs(where - 12) < 0.1)
    start.symbols[middle[:2]] = ["Ag", "Au"]
    campaign = small(elements=["Ag", "Au", "Cu"], candidates={"cutout": {"max_atoms": 100}})
    frames, sizes = first_of(campaign, start)
    assert len(frames) == 4
    assert max(sizes) <= 100
    assert all(set(atoms.get_chemical_symbols()) == {"Ag", "Au", "Cu"} for atoms in frames)


def test_one_start_gives_the_same_as_ever(small):
    start, campaign = bulk("Cu", cubic=True) * (2, 2, 2), small(bootstrap={"n_structures": 3})
    # recorded: other structures would have other names of labels, and those of a campaign would be computed anew
    ever = [[7.218034, 1.907055, 1.774366], [0.012412, 1.729844, 1.846673], [7.175848, 1.800531, 1.64906]]
    found = np.array([atoms.positions[1] for atoms in first_of(campaign, start)[0]])
    assert found == pytest.approx(np.array(ever), abs=1e-6)
