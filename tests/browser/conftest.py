"""A real browser before a real server; whatever a page does that it must not do fails the test."""

import importlib.util
import os
import shutil

import pytest

from mlip_fw.io.locks import exclusive_lock
from mlip_fw.launchpad.server.control import stop_server
from tests.helpers import browser_campaigns as campaigns
from tests.helpers.browser import Server, Visitor, answer_of, settles
from tests.helpers.programs import require

CHROMIUM = shutil.which(os.environ.get("MLIP_FW_CHROMIUM", "chromium"))
OPTIONS = ["--no-sandbox", "--disable-dev-shm-usage", "--enable-unsafe-swiftshader"]
"""As root; with little shared memory; without a graphics card."""
PACKAGES = ("playwright", "axe_playwright_python")


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Return a folder with a campaign that has run and its database; all test processes share it."""
    require("browser", CHROMIUM and all(map(importlib.util.find_spec, PACKAGES)))
    root = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        root = root.parent
    root /= "browser"
    with exclusive_lock(root / ".lock"):
        if not (root / "done").exists():
            campaigns.run_finished(root)
            (root / "done").touch()
    return root


@pytest.fixture(scope="module")
def folder(finished, tmp_path_factory):
    """Return a folder of campaigns in every state."""
    folder = tmp_path_factory.mktemp("campaigns")
    source = finished / "campaigns" / "finished"
    campaigns.make_damaged(source, folder / "damaged")
    campaigns.make_empty(source, folder / "empty")
    campaigns.make_hostile(source, folder / "hostile")
    return folder


@pytest.fixture(scope="module")
def replay(finished, folder):
    """Return a campaign that stands before its last halt."""
    return campaigns.Replay(finished / "campaigns" / "finished", folder / "running")


@pytest.fixture(scope="module")
def launchpad(finished, tmp_path_factory):
    """Return the file that leads to the LaunchPad on which the campaign ran, and the number of a hostile Firework."""
    database = tmp_path_factory.mktemp("launchpad") / "database"
    shutil.copytree(finished / "database", database)
    pad = campaigns.launchpad_in(database)
    number = campaigns.add_hostile(pad)
    pad.connection.close()
    yield database / "my_launchpad.yaml", number
    stop_server(database)


@pytest.fixture
def hostile_number(launchpad):
    """Return the number of a Firework whose names a browser would run."""
    return launchpad[1]


@pytest.fixture(scope="module")
def site(finished, folder, replay, launchpad):
    """Return the address of the pages."""
    server = Server(folder, finished / "campaigns", "--launchpad", launchpad[0])
    settles(lambda: "first time" not in answer_of(f"{server.address}/data.json"))
    yield server.address
    server.stop()


@pytest.fixture(scope="module")
def chromium():
    """Return a browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def visitor(chromium, site):
    """Return a function that lets somebody come with a browser; in the end no page may have done what it must not."""
    visitors = []

    def come(**options) -> Visitor:
        visitors.append(Visitor(chromium, site, **options))
        return visitors[-1]

    yield come
    for one in visitors:
        one.context.close()
    assert not [fault for one in visitors for fault in one.unexpected_faults()]
