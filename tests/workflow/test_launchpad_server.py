"""FireWorks as its users know it, unchanged, on the LaunchPad server for one machine."""

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fireworks import Firework, FWAction, FWorker, LaunchPad, PyTask, ScriptTask, Workflow
from fireworks.scripts import lpad_run
from pymongo.monitoring import CommandListener
from ruamel.yaml import YAML

from mlip_fw.launcher.recover import recover
from mlip_fw.launchpad.filepad.campaign_files import publish_campaign
from mlip_fw.launchpad.filepad.file_store import FileStore
from mlip_fw.launchpad.filepad.pull import pull_campaign
from mlip_fw.launchpad.server.control import start_server, stop_server
from mlip_fw.workflows.campaign import campaign_workflow

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def server(tmp_path_factory, pytestconfig):
    """Return a server that runs."""
    # FireWorks looks for Firetasks in its own tests too, which carry this mark
    pytestconfig.addinivalue_line("markers", "mongodb: of FireWorks' own tests")
    folder = tmp_path_factory.mktemp("launchpad")
    yield start_server(folder, with_this_process=True)
    stop_server(folder)


@pytest.fixture
def pad(server):
    """Return an empty LaunchPad."""
    launchpad = LaunchPad.from_file(str(server.launchpad_file))
    launchpad.m_logger.setLevel("ERROR")
    launchpad.reset("", require_password=False, max_reset_wo_password=10_000)
    return launchpad


