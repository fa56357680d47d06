"""A Step opens the campaign once; Firetasks hand it to a step and to what follows."""

import logging

import pytest
from fireworks import FWAction

from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.events import Event
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.kernel.choice import Evaluator, wanted
from mlip_fw.errors import CampaignError, WorkerError
from mlip_fw.firetasks.base import STOPPED, CampaignTask
from mlip_fw.firetasks.continuations import continuation, stored_name
from mlip_fw.firetasks.md import RunMD
from mlip_fw.firetasks.summary import Summarize
from mlip_fw.firetasks.validate import ValidatePotential
from mlip_fw.models.handoff import (
    CandidatesHandoff,
    Handoff,
    LabelHandoff,
    MDHandoff,
    TrainHandoff,
    ValidateHandoff,
    carry_over_key,
)
from mlip_fw.steps.step import Step

NAME = "0123456789abcdef"


@pytest.fixture
def handed(small, tmp_path):
    """Return a function that makes a hand-off of a campaign that has begun."""
    CampaignDirectory(tmp_path / "c").claim(small())
    return lambda kind=Handoff, **facts: kind(campaign=small(), directory=str(tmp_path / "c"), **facts)


@pytest.mark.parametrize("kind", [MDHandoff, CandidatesHandoff, TrainHandoff])
def test_files_of_a_cycle(handed, tmp_path, kind):
    files = Step(handed(kind, walker=2, cycle=7)).files
    folder = tmp_path / "c" / "walkers" / "02" / "cycle_0007"
    assert files.folder == folder
    names = [p.name for p in (files.start, files.result, files.candidates, files.selected, files.selection)]
    assert names == ["start.data", "result.json", "candidates.extxyz", "selected.extxyz", "selection.json"]
    assert files.label_balance == folder / "labels.json"


@pytest.mark.parametrize("kind", [Handoff, TrainHandoff])
def test_files_of_the_bootstrap(handed, tmp_path, kind):
    assert Step(handed(kind)).files.selection == tmp_path / "c" / "bootstrap" / "selection.json"


def test_labels_of_a_validation_are_apart(handed, tmp_path):
    facts = {"hash": NAME, "structures": str(tmp_path / "c" / "s.extxyz"), "index": 0}
    assert Step(handed(LabelHandoff, **facts)).dataset.path(NAME).parent == tmp_path / "c" / "labels"
    apart = Step(handed(LabelHandoff, **facts, apart=True))
    assert apart.dataset.path(NAME).parent == tmp_path / "c" / "validation" / "labels"
    assert apart.directory.root == tmp_path / "c"


class Copy:
    """Stands in for a local copy of a campaign whose files travel."""

    def __init__(self, root):
        self.root, self.fetched, self.published = root, [], []

    def generations(self):
        return Generations(self.root, claim=lambda number, draft: None, newest=3)

    def fetch(self, errand):
        self.fetched.append(errand)

    def publish(self, made):
        self.published.append(made)


def test_generations_and_files_of_a_copy(handed, tmp_path):
    """They are those that were fetched, whatever lies in the folder."""
    for number in range(6):
        (tmp_path / "c" / "potentials" / f"gen_{number:04d}").mkdir(parents=True)
    assert Step(handed()).generations.newest() == 5
    copy = Copy(tmp_path / "c")
    step = Step(handed(), stop="max_cycles", local_copy=copy, fworker="node")
    other = step.with_handoff(handed(MDHandoff, walker=0))
    assert (step.generations.newest(), other.generations.newest()) == (3, 3)
    assert (other.stop, other.fworker) == ("max_cycles", "node")
    other.fetch()
    other.publish("labels/*", "potentials/*")
    assert copy.fetched == [step.staging]
    assert copy.published == [("labels/*", "potentials/*")]


