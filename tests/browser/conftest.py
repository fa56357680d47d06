"""A real browser before a real server; whatever a page does that it must not do fails the test."""

import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from mlip_fw.database.control import stop_server
from mlip_fw.io.locks import alone
from tests.browser import campaigns
from tests.conftest import require

CHROMIUM = shutil.which(os.environ.get("MLIP_FW_CHROMIUM", "chromium"))
OPTIONS = ["--no-sandbox", "--disable-dev-shm-usage", "--enable-unsafe-swiftshader"]
"""As root; with little shared memory; without a graphics card."""
PATIENCE_S = 180.0
"""How long a page may take beside other tests; an idle machine needs a second."""
_NOT_BLANK = 40
"""Colours that are seen of a chart; of an empty ground there is one."""
PACKAGES = ("playwright", "axe_playwright_python")


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Return a folder with a campaign that has run and its database; all test processes share it."""
    require("browser", CHROMIUM and all(map(importlib.util.find_spec, PACKAGES)))
    root = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        root = root.parent
    root /= "browser"
    with alone(root / ".lock"):
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


class Server:
    """``mlip-fw web`` as a process."""

    def __init__(self, folder: Path, *words: object) -> None:
        command = [sys.executable, "-m", "mlip_fw", "web", *map(str, words), "--port", "0"]
        self._process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.said: list[str] = []
        self.address = self._find_address()
        threading.Thread(target=self._listen, daemon=True).start()

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait(120)

    def _find_address(self) -> str:
        for line in self._process.stdout:
            self.said.append(line)
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                return found[0]
        raise AssertionError("".join(self.said))

    def _listen(self) -> None:
        # a pipe that nobody empties would stop the server
        self.said.extend(self._process.stdout)


@pytest.fixture(scope="module")
def site(finished, folder, replay, launchpad):
    """Return the address of the pages."""
    server = Server(folder, finished / "campaigns", "--launchpad", launchpad[0])
    settles(lambda: "first time" not in answer_of(f"{server.address}/data.json"))
    yield server.address
    server.stop()


def answer_of(address: str) -> str:
    """Return what a server answers."""
    with urllib.request.urlopen(address) as answer:
        return answer.read().decode()


@pytest.fixture(scope="module")
def chromium():
    """Return a browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


class Visitor:
    """Somebody before a browser, who notes what no page may do."""

    def __init__(self, chromium, site: str, **options) -> None:
        self.context = chromium.new_context(**options)
        self.page = self.context.new_page()
        self.site, self.faults = site, []
        self._expected: list[str] = []
        self.page.set_default_timeout(1000 * PATIENCE_S)
        self.page.on("request", self._note_request)
        self.page.on("console", lambda said: said.type == "error" and self.faults.append(said.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", self._note_dialog)

    def goes_to(self, path: str):
        """Open a page of the site and return it when its drawings are there."""
        self.page.goto(f"{self.site}{path}", wait_until="networkidle")
        return self.page

    def expects(self, words: str) -> None:
        """Forgive what the browser complains of in these words."""
        self._expected.append(words)

    def unexpected_faults(self) -> list[str]:
        """Return what was noted and not forgiven."""
        return [fault for fault in self.faults if not any(words in fault for words in self._expected)]

    def _note_request(self, request) -> None:
        if not request.url.startswith((f"{self.site}/", "data:", "blob:")):
            self.faults.append(f"asked {request.url[:200]}")

    def _note_dialog(self, dialog) -> None:
        self.faults.append(f"a dialog: {dialog.message}")
        dialog.dismiss()


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


def settles(is_so) -> None:
    """Wait until it is so; a page must not be asked to, as it runs no code from texts."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, "it never came to be so"
        time.sleep(0.1)


def is_drawn(locator) -> None:
    """Wait until something is seen of an element: a chart has its place before it has its lines."""
    settles(lambda: _n_colours(locator) > _NOT_BLANK)


def _n_colours(locator) -> int:
    from PIL import Image

    picture = Image.open(io.BytesIO(locator.screenshot())).convert("RGB")
    return len(picture.getcolors(picture.width * picture.height))


def findings_of_axe(page) -> list[str]:
    """Return what keeps people who don't see, or see little, from using the page."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{f['id']}: {n['html'][:200]} {n['failureSummary']}"
        for f in found
        if f["impact"] in ("serious", "critical")
        for n in f["nodes"][:3]
    ]
