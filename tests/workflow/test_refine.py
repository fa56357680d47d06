"""Campaigns that pacemaker refines, with stand-ins: when it is its turn, and what MD and Summary make of it."""

import sys
from collections import Counter

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.generations import Generations
from mlip_fw.campaign.summary import md_results
from mlip_fw.cli.main import app
from mlip_fw.engines.train.pacemaker import job, publish
from mlip_fw.engines.train.pacemaker.inputs import INPUT
from mlip_fw.engines.train.pacemaker.trouble import OUTPUT
from mlip_fw.launcher.runner import run_campaign
from mlip_fw.models.training import Stability
from mlip_fw.runtime.subprocesses import CommandResult
from mlip_fw.views.report.html_report import write_report
from mlip_fw.workflows.campaign import campaign_workflow

PACEMAKER = f"{sys.executable} -m mlip_fw.testing.pacemaker"


def trainers(directory):
    generations = Generations(directory.root)
    return [generations.trainer(n) for n in generations.numbers()]


def events(directory):
    return Counter(e["event"] for e in directory.events())


@pytest.fixture
def polished(small, stand_in, tmp_path, pacemaker_here):
    """Return a function that runs a polished campaign and gives its summary and directory."""

    def go(halts="20,50,80", options="", pacemaker=(), **changes):
        potential = {"kind": "pacemaker", "pacemaker": {"iterations": 1, **dict(pacemaker)}}
        campaign = small(potential=potential, **changes)
        directory = CampaignDirectory(tmp_path / "c")
        worker = stand_in(f"--halt-at {halts}", pacemaker_cmd=f"{PACEMAKER} {options}")
        return run_campaign(campaign, directory, worker), directory

    return go


def test_every_second_generation_and_at_the_end(polished, tmp_path):
    summary, directory = polished(pacemaker={"every": 2})
    assert summary.outcome == "CONVERGED"
    # linear 0 and 1, then pacemaker; linear 3 and 4, then pacemaker, which the end has nothing to add to
    assert trainers(directory) == ["linear", "linear", "pacemaker"] * 2
    assert [r.generation for r in md_results(directory)] == [0, 2, 3, 5]
    assert [Generations(directory.root).record(n).parent for n in range(6)] == [None, 0, 1, 1, 3, 4]
    assert events(directory)["polished"] == 2
    assert summary.generations == 6
    assert summary.potential.endswith("gen_0005/potential.yaml")
    assert CliRunner().invoke(app, ["status", str(directory.root)]).exit_code == 0
    write_report(directory, tmp_path / "report.html")
    assert "True force error against extrapolation grade" in (tmp_path / "report.html").read_text()


def test_stopped_campaign_is_polished_and_says_why(polished):
    summary, directory = polished(halts="20", budget={"max_cycles": 0})
    assert (summary.outcome, summary.reason) == ("STOPPED", "max_cycles")
    assert trainers(directory) == ["linear", "pacemaker"]
    assert [e["event"] for e in directory.events()][-2:] == ["polished", "finished"]
    assert summary.dataset_force_rmse_ev_a == Generations(directory.root).record(1).dataset.force_rmse_ev_a


@pytest.fixture
def cut_once(pacemaker_here, monkeypatch):
    """Have the first fit stopped after ten steps, as the walltime does."""
    here, calls = job.run_command, []

    def run(key, command, folder, **given):
        calls.append(folder)
        if len(calls) > 1:
            return here(key, command, folder, **given)
        written = YAML(typ="safe").load(folder / INPUT)
        written["fit"]["maxiter"] = 10
        YAML(typ="safe").dump(written, folder / INPUT)
        here(key, command, folder, **given)
        (folder / OUTPUT).unlink()
        return CommandResult(-15, True, 10.0)

    monkeypatch.setattr(job, "run_command", run)
    return calls


def test_cut_by_the_walltime(cut_once, polished, caplog):
    summary, directory = polished(halts="1000", pacemaker={"iterations": 40})
    assert summary.outcome == "CONVERGED"
    assert len(cut_once) == 2
    assert "from an unfinished fit; at most 30 steps" in caplog.text
    assert trainers(directory) == ["linear", "pacemaker"]
    assert Generations(directory.root).record(1).iterations == 40
    assert not directory.refining.exists()


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


def test_refused_polish_is_told_and_md_goes_on_without_it(polished, monkeypatch, caplog):
    verdict = Stability(
        sound=False,
        reasons=["the atoms fly apart"],
        least_dimer_slope_ev_a=1.0,
        energy_drift_ev_atom=None,
        temperature_k=600.0,
        seconds=0.0,
    )
    monkeypatch.setattr(publish, "check_stability", lambda *_: verdict)
    summary, directory = polished(halts="20", pacemaker={"every": 1})
    assert summary.outcome == "CONVERGED"
    assert trainers(directory) == ["linear", "pacemaker"] * 2
    assert [r.generation for r in md_results(directory)] == [0, 2]
    assert summary.potential.endswith("gen_0002/potential.yaml")
    assert summary.generations_refused == events(directory)["generation_refused"] == 2
    assert "generation 1 is unfit for MD: the atoms fly apart; MD goes on with generation 0" in caplog.text


def test_workflow_has_polish_before_summary(small, tmp_path):
    def names(campaign):
        made = campaign_workflow(campaign, tmp_path / "c")
        by_id = {fw.fw_id: fw.name.split(": ")[1] for fw in made.fws}
        return {by_id[p]: [by_id[c] for c in children] for p, children in made.links.items()}

    assert names(small(potential={"kind": "pacemaker"}))["polish"] == ["summary"]
    asked = names(small(potential={"kind": "pacemaker"}, validation={"properties": ["elastic"]}))
    assert (asked["polish"], asked["validate"]) == (["validate"], ["summary"])
    for other in ("auto", "linear"):
        assert "polish" not in names(small(potential={"kind": other}))