def test_event_and_line_are_written_together(handed, caplog):
    step = Step(handed())
    with caplog.at_level(logging.INFO, logger="mlip_fw"):
        step.record(Event.REWOUND, "walker 0: 100 % back", at=logging.WARNING, walker=0, step=20, to_step=10)
        step.record(Event.VALIDATING, labels=2)
    (rewound, validating) = step.directory.events()
    assert {**rewound, "time": 0} == {"time": 0, "event": "rewound", "walker": 0, "step": 20, "to_step": 10}
    assert {**validating, "time": 0} == {"time": 0, "event": "validating", "labels": 2}
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [("WARNING", "walker 0: 100 % back")]


@pytest.mark.parametrize(("task", "kind"), [(RunMD, MDHandoff), (ValidatePotential, ValidateHandoff)])
def test_nothing_goes_on_after_a_stop(handed, task, kind):
    """It is handed on, before the worker file is looked at."""
    given = handed(kind, walker=0) if kind is MDHandoff else handed(kind)
    spec = {STOPPED: "max_labels", "_fw_env": {"lmp_comand": "lmp"}}
    action = task(handoff=given.plain(), then=stored_name("after_md")).run_task(spec)
    assert action.to_dict() == FWAction(update_spec={STOPPED: "max_labels"}).to_dict()
    with pytest.raises(WorkerError, match="env.lmp_comand is not a key of env"):
        task(handoff=given.plain(), then=stored_name("after_md")).run_task({"_fw_env": {"lmp_comand": "lmp"}})


def test_summary_needs_no_worker_file(handed):
    task = Summarize(handoff=handed().plain())
    action = task.run_task({STOPPED: "max_labels", "_fw_env": {"lmp_comand": "lmp"}})
    assert action.stored_data == {"outcome": "STOPPED", "reason": "max_labels"}


@pytest.mark.parametrize(
    ("env", "evaluator"),
    [
        ({"md_evaluator": "pyace", "md_threads": 3}, Evaluator("pyace", 3)),
        ({"md_evaluator": "pyace", "md_threads": 3, "lmp_comand": "lmp"}, Evaluator("auto", 5)),
    ],
    ids=["sound", "faulty"],
)
def test_every_step_evaluates_potentials_as_the_worker_file_says(handed, monkeypatch, env, evaluator):
    """Also those that need nothing else of it; with a faulty file, as by default."""
    monkeypatch.setattr("mlip_fw.engines.ace.kernel.choice._wanted", Evaluator("kernel", 7))
    monkeypatch.setattr("mlip_fw.engines.ace.kernel.choice.cores_of", lambda: 5)
    Summarize(handoff=handed().plain()).run_task({STOPPED: "max_labels", "_fw_env": env})
    assert wanted() == evaluator


def test_stage_begins_where_the_one_before_ended(handed, tmp_path):
    restart = str(tmp_path / "c" / "walkers" / "00" / "cycle_0002" / "end.restart")
    given = handed(MDHandoff, walker=0, stage=1, first_step=50)
    left = {"start": restart, "cycle": 3, "turns": 2}
    task = RunMD(handoff=given.plain())
    received = task.receive(given, {carry_over_key(0, 1): left})
    assert (received.start, received.cycle, received.turns, received.first_step) == (restart, 3, 2, 50)
    assert task.receive(given, {carry_over_key(1, 1): left}) == given
    with pytest.raises(CampaignError, match="the hand-off of this Firework can't be used: cycle: .*add the campaign"):
        task.run_task({carry_over_key(0, 1): {**left, "cycle": -1}})


def test_task_hands_its_step_to_what_follows(handed):
    @continuation
    def after_test(step, result):
        return FWAction(stored_data={"campaign": step.campaign.campaign, "stop": step.stop, "result": result})

    class Task(CampaignTask):
        def work(self, step, worker):
            return self.then()(step, worker.md_walltime_s)

    spec = {STOPPED: "no_progress", "_fw_env": {"md_walltime_s": 60.0}}
    action = Task(handoff=handed().plain(), then="mlip_fw.workflows.loop:after_test").run_task(spec)
    assert action.stored_data == {"campaign": "small", "stop": "no_progress", "result": 60.0}
