"""Read-only questions to the LaunchPad: on an in-memory one, with the documents that FireWorks writes."""

import time
from pathlib import Path

import pytest
from fireworks import Firework, ScriptTask, Workflow

from mlip_fw.launcher.embedded import embedded_launchpad
from mlip_fw.launcher.recover import recover
from mlip_fw.launcher.retry import retry_workflow
from mlip_fw.launcher.validate import validation_workflow
from mlip_fw.launchpad.queries import CampaignQueries
from mlip_fw.models.handoff import CandidatesHandoff, LabelHandoff, MDHandoff, TrainHandoff, ValidateHandoff
from mlip_fw.workflows.build import candidates_firework, label_firework, md_firework, train_firework
from mlip_fw.workflows.campaign import campaign_workflow
from tests.helpers.written_campaigns import campaign, hashed

HERE, THERE = "/data/one/cu-story", "/data/two/cu-story"
TWO_STAGES = [{"ensemble": "nvt", "n_steps": 1000, "temperature_k": 300.0}] * 2
HASH = hashed(0xABC)


@pytest.fixture(scope="module")
def pad():
    """Return a LaunchPad with a campaign of two stages that has halted once, its twin elsewhere, and a stranger."""
    pad = embedded_launchpad()
    one = campaign(md={"walkers": 1, "stages": TWO_STAGES})
    wf = campaign_workflow(one, Path(HERE))
    pad.add_wf(wf)
    common = {"campaign": one, "directory": HERE}
    candidates = candidates_firework(CandidatesHandoff(**common, walker=0, cycle=0))
    label = label_firework(
        LabelHandoff(**common, hash=HASH, structures=f"{HERE}/walkers/00/cycle_0000/selected.extxyz", index=0)
    )
    train = train_firework(TrainHandoff(**common, walker=0, cycle=0), parents=[candidates, label])
    md = md_firework(MDHandoff(**common, walker=0, cycle=1, start=f"{HERE}/halt.restart"), parents=[train])
    (first,) = pad.get_fw_ids({"name": "cu-story: md w00 s0 c0000"})
    pad.append_wf(Workflow([candidates, label, train, md]), [first], detour=True)
    (second,) = pad.get_fw_ids({"name": "cu-story: md w00 s1"})
    carry_over = {"start": f"{HERE}/end.restart", "cycle": 2, "turns": 1}
    pad.fireworks.update_one({"fw_id": second}, {"$set": {"spec.mlip_fw_baton_00_01": carry_over}})
    pad.add_wf(campaign_workflow(campaign(files="filepad"), Path(THERE)))
    pad.add_wf(Workflow([Firework(ScriptTask.from_str("true"), name="<script>alert(1)</script>")], name="cu-story"))
    return pad


@pytest.fixture
def store(pad):
    return CampaignQueries(pad)


def test_campaigns(store):
    found = {one.directory: one for one in store.campaigns()}
    assert set(found) == {HERE, THERE}, "what is not ours is not told"
    assert (found[HERE].name, found[HERE].files, found[THERE].files) == ("cu-story", "shared", "filepad")
    assert found[HERE].counts == {"WAITING": 7, "READY": 1}
    assert abs(found[HERE].updated_on - time.time()) < 600


def test_counts(store):
    assert store.counts("cu-story", HERE) == {"WAITING": 7, "READY": 1}
    assert sum(store.counts("cu-story").values()) == 11
    assert (store.counts("other"), store.counts("cu-story", "/elsewhere")) == ({}, {})


def test_a_row_says_what_a_firework_is(store):
    rows = {row.kind: row for row in store.fireworks("cu-story", HERE, kind="label")}
    label = rows["label"]
    assert (label.label, label.walker, label.cycle, label.category) == (HASH, 0, 0, "dft")
    assert label.directory == f"{HERE}/walkers/00/cycle_0000/label_{HASH}"
    assert label.updated_on > 1.7e9
    assert label.created_on <= label.updated_on


def test_the_newest_come_first_and_no_more_than_wanted(store):
    numbers = [row.fw_id for row in store.fireworks("cu-story", HERE)]
    assert numbers == sorted(numbers, reverse=True)
    assert [row.fw_id for row in store.fireworks("cu-story", HERE, limit=2)] == numbers[:2]


