"""Charts for pages: what each shows of campaigns of every kind, as JSON that any browser reads."""

import json
from types import SimpleNamespace

import numpy as np
import plotly.graph_objects
import pytest
from ase.build import bulk

from mlip_fw.views.analysis.campaign_analysis import CampaignAnalysis
from mlip_fw.views.analysis.parity import Parity, WorstAtom
from mlip_fw.views.analysis.text import percent
from mlip_fw.views.analysis.trajectories import Segment, Trajectory
from mlip_fw.views.report import interactive
from mlip_fw.views.report.interactive.chart import as_text, log_axis, plain
from mlip_fw.views.report.interactive.scene import cutout_scene, frame_scene
from mlip_fw.views.report.log_ticks import log_ticks
from tests.helpers.written_campaigns import Scribe, hashed

OF_STORY = (
    interactive.gamma_chart,
    interactive.error_chart,
    interactive.halt_interval_chart,
    interactive.cost_chart,
)


def checked(chart):
    """Return a chart if it is plain JSON that plotly takes, with a sentence and a whole table."""
    assert json.loads(json.dumps(chart, allow_nan=False)) == chart
    plotly.graph_objects.Figure(data=chart["data"], layout=chart["layout"])
    assert chart["label"].endswith(".")
    assert all(len(row) == len(chart["table"]["columns"]) for row in chart["table"]["rows"])
    return chart


def named(chart, name):
    return next(trace for trace in chart["data"] if trace.get("name") == name)


@pytest.fixture(scope="module")
def scribe(tmp_path_factory):
    scribe = Scribe(tmp_path_factory.mktemp("charts") / "c")
    scribe.begin()
    scribe.turn(0, 0, [hashed(3)])
    scribe.turn(0, 1, [hashed(4)], steps=300)
    scribe.explore(0, 2, steps=600, outcome="finished")
    scribe.end()
    return scribe


@pytest.fixture
def analysis(scribe):
    return CampaignAnalysis(scribe.directory)


@pytest.fixture
def calm(tmp_path):
    scribe = Scribe(tmp_path / "calm")
    scribe.begin(("c" * 16,))
    scribe.explore(0, 0, steps=1000, outcome="finished")
    return CampaignAnalysis(scribe.directory)


@pytest.fixture
def empty(tmp_path):
    return CampaignAnalysis(Scribe(tmp_path / "empty").directory)


@pytest.mark.parametrize("draw", OF_STORY)
def test_every_campaign_has_its_charts(analysis, calm, empty, draw):
    for one in (analysis, calm, empty):
        checked(draw(one))


def test_gamma_has_halts_and_thresholds(analysis):
    chart = interactive.gamma_chart(analysis)
    halts = next(trace for trace in chart["data"] if trace.get("meta") == "halts")
    assert (halts["x"], halts["y"], halts["customdata"]) == ([100, 400], [11, 11], [[0, 0], [0, 1]])
    assert [shape["name"] for shape in chart["layout"]["shapes"]] == ["gamma_halt = 10", "gamma_select = 2"]
    assert "2 halts with γ from 11 to 11, the last at step 400" in chart["label"]
    assert [row[3] for row in chart["table"]["rows"]] == [100, 400]


def test_runs_of_one_walker_alternate_and_do_not_touch(analysis):
    first, second = interactive.gamma_chart(analysis)["data"][:2]
    assert first["x"][:2] == [0, 10]
    assert (first["x"][11], first["y"][11]) == (None, None)
    assert first["x"][12] == 400
    assert second["x"][0] == 100
    assert first["line"]["color"] != second["line"]["color"]


@pytest.mark.parametrize(("n", "names"), [(4, 4), (30, 1)])
def test_walkers_are_told_apart_as_long_as_they_are_few(analysis, n, names):
    segment = Segment(0, 0, 0, np.arange(5), np.full(5, 3.0))
    walkers = [Trajectory(k, k == n - 1, [segment], np.zeros((0, 2))) for k in range(n)]
    several = SimpleNamespace(trajectories=walkers, halts=[], campaign=analysis.campaign)
    lines = checked(interactive.gamma_chart(several))["data"]
    assert len(lines) == n
    assert sum(line["showlegend"] for line in lines) == names
    styles = {(line["line"]["color"], line["line"]["dash"]) for line in lines[:4]}
    assert len(styles) == 4


