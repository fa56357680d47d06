"""A database that is far away, or that lets its user only read: round trips are counted, writes are refused."""

import json
import re
from collections import Counter
from pathlib import Path

import pymongo
import pytest
from fireworks import FWAction, FWorker, LaunchPad
from fireworks.core import launchpad as launchpad_module
from typer.testing import CliRunner

from mlip_fw.cli.main import app
from mlip_fw.doctor import _database
from mlip_fw.errors import WorkerError
from mlip_fw.launcher.recover import recover
from mlip_fw.launcher.rlaunch import run_rlaunch
from mlip_fw.launchpad.filepad.campaign_files import publish_campaign
from mlip_fw.launchpad.queries import CampaignQueries
from mlip_fw.launchpad.server.control import start_server, stop_server
from mlip_fw.views.web.fireworks_gui import _own_copy
from mlip_fw.workflows.campaign import campaign_workflow
from tests.helpers.relay import Relay, writes
from tests.helpers.web import LABELS, make_finished, visitor
from tests.helpers.written_campaigns import Scribe, campaign

FEW, MANY = 2, 130
"""Campaigns; a cursor's first batch would end at 101 documents."""
GUI = ["", "fw/", "fw/1", "wf/", "wf/1", "fw/1/details", "wf/1/json", "fw/READY/"]


def opened(path):
    """Return the LaunchPad of a file."""
    return LaunchPad.from_file(str(path))


@pytest.fixture(autouse=True)
def _leave_nothing(monkeypatch):
    """Let commands not take over the log of this process, wait on a busy machine, and close all connections."""
    clients = []

    def connect(*arguments, **options):
        clients.append(pymongo.MongoClient(*arguments, **options))
        return clients[-1]

    monkeypatch.setattr(launchpad_module, "MongoClient", connect)
    monkeypatch.setattr("mlip_fw.launchpad.read_only.SERVER_SELECTION_TIMEOUT_MS", 60_000)
    for module in ("recover", "rlaunch", "pull", "web"):
        monkeypatch.setattr(f"mlip_fw.cli.{module}.log_to_stderr", lambda: None)
    yield
    for client in clients:
        client.close()


