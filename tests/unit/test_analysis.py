"""The analysis of a campaign: each part of it, for whole, running and damaged directories."""

import json
import os
import shutil

import numpy as np
import pytest

from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.file_cache import FileCache
from mlip_fw.campaign.summary import summarize
from mlip_fw.errors import DirectoryError, MlipError
from mlip_fw.views.analysis.campaign_analysis import CampaignAnalysis
from mlip_fw.views.analysis.walkers import Phase
from mlip_fw.views.report.summary_table import summary_rows
from tests.helpers.written_campaigns import START, Scribe, hashed

A, B, C, D = (hashed(n) for n in range(0xA, 0xE))
PARTS = (
    "summary",
    "walkers",
    "trajectories",
    "halts",
    "generations",
    "labels",
    "quarantine",
    "costs",
    "damaged",
    "events",
)


def everything(directory, cache=None):
    analysis = CampaignAnalysis(directory, cache)
    return {part: getattr(analysis, part) for part in PARTS}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    scribe = Scribe(tmp_path_factory.mktemp("story") / "finished")
    scribe.begin((A, B))
    scribe.turn(0, 0, [C])
    scribe.turn(0, 1, [D], steps=300)
    scribe.explore(0, 2, steps=600, outcome="finished")
    scribe.end()
    return scribe


@pytest.fixture
def analysis(finished):
    return CampaignAnalysis(finished.directory)


def test_its_summary_is_that_of_the_run(finished, analysis):
    assert analysis.summary == summarize(finished.directory)
    assert (analysis.summary.outcome, analysis.summary.halts, analysis.summary.labels) == ("CONVERGED", 2, 4)


def test_where_the_walker_is(analysis):
    (walker,) = analysis.walkers
    assert (walker.phase, walker.step, walker.last_step, walker.cycle) == (Phase.CONVERGED, 1000, 1000, 2)
    assert (walker.generation, walker.is_rehearsal, walker.waiting_for) == (2, False, "")


def test_gamma_against_step(analysis):
    (trajectory,) = analysis.trajectories
    assert [(s.cycle, s.generation, len(s.steps)) for s in trajectory.segments] == [(0, 0, 11), (1, 1, 31), (2, 2, 61)]
    assert trajectory.halts.tolist() == [[100, 11], [400, 11]]
    assert trajectory.segments[1].steps[[0, -1]].tolist() == [100, 400]
    assert trajectory.segments[0].gamma[[0, -1]].tolist() == [1, 11]


def test_halts(analysis):
    first, second = analysis.halts
    assert (first.step, first.gamma_max, first.generation, first.atom) == (100, 11.0, 0, 1)
    assert (first.steps_since, second.steps_since) == (100, 300)
    assert first.labels == [(C, "done")]
    assert first.time == START + 22 + 20
    # one second of selection, ten of labelling, two of training
    assert (first.seconds_to_resume, second.seconds_to_resume) == (13.0, 13.0)
    assert first.selection is not None
    assert first.selection.chosen[0].hash == C
    assert first.frame().arrays["gamma"].tolist() == [1, 11, 2, 3]
    assert (first.candidates(), first.selected()) == ([], [])


def test_generations(analysis):
    facts = [(g.number, g.md_steps, g.halts, g.steps_to_halt) for g in analysis.generations]
    assert facts == [(0, 100, 1, 100.0), (1, 300, 1, 300.0), (2, 600, 0, None)]
    assert [g.time for g in analysis.generations] == [START + 22, START + 55, START + 88]
    assert analysis.generations[0].seconds_md == 20.0
    assert analysis.generations[0].refused == []


