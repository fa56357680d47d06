"""Collections of different moments, as a wrong backup leaves them: what is found, what is put right."""

import pytest
from fireworks import Firework, FWorker, ScriptTask, Workflow

from mlip_fw.launcher.embedded import embedded_launchpad
from mlip_fw.launcher.recover import recover
from mlip_fw.launchpad.recovery.contradictions import Census, find_contradictions
from mlip_fw.models.handoff import CandidatesHandoff, TrainHandoff
from mlip_fw.workflows.build import candidates_firework, train_firework


@pytest.fixture
def pad():
    """Return an empty LaunchPad."""
    return embedded_launchpad()


@pytest.fixture
def add(pad, small, tmp_path):
    """Return a function that adds a workflow of two Fireworks and returns their numbers."""

    def make(name="small"):
        handoff = {"campaign": small(campaign=name), "directory": str(tmp_path / name), "walker": 0, "cycle": 0}
        first = candidates_firework(CandidatesHandoff(**handoff))
        then = train_firework(TrainHandoff(**handoff), parents=[first])
        return sorted(pad.add_wf(Workflow([first, then], name=name)).values())

    return make


def found(pad, **options):
    """Return kind, number and text of what a recovery finds."""
    return [(one.kind, one.fw_id, one.what) for one in recover(pad, timeout_s=0.0, heartbeat_s=1e9, **options)]


def counters(pad):
    """Return the next numbers of Fireworks and launches."""
    [document] = pad.fw_id_assigner.find({})
    return document["next_fw_id"], document["next_launch_id"]


def everything(pad):
    """Return all that a recovery could change."""
    return [list(pad.db[name].find()) for name in ("fireworks", "launches", "workflows", "fw_id_assigner")]


class TestNumbers:
    def test_a_whole_database_has_nothing(self, pad, add, tmp_path):
        add()
        pad.checkout_fw(FWorker(), str(tmp_path))
        assert found(pad) == []
        assert counters(pad) == (3, 2)

    def test_one_that_is_empty_has_nothing(self, pad):
        assert found(pad) == []

    def test_a_counter_that_is_behind_is_raised(self, pad, add, tmp_path):
        add()
        add("other")
        pad.checkout_fw(FWorker(), str(tmp_path))
        pad.fw_id_assigner.update_one({}, {"$set": {"next_fw_id": 3, "next_launch_id": 1}})
        before = everything(pad)
        assert [kind for kind, *_ in found(pad, dry_run=True)] == ["next number", "next number"]
        assert everything(pad) == before
        (_, _, said), (_, _, also) = found(pad)
        assert said.startswith("number 3 would be given out next, but Firework 4 exists")
        assert also.startswith("number 1 would be given out next, but launch 1 exists")
        assert counters(pad) == (5, 2)
        assert found(pad) == []

    def test_what_is_added_then_takes_no_one_s_place(self, pad, add):
        """FireWorks itself deletes Fireworks that have the numbers which it gives."""
        first = add()
        pad.fw_id_assigner.update_one({}, {"$set": {"next_fw_id": 1}})
        found(pad)
        assert add("other") == [3, 4]
        assert pad.fireworks.count_documents({"fw_id": {"$in": first}, "spec.campaign": "small"}) == 2

    @pytest.mark.parametrize(
        ("where", "change", "expected"),
        [
            ("workflows", {"$push": {"nodes": 40}}, (41, 2)),
            ("launches", {"$set": {"fw_id": 40}}, (41, 2)),
            ("launches", {"$set": {"launch_id": 40}}, (3, 41)),
            ("fireworks", {"$push": {"launches": 40}}, (3, 41)),
            ("fireworks", {"$push": {"archived_launches": 40}}, (3, 41)),
        ],
    )
    def test_every_place_that_names_a_number_counts(self, pad, add, tmp_path, where, change, expected):
        add()
        pad.checkout_fw(FWorker(), str(tmp_path))
        pad.db[where].update_one({}, change)
        found(pad)
        assert counters(pad) == expected

    def test_a_counter_that_is_not_there_is_made(self, pad, add):
        add()
        pad.fw_id_assigner.delete_many({})
        [(kind, _, said)] = found(pad)
        assert (kind, said.partition(",")[0]) == ("next number", "no number is there to be given out")
        assert counters(pad) == (3, 1)

    def test_numbers_of_others_count_too(self, pad):
        pad.add_wf(Workflow([Firework([ScriptTask.from_str("true")])]))
        pad.fw_id_assigner.update_one({}, {"$set": {"next_fw_id": 1}})
        assert [kind for kind, *_ in found(pad)] == ["next number"]
        assert counters(pad) == (2, 1)