def test_numbers_that_json_does_not_know_are_gaps(analysis):
    gamma = np.array([1.0, np.nan, np.inf, 0.0, 2.0])
    walker = Trajectory(0, False, [Segment(0, 0, 0, np.arange(5), gamma)], np.zeros((0, 2)))
    strange = SimpleNamespace(trajectories=[walker], halts=[], campaign=analysis.campaign)
    (line,) = checked(interactive.gamma_chart(strange))["data"]
    assert line["y"] == [1, None, None, None, 2, None]


def test_two_hundred_runs_of_a_thousand_points_are_thinned(analysis):
    series = np.tile(np.arange(1.0, 1001.0), 1)
    segments = [Segment(k, 0, k, np.arange(1000 * k, 1000 * (k + 1)), series) for k in range(200)]
    long = SimpleNamespace(
        trajectories=[Trajectory(0, False, segments, np.zeros((0, 2)))], halts=[], campaign=analysis.campaign
    )
    chart = interactive.gamma_chart(long)
    assert len(json.dumps(chart)) < 400_000
    assert max(y for line in chart["data"] for y in line["y"] if y is not None) == 1000


def test_errors_against_labels(analysis):
    chart = interactive.error_chart(analysis)
    before, after = chart["data"][:2]
    assert (before["x"], before["y"]) == ([3, 4], [50, 33.3333])
    assert (after["x"], after["y"]) == ([2, 3, 4], [10, 10, 10])
    assert named(chart, "atoms trained on")["y"] == [8, 12, 16]
    assert before["marker"]["symbol"] != after["marker"]["symbol"]
    assert chart["table"]["rows"][0] == [0, 2, 8, None, 10, None, 1]


def test_intervals_grow(analysis):
    chart = interactive.halt_interval_chart(analysis)
    assert named(chart, "MD steps of a generation per halt")["y"] == [100, 300]
    assert named(chart, "no halt in so many steps")["y"] == [600]
    assert "generation 2 has run 600 steps without one" in chart["label"]


def test_ledger_adds_up(analysis):
    chart = interactive.cost_chart(analysis)
    (bars,) = chart["data"]
    assert sum(bars["x"]) == pytest.approx(100, abs=0.01)
    assert bars["y"][:3] == ["MD", "candidates", "labels"]
    assert bars["text"][0].endswith("%")


def test_scene_of_a_halt(analysis):
    chart = checked(interactive.halt_scene(analysis.halts[0]))
    cell, atoms, ring = chart["data"]
    assert atoms["marker"]["color"] == [1, 11, 2, 3]
    assert len([x for x in cell["x"] if x is not None]) == 24
    assert [ring[axis][0] for axis in "xyz"] == [atoms[axis][1] for axis in "xyz"]
    assert chart["layout"]["scene"]["annotations"][0]["text"] == "atom 1, γ 11"
    assert chart["layout"]["coloraxis"]["colorbar"]["title"]["text"] == "extrapolation grade γ"
    assert chart["table"]["rows"][0][:3] == [1, "Cu", 11]
    assert chart["cutout"] is None


def test_candidates_and_why(analysis):
    rows = interactive.halt_scene(analysis.halts[0])["candidates"]["rows"]
    assert rows[0] == [hashed(3), "halt_frame", None, None, "why not", "done"]
    assert rows[1][4].startswith("3 not chosen")


def test_scene_without_its_file(tmp_path):
    scribe = Scribe(tmp_path / "c")
    scribe.begin()
    (scribe.turn(0, 0, [hashed(3)]) / "halt.extxyz").unlink()
    chart = checked(interactive.halt_scene(CampaignAnalysis(scribe.directory).halts[0]))
    assert chart["data"] == []
    assert "is not there" in chart["label"]


def test_scene_without_gamma_is_grey():
    chart = checked(frame_scene(bulk("Cu", cubic=True), None, "Structure"))
    assert chart["data"][1]["marker"]["color"] == "#777777"
    assert "coloraxis" not in chart["layout"]


