"""The one reader of a campaign directory: what it finds, what it leaves out, and who reads with it."""

import json
import shutil

import pytest

from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.file_cache import CampaignFiles, FileCache
from mlip_fw.campaign.journal import merged_events, outcome_of, read_journal, sessions
from mlip_fw.campaign.records import CampaignRecords
from mlip_fw.campaign.summary import md_results, summarize
from mlip_fw.errors import DirectoryError
from mlip_fw.models.md import MDResult
from mlip_fw.views.analysis.campaign_analysis import CampaignAnalysis
from tests.helpers.written_campaigns import Scribe, hashed

A, B, C, D, E = (hashed(n) for n in range(0xA, 0xF))
TWO_WALKERS = {"walkers": 2, "stages": [{"ensemble": "nvt", "n_steps": 1000, "temperature_k": 300.0}]}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return a campaign with halts, a failed label, a validation and a run at work; nothing may change it."""
    scribe = Scribe(tmp_path_factory.mktemp("records") / "c", md=TWO_WALKERS)
    scribe.begin((A, B))
    scribe.turn(0, 0, [C])
    folder = scribe.explore(1, 0)
    scribe.choose(folder, [D, E], 1, 0, 1)
    scribe.label(D)
    scribe.fail(E)
    scribe.train()
    scribe.label(hashed(0xF), apart=True, took=30.0)
    scribe.validate(generation=1)
    scribe.explore(0, 1, outcome=None)
    return scribe.directory


def copied(directory, tmp_path):
    return CampaignDirectory(shutil.copytree(directory.root, tmp_path / "c"))


def test_what_it_finds(written):
    records = CampaignRecords(written)
    assert records.campaign.campaign == "cu-story"
    assert records.outcome == ("INTERRUPTED", None)
    assert list(records.cycle_folders) == [(0, 0), (0, 1), (1, 0)]
    assert {key: result.step for key, result in records.results.items()} == {(0, 0): 100, (1, 0): 100}
    assert [choice.hash for choice in records.first_selection.chosen] == [A, B]
    assert {key: [c.hash for c in s.chosen] for key, s in records.selections.items()} == {(0, 0): [C], (1, 0): [D, E]}
    assert list(records.trainings) == [0, 1, 2]
    assert {name: label.seconds for name, label in records.labels.items()} == dict.fromkeys((A, B, C, D), 10.0)
    assert list(records.validation_labels) == [hashed(0xF)]
    assert [record.hash for record in records.quarantine] == [E]
    assert records.validation_quarantine == []
    assert records.validation.generation == 1
    assert records.files.damaged == {}


def test_summary_and_analysis_read_alike(written):
    assert summarize(written) == CampaignAnalysis(written).summary
    assert md_results(written) == list(CampaignRecords(written).results.values())


@pytest.mark.parametrize(
    "name",
    [
        "walkers/00/cycle_0000/result.json",
        "walkers/00/cycle_0000/selection.json",
        "bootstrap/selection.json",
        "potentials/gen_0001/training.json",
        f"quarantine/{E}.json",
        "validation/validation.json",
    ],
)
def test_half_written_json_is_left_out_by_both(written, tmp_path, name):
    directory = copied(written, tmp_path)
    (directory.root / name).write_text('{"walker": 0, ')
    analysis = CampaignAnalysis(directory)
    assert summarize(directory) == analysis.summary != summarize(written)
    assert analysis.damaged == [f"{name}: not JSON"]


def test_selection_of_a_cycle_whose_other_files_are_lost_counts_for_both(written, tmp_path):
    directory = copied(written, tmp_path)
    (directory.cycle(1, 0) / "result.json").unlink()
    (directory.cycle(1, 0) / "gamma.dat").unlink()
    lines = directory.journal.read_text().splitlines(keepends=True)
    directory.journal.write_text("".join(line for line in lines if "md_started" not in line))
    summary = summarize(directory)
    assert summary == CampaignAnalysis(directory).summary
    assert (summary.halts, summary.cycles) == (1, 2)


def test_the_result_of_a_campaign_leaves_no_damaged_label_out(written, tmp_path):
    directory = copied(written, tmp_path)
    (directory.root / "labels" / f"{C}.extxyz").write_text("no number of atoms\n")
    with pytest.raises(DirectoryError, match=rf"can't read .*{C}\.extxyz"):
        summarize(directory)
    assert CampaignAnalysis(directory).summary.labels == 3


def test_the_result_of_a_campaign_leaves_no_forbidden_file_out(written, monkeypatch):
    def forbidden(text):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(MDResult, "model_validate_json", forbidden)
    for read in (summarize, md_results):
        with pytest.raises(
            DirectoryError, match=r"can't read .*result\.json: Permission denied; check its permissions"
        ):
            read(written)
    assert CampaignAnalysis(written).summary.halts == 0


def test_a_file_is_parsed_again_when_it_has_changed(tmp_path):
    path, cache, parsed = tmp_path / "a.txt", FileCache(), []

    def parse(path):
        parsed.append(path.read_text())
        return parsed[-1]

    def read():
        return CampaignFiles(tmp_path, cache).parsed(path, parse)

    assert read() is None
    path.write_text("one")
    assert [read(), read()] == ["one", "one"]
    path.write_text("three")
    assert read() == "three"
    assert parsed == ["one", "three"]
    path.unlink()
    assert read() is None


def test_parsers_of_one_file_have_results_of_their_own(tmp_path):
    path, files = tmp_path / "a.txt", CampaignFiles(tmp_path)
    path.write_text("12")
    assert (files.parsed(path, len_of), files.parsed(path, int_of)) == (2, 12)


def len_of(path):
    return len(path.read_text())


def int_of(path):
    return int(path.read_text())


def journal(path, *events, end="\n"):
    path.write_text("\n".join(json.dumps(event) for event in events) + end)
    return read_journal(path)


def event(time, kind="labelled", **facts):
    return {"time": time, "event": kind, **facts}


class TestJournal:
    def test_one_file_is_told_as_it_stands(self, tmp_path):
        twice = [event(2.0), event(1.0), event(2.0)]
        assert merged_events([journal(tmp_path / "a", *twice)]) == twice

    def test_several_files_are_sorted_and_each_event_is_told_once(self, tmp_path):
        files = [journal(tmp_path / "a", event(3.0), event(1.0)), journal(tmp_path / "b", event(2.0), event(1.0))]
        assert [one["time"] for one in merged_events(files)] == [1.0, 2.0, 3.0]

    def test_last_line_without_its_end_is_left_out(self, tmp_path):
        found = journal(tmp_path / "a", event(1.0), event(2.0), end="")
        assert ([one["time"] for _, one in found.events], found.problem) == ([1.0], None)

    def test_first_damaged_line_is_named(self, tmp_path):
        (tmp_path / "a").write_text('{"time": 1, "event": "x"}\n[1, 2\n\nno event\n')
        assert read_journal(tmp_path / "a").problem == "line 2: no event"

    @pytest.mark.parametrize(("is_run_here", "outcome"), [(True, "RUNNING"), (False, "INTERRUPTED")])
    def test_a_session_without_an_end(self, is_run_here, outcome):
        events = [event(1.0, "finished", outcome="CONVERGED", reason=None), event(2.0, "run_started"), event(3.0)]
        assert outcome_of(events, is_run_here=is_run_here) == (outcome, None)
        assert outcome_of(events[:1], is_run_here=is_run_here) == ("CONVERGED", None)
        assert outcome_of(events[2:], is_run_here=is_run_here) == ("RUNNING", None)

    def test_sessions_are_periods_of_work(self):
        end = event(20.0, "finished", outcome="CONVERGED", reason=None)
        events = [event(0.0, "run_started"), event(5.0), event(10.0, "run_started"), end, event(100.0, seconds=30.0)]
        assert sessions(events) == [(0.0, 5.0), (10.0, 20.0), (70.0, 100.0)]
