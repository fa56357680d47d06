"""Campaigns that pacemaker polishes, with stand-ins: when it is its turn, and what MD and Summary make of it."""

import sys
from collections import Counter

import pytest

from mlip_fw.generations import Generations
from mlip_fw.layout import CampaignDirectory
from mlip_fw.summary import md_results
from mlip_fw.workflows.campaign import campaign_workflow
from mlip_fw.workflows.runner import run_campaign

PACEMAKER = f"{sys.executable} -m mlip_fw.testing.pacemaker"


def trainers(directory):
    generations = Generations(directory.root)
    return [generations.trainer(n) for n in generations.numbers()]


def events(directory):
    return Counter(e["event"] for e in directory.events())


@pytest.fixture
def polished(small, stand_in, tmp_path):
    """Return a function that runs a polished campaign and gives its summary and directory."""

    def go(halts="20,50,80", options="", pacemaker=(), **changes):
        potential = {"kind": "pacemaker", "pacemaker": {"iterations": 1, **dict(pacemaker)}}
        campaign = small(potential=potential, **changes)
        directory = CampaignDirectory(tmp_path / "c")
        worker = stand_in(f"--halt-at {halts}", pacemaker_cmd=f"{PACEMAKER} {options}")
        return run_campaign(campaign, directory, worker), directory

    return go


def test_every_second_generation_and_at_the_end(polished):
    summary, directory = polished(pacemaker={"every": 2})
    assert summary.outcome == "CONVERGED"
    # linear 0 and 1, then pacemaker; linear 3 and 4, then pacemaker, which the end has nothing to add to
    assert trainers(directory) == ["linear", "linear", "pacemaker"] * 2
    assert [r.generation for r in md_results(directory)] == [0, 2, 3, 5]
    assert [Generations(directory.root).record(n).parent for n in range(6)] == [None, 0, 1, 1, 3, 4]
    assert events(directory)["polished"] == 2
    assert summary.generations == 6
    assert summary.potential.endswith("gen_0005/potential.yaml")


def test_stopped_campaign_is_polished_and_says_why(polished):
    summary, directory = polished(halts="20", budget={"max_cycles": 0})
    assert (summary.outcome, summary.reason) == ("STOPPED", "max_cycles")
    assert trainers(directory) == ["linear", "pacemaker"]
    assert [e["event"] for e in directory.events()][-2:] == ["polished", "finished"]
    assert summary.dataset_force_rmse_ev_a == Generations(directory.root).record(1).dataset.force_rmse_ev_a


def test_cut_by_the_walltime(small, stand_in, tmp_path, monkeypatch):
    from mlip_fw.engines.train.pacemaker import job

    monkeypatch.setattr(job, "_SHORTEST_S", 0.1)
    monkeypatch.setattr("mlip_fw.models.worker._LEAST_TRAIN_S", 1.0)
    campaign = small(potential={"kind": "pacemaker", "pacemaker": {"iterations": 40}})
    directory = CampaignDirectory(tmp_path / "c")
    worker = stand_in(pacemaker_cmd=f"{PACEMAKER} --step-s 0.1")
    monkeypatch.setattr("mlip_fw.firetasks.base.working_seconds_left", lambda: 7.0)
    summary = run_campaign(campaign, directory, worker)
    assert summary.outcome == "CONVERGED"
    record = Generations(directory.root).record(1)
    # a cut after the last step costs another one
    assert record.trainer == "pacemaker"
    assert record.iterations in (40, 41)
    assert record.seconds > 7
    assert not directory.polishing.exists()


def test_two_walkers_share_one_polishing(polished):
    summary, directory = polished(
        halts="40", pacemaker={"every": 1}, md={"walkers": 2}, candidates={"max_labels_per_halt": 1}
    )
    assert summary.outcome == "CONVERGED"
    made = trainers(directory)
    assert made[:2] == ["linear", "pacemaker"]
    assert made[-1] == "pacemaker"
    generations = Generations(directory.root)
    for number in generations.numbers():
        if generations.trainer(number) == "pacemaker":
            record = generations.record(number)
            assert record.labels == generations.record(record.parent).labels


def test_workflow_has_polish_before_summary(small, tmp_path):
    def names(campaign):
        made = campaign_workflow(campaign, tmp_path / "c")
        by_id = {fw.fw_id: fw.name.split(": ")[1] for fw in made.fws}
        return {by_id[p]: [by_id[c] for c in children] for p, children in made.links.items()}

    assert names(small(potential={"kind": "pacemaker"}))["polish"] == ["summary"]
    for other in ("auto", "linear"):
        assert "polish" not in names(small(potential={"kind": other}))
