"""Who may ask the server what, and how browsers have to treat its answers: the same for our pages and FireWorks'."""

import base64

import pytest

from mlip_fw.views.web.allowed_hosts import AllowedHosts, is_loopback
from tests.helpers.web import launchpad_with, make_finished, visitor

PLACES = ["/", "/campaign/cu-story/", "/campaign/cu-story/data.json", "/static/page.css", "/fireworks/", "/nothing"]
PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Return a folder with a campaign, and its LaunchPad."""
    scribe = make_finished(tmp_path_factory.mktemp("guard") / "cu-story")
    return scribe.directory.root.parent, launchpad_with(scribe)


@pytest.fixture(scope="module")
def client(world):
    """Return somebody before a server without a password."""
    return visitor([world[0]], world[1])


@pytest.fixture(scope="module")
def slept():
    """Return how long the server with a password let those wait who did not know it, s."""
    return []


@pytest.fixture(scope="module")
def asked(world, slept):
    """Return somebody before a server with a password."""
    return visitor([world[0]], world[1], password=PASSWORD, sleep=slept.append)


def knows(password, user="anybody"):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize("path", PLACES)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_nothing_can_be_changed(client, path, method):
    answer = client.open(path, method=method, data={"state": "PAUSED"})
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", PLACES)
def test_every_answer_has_safe_headers(client, path):
    headers = client.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self';" in policy
    assert "unsafe-eval" not in policy
    assert "http" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"


def test_refusals_have_them_too(client):
    assert "Content-Security-Policy" in client.post("/").headers


def test_plotly_comes_from_here_and_is_kept(client):
    plain, packed = (client.get("/plotly-1.js", headers={"Accept-Encoding": how}) for how in ("", "gzip"))
    assert plain.content_length > 3 * packed.content_length
    assert (packed.headers["Content-Encoding"], "immutable" in packed.headers["Cache-Control"]) == ("gzip", True)


def test_head_has_no_body(client):
    assert (client.head("/").status_code, client.head("/").data) == (200, b"")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:5000", "LOCALHOST.:5000", "192.168.1.7"])
def test_names_of_this_machine_are_known(client, host):
    assert client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "a@localhost", "localhost:x"]
)
@pytest.mark.parametrize("path", ["/", "/fireworks/", "/campaign/cu-story/data.json"])
def test_a_name_that_leads_here_from_elsewhere_gets_no_answer(client, host, path):
    answer = client.get(path, environ_overrides={"HTTP_HOST": host})
    assert (answer.status_code, b"cu-story" in answer.data) == (403, False)


def test_more_names_can_be_given():
    assert AllowedHosts(["cluster.example"]).allows("cluster.example:5000")
    assert not AllowedHosts().allows("cluster.example:5000")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.1", False),
        ("cluster.example", False),
        ("unix:///tmp/x", False),
    ],
)
def test_loopback_is_told_from_the_rest(host, expected):
    assert is_loopback(host) is expected


class TestPassword:
    @pytest.mark.parametrize("path", [*PLACES, "/fireworks/reports/fireworks/days/7/fig.png"])
    @pytest.mark.parametrize(
        "headers",
        [
            {},
            knows("wrong"),
            knows(""),
            knows(PASSWORD[:-1]),
            {"Authorization": "Bearer x"},
            {"Authorization": "Basic %"},
        ],
    )
    def test_nothing_without_it(self, asked, path, headers):
        answer = asked.get(path, headers=headers)
        assert (answer.status_code, b"cu-story" in answer.data) == (401, False)
        assert answer.headers["WWW-Authenticate"].startswith("Basic")

    @pytest.mark.parametrize("path", ["/", "/fireworks/"])
    def test_everything_with_it(self, asked, path):
        assert asked.get(path, headers=knows(PASSWORD)).status_code == 200
        assert asked.get(path, headers=knows(PASSWORD, user="äöü")).status_code == 200

    def test_it_opens_no_door_for_writing(self, asked):
        assert asked.post("/", headers=knows(PASSWORD)).status_code == 405

    def test_guessing_is_slow(self, asked, slept):
        slept.clear()
        asked.get("/", headers=knows("wrong"))
        assert slept == [1.0]
        asked.get("/", headers=knows(PASSWORD))
        assert slept == [1.0]