def test_labels(analysis):
    facts = [(row.hash, row.origin, row.cycle, row.learnt_by, row.strategy) for row in analysis.labels]
    assert facts == [
        (A, "bootstrap", None, 0, "bootstrap"),
        (B, "bootstrap", None, 0, "bootstrap"),
        (C, "w00 c0000", 0, 1, "halt_frame"),
        (D, "w00 c0001", 1, 2, "halt_frame"),
    ]
    row = analysis.labels[2]
    assert (row.formula, row.n_atoms, row.n_trained, row.seconds, row.code) == ("Cu4", 4, 4, 10.0, "ase emt")
    assert row.time == START + 53


def test_costs(analysis):
    costs = analysis.costs
    # 4 labels of 10 s, 3 trainings of 2 s, 3 MD runs of 20 s, 2 selections of 1 s
    assert (costs.md_s, costs.label_s, costs.train_s) == (60.0, 40.0, 6.0)
    assert costs.wall_s == pytest.approx(108)
    assert costs.waiting_s == pytest.approx(0, abs=1e-6)
    assert costs.shares["label"] == pytest.approx(40 / 108)
    assert sum(costs.shares.values()) == pytest.approx(1)
    assert (costs.labels, costs.seconds_per_label) == (4, 10.0)


def test_side_by_side_a_moment_is_divided(tmp_path):
    scribe = Scribe(tmp_path / "c", md=two_walkers())
    scribe.begin((A, B))
    scribe.explore(0, 0, took=10)
    scribe.clock -= 10
    scribe.explore(1, 0, took=30)
    scribe.clock += 28
    scribe.end()
    costs = CampaignAnalysis(scribe.directory).costs
    assert (costs.wall_s, costs.run_s, costs.md_s) == (80, 52, 40)
    assert costs.shares == pytest.approx(
        {"md": 30 / 80, "candidates": 0, "label": 20 / 80, "train": 2 / 80, "validation": 0, "waiting": 28 / 80}
    )


def test_core_hours_only_where_all_cores_are_recorded(tmp_path):
    scribe = Scribe(tmp_path / "c")
    for name, cores in ((A, 16), (B, 8)):
        scribe.label(name, took=1800, cores=cores)
    scribe.train()
    scribe.explore(0, 0, took=3600, cores=4)
    scribe.explore(0, 1, took=1800, cores=2, outcome="finished")
    hours = CampaignAnalysis(scribe.directory).costs.core_hours
    assert hours == {"md": 5.0, "candidates": 0.0, "label": 12.0, "train": None, "validation": 0.0}


def test_a_label_of_several_jobs_is_counted_once(tmp_path):
    scribe = Scribe(tmp_path / "c")
    scribe.tell("label_out_of_time", 50, label=A)
    scribe.clock += 100
    # the label knows the seconds of all its parts
    scribe.clock -= 50
    scribe.label(A, took=70)
    scribe.end()
    costs = CampaignAnalysis(scribe.directory).costs
    assert (costs.wall_s, costs.label_s) == (170, 70)
    assert costs.shares["label"] == pytest.approx(70 / 170)


def two_walkers(stages=1):
    stage = {"ensemble": "nvt", "n_steps": 1000, "temperature_k": 300.0}
    return {"walkers": 2, "stages": [stage] * stages}


