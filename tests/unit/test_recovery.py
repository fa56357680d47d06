"""What counts as lost, what is repaired, and what is left for a person."""

import datetime
import math
import os
import time
from pathlib import Path

import pytest
from fireworks import FWAction, FWorker, Workflow

from mlip_fw.io.files import write_json
from mlip_fw.launcher.embedded import embedded_launchpad
from mlip_fw.launcher.recover import recover
from mlip_fw.launchpad.recovery import faults
from mlip_fw.launchpad.recovery.liveness import Evidence, parse_time
from mlip_fw.launchpad.recovery.torn_workflows import find_torn_workflows
from mlip_fw.models.handoff import CandidatesHandoff, TrainHandoff
from mlip_fw.runtime.worker_record import RECORDS_FOLDER, current_process_record
from mlip_fw.workflows.build import candidates_firework, train_firework


@pytest.fixture
def pad():
    """Return an empty LaunchPad."""
    return embedded_launchpad()


@pytest.fixture
def handoff(small, tmp_path):
    """Return what the Fireworks of a campaign share."""
    return {"campaign": small(), "directory": str(tmp_path), "walker": 0, "cycle": 0}


@pytest.fixture
def running(pad, handoff, tmp_path):
    """Return a LaunchPad with a Firework that runs, its number and that of its launch; one waits for it."""
    add_pair(pad, handoff)
    firework, launch = pad.checkout_fw(FWorker(), str(tmp_path))
    return pad, firework.fw_id, launch


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """Return a function that puts a Slurm on the PATH, of the cluster ``here``, which has some jobs."""
    folder = tmp_path / "bin"

    def script(name, *lines):
        folder.mkdir(exist_ok=True)
        (folder / name).write_text("\n".join(["#!/bin/sh", *lines, ""]))
        (folder / name).chmod(0o755)

    def make(*jobs, code=0):
        script(
            "squeue",
            'test -z "$SQUEUE_STATES$SLURM_CLUSTERS" || exit 0',
            *[f"echo {job}" for job in jobs],
            f"exit {code}",
        )
        script("scontrol", "echo 'CgroupPlugin = autodetect'", "echo 'ClusterName             = Here'")
        monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    return make


def add_pair(pad, handoff):
    """Add a candidates Firework and the training that waits for it."""
    first = candidates_firework(CandidatesHandoff(**handoff))
    then = train_firework(TrainHandoff(**handoff), parents=[first])
    pad.add_wf(Workflow([first, then], name="small"))


def complete_with_detour(pad, fw_id, launch):
    """Complete a Firework that adds another one."""
    handed = pad.fireworks.find_one({"fw_id": fw_id})["spec"]["_tasks"][0]["handoff"]
    another = train_firework(TrainHandoff.model_validate({k: v for k, v in handed.items() if k != "repeats"}))
    pad.complete_launch(launch, FWAction(detours=[another]), "COMPLETED")
    assert states(pad) == ["COMPLETED", "WAITING", "READY"]


def note(root, fw_id, **changes):
    """Leave a note that says who works on a Firework."""
    write_json(root / RECORDS_FOLDER / f"{fw_id}.json", current_process_record().model_copy(update=changes))


def found(pad, *, heartbeat_s=math.inf, timeout_s=0.0, **options):
    """Return kind and text of what a recovery finds."""
    findings = recover(pad, heartbeat_s=heartbeat_s, timeout_s=timeout_s, **options)
    return [(finding.kind, finding.what) for finding in findings]


def states(pad):
    """Return the states of the Fireworks: the first, the one that waits for it, others."""
    return [firework["state"] for firework in pad.fireworks.find({}, sort=[("name", 1), ("fw_id", 1)])]


def everything(pad):
    """Return all that a recovery could change."""
    return [list(pad.db[name].find()) for name in ("fireworks", "launches", "workflows", "offline_runs")]


ELSEWHERE = {"host": "elsewhere", "queue": "slurm", "job": "42", "cluster": "slurm-here"}