@pytest.fixture
def lpad(server, capsys, monkeypatch, tmp_path):
    """Return a function that types an ``lpad`` command and returns what it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("builtins.input", lambda *_: "y")

    def call(*words):
        capsys.readouterr()
        lpad_run.lpad(["-s", "-l", str(server.launchpad_file), *map(str, words)])
        return capsys.readouterr().out

    return call


def chain(n=3, **spec):
    """Return a Workflow of Fireworks one after the other."""
    task = PyTask(func="builtins.len", args=["abc"])
    fireworks = [Firework([task], name=f"step {i}", spec=spec, fw_id=i) for i in range(n)]
    return Workflow(fireworks, dict(zip(fireworks[:-1], fireworks[1:], strict=True)), name="chain", metadata={"by": 1})


def states(pad):
    """Return the states of all Fireworks by number."""
    return {found["fw_id"]: found["state"] for found in pad.fireworks.find({}, {"fw_id": 1, "state": 1})}


def run_all(server, folder, workers=1, timeout_s=400):
    """Let workers run what is there, each in a process of its own."""
    command = [BIN / "rlaunch", "-s", "-l", server.launchpad_file, "rapidfire", "--sleep", "1", "--max_loops", "3"]
    processes = [
        subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
        for _ in range(workers)
    ]
    deadline = time.monotonic() + timeout_s
    for process in processes:
        assert process.wait(max(1.0, deadline - time.monotonic())) == 0


class TestLpad:
    def test_as_a_command_of_the_shell(self, server, pad, tmp_path):
        chain().to_file(str(tmp_path / "wf.yaml"))
        base = [BIN / "lpad", "-l", server.launchpad_file]
        added = subprocess.run([*base, "add", "wf.yaml"], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert "Added a workflow" in added.stdout + added.stderr
        shown = subprocess.run([*base, "get_wflows", "-d", "more"], capture_output=True, text=True, check=True)
        assert '"name": "chain--1"' in shown.stdout
        run_all(server, tmp_path)
        assert set(states(pad).values()) == {"COMPLETED"}
        report = subprocess.run([*base, "report"], capture_output=True, text=True, check=True)
        assert "COMPLETED : 3" in " ".join(report.stdout.split())

    def test_looking(self, pad, lpad):
        for number in range(3):
            pad.add_wf(chain(number + 1))
        assert json.loads(lpad("get_fws", "-s", "READY", "-d", "count")) == 3
        assert json.loads(lpad("get_fws", "-i", 3, "-d", "less"))["fw_id"] == 3
        by_date = json.loads(lpad("get_fws", "--sort", "created_on", "-m", 2, "-d", "ids"))
        assert by_date == sorted(by_date)
        assert json.loads(lpad("get_fws", "--rsort", "updated_on", "-m", 1, "-d", "ids")) == 4
        assert json.loads(lpad("get_fws", "-q", '{"name": {"$regex": "^step 2"}}', "-d", "ids")) == 6
        assert len(json.loads(lpad("get_wflows", "-d", "less"))) == 3
        assert json.loads(lpad("get_wflows", "-q", '{"metadata.by": 1}', "-d", "count")) == 3
        found = json.loads(lpad("get_fws_in_wflows", "-wfs", "READY", "-fws", "WAITING", "-d", "ids"))
        assert sorted(found) == [3, 5, 6]
        lpad("dump_wflow", "-i", 4, "-f", "dumped.json")
        assert [fw["name"] for fw in json.loads(Path("dumped.json").read_text())["fws"]] == [
            f"step {i}" for i in range(3)
        ]

    def test_changing(self, pad, lpad, tmp_path):
        pad.add_wf(chain(3, _category="dft"))
        lpad("pause_fws", "-i", 1)
        assert states(pad)[1] == "PAUSED"
        lpad("resume_fws", "-i", 1)
        lpad("defuse_fws", "-i", 1)
        assert states(pad)[1] == "DEFUSED"
        lpad("reignite_fws", "-i", 1)
        assert states(pad) == {1: "READY", 2: "WAITING", 3: "WAITING"}
        lpad("set_priority", 5, "-i", 1)
        lpad("update_fws", "-i", 1, "-u", '{"seed": 7}')
        spec = pad.get_fw_dict_by_id(1)["spec"]
        assert (spec["_priority"], spec["seed"]) == (5, 7)
        Workflow([Firework([ScriptTask.from_str("true")], name="late")]).to_file(str(tmp_path / "late.yaml"))
        lpad("append_wflow", "-i", 3, "-f", "late.yaml")
        assert states(pad)[4] == "WAITING"
        for command in ("pause_wflows", "reignite_wflows", "defuse_wflows", "reignite_wflows", "archive_wflows"):
            lpad(command, "-i", 1)
        assert set(states(pad).values()) == {"ARCHIVED"}
        lpad("delete_wflows", "-i", 1)
        assert states(pad) == {}
        lpad("add_scripts", "echo hello", "-n", "said")
        assert pad.get_fw_dict_by_id(5)["state"] == "READY"

    def test_mending(self, server, pad, lpad, tmp_path):
        task = ScriptTask.from_str("exit 3", {"fizzle_bad_rc": True})
        pad.add_wf(Firework([task], name="bad"))
        run_all(server, tmp_path)
        assert states(pad) == {1: "FIZZLED"}
        assert "Return code: [3]" in lpad("introspect", "-t", 1)
        assert lpad("get_launchdir", 1).strip().startswith(str(tmp_path))
        lpad("rerun_fws", "-s", "FIZZLED")
        assert states(pad) == {1: "READY"}

    def test_lost_and_stuck_launches(self, pad, lpad, tmp_path):
        pad.add_wf(chain(1))
        pad.checkout_fw(FWorker(), str(tmp_path))
        assert states(pad) == {1: "RUNNING"}
        assert "Lost FireWorks: 0" in lpad("detect_lostruns")
        assert "Lost FireWorks: 1" in lpad("detect_lostruns", "--time", 0, "--rerun")
        assert states(pad) == {1: "READY"}
        pad.reserve_fw(FWorker(), str(tmp_path))
        assert states(pad) == {1: "RESERVED"}
        lpad("detect_unreserved", "--time", 0, "--rerun")
        assert states(pad) == {1: "READY"}

    def test_administration(self, pad, lpad):
        pad.add_wf(chain(2))
        pad.workflows.update_one({}, {"$set": {"locked": True}})
        lpad("admin", "unlock", "-i", 1)
        assert "locked" not in pad.workflows.find_one()
        pad.fireworks.update_one({"fw_id": 1}, {"$set": {"state": "COMPLETED"}})
        lpad("admin", "refresh", "-i", 1)
        assert states(pad) == {1: "READY", 2: "WAITING"}
        lpad("admin", "tuneup", "--full")
        lpad("admin", "maintain")
        pad.workflows.delete_many({})
        assert sorted(json.loads(lpad("admin", "orphaned", "-d", "ids"))) == [1, 2]

    def test_reset(self, pad, lpad):
        pad.add_wf(chain())
        lpad("reset", "--password", time.strftime("%Y-%m-%d"))
        assert states(pad) == {}
        pad.add_wf(chain(1))
        assert states(pad) == {1: "READY"}


class TestWebGui:
    PAGES = [
        "/",
        "/?fw_query={%22state%22:%22READY%22}",
        "/?wf_query={%22metadata.by%22:1}",
        "/fw/1/details",
        "/fw/1",
        "/wf/1",
        "/wf/1/json",
        *(f"/{kind}/{state}/" for kind in ("fw", "wf") for state in ("total", "READY", "COMPLETED")),
        "/fw/total/created_on/ASCENDING/",
        "/wf/total/updated_on/DESCENDING/",
        "/wf/metadata/by/1/",
        *(f"/report/{interval}/3/" for interval in ("minutes", "hours", "days", "months", "years")),
        "/dashboard/",
        "/reports/fws/days/3/fig.png",
        "/reports/wflows/days/3/fig.png",
    ]

    @pytest.fixture
    def browser(self, server, pad, tmp_path, monkeypatch):
        from fireworks.flask_site.app import app

        for _ in range(2):
            pad.add_wf(chain())
        pad.add_wf(chain(1, _category="never"))
        monkeypatch.setattr(app, "lp", pad, raising=False)
        app.config["TESTING"] = True
        return app.test_client()

    @pytest.mark.parametrize("page", PAGES)
    def test_page(self, browser, page):
        answer = browser.get(page)
        assert answer.status_code == 200, answer.data[-2000:]
        assert b"not a valid" not in answer.data

    def test_filter_of_one_kind_narrows_the_other(self, browser):
        home = browser.get("/?wf_query={%22nodes%22:7}").get_data(as_text=True)
        assert "step 0" in home
        assert browser.get("/fw/total/").get_data(as_text=True).count("step 0") == 1


class TestWorkers:
    def test_each_firework_runs_once(self, server, pad, tmp_path):
        middle = [Firework([ScriptTask.from_str(f"echo {i} >> {tmp_path}/ran")], name=f"m{i}") for i in range(20)]
        first = Firework([ScriptTask.from_str(f"echo first >> {tmp_path}/ran")], name="first")
        last = Firework([ScriptTask.from_str(f"echo last >> {tmp_path}/ran")], name="last")
        pad.add_wf(Workflow([first, *middle, last], {first: middle, **{fw: [last] for fw in middle}}))
        work = tmp_path / "work"
        work.mkdir()
        run_all(server, work, workers=3)
        ran = (tmp_path / "ran").read_text().split()
        assert sorted(ran) == sorted(["first", "last", *map(str, range(20))])
        assert (ran[0], ran[-1]) == ("first", "last")
        assert set(states(pad).values()) == {"COMPLETED"}

    def test_only_the_category_of_the_worker(self, pad):
        pad.add_wf(chain(1, _category="md"))
        assert not pad.run_exists(FWorker(category="dft"))
        assert pad.run_exists(FWorker(category="md"))

    def test_highest_priority_first(self, pad):
        for priority in (1, 3, 2):
            pad.add_wf(chain(1, _priority=priority))
        taken = [pad.checkout_fw(FWorker(), ".")[0].spec["_priority"] for _ in range(3)]
        assert taken == [3, 2, 1]

    def test_twenty_megabytes_of_results(self, pad):
        pad.add_wf(chain(1))
        fw, launch_id = pad.checkout_fw(FWorker(), ".")
        pad.complete_launch(launch_id, FWAction(stored_data={"x": ["0123456789" * 10] * 200_000}), "COMPLETED")
        launch = pad.get_launch_by_id(launch_id)
        assert len(launch.action.stored_data["x"]) == 200_000
        assert states(pad) == {fw.fw_id: "COMPLETED"}


def test_of_writers_that_replace_a_file_at_once_one_wins(server, pad):
    """Every reader sees one file, whole, and nothing is left of the others."""
    count = 4
    barrier = threading.Barrier(count)

    def write(number):
        store = FileStore(LaunchPad.from_file(str(server.launchpad_file)).db, "small-0123456789ab")
        for turn in range(5):
            barrier.wait(60)
            store.replace("summary.json", f"{number} {turn}".encode())
            marker = store.named(["summary.json"])["summary.json"]
            assert marker.size == len("0 0")
        return store

    with ThreadPoolExecutor(count) as pool:
        *_, store = pool.map(write, range(count))
    [marker] = store.below("")
    assert store.read(marker, marker) in [f"{number} 4".encode() for number in range(count)]
    assert [pad.db[f"filepad{name}"].count_documents({}) for name in ("", "_gfs.files", "_gfs.chunks")] == [1, 1, 1]


def test_who_only_looks_writes_nothing(server, pad, small, tmp_path):
    """A user with the role ``read`` can do a dry run, and fetch files."""
    campaign = small(files="filepad")
    publish_campaign(campaign, "/there/small", pad)
    pad.add_wf(campaign_workflow(campaign, Path("/there/small")))
    pad.fw_id_assigner.update_one({}, {"$set": {"next_fw_id": 1}})
    sent = []

    class Listener(CommandListener):
        def started(self, event):
            sent.append(event.command_name)

        def succeeded(self, event):
            """Take no notice."""

        def failed(self, event):
            """Take no notice."""

    given = YAML(typ="safe").load(server.launchpad_file)
    given["mongoclient_kwargs"] = {**given.get("mongoclient_kwargs", {}), "event_listeners": [Listener()]}
    reader = LaunchPad(**given)
    assert [finding.kind for finding in recover(reader, dry_run=True, timeout_s=0.0)] == ["next number"]
    pull_campaign(reader, "small", tmp_path / "here")
    assert set(sent) <= {"find", "getMore", "aggregate", "distinct", "hello", "saslStart", "saslContinue"}
    assert {"find", "hello"} <= set(sent)