def test_phases_of_a_turn(tmp_path):
    scribe = Scribe(tmp_path / "c", md=two_walkers(2))
    directory = scribe.directory

    def seen(walker=0):
        state = CampaignAnalysis(directory).walkers[walker]
        return state.phase, state.waiting_for

    assert seen() == (Phase.WAITING, "the first structures")
    scribe.choose(directory.bootstrap, (A, B))
    scribe.label(A)
    assert seen() == (Phase.LABEL, "1 of 2 first labels")
    scribe.label(B)
    assert seen() == (Phase.TRAIN, "the first potential")
    scribe.train()
    assert seen() == (Phase.WAITING, "a worker")
    folder = scribe.explore(0, 0, outcome=None)
    # no process holds this run
    assert seen() == (Phase.EXPLORE, "a worker")
    assert (CampaignAnalysis(directory).walkers[0].step, CampaignAnalysis(directory).walkers[0].gamma) == (100, 11.0)
    shutil.rmtree(folder)
    scribe.explore(0, 0)
    assert seen() == (Phase.SELECT, "a worker")
    scribe.choose(folder, [C, D], 0, 0, 0)
    scribe.label(C)
    assert seen() == (Phase.LABEL, "1 of 2 labels")
    scribe.fail(D)
    assert seen() == (Phase.TRAIN, "a worker")
    scribe.train()
    assert seen() == (Phase.WAITING, "a worker")
    scribe.explore(0, 1, outcome="walltime")
    assert seen() == (Phase.WAITING, "a worker")
    scribe.explore(0, 2, outcome="finished")
    assert seen() == (Phase.WAITING, "a worker")
    scribe.explore(0, 3, outcome="finished", stage=1)
    assert seen() == (Phase.CONVERGED, "")
    assert seen(1) == (Phase.WAITING, "a worker")
    scribe.end("STOPPED", "label_failures")
    assert [seen(0)[0], seen(1)[0]] == [Phase.CONVERGED, Phase.STOPPED]


def test_one_that_works_waits_for_nothing(tmp_path):
    scribe = Scribe(tmp_path / "c")
    scribe.begin((A, B))
    scribe.explore(0, 0, outcome=None)
    with scribe.directory.work_locked("md-00-0000"):
        assert CampaignAnalysis(scribe.directory).walkers[0].waiting_for == ""


def test_a_walker_that_stopped_for_its_budget(tmp_path):
    scribe = Scribe(tmp_path / "c")
    scribe.begin((A, B))
    scribe.explore(0, 0)
    scribe.tell("stopped", walker=0, cycle=0, step=100, reason="max_cycles")
    assert CampaignAnalysis(scribe.directory).walkers[0].phase is Phase.STOPPED


def test_pacemaker_at_work(tmp_path):
    scribe = Scribe(tmp_path / "c")
    scribe.begin((A, B))
    scribe.turn(0, 0, [C])
    folder = scribe.directory.refining
    folder.mkdir()
    (folder / "metrics.txt").write_text("iter_num loss rmse_epa rmse_f_comp\n40 0.1 0.01 0.02\n")
    walker = CampaignAnalysis(scribe.directory).walkers[0]
    assert (walker.phase, walker.waiting_for) == (Phase.TRAIN, "pacemaker step 40")


def test_rehearsals_come_last_and_the_others_wait_for_them(tmp_path):
    scribe = Scribe(tmp_path / "c")
    scribe.begin((A, B))
    scribe.explore(1, 0)
    walkers = CampaignAnalysis(scribe.directory).walkers
    assert [(w.walker, w.is_rehearsal, w.waiting_for) for w in walkers] == [
        (0, False, "the rehearsal"),
        (1, True, "a worker"),
    ]
    assert CampaignAnalysis(scribe.directory).trajectories[0].is_rehearsal


def test_a_crash_that_was_learnt_from(tmp_path):
    scribe = Scribe(tmp_path / "c")
    scribe.begin((A, B))
    scribe.explore(0, 0, outcome="crashed", gamma_max=30.0, frame="crash.extxyz")
    (halt,) = CampaignAnalysis(scribe.directory).halts
    assert (halt.is_crash, halt.gamma_max, halt.frame()) == (True, 30.0, None)
    assert CampaignAnalysis(scribe.directory).summary.halts == 0
    assert CampaignAnalysis(scribe.directory).generations[0].halts == 1


def test_temperature_of_a_halt_is_the_measured_one(tmp_path):
    """As the result says, or of one by an earlier version its log; the target is told apart."""
    scribe = Scribe(tmp_path / "c")
    scribe.begin((A, B))
    scribe.explore(0, 0, temperature_k=540.0, measured_temperature_k=229.8)
    folder = scribe.explore(0, 1, temperature_k=600.0)
    (folder / "log.lammps").write_text("Step Temp Volume\n190 610 11\n200 480.5 12\n")
    scribe.explore(0, 2, temperature_k=700.0)
    halts = CampaignAnalysis(scribe.directory).halts
    assert [halt.temperature_k for halt in halts] == [229.8, 480.5, None]
    assert [halt.target_temperature_k for halt in halts] == [540.0, 600.0, 700.0]


