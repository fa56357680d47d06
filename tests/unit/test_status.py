"""The four answers: what each rests on, and that they are said in the same words wherever somebody looks."""

import html
import json
import re

import pytest
from typer.testing import CliRunner

import mlip_fw
from mlip_fw.cli.main import app
from mlip_fw.views.analysis.campaign_analysis import CampaignAnalysis
from mlip_fw.views.analysis.status import current_state, status_answers
from mlip_fw.views.analysis.text import duration, percent
from mlip_fw.views.report.html_report import write_report
from tests.helpers.web import make_finished, visitor
from tests.helpers.written_campaigns import Scribe, hashed

A, B, C, D = (hashed(n) for n in range(0xA, 0xE))


@pytest.fixture
def scribe(tmp_path):
    scribe = Scribe(tmp_path / "c")
    scribe.begin((A, B))
    return scribe


def said(scribe):
    """Return (answer, more, mood) of learning, waiting, cost and quality; the error comes before them."""
    return [(one.answer, one.more, one.mood) for one in status_answers(CampaignAnalysis(scribe.directory))[1:]]


class TestLearning:
    def learning(self, scribe):
        return said(scribe)[0]

    def test_before_md(self, scribe):
        assert self.learning(scribe) == ("no MD yet", "1 generation", "")

    def test_without_a_halt(self, scribe):
        scribe.explore(0, 0, steps=1000, outcome="finished")
        assert self.learning(scribe) == ("no halt yet", "1,000 MD steps without a halt", "")
        scribe.end()
        assert self.learning(scribe) == ("nothing to learn", "1,000 MD steps without a halt", "good")

    def test_after_the_first_halt(self, scribe):
        scribe.turn(0, 0, [C])
        assert self.learning(scribe) == ("too early to say", "MD steps per halt: 100 with generation 0", "")

    def test_one_that_comes_further(self, scribe):
        scribe.turn(0, 0, [C])
        scribe.turn(0, 1, [D], steps=200)
        more = "MD steps per halt: 100 with generation 0, 200 with generation 1"
        assert self.learning(scribe) == ("yes", more, "good")

    @pytest.mark.parametrize("steps", [50, 150])
    def test_one_that_hardly_does(self, scribe, steps):
        scribe.turn(0, 0, [C])
        scribe.turn(0, 1, [D], steps=steps)
        assert self.learning(scribe)[::2] == ("not clearly", "")

    def test_one_that_has_not_halted_yet_counts_when_it_has_come_further(self, scribe):
        scribe.turn(0, 0, [C])
        scribe.turn(0, 1, [D], steps=200)
        folder = scribe.explore(0, 2, steps=150, outcome=None)
        assert "200 with generation 1" in self.learning(scribe)[1]
        (folder / "gamma.dat").write_text("300 1\n900 1\n")
        assert "600 (no halt) with generation 2" in self.learning(scribe)[1]


class TestWaiting:
    def waiting(self, scribe):
        return said(scribe)[1]

    def test_how_it_ended(self, scribe):
        scribe.end()
        assert self.waiting(scribe) == ("nothing", "finished: the MD has reached its end", "good")
        scribe.end("STOPPED", "max_cycles")
        assert self.waiting(scribe) == ("nothing", "stopped: max cycles", "bad")

    def test_an_interrupted_run(self, scribe):
        assert self.waiting(scribe) == ("to be resumed", "interrupted; run the same command to resume", "bad")
        assert current_state(CampaignAnalysis(scribe.directory)) == "interrupted"

    def test_a_worker_or_what_is_at_work(self, scribe):
        scribe.explore(0, 0, outcome=None)
        with scribe.directory.locked():
            assert self.waiting(scribe) == ("a worker", "walkers by state: 1 explore", "")
            with scribe.directory.work_locked("md-00-0000"):
                assert self.waiting(scribe)[0] == "MD, step 100 of 1,000"
                assert current_state(CampaignAnalysis(scribe.directory)) == "explore"

    def test_a_validation_that_is_not_done(self, tmp_path):
        scribe = Scribe(tmp_path / "validated", validation={"n_frames": 3})
        scribe.begin((A, B))
        scribe.explore(0, 0, steps=1000, outcome="finished")
        with scribe.directory.locked():
            assert self.waiting(scribe)[0] == "the validation"

    def test_an_audit_comes_before_a_validation(self, tmp_path):
        scribe = Scribe(tmp_path / "audited", validation={"n_frames": 3}, accuracy={})
        scribe.begin((A, B))
        scribe.explore(0, 0, steps=1000, outcome="finished")
        with scribe.directory.locked():
            assert self.waiting(scribe)[0] == "the audit"

    def test_of_several_walkers_the_most(self, tmp_path):
        stage = {"ensemble": "nvt", "n_steps": 1000, "temperature_k": 300.0}
        scribe = Scribe(tmp_path / "three", md={"walkers": 3, "stages": [stage]})
        scribe.begin((A, B))
        folder = scribe.explore(0, 0)
        scribe.choose(folder, [C, D], 0, 0, 0)
        with scribe.directory.locked():
            told = ("a worker (2 of 3 walkers)", "walkers by state: 2 waiting, 1 label", "")
            assert self.waiting(scribe) == told


