"""Finished Fireworks move to a workflow of their own, and nothing that goes on can tell."""

import pytest
from fireworks import FWAction, FWorker
from pymongo.errors import AutoReconnect

from mlip_fw.launcher.embedded import embedded_launchpad
from mlip_fw.launcher.recover import recover
from mlip_fw.launchpad import archiving
from mlip_fw.launchpad.archiving import archive_finished
from mlip_fw.models.handoff import MDHandoff
from mlip_fw.workflows.build import md_firework
from mlip_fw.workflows.campaign import campaign_workflow

MAX, KEPT = 6, 2


@pytest.fixture
def pad(small, tmp_path, monkeypatch):
    """Return a LaunchPad with a campaign: ten finished runs of a walker, the eleventh runs, and Summary waits."""
    monkeypatch.setattr(archiving, "MAX_FINISHED", MAX)
    monkeypatch.setattr(archiving, "KEPT_FINISHED", KEPT)
    pad, campaign = embedded_launchpad(), small()
    pad.add_wf(campaign_workflow(campaign, tmp_path))
    complete(pad, FWAction(), tmp_path)
    for cycle in range(1, 10):
        handoff = MDHandoff(
            campaign=campaign, directory=str(tmp_path), walker=0, cycle=cycle, start=str(tmp_path / "r")
        )
        complete(pad, FWAction(detours=md_firework(handoff)), tmp_path)
    pad.checkout_fw(FWorker(), str(tmp_path))
    return pad


def complete(pad, action, folder):
    _, launch = pad.checkout_fw(FWorker(), str(folder))
    pad.complete_launch(launch, action, "COMPLETED")


def running(pad):
    """Return the number of the Firework that runs."""
    return pad.fireworks.find_one({"state": "RUNNING"})["fw_id"]


def nodes(pad):
    """Return the Fireworks of each workflow, that which goes on first."""
    return [sorted(workflow["nodes"]) for workflow in pad.workflows.find({}, sort=[("state", -1)])]


def test_what_is_finished_goes_but_the_newest(pad):
    everything = pad.get_fw_ids()
    archive_finished(pad, running(pad))
    live, shelf = nodes(pad)
    assert len(live) == KEPT + 2, "the one that runs, and Summary"
    assert sorted(live + shelf) == sorted(everything)
    assert not set(live) & set(shelf)
    assert max(shelf) < max(live)


def test_a_short_one_stays_whole(pad, monkeypatch):
    monkeypatch.setattr(archiving, "MAX_FINISHED", 10)
    archive_finished(pad, running(pad))
    assert len(nodes(pad)) == 1


def test_what_follows_goes_on_as_before(pad, tmp_path):
    mine = running(pad)
    archive_finished(pad, mine)
    launch = pad.launches.find_one({"fw_id": mine, "state": "RUNNING"})["launch_id"]
    pad.complete_launch(launch, FWAction(update_spec={"told": 1}), "COMPLETED")
    last = pad.fireworks.find_one({"name": "small: summary"})
    assert (last["state"], last["spec"]["told"]) == ("READY", 1)
    complete(pad, FWAction(), tmp_path)
    assert [workflow["state"] for workflow in pad.workflows.find()] == ["COMPLETED"] * 2


def test_fireworks_own_commands_know_both(pad):
    archive_finished(pad, running(pad))
    for members in nodes(pad):
        workflow = pad.get_wf_by_fw_id(members[0])
        assert sorted(workflow.id_fw) == members
    part = pad.workflows.find_one({"name": "small, finished part"})
    assert part["state"] == "COMPLETED"
    assert part["metadata"] == pad.workflows.find_one({"name": "small"})["metadata"]
    assert sum(map(len, part["links"].values())) == len(part["nodes"]) - 1, "they are linked as they were"


def test_the_first_number_stays(pad):
    """It is the one that lpad shows, and that people give to it."""
    archive_finished(pad, running(pad))
    assert min(nodes(pad)[0]) == min(pad.get_fw_ids())


class TestLeftAlone:
    def stays(self, pad):
        before = list(pad.workflows.find())
        archive_finished(pad, running(pad))
        return list(pad.workflows.find()) == before

    def test_while_somebody_holds_it(self, pad):
        pad.workflows.update_one({}, {"$set": {"locked": True}})
        assert self.stays(pad)

    def test_when_it_changed_meanwhile(self, pad, monkeypatch):
        look = archiving._archivable

        def look_and_rerun(pad, workflow):
            found = look(pad, workflow)
            pad.rerun_fw(max(found))
            return found

        monkeypatch.setattr(archiving, "_archivable", look_and_rerun)
        archive_finished(pad, running(pad))
        assert len(nodes(pad)) == 1

    def test_one_of_which_the_workflow_has_not_heard(self, pad):
        """It is to run again, or its end is being written down."""
        first = pad.fireworks.find_one({"name": "small: bootstrap"})["fw_id"]
        pad.fireworks.update_one({"fw_id": first}, {"$set": {"state": "FIZZLED"}})
        archive_finished(pad, running(pad))
        assert first in nodes(pad)[0]

    def test_a_workflow_that_somebody_else_made(self, pad):
        pad.workflows.update_one({}, {"$unset": {"metadata.mlip_fw": ""}})
        assert self.stays(pad)

    def test_when_the_database_is_away(self, pad, monkeypatch, caplog):
        def away(*_, **__):
            raise AutoReconnect("no")

        mine = running(pad)
        monkeypatch.setattr(pad.workflows, "find_one", away)
        archive_finished(pad, mine)
        assert "stay in their workflow: the LaunchPad database at localhost does not answer: no;" in caplog.text


def test_killed_before_the_shelf_is_there(pad, monkeypatch, tmp_path):
    """What is in no workflow gets one; a second recovery finds nothing."""

    def killed(*_, **__):
        raise KeyboardInterrupt

    (live,) = nodes(pad)
    mine = running(pad)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(archiving, "_insert_archive", killed)
        archive_finished(pad, mine)
    assert len(nodes(pad)) == 1
    assert [f.kind for f in recover(pad, timeout_s=0.0, heartbeat_s=1e9, dry_run=True)] == ["half shelved"]
    assert len(nodes(pad)) == 1
    (finding,) = recover(pad, timeout_s=0.0, heartbeat_s=1e9)
    assert (finding.kind, finding.name) == ("half shelved", f"small: {len(live) - KEPT - 2} finished Fireworks")
    assert sorted(sum(nodes(pad), [])) == live
    part = pad.workflows.find_one({"name": "small, finished part"})
    assert part["metadata"] == {"mlip_fw": True, "directory": str(tmp_path)}
    assert list(recover(pad, timeout_s=0.0, heartbeat_s=1e9)) == []