def test_what_comes_after_the_end_is_a_session_of_its_own(tmp_path):
    scribe = Scribe(tmp_path / "c")
    scribe.begin((A, B))
    scribe.end()
    before = CampaignAnalysis(scribe.directory).summary.seconds.total
    scribe.clock += 9 * 3600
    scribe.label(C, took=30, apart=True)
    scribe.tell("validated", 5)
    assert CampaignAnalysis(scribe.directory).summary.seconds.total == before + 35
    costs = CampaignAnalysis(scribe.directory).costs
    assert (costs.run_s, costs.elapsed_s, costs.waiting_s) == (before + 35, before + 9 * 3600 + 35, 0)


def test_errors_of_the_summary_by_what_they_were_measured_on(tmp_path):
    scribe = Scribe(tmp_path / "c")
    scribe.begin((A, B))
    rows = dict(summary_rows(summarize(scribe.directory)))
    assert rows["force RMSE (training set)"] == "10.00 meV/Å"
    assert not {"force RMSE (held-out)", "force RMSE (new labels)"} & set(rows)
    scribe.turn(0, 0, [C])
    assert dict(summary_rows(summarize(scribe.directory)))["force RMSE (new labels)"] == "50.00 meV/Å before training"
    scribe.validate(generation=0)
    assert "force RMSE (held-out)" not in dict(summary_rows(summarize(scribe.directory))), "of an older generation"
    scribe.validate(generation=1)
    rows = dict(summary_rows(summarize(scribe.directory)))
    assert (rows["force RMSE (held-out)"], rows["energy RMSE (held-out)"]) == ("20.00 meV/Å", "2.000 meV/atom")
    assert summarize(scribe.directory) == CampaignAnalysis(scribe.directory).summary


def test_labels_of_all_origins(tmp_path):
    scribe = Scribe(tmp_path / "c")
    scribe.begin((A, B))
    scribe.dataset.mark_imported(C)
    scribe.label(C, took=0.0, code="imported from old.extxyz", mask=[True, True, False, False])
    scribe.label(D, apart=True, took=30.0)
    rows = {row.hash: row for row in CampaignAnalysis(scribe.directory).labels}
    assert (rows[C].origin, rows[C].code, rows[C].n_trained) == ("imported", "imported from old.extxyz", 2)
    assert (rows[D].origin, rows[D].learnt_by) == ("validation", None)
    analysis = CampaignAnalysis(scribe.directory)
    assert (analysis.summary.labels, analysis.costs.labels, analysis.costs.validation_labels) == (3, 2, 1)
    assert analysis.costs.seconds_per_label == pytest.approx(20 / 2)
    assert (analysis.costs.label_s, analysis.costs.validation_s) == (20, 30)


def test_quarantine(tmp_path):
    scribe = Scribe(tmp_path / "c")
    scribe.begin((A, B))
    folder = scribe.explore(0, 0)
    scribe.choose(folder, [C], 0, 0, 0)
    scribe.fail(C)
    (row,) = CampaignAnalysis(scribe.directory).quarantine
    assert (row.record.reason, row.origin, row.walker, row.cycle) == ("no SCF", "w00 c0000", 0, 0)
    assert CampaignAnalysis(scribe.directory).halts[0].labels == [(C, "quarantined")]


def test_what_happened_on_other_machines_is_told_once(finished, tmp_path):
    root = tmp_path / "c"
    shutil.copytree(finished.directory.root, root)
    (root / "events").mkdir()
    shutil.copy(root / "events.jsonl", root / "events" / "one.jsonl")
    assert len(CampaignAnalysis(CampaignDirectory(root)).events) == len(CampaignAnalysis(finished.directory).events)