def test_scene_of_many_atoms_shows_those_around_the_worst():
    frame = bulk("Cu", cubic=True).repeat(8)
    frame.arrays["gamma"] = np.arange(2048.0)
    chart = checked(frame_scene(frame, None, "Structure", 500))
    atoms = chart["data"][1]
    assert len(atoms["x"]) == 500
    assert 2047 in atoms["customdata"]
    assert "shown are the 500 nearest to it" in chart["label"]


def test_largest_scene_can_be_sent():
    frame = bulk("Cu", cubic=True).repeat((10, 10, 13))[:5000]
    frame.arrays["gamma"] = np.linspace(0, 10, 5000)
    assert len(json.dumps(frame_scene(frame, 17, "Structure"))) < 400_000


def test_cutout_tells_what_is_trained_on_without_colour():
    cell = bulk("NaCl", "rocksalt", a=5.6)
    cell = cell.repeat(2)
    cell.arrays["mask"] = np.arange(len(cell)) < 10
    chart = checked(cutout_scene(cell))
    inside, outside = (trace for trace in chart["data"] if "text" in trace)
    assert (len(inside["x"]), len(outside["x"])) == (10, 6)
    assert inside["marker"]["symbol"] != outside["marker"]["symbol"]
    assert [trace["name"] for trace in chart["data"] if "name" in trace and "text" not in trace] == [
        "trained on",
        "left out",
    ]
    assert [row[2] for row in chart["table"]["rows"]].count("no") == 6
    assert inside["x"][0] == 0.0


@pytest.fixture
def parity():
    forces = np.column_stack([np.linspace(-5, 5, 9000)] * 2)
    forces[77, 1] += 3.0
    worst = [WorstAtom("label", 4, "<b>", 3.0)]
    return Parity(energies=np.array([[-1.0, -1.1], [-2.0, -2.0]]), forces=forces, worst=worst)


def test_parity_is_thinned_but_keeps_the_worst(parity):
    chart = checked(interactive.parity_chart(parity))
    shown = named(chart, "force component")
    assert len(shown["x"]) <= 3000
    assert max(abs(y - x) for x, y in zip(shown["x"], shown["y"], strict=True)) == pytest.approx(3.0)
    assert named(chart, "largest errors of forces")["x"][0] == pytest.approx(forces_at_77(), abs=1e-4)
    assert named(chart, "energy of a label, above the lowest")["x"] == [1000, 0]
    assert chart["table"]["rows"] == [["label", 4, "<b>", 3000]]


def forces_at_77():
    return np.linspace(-5, 5, 9000)[77]


def test_parity_of_nothing_and_of_nonsense():
    nothing = Parity(energies=np.zeros((0, 2)), forces=np.zeros((0, 2)), worst=[])
    assert "no labels yet" in checked(interactive.parity_chart(nothing))["label"]
    nonsense = Parity(energies=np.array([[1.0, np.nan]]), forces=np.array([[np.inf, 1.0], [1.0, 2.0]]), worst=[])
    assert named(checked(interactive.parity_chart(nonsense)), "force component")["x"] == [1]


def test_texts_from_outside_are_no_tags():
    assert as_text("<a href='x'>\u202e&") == "&lt;a href='x'&gt;\\u202e&amp;"


def test_plain_numbers():
    assert plain(np.array([1.23456789, np.nan])) == [1.23457, None]
    assert plain([np.int64(3), "x", None, [float("inf")]]) == [3, "x", None, [None]]


@pytest.mark.parametrize(
    ("low", "high", "ticks"), [(0.9, 11, [1, 2, 5, 10]), (1, 1e6, [1, 10, 100, 1e3, 1e4, 1e5, 1e6])]
)
def test_ticks_of_a_logarithmic_axis(low, high, ticks):
    assert [tick for tick in log_ticks(low, high) if tick in ticks] == ticks
    assert len(log_ticks(1e-30, 1e30)) <= 8


def test_logarithmic_axis_of_nothing():
    assert log_axis("x", [None, 0.0])["range"] == [-1, 1]


def test_small_shares_are_not_nothing():
    assert [percent(share) for share in (0.0, 0.001, 0.5)] == ["0 %", "under 1 %", "50 %"]
