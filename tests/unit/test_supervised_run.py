"""Runs under custodian: what is repaired in which order, what is recorded, and what is left in the end."""

import json
import logging
from dataclasses import dataclass, field
from enum import StrEnum

import pytest

from mlip_fw.io.files import read_model, write_json
from mlip_fw.runtime.supervised_run import (
    AttemptedRun,
    Failure,
    Progress,
    Repair,
    ResultCheck,
)
from mlip_fw.runtime.walltime import OutOfTime


class Kind(StrEnum):
    STUCK = "stuck"
    LOST = "lost"
    OTHER = "failed"


@dataclass(kw_only=True)
class ToyRun(AttemptedRun):
    """Ends as planned, attempt after attempt; the last plan goes on for ever."""

    plan: list[Failure | None]
    tried: list[str] = field(default_factory=list)
    prepared: int = 0
    complaint: Failure | None = None

    def prepare(self):
        self.prepared += 1

    def attempt(self):
        self.tried.append("attempt")
        return self.plan.pop(0) if len(self.plan) > 1 else self.plan[0]


STUCK = Failure(Kind.STUCK, "no way out")


def remedy(name):
    def change(run):
        run.tried.append(name)
        return [{"by": name}]

    return change


def useless(run):
    run.tried.append("useless")


def finish(run, *remedies, max_attempts=9):
    check = ResultCheck(lambda: run.failure or run.complaint)
    return run.repeat_until_sound(
        [Repair(run, Kind.STUCK, remedies)], check, max_attempts=max_attempts, otherwise=Kind.OTHER
    )


def test_remedies_are_tried_in_order_and_recorded(tmp_path):
    run = ToyRun(folder=tmp_path, plan=[STUCK, STUCK, None])
    assert finish(run, useless, remedy("first"), remedy("second"), remedy("third")) is None
    assert run.tried == ["attempt", "useless", "first", "attempt", "second", "attempt"]
    assert run.prepared == 1
    assert run.corrections == [
        {"errors": ["stuck: no way out"], "actions": [{"by": "first"}]},
        {"errors": ["stuck: no way out"], "actions": [{"by": "second"}]},
    ]
    [entry] = json.loads((tmp_path / "custodian.json").read_text())
    assert entry["job"]["run"] == "ToyRun"
    assert [c["handler"]["trouble"] for c in entry["corrections"]] == ["stuck", "stuck"]


def test_it_is_given_up_when_the_remedies_are_used_up(tmp_path):
    run = ToyRun(folder=tmp_path, plan=[STUCK])
    assert finish(run, remedy("only")) == STUCK
    assert run.tried == ["attempt", "only", "attempt"]
    assert len(run.corrections) == 1


def test_it_is_given_up_after_the_last_attempt(tmp_path):
    run = ToyRun(folder=tmp_path, plan=[STUCK])
    assert finish(run, *[remedy("again")] * 9, max_attempts=3) == STUCK
    assert run.tried.count("attempt") == 3


def test_a_trouble_without_handler_is_found_by_the_check(tmp_path):
    lost = Failure(Kind.LOST, "nowhere")
    run = ToyRun(folder=tmp_path, plan=[lost])
    assert finish(run, remedy("only")) == lost
    assert (run.tried, run.corrections) == (["attempt"], [])


def test_the_check_has_the_last_word(tmp_path):
    unsound = Failure(Kind.LOST, "not finite")
    assert finish(ToyRun(folder=tmp_path, plan=[None], complaint=unsound)) == unsound


def test_custodian_that_gives_up_without_a_failure(tmp_path):
    run = ToyRun(folder=tmp_path, plan=[None])
    check = ResultCheck(lambda: None)
    check.check = lambda directory: True
    failure = run.repeat_until_sound([], check, max_attempts=1, otherwise=Kind.OTHER)
    assert failure == Failure(Kind.OTHER, "custodian: Validation failed: ResultCheck")


def test_errors_of_an_attempt_are_passed_on_and_loggers_speak_again(tmp_path, caplog):
    class Broken(ToyRun):
        def attempt(self):
            assert logging.getLogger("custodian").level == logging.CRITICAL
            raise OSError(28, "No space left on device")

    caplog.set_level(logging.WARNING, logger="custodian")
    with pytest.raises(OSError, match="No space left"):
        finish(Broken(folder=tmp_path, plan=[None]))
    assert logging.getLogger("custodian").level == logging.WARNING


def test_time_and_corrections_go_on_in_the_next_firework(tmp_path):
    made = {"errors": ["stuck: no way out"], "actions": [{"by": "first"}]}
    write_json(tmp_path / "progress.json", Progress(seconds=100.0, corrections=[made]))
    run = ToyRun(folder=tmp_path, plan=[STUCK, None])
    progress = read_model(tmp_path / "progress.json", Progress)
    run.continue_from(progress)
    assert finish(run, remedy("second")) is None
    assert [c["actions"] for c in run.corrections] == [[{"by": "first"}], [{"by": "second"}]]
    assert progress.corrections == [made]
    assert run.earlier_s == 100.0
    assert OutOfTime(run.seconds).seconds >= 100.0


def test_long_messages_are_cut_in_errors():
    assert Failure(Kind.LOST, "x" * 1000).brief == "x" * 300
