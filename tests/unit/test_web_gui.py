"""FireWorks' own GUI beside our pages: it works there, asks nobody else, and can be asked nothing harmful."""

import json
import re

import fireworks.flask_site.app as theirs
import pytest
from pymongo.errors import ServerSelectionTimeoutError

from mlip_fw.views.web.query_filter import fault_of_query
from tests.helpers.web import launchpad_with, make_finished, visitor

PAGES = ["", "fw/", "fw/1", "fw/1/details", "fw/READY/", "wf/", "wf/1", "wf/1/json", "wf/READY/updated_on/ASCENDING/"]


@pytest.fixture(scope="module")
def pad(tmp_path_factory):
    """Return the LaunchPad of a campaign."""
    return launchpad_with(make_finished(tmp_path_factory.mktemp("gui") / "cu-story"))


@pytest.fixture(scope="module")
def client(pad, tmp_path_factory):
    """Return somebody before a server with that LaunchPad."""
    return visitor([tmp_path_factory.mktemp("empty")], pad)


@pytest.mark.parametrize("page", PAGES)
def test_pages_work_where_they_are_mounted(client, page):
    answer = client.get(f"/fireworks/{page}")
    assert answer.status_code == 200
    leads = re.findall(r'(?:href|src)="([^"]*)"', answer.text)
    strangers = [lead for lead in leads if not lead.startswith(("/fireworks/", "/static/", "?"))]
    assert set(strangers) <= {"/", "https://materialsproject.github.io/fireworks/"}


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_loaded_from_elsewhere_or_run_inside_of_a_page(client, page):
    text = client.get(f"/fireworks/{page}").text
    assert not re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="(?:https?:)?//', text)
    assert not re.findall(r"<script(?![^>]*\bsrc=)", text)
    assert not re.findall(r"\son[a-z]+=", text)


def test_style_asks_nobody_for_a_font(client):
    style = client.get("/fireworks/static/css/flat-ui.css")
    assert (style.mimetype, "@import" in style.text, len(style.text) > 100_000) == ("text/css", False, True)


def test_scripts_of_its_pages_are_here(client):
    for page in ("fw/1", "wf/1"):
        for source in re.findall(r'<script[^>]*src="([^"]*)"', client.get(f"/fireworks/{page}").text):
            assert client.get(source).status_code == 200


def test_installed_package_stays_as_it_is(client):
    client.get("/fireworks/")
    assert not hasattr(theirs.app, "lp")
    assert not theirs.app.before_request_funcs


@pytest.mark.parametrize(
    ("page", "status"),
    [
        ("fw/999999", 404),
        ("wf/999999", 404),
        ("fw/999999/details", 404),
        ("wf/999999/json", 404),
        ("fw/99999999999999999999999", 400),
        ("fw/evil/", 400),
        ("fw/READY/$where/ASCENDING/", 400),
        ("fw/READY/_id/SIDEWAYS/", 400),
        ("fw/?page=-1", 400),
        ("fw/?page=99999999999999999999", 400),
        ("report/eons/3/", 400),
        ("report/days/x/", 400),
        ("report/days/999999999/", 400),
        ("reports/passwords/days/3/fig.png", 400),
        ("wf/metadata/$where/1/", 400),
        ("wf/metadata/nobody/has it/", 404),
        ("nothing", 404),
        ("static/../app.py", 404),
    ],
)
def test_what_is_wrong_is_said(client, page, status):
    answer = client.get(f"/fireworks/{page}")
    assert answer.status_code == status
    assert "<p>" in answer.text


@pytest.mark.parametrize("which", ["fw_query", "wf_query"])
class TestQueries:
    @pytest.mark.parametrize(
        "query",
        [
            {"$where": "while (true) {}"},
            {"$and": [{"$or": [{"name": {"$not": {"$where": "1"}}}]}]},
            {"$expr": {"$function": {"body": "x", "args": [], "lang": "js"}}},
            {"name": {"$regex": "(a+)+$"}},
            {"$text": {"$search": "x"}},
            {"x": [[{"$where": "1"}]]},
        ],
    )
    def test_what_runs_code_or_takes_for_ever_reaches_no_database(self, client, pad, which, query, monkeypatch):
        monkeypatch.setattr(type(pad.fireworks), "find_one", lambda *_: pytest.fail("it was asked"))
        answer = client.get("/fireworks/", query_string={which: json.dumps(query)})
        assert answer.status_code == 400

    @pytest.mark.parametrize("text", ["[" * 1500, "[]", "nonsense", '{"a":' * 300 + "1" + "}" * 300, "x" * 3000])
    def test_nor_does_nonsense(self, client, which, text):
        assert client.get("/fireworks/", query_string={which: text}).status_code == 400

    def test_comparisons_work(self, client, which):
        answer = client.get("/fireworks/", query_string={which: '{"state": {"$in": ["READY", "WAITING"]}}'})
        assert answer.status_code == 200
        cookie = answer.headers.get("Set-Cookie", "")
        assert all(part in cookie for part in ("HttpOnly", "SameSite=Strict", "Path=/fireworks/"))


def test_plain_queries_are_let_through():
    assert fault_of_query('{"spec.campaign": "cu", "$or": [{"state": "READY"}, {"fw_id": {"$gte": 3}}]}') is None


def test_silent_database_is_said(client, pad, monkeypatch):
    def silent(*args, **kwargs):
        raise ServerSelectionTimeoutError("nobody: secret")

    monkeypatch.setattr(type(pad), "get_fw_dict_by_id", silent)
    answer = client.get("/fireworks/fw/1")
    assert (answer.status_code, "does not answer" in answer.text, "secret" in answer.text) == (503, True, False)


def test_without_a_launchpad_there_is_none(tmp_path):
    client = visitor([tmp_path])
    assert client.get("/fireworks/").status_code == 404
    assert "/fireworks/" not in client.get("/").text