def test_an_empty_campaign(tmp_path):
    directory = CampaignDirectory(tmp_path / "c")
    Scribe(directory.root)
    directory.journal.unlink()
    found = everything(directory)
    assert (found["halts"], found["labels"], found["generations"], found["damaged"]) == ([], [], [], [])
    assert found["costs"].shares == dict.fromkeys(("md", "candidates", "label", "train", "validation", "waiting"), 0.0)
    assert found["walkers"][0].phase is Phase.WAITING


def test_no_campaign_and_a_damaged_one_are_told(tmp_path):
    with pytest.raises(DirectoryError, match="no campaign"):
        _ = CampaignAnalysis(CampaignDirectory(tmp_path)).summary
    (tmp_path / "campaign.yaml").write_text("campaign: [")
    with pytest.raises(MlipError):
        _ = CampaignAnalysis(CampaignDirectory(tmp_path)).campaign


GARBAGE = {"empty": "", "bytes": "\x00\xff{", "cut": "[1, 2", "other": '{"outcome": 3}'}
HALTED = "walkers/00/cycle_0001/halt.extxyz"
NO_DAMAGE = {"events.jsonl": ("empty", "other"), "walkers/00/cycle_0002/gamma.dat": ("empty",)}
"""Files that grow: nothing yet, and a line that is being written."""


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize(
    "name",
    [
        "walkers/00/cycle_0000/result.json",
        "walkers/00/cycle_0001/selection.json",
        "potentials/gen_0001/training.json",
        f"labels/{C}.extxyz",
        HALTED,
        *NO_DAMAGE,
    ],
)
def test_a_damaged_file_is_absent_and_listed(finished, tmp_path, name, garbage):
    root = tmp_path / "c"
    shutil.copytree(finished.directory.root, root)
    (root / name).write_bytes(GARBAGE[garbage].encode("latin-1"))
    found = everything(CampaignDirectory(root))
    listed = [] if garbage in NO_DAMAGE.get(name, ()) else [name]
    assert [line.partition(":")[0] for line in found["damaged"]] == listed
    assert found["summary"] == summarize_tolerantly(root, name)


def summarize_tolerantly(root, name):
    """Return what ``summarize`` says without the damaged file."""
    (root / name).unlink()
    return (
        summarize(CampaignDirectory(root))
        if name.startswith("walk")
        else CampaignAnalysis(CampaignDirectory(root)).summary
    )


def copied(finished, tmp_path):
    root = tmp_path / "c"
    shutil.copytree(finished.directory.root, root)
    return root, root / "walkers" / "00" / "cycle_0001"


@pytest.mark.parametrize("kept", [10, -250, -40, -1], ids=["heading", "atoms", "atom", "number"])
def test_torn_structures_of_a_halt_are_listed(finished, tmp_path, kept):
    root, folder = copied(finished, tmp_path)
    whole = (folder / "halt.extxyz").read_bytes()
    torn = whole.rstrip()[: kept if kept != -1 else whole.rstrip().rindex(b" ")]
    for name in ("halt.extxyz", "candidates.extxyz", "selected.extxyz"):
        (folder / name).write_bytes((b"" if name == "halt.extxyz" else whole) + torn)
    analysis = CampaignAnalysis(CampaignDirectory(root))
    names = [f"walkers/00/cycle_0001/{name}.extxyz" for name in ("candidates", "halt", "selected")]
    assert [line.partition(":")[0] for line in analysis.damaged] == names
    halt = analysis.halts[1]
    assert (halt.frame(), halt.candidates(), halt.selected()) == (None, [], [])
    assert len(analysis.damaged) == 3, "each is listed once"
    assert "structure 0 ends before its 4 atoms" in analysis.damaged[1] or kept == 10


