"""Figures for papers: as wide as a column, with text that stays text, of campaigns of every kind."""

import xml.etree.ElementTree as ElementTree
from types import SimpleNamespace

import numpy as np
import pytest

from mlip_fw.views.analysis.campaign_analysis import CampaignAnalysis
from mlip_fw.views.analysis.parity import Parity
from mlip_fw.views.analysis.trajectories import Segment, Trajectory
from mlip_fw.views.report import figures
from mlip_fw.views.report.all_figures import draw_figures, save_all
from mlip_fw.views.report.figure_format import Format
from mlip_fw.views.report.figures.output import as_bytes
from tests.helpers.written_campaigns import Scribe, hashed

OF_STORY = (figures.gamma_figure, figures.error_figure, figures.halt_interval_figure, figures.cost_figure)


@pytest.fixture(scope="module")
def analysis(tmp_path_factory):
    scribe = Scribe(tmp_path_factory.mktemp("figures") / "c")
    scribe.begin()
    scribe.turn(0, 0, [hashed(3)])
    scribe.explore(0, 1, steps=600, outcome="finished")
    return CampaignAnalysis(scribe.directory)


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    return CampaignAnalysis(Scribe(tmp_path_factory.mktemp("figures") / "empty").directory)


def texts(figure):
    figure.draw_without_rendering()
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return legends + [text.get_text() for axes in figure.axes for text in (*axes.texts, axes.xaxis.label)]


def visible_ticks(axis):
    low, high = sorted(axis.get_view_interval())
    return [
        t.get_text()
        for t, place in zip(axis.get_ticklabels(), axis.get_ticklocs(), strict=True)
        if low <= place <= high
    ]


@pytest.mark.parametrize("draw", OF_STORY)
def test_each_fits_a_column(analysis, empty, draw):
    for one in (analysis, empty):
        figure = draw(one)
        assert figure.get_figwidth() == 3.4
        assert as_bytes(figure, dpi=50).startswith(b"\x89PNG")


def test_gamma_names_halts_and_thresholds(analysis):
    assert {"halt", "gamma_halt = 10", "gamma_select = 2", "MD step"} <= set(texts(figures.gamma_figure(analysis)))


@pytest.mark.parametrize(("n", "panels"), [(1, 1), (4, 4), (12, 1)])
def test_a_panel_for_each_walker_as_long_as_they_are_few(analysis, n, panels):
    segment = Segment(0, 0, 0, np.arange(5), np.full(5, 3.0))
    walkers = [Trajectory(k, k == n - 1, [segment], np.zeros((0, 2))) for k in range(n)]
    figure = figures.gamma_figure(SimpleNamespace(trajectories=walkers, campaign=analysis.campaign))
    assert len(figure.axes) == panels
    if panels > 1:
        assert figure.axes[-1].get_title(loc="left") == "walker 3 (rehearsal)"


def test_one_label_has_one_tick(tmp_path):
    scribe = Scribe(tmp_path / "c")
    scribe.begin(("c" * 16,))
    figure = figures.error_figure(CampaignAnalysis(scribe.directory))
    figure.draw_without_rendering()
    assert visible_ticks(figure.axes[-1].xaxis) == ["0", "1", "2"]


def test_what_is_empty_says_so(empty):
    for figure_of in (
        figures.gamma_figure,
        figures.error_figure,
        figures.halt_interval_figure,
        figures.calibration_figure,
    ):
        assert "nothing yet" in texts(figure_of(empty))


def test_halted_structure_marks_the_worst_atom(analysis, tmp_path):
    figure = figures.halt_figure(analysis.halts[0])
    assert "atom 1" in texts(figure)
    assert figure.axes[1].get_ylabel() == "extrapolation grade γ"
    (atoms,) = (c for c in figure.axes[0].collections if len(c.get_offsets()) == 4)
    # the worst atom is drawn last, and so nothing hides it
    assert atoms.get_array()[-1] == 11.0
    (left, right), radii = figure.axes[0].get_xlim(), atoms.get_widths() / 2
    assert left < (atoms.get_offsets()[:, 0] - radii).min() < (atoms.get_offsets()[:, 0] + radii).max() < right


def test_no_figure_of_a_structure_that_is_gone(tmp_path):
    scribe = Scribe(tmp_path / "c")
    scribe.begin()
    (scribe.turn(0, 0, [hashed(3)]) / "halt.extxyz").unlink()
    assert figures.halt_figure(CampaignAnalysis(scribe.directory).halts[0]) is None


def test_parity_shows_the_largest_errors():
    forces = np.column_stack([np.arange(50.0), np.arange(50.0)])
    forces[7, 1] = 30.0
    figure = figures.parity_figure(Parity(np.array([[-1.0, -1.1], [-2.0, -2.0]]), forces, []))
    worst = figure.axes[1].lines[-1]
    assert worst.get_xdata()[0] == 7.0
    assert "energy of a label, above the lowest" in texts(figure)


def test_svg_keeps_its_text_and_is_the_same_each_time(analysis, tmp_path):
    first, again = (as_bytes(figures.cost_figure(analysis), Format.SVG) for _ in range(2))
    assert first == again
    said = " ".join(ElementTree.fromstring(first).itertext())
    assert "share of the wall time (%)" in said
    assert "candidates" in said


@pytest.mark.slow
def test_figures_are_written_under_their_names_in_each_format(analysis, tmp_path):
    told = []
    # without the files of the potentials, there is no calibration
    drawn = draw_figures(analysis, None, told.append)
    assert list(drawn) == ["gamma", "errors", "halt-intervals", "ledger"]
    assert any(what.startswith("no figure of calibration") for what in told)
    sample = {"ledger": drawn["ledger"], "gamma": drawn["gamma"]}
    paths = save_all(sample, tmp_path / "f", [Format.SVG, Format.PDF])
    assert [path.name for path in paths] == ["ledger.svg", "ledger.pdf", "gamma.svg", "gamma.pdf"]
    assert all(path.stat().st_size > 1000 for path in paths)