class TestWhyLost:
    def why(self, running, heartbeat_s=math.inf, root=None):
        pad, fw_id, launch = running
        document = pad.launches.find_one({"launch_id": launch})
        return Evidence(heartbeat_s).why_lost(document, root and str(root))

    def test_its_process_is_alive(self, running, tmp_path):
        note(tmp_path, running[1])
        assert self.why(running, heartbeat_s=-1.0, root=tmp_path) is None

    def test_its_process_is_gone(self, running, tmp_path):
        note(tmp_path, running[1], started=0)
        assert self.why(running, root=tmp_path).startswith(f"its process {os.getpid()} on ")

    def test_somebody_saw_its_worker_die(self, running, tmp_path):
        pad, fw_id, launch = running
        note(tmp_path, fw_id)
        document = pad.launches.find_one({"launch_id": launch})
        name = document["fworker"]["name"]
        assert Evidence(math.inf, frozenset({"another"})).why_lost(document, str(tmp_path)) is None
        assert name in Evidence(math.inf, frozenset({name})).why_lost(document, str(tmp_path))

    def test_a_note_of_an_earlier_launch_says_nothing(self, running, tmp_path):
        note(tmp_path, running[1], started=0, since=time.time() - 60)
        assert self.why(running, root=tmp_path) is None

    @pytest.mark.parametrize(("jobs", "is_lost"), [(["41", "42"], False), (["41"], True), ([], True)])
    def test_on_another_host_slurm_knows(self, running, squeue, tmp_path, jobs, is_lost):
        squeue(*jobs)
        note(tmp_path, running[1], **ELSEWHERE)
        assert self.why(running, heartbeat_s=-1.0, root=tmp_path) == ("its Slurm job 42 is gone" if is_lost else None)

    def test_a_slurm_that_does_not_answer_proves_nothing(self, running, squeue, tmp_path):
        squeue(code=1)
        note(tmp_path, running[1], **ELSEWHERE)
        assert self.why(running, root=tmp_path) is None

    @pytest.mark.parametrize(
        "changes", [{"cluster": "slurm-there"}, {"cluster": None}, {"queue": "pbs", "cluster": "pbs"}, {"uid": 1}]
    )
    def test_a_job_that_this_slurm_can_not_know_is_not_gone(self, running, squeue, tmp_path, monkeypatch, changes):
        """Of another cluster or batch system, or hidden since another user's; silence decides."""
        pad, fw_id, launch = running
        squeue()
        monkeypatch.setattr("mlip_fw.launchpad.recovery.slurm.os.getuid", lambda: 7)
        monkeypatch.setattr("mlip_fw.launchpad.recovery.liveness._owner", lambda _: 7)
        note(tmp_path, fw_id, **{**ELSEWHERE, "uid": 7, **changes})
        pad.launches.update_one({"launch_id": launch}, {"$set": {"state_history.0.reservation_id": "42"}})
        assert self.why(running, root=tmp_path) is None
        assert "nothing was heard" in self.why(running, heartbeat_s=-1.0, root=tmp_path)

    def test_the_user_s_settings_for_squeue_change_nothing(self, running, squeue, tmp_path, monkeypatch):
        squeue("42")
        monkeypatch.setenv("SQUEUE_STATES", "PD")
        monkeypatch.setenv("SLURM_CLUSTERS", "there")
        note(tmp_path, running[1], **ELSEWHERE)
        assert self.why(running, root=tmp_path) is None

    def test_on_another_host_without_slurm_silence_decides(self, running, monkeypatch, tmp_path):
        monkeypatch.setenv("PATH", str(tmp_path))
        note(tmp_path, running[1], **ELSEWHERE)
        assert self.why(running, heartbeat_s=60.0, root=tmp_path) is None
        assert self.why(running, heartbeat_s=-1.0, root=tmp_path).startswith("nothing was heard of it for ")

    def test_without_a_note_silence_decides(self, running):
        assert self.why(running, heartbeat_s=60.0) is None
        assert "nothing was heard" in self.why(running, heartbeat_s=-1.0)

    @pytest.mark.parametrize("value", ["2026-11-22T07:00:00", datetime.datetime(2026, 11, 22, 7)])
    def test_moments_are_in_utc(self, value):
        assert parse_time(value) == datetime.datetime(2026, 11, 22, 7, tzinfo=datetime.UTC)


