"""Long tables, page by page: each row is on one page, and no address leads to a page that is not there."""

from urllib.parse import parse_qs

import pytest

from mlip_fw.launcher.embedded import embedded_launchpad
from mlip_fw.launcher.retry import retry_workflow
from mlip_fw.models.handoff import LabelHandoff
from mlip_fw.views.web.pagination import ROWS, Pager
from tests.helpers.web import visitor
from tests.helpers.written_campaigns import Scribe, hashed


@pytest.mark.parametrize("total", [0, 1, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS])
def test_every_row_is_on_one_page(total):
    pages = Pager({}).table_page("labels", range(total)).pages
    parts = [Pager({"labels": str(page)}).table_page("labels", range(total)) for page in range(1, pages + 1)]
    assert [row for part in parts for row in part.rows] == list(range(total))
    assert all(len(part.rows) == ROWS for part in parts[:-1])
    assert [part.first for part in parts] == [row + 1 for row in range(0, total, ROWS)] or total == 0
    assert {(part.name, part.total) for part in parts} == {("labels", total)}


def test_an_empty_table_begins_nowhere():
    part = Pager({"labels": "7"}).table_page("labels", [])
    assert (part.rows, part.first, part.page, part.pages) == ([], 0, 1, 1)


@pytest.mark.parametrize("asked", ["0", "-1", "x", "", "²", "1e1", " 2", "100000", "9" * 5000])
def test_what_is_no_page_is_the_first(asked):
    assert Pager({"labels": asked}).page_number("labels") == 1


def test_a_page_behind_the_last_is_the_last():
    assert Pager({"labels": "99999"}).page_number("labels") == 10_000
    assert Pager({"labels": "99"}).table_page("labels", range(2 * ROWS)).page == 2
    assert Pager({"halts": "2"}).table_page("labels", range(2 * ROWS)).page == 1, "each table has its own"


def test_only_words_of_the_list_are_chosen():
    allowed = ("open", "RUNNING")
    assert Pager({"state": "RUNNING"}).choice("state", allowed) == "RUNNING"
    assert [Pager(asked).choice("state", allowed) for asked in ({}, {"state": "$where"})] == ["open", "open"]


def test_an_address_repeats_what_is_known_and_short():
    asked = {"halts": "2", "state": "RUNNING", "labels": "x" * 20, "parity": "1", "next": "//elsewhere"}
    found = Pager(asked).to(halts=3, queue=1)
    assert parse_qs(found.removeprefix("?")) == {"halts": ["3"], "state": ["RUNNING"], "queue": ["1"]}
    assert Pager({"state": "a&b=<c>"}).to() == "?state=a%26b%3D%3Cc%3E"


class TestQueue:
    @pytest.fixture(scope="class")
    def client(self, tmp_path_factory):
        """Return a visitor of a campaign with one Label Firework more than two pages hold."""
        scribe = Scribe(tmp_path_factory.mktemp("queue") / "cu-story")
        root, pad = str(scribe.directory.root), embedded_launchpad()
        common = {"campaign": scribe.campaign, "directory": root, "structures": f"{root}/q.extxyz", "index": 0}
        pad.add_wf(retry_workflow([LabelHandoff(**common, hash=hashed(n)) for n in range(2 * ROWS + 1)]))
        return visitor([scribe.directory.root.parent], pad)

    def shown(self, client, **asked):
        """Return the rows of the queue, and the names of the links below it."""
        page = client.get("/campaign/cu-story/", query_string=asked).text
        queue = page[page.index('<section id="queue"') :]
        queue = queue[: queue.index("</section>")]
        return queue.count('<th scope="row">'), [name for name in ("newer", "older") if f">{name}</a>" in queue]

    def test_pages(self, client):
        assert self.shown(client) == (ROWS, ["older"])
        assert self.shown(client, queue=2) == (ROWS, ["newer", "older"])
        assert self.shown(client, queue=3) == (1, ["newer"])

    def test_states(self, client):
        assert self.shown(client, state="READY")[0] == ROWS
        assert self.shown(client, state="COMPLETED")[0] == 0
        assert self.shown(client, state="no such state")[0] == ROWS