def added(pad, root, n):
    """Add ``n`` campaigns to a LaunchPad."""
    for number in range(n):
        pad.add_wf(campaign_workflow(campaign(campaign=f"cu-{number:03}"), root / f"cu-{number:03}"))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Return a server, and a function that opens its LaunchPad or another of the same server."""
    folder = tmp_path_factory.mktemp("far") / "db"
    facts = start_server(folder, with_this_process=True)
    pads = []

    def launchpad(name):
        pad = LaunchPad.from_file(str(facts.launchpad_file))
        pad = LaunchPad.from_dict({**pad.to_dict(), "name": name, "authsource": pad.authsource})
        pad.m_logger.setLevel("ERROR")
        pad.reset("", require_password=False)
        pads.append(pad)
        return pad

    yield facts, launchpad
    for pad in pads:
        pad.connection.close()
    stop_server(folder)


@pytest.fixture(scope="module")
def pads(server, tmp_path_factory):
    """Return databases of a few and of many campaigns; ``cu-000`` is also a directory."""
    _, launchpad = server
    roots = {n: tmp_path_factory.mktemp("campaigns") for n in (FEW, MANY)}
    for n, root in roots.items():
        added(launchpad(f"with-{n}"), root, n)
    return roots


@pytest.fixture
def far(server, tmp_path):
    """Return a function that gives a way to a database on which messages are counted, and its LaunchPad file."""
    opened = []

    def open_relay(name, **options):
        relay = Relay(server[0].port, **options)
        opened.append(relay)
        return relay, relay.launchpad_file(server[0].launchpad_file, tmp_path, name=name)

    yield open_relay
    for relay in opened:
        relay.__exit__()


def asked_by(relay, question):
    """Return what a question costs: the commands that go to the database."""
    relay.asked.clear()
    question()
    return list(relay.asked)


def test_questions_cost_the_same_however_many_campaigns_there_are(far, pads):
    costs = {}
    for n, root in pads.items():
        relay, path = far(f"with-{n}")
        store = CampaignQueries(opened(path))
        assert len(store.campaigns()) == n
        first = str(root / "cu-000")
        costs[n] = {
            "campaigns": asked_by(relay, store.campaigns),
            "counts": asked_by(relay, lambda store=store, at=first: store.counts("cu-000", at)),
            "links": asked_by(relay, lambda store=store, at=first: store.links("cu-000", at)),
            "fireworks": asked_by(relay, lambda store=store, at=first: store.fireworks("cu-000", at)),
        }
    assert costs[FEW] == costs[MANY]
    assert costs[MANY] == {
        "campaigns": ["find workflows", "find fireworks"],
        "counts": ["find workflows"],
        "links": ["find workflows", "find fireworks"],
        "fireworks": ["find workflows", "find fireworks"],
    }


@pytest.mark.parametrize("command", [["recover", "--dry-run", "--patience", "0"], ["pull"], ["status", "--json"]])
def test_commands_cost_the_same_however_many_campaigns_there_are(far, pads, command, monkeypatch):
    costs = {}
    for n, root in pads.items():
        relay, path = far(f"with-{n}")
        (root / "here").mkdir(exist_ok=True)
        monkeypatch.chdir(root / "here")
        for name in ("one", "two"):
            Scribe(root / "here" / name) if not (root / "here" / name).is_dir() else None
        costs[n] = asked_by(relay, lambda path=path: CliRunner().invoke(app, [*command, "-l", str(path)]))
    assert costs[FEW] == costs[MANY]
    assert 2 <= len(costs[MANY]) <= 24


def test_recovery_costs_the_same_however_many_fireworks_run_and_fail(far, server):
    _, launchpad = server
    costs, error = {}, {"_stacktrace": "Traceback\nValueError: no", "_details": None}
    for n in (2, 40):
        pad = launchpad(f"running-{n}")
        added(pad, Path("/nowhere"), n)
        for number, fw_id in enumerate(sorted(pad.get_fw_ids({"state": "READY"}))):
            _, launch = pad.checkout_fw(FWorker(), "/nowhere", fw_id=fw_id)
            if number % 2:
                pad.complete_launch(launch, FWAction(stored_data={"_exception": error, "_task": {}}), "FIZZLED")
        relay, path = far(f"running-{n}")
        relay.asked.clear()
        found = list(recover(opened(path), dry_run=True, heartbeat_s=-1.0, timeout_s=0))
        costs[n] = list(relay.asked)
        assert Counter(finding.kind for finding in found) == {"lost run": n / 2, "needs you": n / 2}
    assert costs[40] == costs[2]


def test_a_long_campaign_of_many_parts_is_asked_for_at_once(far, server):
    facts, launchpad = server
    pad, metadata = launchpad("parts"), {"mlip_fw": True, "directory": "/data/cu-long"}
    numbers = range(1, 2001)
    pad.fireworks.insert_many([{"fw_id": k, "name": f"cu-long: label {k:016x}"} for k in numbers])
    for part in (numbers[at : at + 20] for at in range(0, 2000, 20)):
        states = {str(fw_id): "COMPLETED" for fw_id in part}
        pad.workflows.insert_one({"name": "cu-long", "metadata": metadata, "nodes": list(part), "fw_states": states})
    relay, path = far("parts")
    store = CampaignQueries(opened(path))
    links = {}
    assert asked_by(relay, lambda: links.update(store.links("cu-long", "/data/cu-long"))) == [
        "find workflows",
        "find fireworks",
    ]
    assert (len(links), links["label", None, None, f"{1999:016x}"]) == (2000, 1999)


class TestPages:
    def pages(self, far, n, root, **options):
        relay, self.file = far(f"with-{n}", **options)
        make_finished(root / "cu-000") if not (root / "cu-000").is_dir() else None
        return relay, visitor([root], opened(self.file))

    @pytest.mark.parametrize("page", ["/", "/data.json", *(f"/fireworks/{page}" for page in GUI)])
    def test_they_cost_the_same_however_many_campaigns_there_are(self, far, pads, page):
        costs = {}
        for n, root in pads.items():
            relay, client = self.pages(far, n, root)
            costs[n] = asked_by(relay, lambda client=client: client.get(page))
        assert len(costs[FEW]) == len(costs[MANY]) <= 8, costs[MANY]

    @pytest.mark.parametrize("page", ["", "halt/0/1", "generation/1", "data.json", "?state=READY"])
    def test_pages_of_one_campaign(self, far, pads, page):
        for n, root in pads.items():
            relay, client = self.pages(far, n, root)
            cost = asked_by(relay, lambda client=client: client.get(f"/campaign/cu-000/{page}"))
            assert len(cost) <= 6, cost
            again = asked_by(relay, lambda client=client: client.get(f"/campaign/cu-000/{page}"))
            assert len(again) <= 2, "what is known is not asked for again"

    @pytest.mark.parametrize("query", [{}, {"fw_query": '{"state": "READY"}'}, {"wf_query": '{"name": "cu-001"}'}])
    def test_first_page_of_the_gui_shows_what_fireworks_own_does(self, far, pads, query):
        """Numbers of each state, and the newest workflows with their newest Fireworks."""
        relay, client = self.pages(far, MANY, pads[MANY])
        theirs = _own_copy().app
        theirs.lp, theirs.secret_key = opened(self.file), "x"
        expected = theirs.test_client().get("/", query_string=query).text
        asked = asked_by(relay, lambda: setattr(self, "ours", client.get("/fireworks/", query_string=query).text))
        for pattern in (r">\s*([\d,]+)</a>", r">(?:<strong>)?(cu-[^<]*)<", r'class="label ([A-Z]+)"'):
            found = re.findall(pattern, self.ours)
            assert found == re.findall(pattern, expected)
        assert len(asked) <= 8


class TestReadOnly:
    """With the role ``read``, everything that only looks works, and tries to write nothing."""

    @pytest.fixture
    def folder(self, server, far, tmp_path, monkeypatch):
        facts, launchpad = server
        pad, scribe = launchpad("watched"), Scribe(tmp_path / "cu-story")
        scribe.begin(LABELS[:2])
        pad.add_wf(campaign_workflow(scribe.campaign, scribe.directory.root))
        travelling = campaign(campaign="cu-far", files="filepad")
        publish_campaign(travelling, "/elsewhere/cu-far", pad)
        pad.add_wf(campaign_workflow(travelling, Path("/elsewhere/cu-far")))
        monkeypatch.chdir(tmp_path)
        self.relay, self.file = far("watched", refuses=writes)
        return tmp_path

    def ran(self, *words):
        done = CliRunner().invoke(app, [*words, "-l", str(self.file)])
        assert done.exception is None, done.exception
        assert self.relay.asked, "it has asked the database"
        assert self.relay.refused == []
        return done.stdout

    def test_status(self, folder):
        assert "1 READY, 2 WAITING" in self.ran("status", "cu-story")
        assert json.loads(self.ran("status", "cu-story", "--json"))["fireworks"] == {"READY": 1, "WAITING": 2}

    def test_recover_dry_run(self, folder):
        assert self.ran("recover", "--dry-run", "--patience", "0") == "nothing to recover\n"

    def test_recover_itself_says_which_role_it_needs(self, folder):
        with pytest.raises(
            WorkerError,
            match=r"user mlip_fw may not write to the collection mlip_fw_locks \(findAndModify\): it needs the role "
            r"readWrite on the database watched at 127\.0\.0\.1; see docs/how-to/mongodb-in-production\.md",
        ):
            CliRunner().invoke(app, ["recover", "-l", str(self.file)], catch_exceptions=False)

    def test_pull(self, folder):
        assert "cu-far: " in self.ran("pull", "cu-far")
        assert (folder / "cu-far" / "campaign.yaml").is_file()

    def test_doctor(self, folder):
        assert _database(opened(self.file)) == "127.0.0.1, database watched: 2 workflows"
        assert self.relay.refused == []

    def test_web(self, folder):
        client = visitor([folder], opened(self.file))
        for page in ("/", "/campaign/cu-story/", "/data.json", *(f"/fireworks/{page}" for page in GUI)):
            assert client.get(page).status_code == 200, page
        assert client.get("/fireworks/", query_string={"wf_query": '{"name": "cu-story"}'}).status_code == 200
        assert self.relay.refused == []


class TestWhatIsWrong:
    """Each fault in its own words, on the command line, in pages and in the GUI; no password is told."""

    @pytest.fixture
    def folder(self, server, tmp_path, monkeypatch):
        make_finished(tmp_path / "cu-story")
        monkeypatch.chdir(tmp_path)
        server[1]("faults")
        return tmp_path

    @pytest.fixture
    def said(self, far, folder, server, request, monkeypatch):
        """Return the LaunchPad file and what is to be said of it; only who is not there is not waited for."""
        options, changes, expected = request.param
        timeout_s = 0.3 if "does not answer" in expected else 60.0
        monkeypatch.setattr("mlip_fw.launchpad.read_only.SERVER_SELECTION_TIMEOUT_MS", 1000 * timeout_s)
        monkeypatch.setattr("mlip_fw.views.web.campaign_index.DATABASE_TIMEOUT_S", timeout_s)
        monkeypatch.setattr("mlip_fw.views.web.fireworks_gui._PROBE_TIMEOUT_S", timeout_s)
        relay, path = far("faults", **options)
        if changes:
            path = relay.launchpad_file(server[0].launchpad_file, folder, name="faults", **changes)
        return path, expected

    CASES = {
        "wrong password": (
            {},
            {"password": "n0t-the-one"},
            "authentication failed for user mlip_fw at 127.0.0.1 (authentication database: admin): check user name, "
            "password and authsource in my_launchpad.yaml",
        ),
        "no user": (
            {},
            {"username": None, "password": None},
            "the LaunchPad database at 127.0.0.1 requires a user: set username and password in my_launchpad.yaml",
        ),
        "missing role": (
            {"refuses": lambda request: True},
            {},
            "may not read the collection ",
        ),
        "no answer": ({}, {"port": 1}, "the LaunchPad database at 127.0.0.1 does not answer"),
    }

    @pytest.mark.parametrize("said", CASES.values(), ids=CASES, indirect=True)
    def test_status(self, said, folder):
        path, expected = said
        done = CliRunner().invoke(app, ["status", "cu-story", "-l", str(path)], env={"COLUMNS": "500"})
        assert "converged" in done.stdout.lower(), "what the files say is shown all the same"
        assert expected in " ".join(done.output.split())
        assert "n0t-the-one" not in done.output
        assert done.exit_code == 1

    @pytest.mark.parametrize("said", CASES.values(), ids=CASES, indirect=True)
    def test_recover(self, said, folder):
        path, expected = said
        with pytest.raises(WorkerError) as caught:
            CliRunner().invoke(app, ["recover", "--dry-run", "-l", str(path)], catch_exceptions=False)
        assert expected in str(caught.value)
        assert "n0t-the-one" not in str(caught.value)

    @pytest.mark.parametrize("said", [CASES["wrong password"], CASES["no user"]], indirect=True)
    @pytest.mark.parametrize("how", ["singleshot", "rapidfire"])
    def test_rlaunch(self, said, folder, how):
        path, expected = said
        with pytest.raises(WorkerError) as caught:
            run_rlaunch(["-l", str(path), "-s", how])
        words = re.split(r" at 127.0.0.1|: check", expected.replace("user mlip_fw", "the user of my_launchpad.yaml"))[0]
        assert str(caught.value).startswith(words)
        assert str(caught.value).endswith("`mlip-fw recover` makes interrupted Fireworks ready to run again")

    @pytest.mark.parametrize("said", CASES.values(), ids=CASES, indirect=True)
    def test_pages(self, said, folder):
        path, expected = said
        client = visitor([folder], opened(path))
        before = client.get("/data.json").json
        page, data = client.get("/").text, client.get("/data.json").json
        assert expected in page.replace("&#39;", "'")
        assert 'href="/campaign/cu-story/"' in page
        assert expected in data["launchpad_error"] == before["launchpad_error"]
        assert [one["name"] for one in data["campaigns"]] == ["cu-story"]
        theirs = client.get("/fireworks/")
        assert expected in theirs.text
        assert theirs.status_code == (503 if "does not answer" in expected else 502)
        assert "n0t-the-one" not in page + theirs.text


def test_where_init_wrote_and_no_mongodb_runs(tmp_path, monkeypatch):
    """The LaunchPad of the folder is at a port where nobody listens."""
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["init", "."]).exit_code == 0
    make_finished(tmp_path / "cu-story")
    text = (tmp_path / "my_launchpad.yaml").read_text()
    (tmp_path / "my_launchpad.yaml").write_text(text.replace("27017", "1"))
    monkeypatch.setattr("mlip_fw.views.web.campaign_index.DATABASE_TIMEOUT_S", 0.3)
    done = CliRunner().invoke(app, ["status"])
    assert (done.exit_code, "cu-story" in done.stdout) == (0, True)
    shown = {}

    def serve(server):
        client = server.app.test_client()
        shown["first"], shown["page"] = client.get("/").text, client.get("/campaign/cu-story/")

    monkeypatch.setattr("mlip_fw.views.web.server.serve_until_signal", serve)
    monkeypatch.setattr("mlip_fw.views.web.app.PAGE_TIMEOUT_S", None)
    done = CliRunner().invoke(app, ["web", "--port", "0"], catch_exceptions=False)
    assert done.exit_code == 0
    assert 'href="/campaign/cu-story/"' in shown["first"]
    assert shown["page"].status_code == 200