class TestLostRuns:
    def test_are_run_again(self, running):
        pad = running[0]
        assert [kind for kind, _ in found(pad, heartbeat_s=-1.0)] == ["lost run"]
        assert states(pad) == ["READY", "WAITING"]
        assert found(pad, heartbeat_s=-1.0) == []

    def test_that_live_are_left_alone(self, running, tmp_path):
        note(tmp_path, running[1])
        assert found(running[0], heartbeat_s=-1.0) == []
        assert states(running[0]) == ["RUNNING", "WAITING"]

    def test_of_another_user_are_left_alone(self, running, monkeypatch, caplog, tmp_path):
        monkeypatch.setattr("mlip_fw.launchpad.recovery.slurm.os.getuid", lambda: tmp_path.stat().st_uid + 7)
        assert found(running[0], heartbeat_s=-1.0) == []
        assert caplog.text.count(f"{tmp_path} belongs to another user") == 1

    def test_of_a_directory_that_can_not_be_entered_are_left_alone(self, running, monkeypatch, tmp_path):
        stat = Path.stat

        def refuse(path, **options):
            if path == tmp_path:
                raise PermissionError
            return stat(path, **options)

        monkeypatch.setattr("mlip_fw.launchpad.recovery.slurm.os.getuid", lambda: 7)
        monkeypatch.setattr("mlip_fw.launchpad.recovery.liveness.Path.stat", refuse)
        assert found(running[0], heartbeat_s=-1.0) == []

    def test_that_squeue_is_missing_is_said(self, running, monkeypatch, caplog, tmp_path):
        monkeypatch.setenv("PATH", str(tmp_path))
        (tmp_path / RECORDS_FOLDER).mkdir()
        (tmp_path / RECORDS_FOLDER / "pbs.queue").touch()
        found(running[0])
        assert "squeue" not in caplog.text
        (tmp_path / RECORDS_FOLDER / "slurm-here.queue").touch()
        found(running[0])
        assert caplog.text.count("no squeue on the PATH") == 1

    def test_five_times_are_left_for_a_person(self, running, tmp_path):
        pad = running[0]
        for _ in range(5):
            assert found(pad, heartbeat_s=-1.0)[0][0] == "lost run"
            pad.checkout_fw(FWorker(), str(tmp_path))
        (finding,) = recover(pad, heartbeat_s=-1.0, timeout_s=0.0)
        assert finding.repair is None
        assert "lost 5 times" in finding.what and f"lpad rerun_fws -i {running[1]}" in finding.what
        assert states(pad) == ["RUNNING", "WAITING"]

    @pytest.mark.parametrize("how", ["a signal", "sbatch refused it"])
    def test_what_ended_otherwise_is_not_counted(self, running, tmp_path, how):
        pad, fw_id, launch = running
        interrupted = FWAction(stored_data={"_exception": FIZZLED["interrupted"][0]})
        for _ in range(5):
            if how == "a signal":
                pad.complete_launch(launch, interrupted, "FIZZLED")
                pad.rerun_fw(fw_id)
            else:
                pad.rerun_fw(fw_id)
                pad.cancel_reservation(pad.reserve_fw(FWorker(), str(tmp_path))[1])
            _, launch = pad.checkout_fw(FWorker(), str(tmp_path))
        assert "lost 5 times" not in found(pad, heartbeat_s=-1.0)[0][1]
        assert states(pad) == ["READY", "WAITING"]

    def test_a_launch_that_nobody_told_of_is_told(self, running):
        pad, _, launch = running
        pad.launches.update_one({"launch_id": launch}, {"$set": {"state": "COMPLETED", "action": FWAction().to_dict()}})
        assert found(pad) == [("unnoticed", "its launch is COMPLETED, which the workflow has not noticed")]
        assert states(pad) == ["COMPLETED", "READY"]

    def test_a_workflow_that_can_not_be_told_keeps_nobody_else_waiting(self, running, monkeypatch):
        pad, fw_id, launch = running
        pad.launches.update_one({"launch_id": launch}, {"$set": {"state": "COMPLETED", "action": FWAction().to_dict()}})
        monkeypatch.setattr(pad, "_refresh_wf", lambda _: None)
        (finding,) = recover(pad, heartbeat_s=-1.0, timeout_s=0.0)
        assert finding.repair is None
        assert finding.what.endswith("not recovered: LockedWorkflowError: its workflow is locked")

    @pytest.mark.parametrize("change", [{"$unset": {"spec.campaign": 1}}, {"$set": {"spec._tasks.0._fw_name": "X"}}])
    def test_of_others_are_left_alone(self, running, change):
        pad = running[0]
        pad.fireworks.update_many({}, change)
        assert found(pad, heartbeat_s=-1.0) == []


