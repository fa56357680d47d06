"""The pages as a visitor finds them: a campaign that has run, one that is damaged, one that is empty."""

import re

import pytest

from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.summary import md_results
from tests.helpers.browser import is_drawn

pytestmark = pytest.mark.real
CHARTS = ("gamma", "errors", "intervals", "ledger")


@pytest.fixture(scope="module")
def halts(finished):
    """Return the halts of the campaign that has run."""
    results = md_results(CampaignDirectory(finished / "campaigns" / "finished"))
    return [result for result in results if result.outcome == "halted"]


def test_list_has_all_campaigns_with_their_states(visitor):
    page = visitor().goes_to("/")
    for name, state in (("finished", "converged"), ("running", "explore"), ("empty", "waiting")):
        row = page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))
        assert state in row.inner_text().lower()


def test_from_the_list_to_a_campaign(visitor, halts):
    page = visitor().goes_to("/")
    page.get_by_role("link", name="finished", exact=True).click()
    page.wait_for_url("**/campaign/finished/")
    assert "finished" in page.get_by_role("heading", level=1).inner_text()
    for result in halts:
        assert page.get_by_role("row").filter(has_text=f"{result.step:,}").count()


def test_charts_are_drawn_and_told_in_words(visitor):
    page = visitor().goes_to("/campaign/finished/")
    for name in CHARTS:
        chart = page.locator(f"[data-chart={name}]")
        chart.locator(".main-svg").first.wait_for()
        is_drawn(chart)
        assert len(chart.get_attribute("aria-label").split()) > 5


def test_from_a_halt_to_its_structure(visitor, halts):
    page = visitor().goes_to("/campaign/finished/")
    halt = halts[0]
    page.locator(f"a[href$='/halt/{halt.walker}/{halt.cycle}']").first.click()
    canvas = page.locator("[data-chart=scene] canvas").first
    canvas.wait_for()
    is_drawn(page.locator("[data-chart=scene]"))
    text = page.locator("main").inner_text()
    assert f"{halt.step:,}" in text
    assert f"{halt.gamma_max:.1f}" in text or f"{halt.gamma_max:.3g}" in text


def test_number_leads_to_its_firework(visitor):
    page = visitor().goes_to("/campaign/finished/")
    for table in ("walkers", "halts", "generations", "labels"):
        assert page.locator(f"#{table} a[href*='/fireworks/fw/']").count() >= 2, table
    link = page.locator("a[href*='/fireworks/fw/']").first
    number = re.search(r"/fw/(\d+)", link.get_attribute("href"))[1]
    link.click()
    page.wait_for_url(f"**/fireworks/fw/{number}*")
    assert "finished" in page.locator("body").inner_text()
    page.get_by_role("link", name="all campaigns").click()
    page.wait_for_url(re.compile(r":\d+/$"))


def test_generation_shows_itself_against_the_reference(visitor):
    page = visitor().goes_to("/campaign/finished/")
    page.locator("#generations").get_by_role("link", name="3", exact=True).click()
    chart = page.locator("[data-chart=parity]")
    chart.locator(".main-svg").first.wait_for()
    is_drawn(chart)
    assert page.locator("main").get_by_role("row").count() > 3


def test_damaged_files_are_named(visitor):
    page = visitor().goes_to("/campaign/damaged/")
    page.get_by_text("damaged file").first.click()
    assert "walkers/00/cycle_0000/result.json" in page.locator("#answers").inner_text()
    page.locator("[data-chart=gamma] .main-svg").first.wait_for()


def test_empty_campaign_says_that_nothing_has_begun(visitor):
    page = visitor().goes_to("/campaign/empty/")
    for words in ("the first structures", "No halt yet", "No potential has been trained yet"):
        page.get_by_text(words).first.wait_for()
