"""Pages of campaigns: what they show of whole, running, damaged and hostile ones."""

import json
import re
import shutil
import threading
import time
from types import SimpleNamespace

import pytest
from pymongo.errors import ServerSelectionTimeoutError

from mlip_fw.views.analysis.walkers import A_WORKER, Phase, WalkerState
from mlip_fw.views.web import page_contents
from mlip_fw.views.web.app import create_app
from mlip_fw.views.web.background_cache import BackgroundCache
from mlip_fw.views.web.loop_diagram import loop_diagram
from tests.helpers.web import HOSTILE, LABELS, SCRIPT, add_hostile, launchpad_with, make_finished, visitor
from tests.helpers.written_campaigns import Scribe, hashed


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return a converged campaign; nothing may change it."""
    return make_finished(tmp_path_factory.mktemp("web") / "cu-story")


@pytest.fixture(scope="module")
def known(whole):
    """Return a visitor of a server with that campaign and its LaunchPad."""
    return visitor([whole.directory.root.parent], launchpad_with(whole))


def sides(page):
    """Return all addresses of this server that a page links to."""
    return set(re.findall(r'(?:href|src|data-live|data-charts)="(/[^"#]*)', page))


class TestWholeCampaign:
    def test_list_names_state_progress_and_cost(self, known):
        page = known.get("/").text
        for said in (
            'href="/campaign/cu-story/"',
            "converged",
            "100 %",
            "<polyline",
            "force RMSE",
            "new labels",
            "ready",
        ):
            assert said in page

    def test_page_answers_and_draws(self, known):
        page = known.get("/campaign/cu-story/").text
        for said in (
            "Is it learning?",
            "finished: the MD has reached its end",
            "5 labels",
            "EXPLORE",
            "Not in the loop: 1",
        ):
            assert said in page
        assert page.count("data-chart=") == 4
        assert page.count("<details>") == 4

    def test_temperature_of_a_halt_is_measured_and_the_target_is_called_so(self, known):
        page = known.get("/campaign/cu-story/").text
        assert re.search(r"temperature <small>\(K\)</small></th><th scope=\"col\">target <small>", page)
        assert '<td class="n">230</td><td class="n">540</td>' in page
        assert "230 K, target 540 K" in known.get("/campaign/cu-story/halt/0/0").text

    def test_it_works_without_javascript(self, known):
        page = known.get("/campaign/cu-story/").text
        assert '<th scope="col">MD step' in page.replace("MD steps", "MD step")
        assert all(label in page for label in LABELS[:5])

    @pytest.mark.parametrize("start", ["/", "/campaign/cu-story/", "/campaign/cu-story/halt/0/0"])
    def test_no_link_is_dead_and_none_leads_out(self, known, start):
        page = known.get(start).text
        assert not re.findall(r'(?:href|src)="(?:https?:)?//', page)
        answers = {side: known.get(side.replace("&amp;", "&")).status_code for side in sides(page)}
        assert set(answers.values()) <= {200}, answers

    def test_halt_leads_to_its_structure_and_its_choice(self, known):
        page = known.get("/campaign/cu-story/halt/0/1").text
        assert LABELS[3] in page
        assert "why not" in page
        charts = known.get("/campaign/cu-story/halt/0/1/charts.json").json
        assert {trace["type"] for trace in charts["scene"]["data"]} == {"scatter3d"}

    def test_generation_is_evaluated_when_it_is_asked_for(self, known):
        assert "evaluate them" in known.get("/campaign/cu-story/generation/1").text
        page = known.get("/campaign/cu-story/generation/1?parity=1").text
        assert "potential.yaml" in page, "the analysis has no potential, and the page says so"

    def test_numbers_link_to_their_firework(self, known):
        page = known.get("/campaign/cu-story/").text
        assert re.search(r'href="/fireworks/fw/\d+"', page)

    def test_data_is_tagged(self, known):
        first = known.get("/campaign/cu-story/data.json")
        assert first.json["summary"]["outcome"] == "CONVERGED"
        again = known.get("/campaign/cu-story/data.json", headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")

    def test_json_has_no_number_that_json_lacks(self, known):
        for path in ("data.json", "charts.json", "halt/0/0/charts.json"):
            text = known.get(f"/campaign/cu-story/{path}").text
            json.loads(text, parse_constant=lambda found: pytest.fail(f"{found} in JSON"))

    @pytest.mark.parametrize(
        "path", ["/campaign/nobody/", "/campaign/cu-story/halt/7/7", "/campaign/cu-story/generation/99", "/nothing"]
    )
    def test_what_is_not_there_is_said(self, known, path):
        answer = known.get(path)
        assert answer.status_code == 404
        assert "Not found" in answer.text


def test_change_is_seen(tmp_path):
    scribe = make_finished(tmp_path / "cu-story")
    client = visitor([tmp_path])
    tag = client.get("/campaign/cu-story/data.json").headers["ETag"]
    scribe.label(hashed(99))
    changed = client.get("/campaign/cu-story/data.json", headers={"If-None-Match": tag})
    assert (changed.status_code, changed.json["summary"]["labels"]) == (200, 6)


def test_long_tables_come_in_pages(tmp_path):
    scribe = Scribe(tmp_path / "cu-story")
    scribe.begin([hashed(n) for n in range(60)])
    client = visitor([tmp_path])
    first, last = (client.get(f"/campaign/cu-story/{which}").text for which in ("", "?labels=3"))
    assert "1 to 25 of 60" in first
    assert "51 to 60 of 60" in last
    assert '<th scope="row" class="hash">' + hashed(0) in last
    for strange in ("0", "-1", "99999999", "x", "²"):
        assert client.get("/campaign/cu-story/", query_string={"labels": strange}).status_code == 200


class TestWhatIsWrong:
    @pytest.fixture
    def folder(self, tmp_path):
        make_finished(tmp_path / "good")
        return tmp_path

    def test_damaged_campaign_file_breaks_nothing_else(self, folder):
        shutil.copytree(folder / "good", folder / "bad")
        (folder / "bad" / "campaign.yaml").write_text("campaign: [")
        client = visitor([folder])
        page = client.get("/").text
        assert "/campaign/good/" in page
        assert "unknown" in page
        said = client.get("/campaign/bad/").text
        assert "campaign.yaml" in said
        assert "nobody thought of" not in said
        assert client.get("/campaign/bad/data.json").status_code == 200
        assert client.get("/campaign/bad/charts.json").status_code == 404

    def test_damaged_files_are_listed(self, folder):
        (folder / "good" / "walkers" / "00" / "cycle_0000" / "result.json").write_text('{"outc')
        page = visitor([folder]).get("/campaign/good/").text
        assert "1 damaged file ignored" in page
        assert "walkers/00/cycle_0000/result.json" in page

    def test_empty_campaign(self, folder):
        Scribe(folder / "empty")
        client = visitor([folder])
        assert "no MD yet" in client.get("/campaign/empty/").text
        assert "interrupted" in client.get("/").text

    def test_vanished_directory(self, folder):
        client = visitor([folder])
        client.get("/")
        shutil.rmtree(folder / "good")
        assert "not there any more" in client.get("/").text
        assert client.get("/campaign/good/").status_code == 200

    def test_no_campaign_at_all(self, tmp_path):
        assert "No campaigns yet" in visitor([tmp_path]).get("/").text

    def test_silent_database(self, folder, monkeypatch):
        pad = launchpad_with(Scribe(folder / "other"))
        client = visitor([folder], pad)
        monkeypatch.setattr(type(pad.workflows), "find", _silent)
        page = client.get("/").text
        assert "localhost does not answer" in page
        assert "/campaign/good/" in page

    def test_fault_in_a_page_is_no_500(self, folder, monkeypatch):
        monkeypatch.setattr("mlip_fw.views.web.page_contents.loop_diagram", lambda walkers: 1 / 0)
        answer = visitor([folder]).get("/campaign/good/")
        assert answer.status_code == 503
        assert "ZeroDivisionError" in answer.text


def _silent(*args, **kwargs):
    raise ServerSelectionTimeoutError("nobody is there")


class TestHostileNames:
    @pytest.fixture(scope="class")
    def client(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("hostile")
        scribe = make_finished(folder / "cu & <b>bold")
        scribe.fail(hashed(77))
        record = folder / "cu & <b>bold" / "quarantine" / f"{hashed(77)}.json"
        record.write_text(record.read_text().replace("no SCF", SCRIPT + "\\u202e\\u0007"))
        scribe.tell("finished", outcome="STOPPED", reason=SCRIPT)
        pad = launchpad_with(scribe)
        add_hostile(pad)
        return visitor([folder], pad)

    def test_they_are_text(self, client):
        for path in sides(client.get("/").text) | {"/"}:
            answer = client.get(path)
            assert answer.status_code == 200, path
            if answer.is_json:
                continue
            assert "<script>alert" not in answer.text
            assert 'onerror="' not in answer.text
            assert not set(answer.text) & set("\u202e\x00\x1b\x07")

    def test_no_name_fills_the_page(self, client):
        assert len(client.get("/").text) < 40_000

    def test_each_has_an_address_of_plain_letters(self, client):
        keys = re.findall(r'href="/campaign/([^"]*)/"', client.get("/").text)
        assert len(keys) == len(set(keys)) >= len(HOSTILE)
        assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,50}", key) for key in keys)

    @pytest.mark.parametrize("key", ["..", "../good", "%2e%2e", "%2Fetc", "good%00", "x" * 5000])
    def test_no_address_leads_elsewhere(self, client, key):
        assert client.get(f"/campaign/{key}/", follow_redirects=True).status_code == 404


def comes_about(is_so):
    """Wait until it is so, for a busy machine's patience."""
    deadline = time.monotonic() + 60
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)
    return is_so()