class TestReservations:
    @pytest.fixture
    def reserved(self, pad, handoff, tmp_path):
        add_pair(pad, handoff)
        _, launch = pad.reserve_fw(FWorker(), str(tmp_path))
        return pad, launch

    @pytest.mark.parametrize(("jobs", "is_found"), [(["42"], False), (["43"], True)])
    def test_for_a_job(self, reserved, squeue, jobs, is_found):
        pad, launch = reserved
        pad.set_reservation_id(launch, 42)
        squeue(*jobs)
        assert found(pad) == ([("reservation", "its Slurm job 42 is gone")] if is_found else [])
        assert states(pad) == ["READY" if is_found else "RESERVED", "WAITING"]

    @pytest.mark.parametrize(("queue", "is_found"), [("slurm-here", True), ("slurm-there", False), ("pbs", False)])
    def test_in_a_campaign_of_several_clusters(self, reserved, squeue, tmp_path, queue, is_found):
        pad, launch = reserved
        pad.set_reservation_id(launch, 42)
        squeue()
        (tmp_path / RECORDS_FOLDER).mkdir()
        (tmp_path / RECORDS_FOLDER / f"{queue}.queue").touch()
        assert bool(found(pad)) == is_found

    def test_whose_directory_is_not_here(self, reserved, squeue):
        pad, launch = reserved
        pad.set_reservation_id(launch, 42)
        pad.fireworks.update_many({}, {"$set": {"spec._tasks.0.handoff.directory": "/nowhere/at/all"}})
        squeue()
        assert found(pad) == []

    def test_that_was_made_while_others_were_looked_at(self, reserved, squeue):
        """The jobs are asked for after the reservations were read."""
        pad, launch = reserved
        squeue()
        evidence = Evidence(math.inf)
        assert evidence.slurm.jobs == set()
        pad.set_reservation_id(launch, 42)
        squeue("42")
        assert list(faults.find_dead_reservations(pad, evidence)) == []

    @pytest.mark.parametrize("meanwhile", ["it began", "another was submitted"])
    def test_that_changes_before_it_is_mended(self, reserved, squeue, tmp_path, meanwhile):
        pad, launch = reserved
        pad.set_reservation_id(launch, 42)
        squeue()
        (finding,) = faults.find_dead_reservations(pad, Evidence(math.inf))
        if meanwhile == "it began":
            pad.checkout_fw(FWorker(), str(tmp_path), fw_id=finding.fw_id)
        else:
            pad.launches.update_one({"launch_id": launch}, {"$set": {"state_history.0.reservation_id": "43"}})
        before = everything(pad)
        finding.repair()
        assert everything(pad) == before

    def test_that_was_never_submitted(self, reserved):
        assert found(reserved[0]) == []
        assert found(reserved[0], submitting_s=-1.0) == [("reservation", "it was never submitted")]
        assert states(reserved[0]) == ["READY", "WAITING"]

    def test_of_a_worker_that_died_while_it_took_it(self, pad, handoff):
        add_pair(pad, handoff)
        pad._get_a_fw_to_run()
        assert found(pad) == []
        assert found(pad, taking_s=-1.0) == [("reservation", "a worker died while it took it")]
        assert states(pad) == ["READY", "WAITING"]


FIZZLED = {
    "interrupted": ({"_details": {"error": "Interrupted", "message": "interrupted by SIGTERM"}}, "by SIGTERM"),
    "database was away": ({"_stacktrace": "Traceback\npymongo.errors.AutoReconnect: h:1: refused, Time"}, "AutoRec"),
    "needs you": ({"_stacktrace": "Traceback\nValueError: no", "_details": {"message": "mend the disk"}}, "the disk"),
}


