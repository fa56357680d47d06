"""Several labels in one Firework: which, in which order, and what happens if the time runs out in between."""

import pytest

from mlip_fw.firetasks.label import LabelStructure
from mlip_fw.models.handoff import Handoff, LabelHandoff
from mlip_fw.models.label import LabelState
from mlip_fw.models.selection import Choice, Selection
from mlip_fw.models.worker import Worker
from mlip_fw.steps.step import Step
from mlip_fw.workflows import loop


def selection_of(n_labels):
    """Return a Selection of structures that nobody looks at."""
    chosen = [Choice(hash=f"{index:016x}", strategy="rattle", reason="stand-in") for index in range(n_labels)]
    return Selection(walker=0, cycle=0, generation=0, center=0, n_candidates=n_labels, rejected={}, chosen=chosen)


@pytest.fixture
def batches(small, monkeypatch, tmp_path):
    """Return a function that gives the hand-offs of n labels, at most four Fireworks."""
    monkeypatch.setattr(loop, "_WIDEST_FAN", 4)
    handoff = Handoff(campaign=small(), directory=str(tmp_path))
    return lambda n: loop._label_handoffs(handoff, selection_of(n), str(tmp_path / "selected.extxyz"))


@pytest.mark.parametrize(("n_labels", "sizes"), [(0, []), (1, [1]), (4, [1] * 4), (5, [2, 2, 1]), (9, [3, 3, 3])])
def test_each_structure_is_in_one_firework(batches, n_labels, sizes):
    handed = [list(first.one_by_one()) for first in batches(n_labels)]
    assert [len(batch) for batch in handed] == sizes
    assert [(one.hash, one.index) for batch in handed for one in batch] == [(f"{i:016x}", i) for i in range(n_labels)]


def test_cut_batch_goes_on_with_the_rest(batches, monkeypatch):
    (first, *_) = batches(12)
    seen = []

    def label(step, _):
        seen.append(step.handoff.index)
        return LabelState.UNFINISHED if seen == [0, 1] else LabelState.DONE

    monkeypatch.setattr("mlip_fw.steps.label.label_structure", label)
    task = LabelStructure(handoff=first.plain(), then="mlip_fw.workflows.loop:after_label")
    (continued,) = task.work(Step(first), Worker()).detours
    again = LabelHandoff.model_validate(continued.tasks[0]["handoff"])
    assert (again.index, again.turns, [s.index for s in again.more]) == (1, 1, [2])
    assert not task.work(Step(again), Worker()).detours
    assert seen == [0, 1, 1, 2]
