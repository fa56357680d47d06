"""Whole campaigns with a target for their error, with a stand-in LAMMPS: audits, repeated stages, and how they end."""

import json

import numpy as np
import pytest

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.generations import Generations
from mlip_fw.campaign.summary import md_results, summarize
from mlip_fw.errors import MlipError
from mlip_fw.launcher import runner
from mlip_fw.launcher.runner import run_campaign
from mlip_fw.models.accuracy import AuditFrames, AuditRecord, AuditRound
from mlip_fw.steps import audit as audit_step
from mlip_fw.steps import md as md_step
from mlip_fw.workflows import campaign as workflow_of
from tests.helpers.campaigns import fireworks

LOOSE, STRICT = {"force_relative": 10.0}, {"force_relative": 1e-6}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs a campaign in a folder and gives its summary, directory and LaunchPad."""
    pads = []
    plain = runner.embedded_launchpad

    def remember():
        pads.append(plain())
        return pads[-1]

    monkeypatch.setattr(runner, "embedded_launchpad", remember)

    def go(campaign, fworker, name="c"):
        directory = CampaignDirectory(tmp_path / name)
        return run_campaign(campaign, directory, fworker), directory, pads[-1]

    return go


def audits(directory):
    return [AuditRecord.model_validate_json(path.read_bytes()) for path in sorted(directory.audit.glob("audit_*.json"))]


def rounds(directory):
    paths = sorted(directory.audit.glob("round_*/round.json"))
    return [AuditRound.model_validate_json(path.read_bytes()) for path in paths]


def drawn(directory):
    return AuditFrames.model_validate_json(directory.audit_frames.read_bytes()).frames


def test_converged_means_that_the_error_was_looked_at(small, stand_in, run):
    summary, directory, pad = run(small(accuracy=LOOSE), stand_in("--dump --halt-at 50"))
    error = summary.error
    assert (summary.outcome, error.met, error.audit_frames, error.target) == ("CONVERGED", True, 3, LOOSE)
    assert error.audit_force_rmse_interval_ev_a[0] < error.audit_force_rmse_ev_a
    assert error.audit_force_rmse_ev_a < error.audit_force_rmse_interval_ev_a[1]
    [record] = audits(directory)
    assert record.generation == Generations(directory.root).newest()
    assert error.audit_force_rmse_ev_a == record.errors.force_rmse_ev_a
    shares = [(frame.coverage.within_68, frame.coverage.within_95) for frame in record.frames]
    assert [summary.coverage.within_68, summary.coverage.within_95] == pytest.approx(np.mean(shares, axis=0))
    assert 0 < summary.coverage.within_68 < summary.coverage.within_95 <= 1
    # never trained on, of three parts of the MD, and apart from the labels
    names = {frame.hash for frame in record.frames}
    training = Generations(directory.root).record(record.generation)
    assert not names & set(training.labels) and names == set(Dataset(directory.audit).hashes())
    assert [frame.weight for frame in record.frames] == [pytest.approx(1 / 3)] * 3
    assert (summary.labels, summary.labels_audit) == (len(training.labels), 3)
    assert Dataset(directory.root).n_computed() == summary.labels + 3
    assert error.cv_force_rmse_ev_a == training.cv_force_rmse_ev_a > 0
    states, links = fireworks(pad)
    assert set(states.values()) == {"COMPLETED"} and links["audit"][-1] == "summary"
    kinds = [event["event"] for event in directory.events()]
    assert kinds[-6:] == ["auditing", "labelled", "labelled", "labelled", "audited", "finished"]
    assert json.loads(directory.summary_file.read_text())["error"]["met"] is True


def test_frames_drawn_on_the_way_are_labelled_in_the_fan_of_a_halt(small, stand_in, run):
    accuracy = {**LOOSE, "audit_share": 1.0}
    campaign = small(accuracy=accuracy, md={"timestep_fs": 10.0})
    _, directory, pad = run(campaign, stand_in("--dump --halt-at 50,80"))
    first = drawn(directory)[0]
    assert (first.walker, first.cycle, first.generation) == (0, 0, 0) and first.step < 50
    _, links = fireworks(pad)
    assert f"label {first.hash}" in links["candidates w00 c0000"]
    assert links[f"label {first.hash}"] == ["train w00 c0000"]


def test_an_error_that_is_too_large_has_the_stage_repeated(small, stand_in, run):
    campaign = small(accuracy=STRICT, budget={"max_labels": 12})
    summary, directory, pad = run(campaign, stand_in("--dump --halt-at 50"))
    assert (summary.outcome, summary.reason, summary.error.met) == ("STOPPED", "accuracy", False)
    first = rounds(directory)[0]
    assert first.stage == 0 and len(first.joined) == 3 and first.chosen
    labels = Dataset(directory.root)
    assert set(first.joined) <= set(labels.hashes()) and set(first.chosen) <= set(labels.hashes())
    # MD goes from the start again, with the potential that has learnt them, and cycle numbers go on
    again = [r for r in md_results(directory) if r.cycle >= first.cycle[0]]
    assert (again[0].first_step, again[0].cycle, again[-1].step) == (0, 2, 100)
    assert set(Generations(directory.root).record(again[0].generation).labels) >= {*first.joined, *first.chosen}
    lines = [
        next(line for line in (directory.cycle(0, k) / "in.lammps").read_text().splitlines() if "velocity" in line)
        for k in (0, 2)
    ]
    assert lines[0] != lines[1]
    # each audit is of fresh frames
    joined = {name for one in rounds(directory) for name in one.joined}
    assert not {frame.hash for frame in audits(directory)[-1].frames} & joined
    states, links = fireworks(pad)
    assert set(states.values()) == {"COMPLETED"}
    assert links["train w00 c0001"] == ["md w00 s0 c0002"] and "audit r1" in links["md w00 s0 c0002"]
    assert summary.hint.startswith("The force error of") and audits(directory)[-1].diagnosis == summary.hint


def test_a_stopped_campaign_goes_on_with_a_larger_budget_or_a_looser_target(small, stand_in, run):
    worker = stand_in("--dump --halt-at 50")
    first, directory, _ = run(small(accuracy=STRICT, budget={"max_labels": 3}), worker)
    assert (first.reason, rounds(directory)) == ("accuracy", [])
    before = {path: path.stat().st_mtime_ns for path in directory.root.glob("*/labels/*")}
    second, _, _ = run(small(accuracy=STRICT, budget={"max_labels": 8}), worker)
    assert (second.reason, len(rounds(directory))) == ("accuracy", 1)
    # it stopped in the middle of a repeated stage: a looser target alone does not end that
    assert second.hint.startswith("The budget was spent while a stage was repeated")
    n_cycles = len(md_results(directory))
    third, _, _ = run(small(accuracy=LOOSE, budget={"max_labels": 12}), worker)
    assert (third.outcome, third.error.met, third.hint) == ("CONVERGED", True, None)
    assert len(rounds(directory)) == 1 and len(md_results(directory)) == n_cycles + 1
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_a_looser_target_is_enough_where_only_the_target_was_missed(small, stand_in, run):
    worker = stand_in("--dump --halt-at 50")
    first, directory, _ = run(small(accuracy=STRICT, budget={"max_labels": 3}), worker)
    n_cycles = len(md_results(directory))
    second, _, _ = run(small(accuracy=LOOSE, budget={"max_labels": 3}), worker)
    assert (first.reason, second.outcome, second.hint) == ("accuracy", "CONVERGED", None)
    assert (second.labels, second.labels_audit, len(md_results(directory))) == (first.labels, 3, n_cycles)


def test_a_second_round_can_be_enough(small, stand_in, run):
    worker = stand_in("--dump --halt-at 50")
    _, tried, _ = run(small(accuracy=STRICT, budget={"max_labels": 8}), worker, "tried")
    first, second = [one.errors.force_share for one in audits(tried)][:2]
    assert second < first
    target = {"force_relative": (first + second) / 2}
    summary, directory, _ = run(small(accuracy=target, budget={"max_labels": 60}), worker)
    assert (summary.outcome, summary.error.met) == ("CONVERGED", True)
    assert len(rounds(directory)) >= 1 and summary.error.audit_force_share < target["force_relative"]
    assert [one.met for one in audits(directory)] == [*[False] * len(rounds(directory)), True]


@pytest.mark.parametrize(
    ("place", "name", "fatal"), [(audit_step, "write_json", 1), (Dataset, "adopt", 2), (audit_step, "store_frame", 2)]
)
def test_killed_in_the_audit(small, stand_in, run, monkeypatch, place, name, fatal):
    campaign, worker = small(accuracy=STRICT, budget={"max_labels": 9}), stand_in("--dump --halt-at 50")
    plain, calls = getattr(place, name), []

    def kill(*args):
        calls.append(args)
        if len(calls) == fatal:
            raise MlipError("killed")
        return plain(*args)

    with monkeypatch.context() as patch:
        patch.setattr(place, name, kill)
        with pytest.raises(MlipError, match="killed"):
            run(campaign, worker, "killed")
    found, directory, _ = run(campaign, worker, "killed")
    expected, whole, _ = run(campaign, worker, "whole")
    assert found.reason == expected.reason == "accuracy"
    assert (found.labels, found.labels_audit) == (expected.labels, expected.labels_audit)
    assert [frame.hash for frame in drawn(directory)] == [frame.hash for frame in drawn(whole)]
    errors = [audits(where)[-1].errors.force_rmse_ev_a for where in (directory, whole)]
    assert errors[0] == pytest.approx(errors[1], rel=1e-6)


def test_a_workflow_of_an_earlier_version_has_no_audit_and_ends(small, stand_in, run, monkeypatch):
    plain = workflow_of.campaign_workflow

    def earlier(campaign, directory):
        return plain(campaign.model_copy(update={"accuracy": small().accuracy}), directory)

    monkeypatch.setattr(runner, "campaign_workflow", earlier)
    summary, directory, pad = run(small(accuracy=STRICT), stand_in("--dump --halt-at 50"))
    assert "audit" not in fireworks(pad)[0]
    assert (summary.outcome, summary.error.met, summary.error.audit_frames) == ("CONVERGED", None, 0)
    # the same command again, with this version's workflow, judges it the new way
    monkeypatch.setattr(runner, "campaign_workflow", plain)
    again, _, _ = run(small(accuracy=STRICT, budget={"max_labels": 3}), stand_in("--dump --halt-at 50"))
    assert (again.outcome, again.reason) == ("STOPPED", "accuracy")


def test_two_walkers_and_two_stages_are_all_audited(small, stand_in, run):
    stages = [
        {"ensemble": "nvt", "temperature_k": 300, "n_steps": 40},
        {"ensemble": "nve", "n_steps": 60},
    ]
    campaign = small(
        md={"stages": stages, "walkers": 2}, accuracy={**STRICT, "min_audit_frames": 4}, budget={"max_labels": 18}
    )
    summary, directory, _ = run(campaign, stand_in("--dump --halt-at 20,70"))
    frames = drawn(directory)
    assert {frame.walker for frame in frames} == {0, 1} and {frame.stage for frame in frames} == {0, 1}
    first = rounds(directory)[0]
    assert set(first.cycle) == {0, 1} and summary.reason == "accuracy"
    again = [r for r in md_results(directory) if r.cycle >= first.cycle[0]]
    assert {(r.walker, r.stage) for r in again} >= {(0, first.stage), (1, first.stage)}
    assert all(frame.stage == first.stage for frame in audits(directory)[0].frames if frame.hash in first.joined)
    assert summarize(directory).outcome == "STOPPED"


def test_frames_that_cannot_be_labelled(small, stand_in, run):
    oracle = {"kind": "ase", "calculator": "emt", "max_force_ev_a": 1e-9}
    first, directory, _ = run(small(accuracy=LOOSE), stand_in("--dump --halt-at 50"), "plain")
    assert first.outcome == "CONVERGED"
    for path in [*directory.audit.rglob("*")]:
        if path.is_file():
            path.unlink()
    summary, _, _ = run(small(accuracy=LOOSE, oracle=oracle), stand_in("--dump --halt-at 50"), "plain")
    assert (summary.outcome, summary.reason, summary.error.audit_frames) == ("STOPPED", "accuracy", 0)
    assert summary.hint.startswith("no frame of the MD could be labelled")


@pytest.mark.parametrize("content", ["", '{"frames": [{"hash"', "[]"])
def test_damaged_list_of_audited_frames(small, stand_in, run, content):
    """Frames are drawn anew; their labels are found again by their names."""
    campaign, worker = small(accuracy=STRICT, budget={"max_labels": 6}), stand_in("--dump --halt-at 50")
    before, directory, _ = run(campaign, worker)
    directory.audit_frames.write_text(content)
    after, _, _ = run(small(accuracy=LOOSE, budget={"max_labels": 12}), worker)
    assert (before.reason, after.outcome, after.error.met) == ("accuracy", "CONVERGED", True)


def test_damaged_label_of_the_audit_is_named(small, stand_in, run):
    campaign, worker = small(accuracy=STRICT, budget={"max_labels": 6}), stand_in("--dump --halt-at 50")
    _, directory, _ = run(campaign, worker)
    name = audits(directory)[-1].frames[0].hash
    path = directory.audit / "labels" / f"{name}.extxyz"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MlipError, match=name):
        run(small(accuracy=LOOSE, budget={"max_labels": 12}), worker)
    path.unlink()
    summary, _, _ = run(small(accuracy=LOOSE, budget={"max_labels": 12}), worker)
    assert (summary.outcome, summary.error.audit_frames) == ("CONVERGED", 3)


def test_changed_chemistry_is_said_and_audited_first(small, stand_in, run, monkeypatch):
    campaign = small(accuracy={**LOOSE, "audit_share": 0.001}, md={"timestep_fs": 10.0})

    def labelled_with_the_first_halt(directory, pad):
        _, links = fireworks(pad)
        return {f"label {frame.hash}" for frame in drawn(directory)} & set(links["candidates w00 c0000"])

    _, *calm = run(campaign, stand_in("--dump --halt-at 50"), "calm")
    assert not labelled_with_the_first_halt(*calm)
    said = "4 of 32 Cu have 3 Cu neighbours"
    monkeypatch.setattr(md_step, "changes_since", lambda start, frame: [said])
    _, directory, pad = run(campaign, stand_in("--dump --halt-at 50"), "changed")
    assert len(labelled_with_the_first_halt(directory, pad)) == 1
    [event] = [event for event in directory.events() if event["event"] == "chemistry_changed"]
    assert (event["stage"], event["changes"]) == (0, [said])
    assert {tuple(result.chemistry) for result in md_results(directory)} == {(said,)}