class TestContradictions:
    def test_nodes_without_fireworks(self, pad, add):
        add()
        nodes = add("other")
        pad.fireworks.delete_many({"fw_id": nodes[1]})
        [finding] = recover(pad, timeout_s=0.0, heartbeat_s=1e9)
        assert (finding.kind, finding.fw_id, finding.name, finding.repair) == (
            "missing Firework",
            nodes[1],
            "other",
            None,
        )
        assert finding.what == (
            "this workflow lists Firework 4, not in the database; lpad delete_wflows -i 3, then add its campaign again "
            "with the same directory"
        )

    def test_what_it_says_puts_that_right(self, pad, add):
        add()
        nodes = add("other")
        pad.fireworks.delete_many({"fw_id": nodes[1]})
        pad.delete_wf(nodes[0])
        add("other")
        assert found(pad) == []
        assert sorted(pad.get_fw_ids()) == [1, 2, 5, 6]

    def test_two_workflows_that_share_nodes(self, pad, add):
        add()
        add("other")
        pad.workflows.update_one({"name": "other"}, {"$push": {"nodes": {"$each": [1, 2]}}})
        before = everything(pad)
        (kind, fw_id, what), *others = found(pad)
        assert (kind, fw_id) == ("in two workflows", 1)
        assert [(also, said.partition("; ")[2]) for also, _, said in others] == [
            ("half changed", "left alone, since its workflow contradicts others")
        ]
        assert what.startswith("Fireworks 1, 2 in 2 workflows: small (1), other (1); see docs/how-to/mongodb-in-produc")
        assert everything(pad) == before

    def test_a_missing_node_of_a_workflow_that_shares_others_is_not_to_be_deleted(self, pad, add):
        """That would delete Fireworks of the other one."""
        add()
        add("other")
        pad.workflows.update_one({"name": "other"}, {"$push": {"nodes": {"$each": [1, 9]}}})
        missing = next(what for kind, _, what in found(pad) if kind == "missing Firework")
        assert "delete_wflows" not in missing
        assert "docs/how-to/mongodb-in-production.md" in missing

    def test_fireworks_of_others_in_no_workflow(self, pad):
        pad.add_wf(Workflow([Firework([ScriptTask.from_str("true")], name="theirs")]))
        pad.workflows.delete_many({})
        assert [(kind, fw_id) for kind, fw_id, _ in found(pad)] == [("in no workflow", 1)]
        assert pad.get_fw_ids() == [1]

    def test_two_fireworks_of_one_number(self, pad, add):
        nodes = add()
        copy = pad.fireworks.find_one({"fw_id": nodes[0]}, {"_id": 0})
        pad.fireworks.drop_indexes()
        pad.fireworks.insert_one(copy)
        assert ("double number", nodes[0]) in [(kind, fw_id) for kind, fw_id, _ in found(pad, dry_run=True)]

    def test_a_launch_that_is_missing(self, pad, add, tmp_path):
        add()
        firework, launch = pad.checkout_fw(FWorker(), str(tmp_path))
        pad.launches.delete_many({})
        [(kind, fw_id, what)] = found(pad)
        assert (kind, fw_id) == ("missing launch", firework.fw_id)
        assert what == (
            f"launch {launch} of it not in the database; lpad rerun_fws -i {fw_id} makes it ready; finished work is "
            "found on disk"
        )
        pad.rerun_fw(fw_id)
        assert found(pad) == []
        assert pad.fireworks.find_one({"fw_id": fw_id})["state"] == "READY"

    def test_a_launch_of_another_firework(self, pad, add, tmp_path):
        """Its number was given twice, so the second took the place of the first."""
        nodes = add()
        firework, launch = pad.checkout_fw(FWorker(), str(tmp_path))
        other = next(node for node in nodes if node != firework.fw_id)
        pad.launches.update_one({"launch_id": launch}, {"$set": {"fw_id": other}})
        [(kind, fw_id, what)] = found(pad)
        assert (kind, fw_id) == ("foreign launch", firework.fw_id)
        assert what.startswith(f"launch {launch} of it is said to be of Firework {other}; see docs/how-to")

    def test_duplicates_share_launches_rightfully(self, pad, add, tmp_path):
        nodes = add()
        firework, launch = pad.checkout_fw(FWorker(), str(tmp_path))
        other = next(node for node in nodes if node != firework.fw_id)
        share = {"$push": {"launches": launch}, "$set": {"spec._dupefinder": {"_fw_name": "DupeFinderExact"}}}
        pad.fireworks.update_one({"fw_id": other}, share)
        assert list(find_contradictions(pad, Census.of(pad), 0.0)) == []

    def test_what_is_gone_at_the_second_look_is_none(self, pad, add):
        """Somebody deletes a workflow: first its Fireworks, then the workflow."""
        nodes = add()
        pad.fireworks.delete_many({"fw_id": {"$in": nodes}})

        def somebody_deletes(_):
            pad.workflows.delete_one({"nodes": nodes[0]})

        assert list(find_contradictions(pad, Census.of(pad), 0.0, sleep=somebody_deletes)) == []

    def test_many_numbers_are_not_all_said(self, pad, add):
        add()
        pad.workflows.update_one({}, {"$push": {"nodes": {"$each": list(range(10, 30))}}})
        what = next(what for kind, _, what in found(pad) if kind == "missing Firework")
        assert "Fireworks 10, 11, 12, 13, 14 and 15 more, not in the database" in what
