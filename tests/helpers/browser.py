"""A server of pages, and somebody before a real browser who notes what no page may do."""

import io
import re
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

PATIENCE_S = 180.0
"""How long a page may take beside other tests; an idle machine needs a second."""
_NOT_BLANK = 40
"""Colours that are seen of a chart; of an empty ground there is one."""


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


def answer_of(address: str) -> str:
    """Return what a server answers."""
    with urllib.request.urlopen(address) as answer:
        return answer.read().decode()


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