def test_structures_that_only_a_reader_finds_damaged_are_listed_then(finished, tmp_path):
    root, folder = copied(finished, tmp_path)
    text = (folder / "halt.extxyz").read_text()
    (folder / "halt.extxyz").write_text(text.replace("0.00000000", "O.OOOOOOOO", 1).replace(" 0.0000", " o.oooo"))
    analysis = CampaignAnalysis(CampaignDirectory(root))
    assert analysis.damaged == []
    assert analysis.halts[1].frame() is None
    assert analysis.damaged == [f"{HALTED}: its structures can't be read (ValueError)"]


def test_a_number_of_atoms_below_zero_leads_nowhere(finished, tmp_path):
    root, folder = copied(finished, tmp_path)
    whole = (folder / "halt.extxyz").read_text()
    (folder / "halt.extxyz").write_text(whole + whole.replace("4\n", "-8\n", 1))
    assert [line.partition(":")[0] for line in CampaignAnalysis(CampaignDirectory(root)).damaged] == [HALTED]


def test_nothing_was_plausible_is_no_damage(finished, tmp_path):
    root, folder = copied(finished, tmp_path)
    (folder / "selected.extxyz").write_text("")
    assert CampaignAnalysis(CampaignDirectory(root)).damaged == []


@pytest.mark.parametrize(
    ("text", "trouble", "rows"),
    [
        ("# step max_gamma\n0 1.5\n10 nan\n20 2", None, 1),
        ("0 1.5\n\n10 2.5\n# again\n2", None, 2),
        ("0 1.5\nhello\n10 2.5\n", "line 2: no step and γ", 2),
        ("0 1.5\n10 2.5 7\n", "line 2: no step and γ", 1),
        ("0 1.5\n" + 4096 * "\0", "line 2: no step and γ", 1),
    ],
)
def test_lines_that_are_no_gamma_are_listed(finished, tmp_path, text, trouble, rows):
    root, folder = copied(finished, tmp_path)
    (folder / "gamma.dat").write_text(text)
    analysis = CampaignAnalysis(CampaignDirectory(root))
    assert analysis.damaged == ([f"walkers/00/cycle_0001/gamma.dat: {trouble}"] if trouble else [])
    assert len(analysis.trajectories[0].segments[1].steps) == rows


@pytest.mark.parametrize("content", [b"\0" * 100, b"\xff\xfe\n", b"iter_num\nx\ny\nz\n"])
def test_metrics_that_are_no_metrics_are_listed(tmp_path, content):
    scribe = Scribe(tmp_path / "c")
    scribe.begin((A, B))
    scribe.directory.refining.mkdir()
    (scribe.directory.refining / "metrics.txt").write_bytes(content)
    (listed,) = CampaignAnalysis(scribe.directory).damaged
    assert listed.startswith("polishing/metrics.txt: ")


def test_a_damaged_run_is_still_a_run(finished, tmp_path):
    root = tmp_path / "c"
    shutil.copytree(finished.directory.root, root)
    (root / "walkers/00/cycle_0000/result.json").write_text("{")
    analysis = CampaignAnalysis(CampaignDirectory(root))
    assert analysis.damaged == ["walkers/00/cycle_0000/result.json: not JSON"]
    segment = analysis.trajectories[0].segments[0]
    assert (segment.generation, len(segment.steps)) == (0, 11)


def test_lines_that_are_no_events_are_listed(finished, tmp_path):
    root = tmp_path / "c"
    shutil.copytree(finished.directory.root, root)
    journal = root / "events.jsonl"
    journal.write_text('{"hello": 1}\n[]\n' + journal.read_text() + '{"time": 1, "eve')
    analysis = CampaignAnalysis(CampaignDirectory(root))
    assert analysis.damaged == ["events.jsonl: line 1: no event"]
    assert analysis.summary == summarize(CampaignDirectory(root))