class TestManyFiles:
    @pytest.fixture
    def read(self):
        """Return what keeps files from being read as long as it is not set."""
        event = threading.Event()
        yield event
        event.set()

    @pytest.fixture
    def client(self, tmp_path, monkeypatch, read):
        make_finished(tmp_path / "cu-story")
        monkeypatch.setattr(page_contents, "charts", lambda snapshot: (read.wait(120), {})[1])
        return create_app([tmp_path], timeout_s=0.01).test_client()

    def test_first_page_says_that_they_are_read(self, client):
        assert "being read" in client.get("/").text
        answer = client.get("/campaign/cu-story/halt/0/0")
        assert (answer.status_code, 'http-equiv="refresh"' in answer.text) == (503, True)
        assert client.get("/campaign/cu-story/charts.json").status_code == 503

    def test_and_later_shows_them(self, client, read):
        client.get("/")
        read.set()
        assert comes_about(lambda: "converged" in client.get("/").text)


class TestPatience:
    def test_quick_work_is_waited_for(self):
        assert BackgroundCache(5.0).result("one", lambda: 1) == 1

    def test_slow_work_shows_what_was_known(self):
        cache, done = BackgroundCache(60.0), threading.Event()
        assert cache.result("one", lambda: 1) == 1
        cache._timeout_s = 0.05
        assert cache.result("one", lambda: done.wait(60) and 2) == 1
        assert cache.result("two", lambda: done.wait(60) and 2) is None
        done.set()

    def test_its_result_comes_later(self):
        cache, done = BackgroundCache(0.05), threading.Event()
        assert cache.result("one", lambda: done.wait(60) and 1) is None
        done.set()
        assert comes_about(lambda: cache.known("one") == 1)

    def test_a_page_waits_once_for_all(self):
        cache, done = BackgroundCache(2.0), threading.Event()
        cache.begin()
        begun = time.monotonic()
        assert [cache.result(name, lambda: done.wait(60)) for name in range(5)] == [None] * 5
        assert time.monotonic() - begun < 9.5
        done.set()

    def test_error_is_raised_to_who_waits(self):
        with pytest.raises(ZeroDivisionError):
            BackgroundCache(5.0).result("one", lambda: 1 / 0)