class TestCost:
    def test_parts_of_the_time_and_failures(self, scribe):
        scribe.fail(C, took=10)
        scribe.explore(0, 0, took=32, outcome="finished")
        assert said(scribe)[2] == (
            "2 labels, 1 failed, 1 min 4 s of computing",
            "MD 50 %, labels 47 %, training 3 %; 15 s per label; 1 min 4 s elapsed",
            "",
        )

    def test_a_night_between_two_sessions_is_no_computing(self, scribe):
        scribe.explore(0, 0, took=38, outcome="walltime")
        scribe.clock += 9 * 3600
        scribe.tell("run_started", campaign="cu-story", process=2)
        scribe.explore(0, 1, took=60, outcome="finished")
        scribe.end()
        answer, more, _ = said(scribe)[2]
        assert answer == "2 labels, 2 min of computing"
        assert more == "MD 82 %, labels 17 %, training 2 %; 10 s per label; 9 h 2 min elapsed"

    def test_time_in_the_queue_of_a_launchpad_is_no_computing(self, scribe):
        scribe.clock += 9 * 3600
        scribe.explore(0, 0, took=38, outcome="finished")
        scribe.end()
        answer, more, _ = said(scribe)[2]
        assert answer == "2 labels, 1 min of computing"
        assert more == "MD 63 %, labels 33 %, training 3 %; 10 s per label; 9 h 1 min elapsed"

    def test_labels_of_a_validation_are_not_the_campaigns(self, scribe):
        scribe.explore(0, 0, took=28, outcome="finished")
        scribe.end()
        scribe.clock += 24 * 3600
        scribe.label(C, took=30, apart=True)
        scribe.label(D, took=20, apart=True)
        assert said(scribe)[2][:2] == (
            "2 labels, 1 min 40 s of computing",
            "MD 28 %, labels 20 %, training 2 %, validation 50 %; 10 s per label; 2 more labels for the validation; "
            "1 d elapsed",
        )

    def test_imported_labels_cost_nothing(self, scribe):
        scribe.dataset.mark_imported(C)
        scribe.label(C, took=0.0, code="imported from old.extxyz")
        assert said(scribe)[2][0] == "2 labels, 22 s of computing"

    def test_core_hours_only_if_all_are_known(self, tmp_path):
        scribe = Scribe(tmp_path / "cores")
        scribe.label(A, took=1800, cores=16)
        assert said(scribe)[2][:2] == (
            "1 label, 30 min of computing",
            "labels 100 %; 30 min per label; 8 core-hours; 30 min elapsed",
        )
        scribe.train()
        assert "core-hours" not in said(scribe)[2][1]

    def test_before_anything(self, tmp_path):
        assert said(Scribe(tmp_path / "new"))[2] == ("0 labels, 0 s of computing", "", "")