class TestFizzled:
    @pytest.mark.parametrize(("kind", "exception", "said"), [(kind, *rest) for kind, rest in FIZZLED.items()])
    def test_is_run_again_unless_it_needs_a_person(self, running, kind, exception, said):
        pad, fw_id, launch = running
        pad.complete_launch(launch, FWAction(stored_data={"_exception": exception}), "FIZZLED")
        ((found_kind, what),) = found(pad)
        assert found_kind == kind and said in what
        assert ("lpad rerun_fws" in what) == (kind == "needs you")
        assert states(pad)[0] == ("FIZZLED" if kind == "needs you" else "READY")

    @pytest.mark.parametrize(
        ("line", "kind"),
        [
            ("pymongo.errors.WaitQueueTimeoutError: Timed out while checking out a connection", "database was away"),
            ("pymongo.errors.ExecutionTimeout: operation exceeded time limit, full error: {}", "database was away"),
            ("pymongo.errors._OperationCancelled: operation cancelled", "database was away"),
            ("pymongo.errors.OperationFailure: x, full error: {'code': 91, 'errmsg': 'x'}", "database was away"),
            ("pymongo.errors.WriteError: x, full error: {'errorLabels': ['RetryableWriteError']}", "database was away"),
            ("pymongo.errors.OperationFailure: Authentication failed., full error: {'code': 18}", "needs you"),
            ("pymongo.errors.OperationFailure: not authorized, full error: {'code': 13}", "needs you"),
            ("pymongo.errors.WriteError: too large, full error: {'code': 10334}", "needs you"),
        ],
    )
    def test_what_was_away_is_told_by_class_code_and_label(self, running, line, kind):
        pad, _, launch = running
        trace = f"Traceback (most recent call last):\n{line}"
        pad.complete_launch(launch, FWAction(stored_data={"_exception": {"_stacktrace": trace}}), "FIZZLED")
        assert found(pad)[0][0] == kind

    def test_a_database_that_a_task_only_mentions_was_not_away(self, running):
        pad, _, launch = running
        trace = "AutoReconnect: earlier\nValueError: no"
        pad.complete_launch(launch, FWAction(stored_data={"_exception": {"_stacktrace": trace}}), "FIZZLED")
        assert found(pad)[0][0] == "needs you"

    @pytest.mark.parametrize("is_known", [True, False])
    def test_one_whose_workflow_was_told_is_not_run_again(self, running, is_known):
        """The database went away after the new Fireworks were in the workflow, or while they came in."""
        pad, fw_id, launch = running
        before = pad.workflows.find_one()
        complete_with_detour(pad, fw_id, launch)
        if not is_known:
            pad.workflows.replace_one({}, before)
            pad.fireworks.delete_one({"fw_id": max(pad.get_fw_ids())})
        away = {"_exception": {"_stacktrace": "Traceback\npymongo.errors.AutoReconnect: h:1: refused"}}
        fizzled = {"state": "FIZZLED", "action": FWAction(stored_data=away).to_dict()}
        pad.launches.update_one({"launch_id": launch}, {"$set": fizzled})
        pad.fireworks.update_one({"fw_id": fw_id}, {"$set": {"state": "FIZZLED"}})
        pad.workflows.update_one({}, {"$set": {"state": "FIZZLED", f"fw_states.{fw_id}": "FIZZLED"}})
        assert [kind for kind, _ in found(pad)] == ["unnoticed" if is_known else "database was away"]
        assert states(pad) == (["COMPLETED", "WAITING", "READY"] if is_known else ["READY", "WAITING"])
        assert found(pad) == []

    def test_one_that_failed_by_itself_is_not_completed_because_a_clock_is_ahead(self, running):
        """A host whose clock is ahead added what follows, before this one began."""
        pad, fw_id, launch = running
        ahead = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)
        pad.fireworks.update_many({"fw_id": {"$ne": fw_id}}, {"$set": {"created_on": ahead}})
        failed = {"_task": {"handoff": 1}, "_exception": FIZZLED["needs you"][0]}
        pad.complete_launch(launch, FWAction(stored_data=failed), "FIZZLED")
        assert [kind for kind, _ in found(pad)] == ["needs you"]
        assert states(pad) == ["FIZZLED", "WAITING"]

    def test_one_that_failed_before_it_ran(self, pad, handoff, tmp_path):
        add_pair(pad, handoff)
        _, launch = pad.reserve_fw(FWorker(), str(tmp_path))
        pad.complete_launch(launch, FWAction(stored_data={"_exception": FIZZLED["needs you"][0]}), "FIZZLED")
        assert [kind for kind, _ in found(pad)] == ["needs you"]

    def test_one_that_a_worker_can_not_read_needs_a_person(self, pad, handoff, tmp_path):
        add_pair(pad, handoff)
        pad.fireworks.update_many({}, {"$set": {"spec._tasks.0._fw_name": "{{mlip_fw.nowhere.Found}}"}})
        assert pad.checkout_fw(FWorker(), str(tmp_path)) == (None, None)
        pad.fireworks.update_many({}, {"$set": {"spec._tasks.0._fw_name": "{{mlip_fw.firetasks.md.RunMD}}"}})
        ((kind, what),) = found(pad)
        assert kind == "needs you" and what.startswith("a worker can't read it: ModuleNotFoundError: No module named")
        assert states(pad) == ["FIZZLED", "WAITING"]

    def test_one_that_was_marked_as_lost_is_run_again(self, running):
        pad, _, launch = running
        pad.mark_fizzled(launch)
        assert found(pad) == [("interrupted", "marked as lost, and not yet rerun")]
        assert states(pad) == ["READY", "WAITING"]