def test_only_some_states_and_kinds(store):
    (ready,) = store.fireworks("cu-story", HERE, states=["READY"])
    assert ready.kind == "bootstrap"
    assert {row.kind for row in store.fireworks("cu-story", HERE, kind="md")} == {"md"}
    assert store.fireworks("cu-story", HERE, kind="md", states=["FIZZLED"]) == []


def test_a_later_stage_learns_its_cycle_from_the_one_before(store):
    cycles = {row.name: row.cycle for row in store.fireworks("cu-story", HERE, kind="md")}
    assert cycles == {"cu-story: md w00 s0 c0000": 0, "cu-story: md w00 s1": 2, "cu-story: md w00 s0 c0001": 1}
    assert ("md", 0, 2, None) in store.links("cu-story", HERE)


def test_links(store, pad):
    links = store.links("cu-story", HERE)
    names = {key: pad.get_fw_by_id(fw_id).name.removeprefix("cu-story: ") for key, fw_id in links.items()}
    assert names == {
        ("bootstrap", None, None, None): "bootstrap",
        ("md", 0, 0, None): "md w00 s0 c0000",
        ("md", 0, 1, None): "md w00 s0 c0001",
        ("md", 0, 2, None): "md w00 s1",
        ("candidates", 0, 0, None): "candidates w00 c0000",
        ("label", None, None, HASH): f"label {HASH}",
        ("train", 0, 0, None): "train w00 c0000",
        ("summary", None, None, None): "summary",
    }


def test_a_finished_part_on_the_shelf_still_counts(pad):
    shelf = {
        "name": "cu-story, finished part",
        "metadata": {"mlip_fw": True, "directory": HERE},
        "fw_states": {"900": "COMPLETED"},
        "nodes": [900],
        "updated_on": None,
    }
    inserted = pad.workflows.insert_one(shelf).inserted_id
    try:
        assert CampaignQueries(pad).counts("cu-story", HERE)["COMPLETED"] == 1
        assert {one.name for one in CampaignQueries(pad).campaigns()} == {"cu-story"}
    finally:
        pad.workflows.delete_one({"_id": inserted})


class TestWorkflowsBeside:
    """What ``retry-labels --add`` and ``validate --add`` put on the LaunchPad is of the campaign."""

    @pytest.fixture(scope="class")
    def busy(self):
        """Return a LaunchPad with a campaign, a failed label of it that is made again, and a validation of it."""
        pad, one = embedded_launchpad(), campaign()
        made = campaign_workflow(one, Path(HERE))
        again = LabelHandoff(
            campaign=one, directory=HERE, hash=HASH, structures=f"{HERE}/q.extxyz", index=0, retry=True
        )
        beside = [retry_workflow([again]), validation_workflow(ValidateHandoff(campaign=one, directory=HERE))]
        for workflow in (made, *beside):
            assert workflow.metadata == made.metadata
            pad.add_wf(workflow)
        return pad

    def test_they_are_counted(self, busy):
        (found,) = CampaignQueries(busy).campaigns()
        assert (found.name, found.counts) == ("cu-story", {"READY": 3, "WAITING": 2})
        assert CampaignQueries(busy).counts("cu-story", HERE) == found.counts

    def test_they_are_shown(self, busy):
        store = CampaignQueries(busy)
        assert [row.label for row in store.fireworks("cu-story", HERE, kind="label", states=["READY"])] == [HASH]
        (number,) = busy.get_fw_ids({"name": f"cu-story: label {HASH}"})
        links = store.links("cu-story", HERE)
        assert links["label", None, None, HASH] == number
        assert ("validate", None, None, None) in links

    def test_recovery_leaves_them_alone(self, busy):
        assert list(recover(busy, timeout_s=0)) == []


def test_nothing_is_read_but_what_is_shown(store, pad, monkeypatch):
    asked = []
    find = pad.fireworks.find

    def watched(query, projection=None, *rest, **named):
        asked.append(projection)
        return find(query, projection, *rest, **named)

    monkeypatch.setattr(pad.fireworks, "find", watched)
    CampaignQueries(pad).fireworks("cu-story", HERE)
    CampaignQueries(pad).links("cu-story", HERE)
    CampaignQueries(pad).counts("cu-story", HERE)
    assert asked
    assert all(projection and ("spec._tasks" in projection or "spec" not in projection) for projection in asked)


def test_an_empty_launchpad():
    store = CampaignQueries(embedded_launchpad())
    assert (store.campaigns(), store.counts("c"), store.fireworks("c"), store.links("c")) == ([], {}, [], {})
