"""What the commands say of the trainer, before and while it works."""

import json

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.cli.main import app
from mlip_fw.cli.progress import _pacemaker_progress
from mlip_fw.engines.train import schedule
from tests.helpers.campaigns import SMALL, merged


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    """Return a function that gives a command a small campaign with a trainer, and a worker with an ``env``."""
    monkeypatch.chdir(tmp_path)

    def go(command, kind, env=None, *more):
        campaign = merged(SMALL, {"md": {"engine": "embedded"}, "potential": {"kind": kind}})
        YAML(typ="safe").dump(campaign, tmp_path / "c.yaml")
        YAML(typ="safe").dump({"name": "w", "category": "", "query": "{}", "env": env or {}}, tmp_path / "w.yaml")
        return CliRunner().invoke(app, [command, "c.yaml", "-w", "w.yaml", *more])

    return go


def test_check_says_who_trains(invoke):
    done = invoke("check", "pacemaker", {"pacemaker_cmd": "sh"}, "--json")
    said = json.loads(done.stdout)["trainer"]
    assert said == "linear, polished by pacemaker every 10 generations and at the end (as the campaign says)"


@pytest.mark.parametrize("installed", [True, False])
def test_workflow_holds_the_trainer_that_was_decided(invoke, monkeypatch, tmp_path, installed):
    monkeypatch.setattr(schedule, "is_installed", lambda: installed)
    assert invoke("workflow", "auto", {"pacemaker_cmd": "x"}, "-o", "wf.yaml").exit_code == 0
    text = (tmp_path / "wf.yaml").read_text()
    assert ("kind: pacemaker" in text, "kind: auto" in text) == (installed, False)


@pytest.mark.parametrize("command", ["run", "check"])
def test_no_pacemaker_is_said_before_any_work(invoke, monkeypatch, tmp_path, command):
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    done = invoke(command, "pacemaker")
    assert done.exit_code == 1
    assert "has no env.pacemaker_cmd" in str(done.exception or "") + done.output
    assert not (tmp_path / "small").exists()


def test_campaign_can_be_added_where_no_pacemaker_is(invoke, monkeypatch):
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    done = invoke("workflow", "pacemaker", None, "-o", "wf.yaml")
    assert done.exit_code == 0
    assert "this machine can't train with pacemaker, so the workers must" in done.output


def test_progress_shows_how_far_pacemaker_is(tmp_path):
    directory = CampaignDirectory(tmp_path)
    assert _pacemaker_progress(directory) == ""
    directory.refining.mkdir()
    (directory.refining / "metrics.txt").write_text("iter_num loss rmse_epa rmse_f_comp\n7 1e-5 0.001 0.0021\n")
    assert _pacemaker_progress(directory) == ", pacemaker step 7: 2.1 meV/Å"
