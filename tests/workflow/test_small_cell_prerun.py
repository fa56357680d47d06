"""A large alloy: a small cell goes through the whole MD before it does."""

import pytest
from ase.io import read

from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.summary import md_results
from mlip_fw.launcher.runner import run_campaign
from mlip_fw.views.report.html_report import write_report

MAX = 90
ALLOY = {
    "elements": ["Cu", "Au"],
    "structure": {"bulk": {"symbol": "Cu", "a": 3.8, "cubic": True, "repeat": [4, 4, 4], "substitute": {"Au": 0.5}}},
    "candidates": {"max_labels_per_halt": 1, "cutout": {"max_atoms": MAX}},
}
STAGES = [{"ensemble": "nvt", "temperature_k": 300, "n_steps": 40}, {"ensemble": "nve", "n_steps": 60}]


@pytest.fixture
def rehearsed(small, stand_in, tmp_path):
    """Return (summary, directory) of a campaign with two stages that halts at step 20 of each walker."""
    directory = CampaignDirectory(tmp_path / "c")
    campaign = small(**ALLOY, md={"stages": STAGES})
    return run_campaign(campaign, directory, stand_in("--halt-at 20")), directory


def test_the_rehearsal_comes_first_and_is_labelled_whole(rehearsed, tmp_path):
    summary, directory = rehearsed
    assert (summary.outcome, summary.halts, summary.cycles, summary.md_steps) == ("CONVERGED", 2, 2, 100)
    started = [e for e in directory.events() if e["event"] == "md_started"]
    assert [(e["walker"], e["stage"], e["rehearsal"]) for e in started] == [
        *((1, stage, True) for stage in (0, 0, 1)),
        *((0, stage, False) for stage in (0, 0, 1)),
    ]
    assert started[3]["generation"] == 1, "the large cell starts with what the rehearsal taught"
    results = {(r.walker, r.cycle): r for r in md_results(directory)}
    assert [(results[1, k].first_step, results[1, k].step) for k in range(3)] == [(0, 20), (20, 40), (40, 100)]
    sizes = {walker: len(read(directory.cycle(walker, 0) / "halt.extxyz")) for walker in (0, 1)}
    assert sizes[0] == 256
    assert sizes[1] <= MAX
    label, cut = (read(directory.cycle(walker, 0) / "selected.extxyz") for walker in (1, 0))
    assert len(label) == sizes[1]
    assert "mask" not in label.arrays
    assert "mask" in cut.arrays
    write_report(directory, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    # among the walkers and among the halts
    assert page.count('<th scope="row">1 (rehearsal)</th>') == 1
    assert page.count("<td>1 (rehearsal)</td>") >= 1


def test_a_rehearsal_that_spends_the_budget_stops_the_campaign(small, stand_in, tmp_path):
    directory = CampaignDirectory(tmp_path / "c")
    summary = run_campaign(small(**ALLOY, budget={"max_cycles": 0}), directory, stand_in("--halt-at 20"))
    assert (summary.outcome, summary.reason, summary.md_steps) == ("STOPPED", "max_cycles", 0)
    assert [r.walker for r in md_results(directory)] == [1]
