"""For everybody: by keyboard, on a phone, in the dark, read aloud, and without JavaScript."""

import pytest

from tests.browser.conftest import PHONE, findings_of_axe

pytestmark = pytest.mark.real
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
every_page = pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)


@every_page
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(visitor, path, theme):
    page = visitor(color_scheme=theme).goes_to(path)
    assert not findings_of_axe(page)


@every_page
def test_phone_needs_no_scrolling_to_the_side(visitor, path):
    page = visitor(**PHONE).goes_to(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["viewport"]["width"]


@every_page
def test_numbers_are_there_without_javascript(visitor, path):
    page = visitor(java_script_enabled=False).goes_to(path)
    assert page.get_by_role("heading", level=1).count() == 1
