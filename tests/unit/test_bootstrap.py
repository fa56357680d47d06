"""The first labels of a large cell: small cells like it, or a refusal before anything is paid for."""

import pytest
from ase.build import bulk

from mlip_fw.engines.bootstrap import labelled_cell
from mlip_fw.errors import CampaignError
from mlip_fw.models.campaign import CutoutSettings

LARGE = bulk("Cu", cubic=True) * (5, 5, 5)


def test_small_start_is_labelled_whole():
    assert labelled_cell(LARGE, CutoutSettings(max_atoms=500), 6.0) is LARGE
    assert labelled_cell(LARGE, CutoutSettings(max_atoms=100, mode="never"), 6.0) is LARGE


def test_large_start_is_labelled_as_a_small_cell():
    assert len(labelled_cell(LARGE, CutoutSettings(max_atoms=150), 6.0)) <= 150


def test_cut_outs_that_can_never_hold_the_surroundings_are_refused_at_once():
    with pytest.raises(CampaignError, match=r"max_atoms is 50, but a small cell .* has about (\d+) atoms") as caught:
        labelled_cell(LARGE, CutoutSettings(max_atoms=50), 6.0)
    said = int(str(caught.value).split(" has about ")[1].split()[0])
    assert 50 < said < 200
    assert len(labelled_cell(LARGE, CutoutSettings(max_atoms=said), 6.0)) <= said