def test_a_second_analysis_sees_what_changed(tmp_path):
    scribe = Scribe(tmp_path / "c")
    scribe.begin((A, B))
    before = CampaignAnalysis(scribe.directory)
    assert before.halts == []
    scribe.explore(0, 0)
    assert len(CampaignAnalysis(scribe.directory).halts) == 1
    assert before.halts == [], "an analysis keeps its values"


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.label(C),
        lambda s: s.fail(C),
        lambda s: s.train(),
        lambda s: s.explore(0, 1, outcome=None),
        lambda s: (s.directory.cycle(0, 0) / "gamma.dat").open("a").write("110 5\n"),
        lambda s: s.choose(s.directory.cycle(0, 0), [C], 0, 0, 0),
        lambda s: s.label(C, apart=True),
    ],
    ids=["label", "failure", "training", "run", "gamma", "selection", "validation"],
)
def test_the_version_changes(tmp_path, change):
    scribe = Scribe(tmp_path / "c")
    scribe.begin((A, B))
    scribe.explore(0, 0, outcome=None)
    scribe.tell = lambda *args, **kwargs: None
    before = CampaignAnalysis(scribe.directory).version()
    assert CampaignAnalysis(scribe.directory).version() == before
    change(scribe)
    assert CampaignAnalysis(scribe.directory).version() != before


def test_what_has_not_changed_is_not_read_again(finished, monkeypatch):
    cache, parsed = FileCache(), []
    first = everything(finished.directory, cache)
    monkeypatch.setattr("mlip_fw.campaign.file_cache._parse", lambda path, *_: parsed.append(path))
    assert everything(finished.directory, cache)["summary"] == first["summary"]
    assert parsed == []
    everything(finished.directory)
    assert parsed != [], "another cache knows nothing"


def test_thinning_keeps_the_extremes():
    from mlip_fw.views.analysis.trajectories import Segment, Trajectory, thinned

    rng = np.random.default_rng(1)
    steps, gamma = np.arange(50_000), rng.random(50_000)
    gamma[31_234], gamma[777] = 99.0, -99.0
    whole = Trajectory(
        0, False, [Segment(0, 0, 0, steps, gamma), Segment(1, 0, 1, steps[:5], gamma[:5])], np.zeros((0, 2))
    )
    less = thinned(whole, 1000)
    first, second = less.segments
    assert len(first.steps) <= 1000
    assert len(second.steps) >= 4
    assert {0, 777, 31_234, 49_999} <= set(first.steps.tolist())
    assert np.array_equal(first.gamma, gamma[first.steps])
    assert thinned(less, 5000) is less


def test_times_are_plain_numbers(analysis):
    times = [halt.time for halt in analysis.halts]
    assert json.loads(json.dumps(times)) == times != []


@pytest.mark.parametrize("name", ["labels/{A}.extxyz", "walkers/00/cycle_0000/result.json", "events.jsonl"])
def test_pipe_in_place_of_a_file_holds_nobody_up(finished, tmp_path, name):
    root = shutil.copytree(finished.directory.root, tmp_path / "c")
    path = root / name.format(A=A)
    path.unlink()
    os.mkfifo(path)
    assert f"{path.relative_to(root)}: no regular file" in CampaignAnalysis(CampaignDirectory(root)).damaged


def test_clock_that_was_set_back(finished, tmp_path):
    root = shutil.copytree(finished.directory.root, tmp_path / "c")
    before = CampaignAnalysis(CampaignDirectory(root)).summary.seconds.total
    with (root / "events.jsonl").open("a") as journal:
        journal.write('{"time": 1.0, "event": "finished", "outcome": "CONVERGED", "reason": null}\n')
    analysis = CampaignAnalysis(CampaignDirectory(root))
    assert analysis.summary.seconds.total == before > 0
    assert summarize(CampaignDirectory(root)) == analysis.summary
    assert analysis.costs.wall_s >= 0
