"""The report: one file that holds all that it shows, whatever stands in the campaign."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from ase.build import bulk

from mlip_fw.io.files import write_json
from mlip_fw.io.structures import write_frames
from mlip_fw.views.analysis.campaign_analysis import CampaignAnalysis
from mlip_fw.views.report.halt_structures import chosen_halts, halt_structures
from mlip_fw.views.report.html_report import _as_script, as_json, write_report
from tests.helpers.written_campaigns import Scribe, hashed

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&\u202e" + "x" * 5000


class Parsed(HTMLParser):
    """A page's tags, its addresses, its scripts and the text that is read."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.addresses, self.scripts, self.text, self.ids = [], [], [], "", []
        self._within = None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        facts = dict(attrs)
        self._within = facts.get("type", "code") if tag == "script" else tag if tag == "style" else None
        self.addresses += [value for name, value in attrs if name in ("src", "href", "action", "data")]
        self.ids += [facts["id"]] if "id" in facts else []

    def handle_endtag(self, tag):
        self._within = None

    def handle_data(self, data):
        if self._within is None:
            self.text += data
        elif self._within != "style":
            self.scripts.append((self._within, data))


def turns(root, n, **changes):
    scribe = Scribe(root, **changes)
    scribe.begin()
    for k in range(n):
        scribe.turn(0, k, [hashed(100 + k)], gamma_max=20.0 if k == 2 else 11.0)
    return scribe


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return the paths of the report of a campaign of 14 halts."""
    root = tmp_path_factory.mktemp("report")
    return write_report(turns(root / "c", 14).directory, root / "r.html")


@pytest.fixture(scope="module")
def page(written):
    return Parsed(written[0].read_text())


def test_nothing_is_fetched(page):
    assert page.addresses
    assert all(re.match(r"#|data:image/png;base64,", address) for address in page.addresses)
    assert not {"link", "iframe", "object", "embed"} & set(page.tags)


def test_figures_lie_beside_the_page(written):
    assert [path.name for path in written] == [
        "r.html",
        *(f"r-{name}.png" for name in ("gamma", "errors", "halt-intervals", "ledger")),
    ]
    assert all(path.is_file() for path in written)


def test_plotly_is_there_once_and_only_scripts_of_ours_may_run(written, page):
    code = [text for kind, text in page.scripts if kind == "code"]
    assert len(code) == 2
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', written[0].read_text()).group(1)
    policy = policy.replace("&#39;", "'")
    for script in code:
        assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy


def test_every_chart_has_its_data_a_picture_and_a_table(written, page):
    text = written[0].read_text()
    data = json.loads(next(text for kind, text in page.scripts if kind == "application/json"))
    asked = re.findall(r'data-chart="([^"]*)"', text)
    assert set(asked) == set(data)
    assert {"gamma", "errors", "intervals", "ledger", "halt-0-0"} <= set(asked)
    assert text.count("<img") == text.count('<img alt="') == len(asked)
    assert text.count("the same as a table") == len(asked)


def test_some_structures_are_shown_and_the_others_counted(page):
    shown = [name for name in page.ids if name.startswith("halt-0-")]
    assert shown == [f"halt-0-{k}" for k in (0, 2, *range(4, 14))]
    assert "This file shows 12 of 14 structures" in " ".join(page.text.split())


def test_halts_are_chosen_once(tmp_path):
    halts = CampaignAnalysis(turns(tmp_path / "c", 3).directory).halts
    assert chosen_halts(halts) == halts
    assert chosen_halts([]) == []


def test_an_empty_campaign_has_a_page(tmp_path):
    page = Parsed(write_report(Scribe(tmp_path / "c").directory, tmp_path / "r.html", formats=[])[0].read_text())
    assert "The MD has not halted." in page.text
    assert "No potential has been trained yet." in page.text


def test_damaged_files_are_listed(tmp_path):
    scribe = turns(tmp_path / "c", 1)
    (scribe.directory.cycle(0, 0) / "result.json").write_text("{")
    page = Parsed(write_report(scribe.directory, tmp_path / "r.html", formats=[])[0].read_text())
    assert "walkers/00/cycle_0000/result.json: not JSON" in page.text


def test_hostile_texts_are_shown_as_text(tmp_path):
    scribe = turns(tmp_path / "c", 1)
    record = {"hash": hashed(9), "reason": HOSTILE, "level_of_theory": {}, "n_atoms": 4}
    write_json(scribe.directory.root / "quarantine" / f"{hashed(9)}.json", record)
    folder = scribe.directory.cycle(0, 0)
    selection = json.loads((folder / "selection.json").read_text())
    selection["chosen"][0]["reason"] = HOSTILE
    selection["rejected"] = {HOSTILE: 3}
    write_json(folder / "selection.json", selection)
    page = Parsed(write_report(scribe.directory, tmp_path / "r.html", formats=[])[0].read_text())
    assert page.text.count("</script><img src=x onerror=alert(1)>") >= 3
    assert "\\u202e" in page.text
    assert HOSTILE not in page.text
    assert len([kind for kind, _ in page.scripts]) == 3
    assert all(address.startswith(("#", "data:")) for address in page.addresses)


def test_data_cannot_end_their_element():
    chart = {"x": {"data": ["</script><!--"], "layout": {}, "table": "left out"}}
    text = as_json(chart)
    assert "<" not in text
    assert json.loads(text) == {"x": {"data": ["</script><!--"], "layout": {}}}


def test_code_cannot_end_its_element():
    assert _as_script('a="</script>";\r\nb="<!--"') == 'a="<\\/script>";\nb="<\\!--"'


def test_twelve_large_structures_stay_under_ten_megabytes(tmp_path, written):
    scribe = turns(tmp_path / "c", 1)
    frame = bulk("Cu", cubic=True).repeat(9)
    frame.rattle(0.1, seed=1)
    frame.arrays["gamma"] = np.random.default_rng(1).random(len(frame))
    write_frames(scribe.directory.cycle(0, 0) / "halt.extxyz", [frame])
    (told,) = halt_structures(CampaignAnalysis(scribe.directory).halts).values()
    assert written[0].stat().st_size + 12 * (len(told.image) + len(as_json({"halt": told.scene}))) < 9e6
