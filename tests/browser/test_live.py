"""What happens while somebody looks: halts appear, campaigns begin, the server ends."""

import subprocess
import sys

import pytest

from tests.helpers import browser_campaigns as campaigns
from tests.helpers.browser import Server, Visitor, settles
from tests.helpers.campaigns import SMALL, merged, write

pytestmark = pytest.mark.real
SHORT = merged(
    SMALL,
    {
        "campaign": "young",
        "md": {"engine": "embedded", "stages": [{"ensemble": "nvt", "temperature_k": [300, 1000], "n_steps": 300}]},
        "uncertainty": {"gamma_halt": 5.0},
    },
)
HALTS = "#halts tbody tr"


def stays(page):
    """Mark a page; return a function that says whether it is still the same, never loaded again."""
    page.evaluate("window.isMarked = true")
    return lambda: page.evaluate("window.isMarked === true")


def test_halt_appears_by_itself(visitor, replay):
    page = visitor().goes_to("/campaign/running/")
    is_same, chart = stays(page), page.locator("[data-chart=gamma]")
    before = page.locator(HALTS).count()
    assert "explore" in page.locator("#walkers").inner_text()
    said = chart.get_attribute("aria-label")
    page.locator("#halts a").last.focus()
    replay.halt()
    settles(lambda: page.locator(HALTS).count() == before + 1)
    settles(lambda: chart.get_attribute("aria-label") != said)
    assert is_same()
    assert page.evaluate("document.activeElement.closest('#halts') !== null")


def test_campaign_begins_and_learns_while_somebody_looks(visitor, folder):
    page = visitor().goes_to("/")
    is_same = stays(page)
    command = [sys.executable, "-m", "mlip_fw", "run", write(SHORT, folder / "young.yaml")]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        link = page.get_by_role("link", name="young", exact=True)
        link.wait_for(timeout=180_000)
        assert is_same()
        link.click()
        page.locator(HALTS).first.wait_for(timeout=180_000)
        page.locator("#answers", has_text="the MD has reached its end").wait_for(timeout=180_000)
        page.locator("[data-chart=gamma] .main-svg").first.wait_for()
        settles(lambda: page.locator("#figure-gamma tbody tr").count() == page.locator(HALTS).count())
    assert running.returncode == 0


def test_page_says_that_the_server_is_gone(chromium, folder):
    server = Server(folder)
    visitor = Visitor(chromium, server.address)
    visitor.expects("net::ERR_")
    page = visitor.goes_to("/campaign/empty/")
    server.stop()
    page.locator("#freshness", has_text="the server is gone").wait_for()
    assert page.get_by_role("heading", level=1).inner_text() == "empty"
    assert not visitor.unexpected_faults()
    visitor.context.close()


@pytest.mark.parametrize(
    "path", ["/", "/campaign/hostile/", "/campaign/hostile/halt/0/0", "/fireworks/", "/fireworks/fw/", "/fireworks/wf/"]
)
def test_what_somebody_hostile_wrote_is_text(visitor, path, hostile_number):
    page = visitor().goes_to(f"{path}{hostile_number}" if path.endswith(("/fw/", "/wf/")) else path)
    assert campaigns.SCRIPT[:20] in page.locator("body").inner_text()
    assert not page.locator("script:not([src]), img[src=x], [onerror]").count()