class TestTornWorkflows:
    def test_a_stale_lock(self, running):
        pad = running[0]
        pad.workflows.update_one({}, {"$set": {"locked": True}})
        assert [kind for kind, _ in found(pad)] == ["stale lock"]
        assert "locked" not in pad.workflows.find_one()

    def test_a_lock_that_changed_hands_is_left_alone(self, running):
        pad = running[0]
        pad.workflows.update_one({}, {"$set": {"locked": True}})

        def somebody_works(_):
            pad.workflows.update_one({}, {"$set": {"updated_on": "later"}})

        assert list(find_torn_workflows(pad, 0.0, sleep=somebody_works)) == []
        assert pad.workflows.find_one()["locked"]

    @pytest.mark.parametrize("is_locked", [True, False])
    def test_one_half_changed_hears_the_action_again(self, running, is_locked):
        """Its Firework says COMPLETED, its new Fireworks lie there, and the workflow knows nothing of it."""
        pad, fw_id, launch = running
        before = pad.workflows.find_one()
        complete_with_detour(pad, fw_id, launch)
        if is_locked:
            before["locked"] = True
        pad.workflows.replace_one({}, before)
        kinds = [kind for kind, _ in found(pad)]
        assert kinds == ["half added", "stale lock" if is_locked else "half changed"]
        assert states(pad) == ["COMPLETED", "WAITING", "READY"]
        workflow = pad.workflows.find_one()
        assert sorted(workflow["nodes"]) == sorted(pad.get_fw_ids())
        assert found(pad) == []

    def test_fireworks_that_still_come_in_are_left_alone(self, running):
        """Somebody adds many of them: the workflow is told in the end."""
        pad, fw_id, _ = running
        document = pad.fireworks.find_one({"fw_id": fw_id}, {"_id": 0})

        def one_more(_):
            pad.fireworks.insert_one({**document, "fw_id": pad.get_new_fw_id(), "state": "WAITING"})

        one_more(0)
        assert list(find_torn_workflows(pad, 0.0, sleep=one_more)) == []

    def test_a_workflow_of_others_is_left_alone(self, running):
        pad = running[0]
        pad.fireworks.update_many({}, {"$unset": {"spec.campaign": True}})
        pad.workflows.update_one({}, {"$set": {"locked": True}})
        assert found(pad) == []


def test_a_dry_run_changes_nothing(running):
    pad, fw_id, _ = running
    pad.workflows.update_one({}, {"$set": {"locked": True}})
    orphan = pad.fireworks.find_one({"fw_id": fw_id}, {"_id": 0})
    pad.fireworks.insert_one({**orphan, "fw_id": 99, "state": "READY", "launches": []})
    before = everything(pad)
    kinds = [kind for kind, _ in found(pad, heartbeat_s=-1.0, dry_run=True)]
    assert kinds == ["next number", "half added", "stale lock", "lost run"]
    assert everything(pad) == before
