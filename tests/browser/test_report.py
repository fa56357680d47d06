"""The report: one file, opened from disk, with the network off."""

import subprocess
import sys

import pytest

from tests.helpers.browser import Visitor, findings_of_axe, is_drawn

pytestmark = pytest.mark.real
MAX_BYTES = 10_000_000


@pytest.fixture(scope="module")
def report(finished, tmp_path_factory):
    """Return the report of the campaign that has run."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    command = [sys.executable, "-m", "mlip_fw", "report", finished / "campaigns" / "finished", "-o", path]
    subprocess.run(command, check=True, capture_output=True)
    return path


@pytest.fixture(scope="module")
def page(report, chromium):
    """Return the report in a browser that reaches nothing."""
    reader = Visitor(chromium, report.parent.as_uri())
    reader.context.set_offline(True)
    yield reader.goes_to("/report.html")
    reader.context.close()
    assert not reader.unexpected_faults()


def test_size(report):
    assert report.stat().st_size < MAX_BYTES


def test_charts_are_drawn(page):
    charts = page.locator(".js-plotly-plot:visible")
    assert charts.count() >= 4
    is_drawn(charts.first)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(page, theme):
    page.emulate_media(color_scheme=theme)
    assert not findings_of_axe(page)
