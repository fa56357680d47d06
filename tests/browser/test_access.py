"""For everybody: read aloud, in the dark, on a phone, by keyboard, and without JavaScript."""

import pytest

from tests.helpers.browser import Visitor, findings_of_axe, settles

pytestmark = pytest.mark.real
PHONE = {"width": 360, "height": 740}
MAX_TABS = 15
CAN_HAVE_FOCUS = "a[href]:visible, summary:visible, [tabindex='0']:visible"
PAGES = {
    "list": "/",
    "campaign": "/campaign/finished/",
    "halt": "/campaign/finished/halt/0/0",
    "generation": "/campaign/finished/generation/1",
    "damaged": "/campaign/damaged/",
    "empty": "/campaign/empty/",
    "hostile": "/campaign/hostile/",
    "nothing": "/campaign/nothing/",
}


@pytest.fixture(scope="module")
def reader(chromium, site):
    """Return somebody who reads page after page."""
    one = Visitor(chromium, site)
    yield one
    one.context.close()
    assert not one.unexpected_faults()


@pytest.fixture(scope="module", params=PAGES.values(), ids=PAGES)
def page(request, reader):
    """Return each page in turn."""
    if request.param.endswith("/nothing/"):
        reader.expects("404")
    return reader.goes_to(request.param)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(page, theme):
    page.emulate_media(color_scheme=theme)
    assert not findings_of_axe(page)


def test_themes_differ(page):
    grounds = set()
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 2


def test_phone_needs_no_scrolling_to_the_side(page):
    usual = page.viewport_size
    page.set_viewport_size(PHONE)
    settles(lambda: page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"])
    page.set_viewport_size(usual)


@pytest.mark.parametrize("path", ["/fireworks/", "/fireworks/fw/1", "/fireworks/wf/1", "/fireworks/fw/COMPLETED/"])
def test_fireworks_pages_need_no_scrolling_to_the_side_either(visitor, path):
    page = visitor(viewport=PHONE, is_mobile=True).goes_to(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_charts_are_arranged_for_a_phone(visitor):
    page = visitor(viewport=PHONE, is_mobile=True).goes_to("/campaign/finished/halt/0/0")
    scene = page.locator("[data-chart=scene]")
    scene.locator("canvas").first.wait_for()
    assert scene.bounding_box()["height"] <= PHONE["width"] + 40
    page.goto(page.url.replace("halt/0/0", "generation/1?parity=1"))
    grounds = page.locator("[data-chart=parity] .bglayer rect, [data-chart=parity] .xaxislayer-above")
    grounds.first.wait_for()
    energies, forces = (page.locator(f"[data-chart=parity] .subplot.{name}").bounding_box() for name in ("xy", "x2y2"))
    assert forces["y"] > energies["y"] + energies["height"]


def test_everything_can_be_reached_and_seen_by_keyboard(page):
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    reached = [focused_after_tab(page)]
    while len(reached) < MAX_TABS and (one := focused_after_tab(page))["place"] > reached[-1]["place"]:
        reached.append(one)
    assert "skip to content" in reached[0]["text"]
    assert all(one["outline"] for one in reached)
    assert len(reached) in (MAX_TABS, page.locator(CAN_HAVE_FOCUS).count())


def focused_after_tab(page):
    """Press the tabulator and tell what has the focus then: its words, where in the document, and whether it shows."""
    page.keyboard.press("Tab")
    return page.evaluate(
        """() => {
            const one = document.activeElement, style = getComputedStyle(one);
            const order = Array.from(document.querySelectorAll("*")).indexOf(one);
            const outline = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
            return {text: one.textContent.slice(0, 60), place: order, outline: outline};
        }"""
    )


def test_details_open_by_enter(visitor):
    page = visitor().goes_to("/campaign/finished/")
    details = page.locator("#figure-gamma details")
    assert not details.locator("table").is_visible()
    details.locator("summary").focus()
    page.keyboard.press("Enter")
    details.locator("table").wait_for()
    assert details.locator("tbody tr").count() >= 3


@pytest.mark.parametrize("path", ["/", "/campaign/finished/", "/campaign/finished/halt/0/0"])
def test_numbers_are_there_without_javascript(visitor, path):
    page = visitor(java_script_enabled=False).goes_to(path)
    assert page.get_by_role("heading", level=1).is_visible()
    assert page.locator("table td:visible").count() > 5