class TestWhereWalkersAre:
    @staticmethod
    def state(walker, phase, waiting_for=""):
        return WalkerState(walker, phase, 0, 0, 0, 100, None, None, 0.0, False, waiting_for)

    def test_those_that_wait_stand_in_the_loop_as_empty_circles(self):
        walkers = [self.state(0, Phase.EXPLORE), self.state(1, Phase.WAITING, A_WORKER)]
        drawing = loop_diagram([*walkers, self.state(2, Phase.TRAIN, A_WORKER), self.state(3, Phase.CONVERGED)])
        seen = {box.phase: (box.is_busy, [(dot.number, dot.waits) for dot in box.walkers]) for box in drawing.states}
        assert seen["explore"] == (True, [(0, False), (1, True)])
        assert seen["train"] == (False, [(2, True)])
        assert (drawing.waits, drawing.beside) == (True, [("converged", 1)])
        assert "waiting: walker 1" in drawing.label

    def test_of_many_the_first_are_drawn_and_the_others_counted(self):
        explore, *_ = loop_diagram([self.state(k, Phase.EXPLORE) for k in range(8)]).states
        assert (len(explore.walkers), explore.n_more) == (5, 3)


def test_campaign_that_was_only_added_waits_for_a_worker(tmp_path):
    scribe = Scribe(tmp_path / "cu-story")
    pad = launchpad_with(scribe)
    shutil.rmtree(scribe.directory.root)
    client = visitor([tmp_path], pad)
    row = client.get("/data.json").json["campaigns"][0]
    assert (row["state"], "has not begun" in row["trouble"]) == ("waiting", True)
    page = client.get("/campaign/cu-story/").text
    assert "no worker has taken its first Firework yet" in page
    assert "can't be looked at" not in page
    pad.fireworks.update_many({}, {"$set": {"state": "COMPLETED"}})
    pad.workflows.update_many({}, {"$set": {f"fw_states.{n}": "COMPLETED" for n in pad.get_fw_ids()}})
    assert "not on this machine" in visitor([tmp_path], pad).get("/").text


def test_page_that_was_there_before_learns_that_the_database_is_silent(tmp_path, monkeypatch):
    """And that it answers again: the version changes, and with it the part that says so."""
    scribe = make_finished(tmp_path / "cu-story")
    pad = launchpad_with(scribe)
    app = create_app([tmp_path], pad, timeout_s=None)
    client, clock = app.test_client(), [0.0]
    monkeypatch.setattr("mlip_fw.views.web.campaign_index.time", SimpleNamespace(monotonic=lambda: clock[0]))
    versions = [client.get("/data.json").json]
    with monkeypatch.context() as patch:
        patch.setattr(type(pad.workflows), "find", _silent)
        clock[0] = 100.0
        versions.append(client.get("/data.json").json)
        part = '<div id="launchpad" data-part>\n<p class="trouble" role="status">the LaunchPad database at localhost'
        assert part in client.get("/").text
    clock[0] = 200.0
    versions.append(client.get("/data.json").json)
    assert '<div id="launchpad" data-part>\n</div>' in client.get("/").text
    assert [one["launchpad_error"] is None for one in versions] == [True, False, True]
    assert versions[0]["version"] == versions[2]["version"] != versions[1]["version"]