class TestQuality:
    def test_before_training(self, tmp_path):
        assert said(Scribe(tmp_path / "new"))[3] == ("nothing trained yet", "", "")

    def test_training_errors_are_called_so(self, scribe):
        assert said(scribe)[3] == (
            "force RMSE 10.0 meV/Å (training set)",
            "energy RMSE 1.00 meV/atom (training set)",
            "",
        )

    def test_errors_on_new_labels_come_before_training_errors(self, scribe):
        scribe.turn(0, 0, [C])
        assert said(scribe)[3] == (
            "force RMSE 50.0 meV/Å on 1 new label",
            "energy RMSE 10.00 meV/atom; generation 0, before training on them; training set 10.0 meV/Å",
            "",
        )

    def test_errors_on_held_out_frames_come_first(self, scribe):
        scribe.turn(0, 0, [C])
        scribe.validate(generation=1, force_rms_ev_a=0.4)
        assert said(scribe)[3] == (
            "force RMSE 20.0 meV/Å on 10 held-out frames",
            "5 % of the rms force; energy RMSE 2.00 meV/atom; training set 10.0 meV/Å",
            "",
        )

    def test_a_validation_of_an_older_generation_says_so(self, scribe):
        scribe.validate(generation=0)
        scribe.turn(0, 0, [C])
        assert "generation 0; the newest, 1, is not validated" in said(scribe)[3][1]

    def test_a_bad_potential_is_marked(self, scribe):
        scribe.validate(generation=0, force_rms_ev_a=0.05)
        answer, more, mood = said(scribe)[3]
        assert (answer, mood) == ("force RMSE 20.0 meV/Å on 10 held-out frames", "bad")
        assert more.startswith("40 % of the rms force")

    def test_a_validation_without_frames_tells_no_error(self, scribe):
        scribe.validate(generation=0, holdout=None)
        assert said(scribe)[3][0] == "force RMSE 10.0 meV/Å (training set)"

    def test_one_that_md_does_not_use(self, scribe):
        facts = {"least_dimer_slope_ev_a": 1.0, "energy_drift_ev_atom": 0.1, "temperature_k": 300.0, "seconds": 1.0}
        scribe.train(stability={"sound": False, "reasons": ["it melts"], **facts})
        assert said(scribe)[3] == ("the newest generation is refused for MD", "it melts", "bad")


class TestEverywhere:
    @pytest.fixture(scope="class")
    def told(self, tmp_path_factory):
        scribe = make_finished(tmp_path_factory.mktemp("told") / "cu-story")
        return scribe.directory, status_answers(CampaignAnalysis(scribe.directory))

    @staticmethod
    def plain(page):
        """Return the text of a page, one space between words."""
        return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())

    def test_they_are_five(self, told):
        assert [one.question for one in told[1]] == [
            "How large is the error?",
            "Is it learning?",
            "What does it wait for?",
            "What has it cost?",
            "Is it any good?",
        ]

    def test_page(self, told):
        page = self.plain(visitor([told[0].root.parent]).get("/campaign/cu-story/").text)
        assert all(f"{one.question} {one.answer} {one.more}" in page for one in told[1])

    def test_report(self, told, tmp_path):
        page = self.plain(write_report(told[0], tmp_path / "r.html", formats=[])[0].read_text())
        assert all(f"{one.question} {one.answer} {one.more}" in page for one in told[1])

    def test_terminal(self, told):
        screen = CliRunner().invoke(app, ["status", str(told[0].root)], env={"COLUMNS": "300"}).stdout
        lines = [" ".join(line.split()) for line in screen.splitlines()]
        assert all(f"{one.question} {one.answer}; {one.more}" in lines for one in told[1])

    def test_json(self, told):
        found = json.loads(CliRunner().invoke(app, ["status", str(told[0].root), "--json"]).stdout)
        assert found["answers"] == [vars(one) for one in told[1]]

    def test_notebook(self, told):
        loaded = mlip_fw.load(told[0].root)
        assert loaded.answers == told[1]
        shown = self.plain(loaded._repr_html_())
        assert all(f"{one.question} {one}" in shown for one in told[1])


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0, "0 s"),
        (0.0689, "0.069 s"),
        (0.96, "1.0 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (3600 * 3 + 59, "3 h"),
        (86400 * 1.5, "1 d 12 h"),
    ],
)
def test_durations(seconds, said):
    assert duration(seconds) == said


def test_shares():
    assert [percent(share) for share in (0.0, 0.001, 0.006, 1.0)] == ["0 %", "under 1 %", "1 %", "100 %"]
