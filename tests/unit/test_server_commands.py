"""Commands, as drivers send them: what is answered, and what is refused in MongoDB's words."""

import itertools
import random
from datetime import datetime

import bson
import pytest
from bson import ObjectId
from bson.int64 import Int64

from mlip_fw.launchpad.server.tcp_server import COMMANDS
from tests.helpers.database import Talk


@pytest.fixture
def talk(tmp_path):
    client = Talk(tmp_path / "db.sqlite")
    yield client
    client.session.store.close()


def with_index(talk, *fields, **options):
    """Have an index on fields."""
    reply = talk({"createIndexes": "a", "indexes": [{"key": dict.fromkeys(fields, 1), "name": "i", **options}]})
    assert reply["ok"] == 1.0, reply


class TestInsert:
    def test_documents_come_back_as_they_were(self, talk):
        document = {
            **{"_id": ObjectId(), "text": "µ", "whole": Int64(3), "real": 1.5, "none": None, "yes": True},
            **{
                "when": datetime(2026, 1, 2, 3, 4, 5, 6000),
                "bytes": b"\0\1",
                "list": [1, {"a": []}],
                "deep": {"b": {}},
            },
        }
        talk.insert(document)
        assert talk.find() == [document]
        assert list(talk.find()[0]) == list(document)

    def test_id_is_made_and_comes_first(self, talk):
        talk.insert({"x": 1})
        assert list(talk.find()[0]) == ["_id", "x"]

    def test_same_id_twice(self, talk):
        talk.insert({"_id": 1})
        reply = talk({"insert": "a", "documents": [{"_id": 2}, {"_id": 1.0}, {"_id": 3}]})
        (failure,) = reply["writeErrors"]
        assert (reply["ok"], reply["n"], failure["index"], failure["code"]) == (1.0, 1, 1, 11000)
        assert failure["keyValue"] == {"_id": 1.0}
        assert talk.ids() == [1, 2]

    def test_unordered_goes_on_after_a_failure(self, talk):
        reply = talk({"insert": "a", "documents": [{"_id": 1}, {"_id": 1}, {"_id": 3}], "ordered": False})
        assert (reply["n"], len(reply["writeErrors"])) == (2, 1)
        assert talk.ids() == [1, 3]

    def test_true_and_one_are_different_ids(self, talk):
        talk.insert({"_id": 1}, {"_id": True}, {"_id": {"a": 1}}, {"_id": "1"})
        assert len(talk.find()) == 4
        talk.insert({"_id": 9, "x": True})
        with_index(talk, "x")
        assert talk.find({"x": 1}) == [] or talk.ids({"x": 1}) == [9]

    def test_too_large(self, talk):
        (failure,) = talk({"insert": "a", "documents": [{"x": b"0" * 2**24}]})["writeErrors"]
        assert failure["code"] == 10334
        assert talk.find() == []


class TestFind:
    @pytest.fixture(autouse=True)
    def documents(self, talk):
        talk.insert(*({"_id": i, "state": "RW"[i % 2], "spec": {"p": i % 3}, "nodes": [i, i + 10]} for i in range(9)))

    @pytest.mark.parametrize("indexed", [False, True])
    def test_indexes_change_no_answer(self, talk, indexed):
        if indexed:
            for field in ("state", "spec.p", "nodes"):
                talk({"createIndexes": "a", "indexes": [{"key": {field: 1}, "name": field}]})
        assert talk.ids({"state": "R"}) == [0, 2, 4, 6, 8]
        assert talk.ids({"state": "R", "spec.p": 1}) == [4]
        assert talk.ids({"state": {"$in": ["W", "X", "W"]}, "_id": {"$gt": 4}}) == [5, 7]
        assert talk.ids({"state": {"$eq": "W", "$ne": "R"}, "_id": {"$lt": 4}}) == [1, 3]
        assert talk.ids({"nodes": 12}) == [2]
        assert talk.ids({"nodes": {"$in": [0, 18]}}) == [0, 8]
        assert talk.ids({"nodes": [1, 11]}) == [1]
        assert talk.ids({"$or": [{"nodes": 3}, {"spec": {"p": 2}}]}) == [2, 3, 5, 8]
        assert talk.ids({"spec.p": {"$exists": False}}) == []
        assert talk.ids({"absent": None}) == list(range(9))
        assert talk.ids({"state": {"$nin": ["R"]}}) == [1, 3, 5, 7]
        assert talk.ids({"state": bson.Regex("^r", "i")}) == [0, 2, 4, 6, 8]
        assert talk.ids({"$and": [{"state": "R"}, {}, {"$and": [{"spec.p": 0}]}], "_id": {"$gt": 0}}) == [6]
        assert talk.ids({"$and": [{"state": "R"}, {"state": "W"}]}) == []
        assert talk.ids({"$and": [{"_id": {"$gt": 3}}, {"_id": {"$lt": 5}}]}) == [4]
        assert talk.ids({"state": "none"}) == []

    def test_order_limit_and_skip(self, talk):
        assert talk.ids(sort={"spec.p": -1, "_id": 1}) == [2, 5, 8, 1, 4, 7, 0, 3, 6]
        assert talk.ids(sort={"_id": -1}, limit=2, skip=1) == [7, 6]
        assert talk.ids(sort={"$natural": -1}, limit=1) == [8]
        assert talk.ids({"state": "W"}, limit=2) == [1, 3]
        assert talk.ids(limit=3, singleBatch=True) == [0, 1, 2]

    def test_order_of_different_types(self, talk):
        values = [None, 3, "a", {"x": 1}, [5, 1], [], b"b", ObjectId(), True, datetime(2026, 1, 1), Int64(2), 2.5]
        talk({"drop": "a"})
        talk.insert(*({"_id": i, "v": value} for i, value in enumerate(values)))
        assert talk.ids(sort={"v": 1}) == [5, 0, 4, 10, 11, 1, 2, 3, 6, 7, 8, 9]
        assert talk.ids(sort={"v": -1})[-4:] == [11, 10, 0, 5]

    def test_projection(self, talk):
        assert talk.find({"_id": 1}, projection={"state": 1}) == [{"_id": 1, "state": "W"}]
        assert talk.find({"_id": 1}, projection={"_id": 0, "spec.p": True}) == [{"spec": {"p": 1}}]
        assert talk.find({"_id": 1}, projection={"spec": 0, "nodes": 0}) == [{"_id": 1, "state": "W"}]

    def test_portions(self, talk):
        reply = talk({"find": "a", "filter": {}, "batchSize": 4})["cursor"]
        more = talk({"getMore": reply["id"], "collection": "a", "batchSize": 4})["cursor"]
        last = talk({"getMore": reply["id"], "collection": "a"})["cursor"]
        assert [len(part) for part in (reply["firstBatch"], more["nextBatch"], last["nextBatch"])] == [4, 4, 1]
        assert (more["id"], last["id"]) == (reply["id"], 0)
        assert "not found" in talk.refused(43, {"getMore": reply["id"], "collection": "a"})

    def test_portions_fit_a_message(self, talk):
        talk.insert(*({"_id": 100 + i, "x": b"0" * 9_000_000} for i in range(2)))
        reply = talk({"find": "a", "filter": {"_id": {"$gte": 100}}})["cursor"]
        assert len(reply["firstBatch"]) == 1
        assert talk({"getMore": reply["id"], "collection": "a"})["cursor"]["nextBatch"][0]["_id"] == 101

    def test_portions_show_what_was_there_when_asked(self, talk):
        reply = talk({"find": "a", "filter": {}, "batchSize": 2})["cursor"]
        talk({"delete": "a", "deletes": [{"q": {}, "limit": 0}]})
        assert len(talk({"getMore": reply["id"], "collection": "a"})["cursor"]["nextBatch"]) == 7

    def test_killed_cursor(self, talk):
        number = talk({"find": "a", "filter": {}, "batchSize": 2})["cursor"]["id"]
        reply = talk({"killCursors": "a", "cursors": [number, 1]})
        assert (reply["cursorsKilled"], reply["cursorsNotFound"]) == ([number], [1])
        talk.refused(43, {"getMore": number, "collection": "a"})

    def test_cursor_of_another_collection(self, talk):
        number = talk({"find": "a", "filter": {}, "batchSize": 2})["cursor"]["id"]
        talk.refused(43, {"getMore": number, "collection": "b"})

    def test_count_and_distinct(self, talk):
        assert talk({"count": "a"})["n"] == 9
        assert talk({"count": "a", "query": {"state": "R"}, "skip": 1, "limit": 3})["n"] == 3
        assert talk({"distinct": "a", "key": "spec.p"})["values"] == [0, 1, 2]
        assert talk({"distinct": "a", "key": "nodes", "query": {"_id": 1}})["values"] == [1, 11]


class TestUpdate:
    OPERATORS = {
        "$set": ({"x.y": 5}, {"x": {"y": 5, "z": 1}}),
        "$unset": ({"x.z": ""}, {"x": {}}),
        "$inc": ({"n": 2}, {"n": 3}),
        "$push": ({"list": {"$each": [8, 9]}}, {"list": [1, 2, 8, 9]}),
        "$addToSet": ({"list": 2}, {"list": [1, 2]}),
        "$pull": ({"list": 1}, {"list": [2]}),
        "$pullAll": ({"list": [1, 2]}, {"list": []}),
        "$pop": ({"list": 1}, {"list": [1]}),
        "$rename": ({"n": "m"}, {"m": 1}),
        "$max": ({"n": 7}, {"n": 7}),
        "$min": ({"n": 0}, {"n": 0}),
    }

    @pytest.mark.parametrize("operator", OPERATORS)
    def test_operator(self, talk, operator):
        talk.insert({"_id": 1, "n": 1, "x": {"z": 1}, "list": [1, 2]})
        change, expected = self.OPERATORS[operator]
        assert talk.update({"_id": 1}, {operator: change})["n"] == 1
        (found,) = talk.find()
        assert {key: found.get(key) for key in expected} == expected

    def test_only_what_changed_is_counted(self, talk):
        talk.insert({"_id": 1, "x": 1}, {"_id": 2, "x": 2})
        reply = talk.update({}, {"$set": {"x": 2}}, multi=True)
        assert (reply["n"], reply["nModified"]) == (2, 1)

    def test_one_or_all(self, talk):
        talk.insert({"_id": 1}, {"_id": 2})
        assert talk.update({}, {"$set": {"y": 1}})["n"] == 1
        assert talk.ids({"y": 1}) == [1]

    def test_replacement(self, talk):
        talk.insert({"_id": 1, "x": 1})
        talk.update({"x": 1}, {"y": 2})
        assert talk.find() == [{"_id": 1, "y": 2}]
        assert talk.update({}, {"_id": 2})["writeErrors"][0]["code"] == 66
        assert talk.update({}, {"y": 3}, multi=True)["writeErrors"][0]["code"] == 9

    def test_id_stays(self, talk):
        talk.insert({"_id": 1})
        for change in ({"$set": {"_id": 2}}, {"$unset": {"_id": ""}}, {"$rename": {"_id": "x"}}):
            assert talk.update({}, change)["writeErrors"][0]["code"] == 66
        assert talk.find() == [{"_id": 1}]

    def test_failing_update_changes_nothing(self, talk):
        talk.insert({"_id": 1, "text": "a"})
        reply = talk.update({}, {"$set": {"x": 1}, "$inc": {"text": 1}})
        assert reply["writeErrors"][0]["code"] == 14
        assert talk.find() == [{"_id": 1, "text": "a"}]

    def test_upsert(self, talk):
        reply = talk.update(
            {"_id": 5, "s": "x", "n": {"$gt": 1}}, {"$set": {"v": 1}, "$setOnInsert": {"w": 2}}, upsert=True
        )
        assert (reply["n"], reply["nModified"], reply["upserted"]) == (1, 0, [{"index": 0, "_id": 5}])
        assert talk.find() == [{"_id": 5, "s": "x", "v": 1, "w": 2}]
        assert "upserted" not in talk.update({"_id": 5}, {"$set": {"v": 2}, "$setOnInsert": {"w": 3}}, upsert=True)
        assert talk.find() == [{"_id": 5, "s": "x", "v": 2, "w": 2}]

    def test_upsert_of_a_whole_document(self, talk):
        talk.update({"x": 1}, {"y": 2}, upsert=True)
        (found,) = talk.find()
        assert (list(found), found["y"]) == (["_id", "y"], 2)

    def test_updated_document_is_found_by_its_new_values(self, talk):
        with_index(talk, "state")
        talk.insert({"_id": 1, "state": "READY"})
        talk.update({}, {"$set": {"state": "DONE"}})
        assert (talk.ids({"state": "READY"}), talk.ids({"state": "DONE"})) == ([], [1])

    def test_indexes_follow_every_change(self, talk):
        """They are what new ones would be; what differs in the type of a number only, or is absent, differs."""
        values = [0, False, 1, True, 1.0, None, "1", [1, 2], [True], [2], {"x": 1}, {"x": True}]
        indexes = [{"key": {field: 1}, "name": field} for field in ("x", "inner.x", "list")]
        indexes.append({"key": {"u": 1}, "name": "u", "unique": True, "partialFilterExpression": {"x": 1}})
        talk({"createIndexes": "a", "indexes": indexes})
        talk.insert(*({"_id": i, "u": i} for i in range(6)))
        chance = random.Random(7)
        for _ in range(300):
            field, value = chance.choice(["x", "list", "inner", "u", "other"]), chance.choice(values)
            change = chance.choice([{"$set": {field: value}}, {"$unset": {field: ""}}, {field: value, "u": value}])
            talk.update({"_id": chance.randrange(6)}, change)
        talk.insert(*talk.find(), into="new")
        assert talk({"createIndexes": "new", "indexes": indexes})["ok"] == 1.0
        old, new = (talk.session.store.find("t", name) for name in ("a", "new"))
        for field, value in itertools.product(["x", "inner.x", "list", "u"], [0, False, 1, True, "1", 2]):
            found = [[stored.fields for stored in c.candidates({field: value})[0]] for c in (old, new)]
            assert found[0] == found[1], (field, value)
        assert len(old._owners["u"]) == len(new._owners["u"])

    def test_what_an_update_shares_is_not_changed_by_the_next(self, talk):
        talk.insert({"_id": 1, "list": [1], "x": {"y": 1}}, {"_id": 2})
        talk.update({}, {"$set": {"x": {"y": 2}}}, multi=True)
        talk.update({"_id": 1}, {"$set": {"x.y": 3}, "$push": {"list": 2}})
        talk.update({"_id": 1}, {"$unset": {"x": ""}})
        assert talk.find() == [{"_id": 1, "list": [1, 2]}, {"_id": 2, "x": {"y": 2}}]
        assert (talk.ids({"x.y": 2}), talk.ids({"x.y": 3})) == ([2], [])

    def test_too_large(self, talk):
        talk.insert({"_id": 1, "x": "0" * (2**24 - 100)})
        assert talk.update({}, {"$set": {"y": "0" * 200}})["writeErrors"][0]["code"] == 10334


class TestFindAndModify:
    def call(self, talk, **options):
        return talk({"findAndModify": "a", **options})

    def test_first_in_order_is_taken(self, talk):
        talk.insert(*({"_id": i, "p": p, "state": "READY"} for i, p in enumerate([1, 3, 2])))
        taken = []
        while (
            found := self.call(talk, query={"state": "READY"}, sort={"p": -1}, update={"$set": {"state": "RESERVED"}})[
                "value"
            ]
        ) is not None:
            assert found["state"] == "READY"
            taken.append(found["_id"])
        assert taken == [1, 2, 0]

    def test_new_one_is_shown_on_request(self, talk):
        talk.insert({"_id": 1, "n": 1, "m": 2})
        reply = self.call(talk, query={}, update={"$inc": {"n": 1}}, new=True, fields={"n": 1})
        assert reply["value"] == {"_id": 1, "n": 2}
        assert reply["lastErrorObject"] == {"n": 1, "updatedExisting": True}

    def test_upsert(self, talk):
        reply = self.call(talk, query={"launch_id": 7}, update={"launch_id": 7, "x": 1}, upsert=True)
        assert reply["value"] is None
        assert reply["lastErrorObject"]["upserted"] == talk.ids()[0]

    def test_removal(self, talk):
        talk.insert({"_id": 1})
        assert self.call(talk, query={}, remove=True)["value"] == {"_id": 1}
        assert self.call(talk, query={}, remove=True)["value"] is None
        assert talk.find() == []

    def test_unique_index_is_kept(self, talk):
        with_index(talk, "x", unique=True)
        talk.insert({"_id": 1, "x": 1}, {"_id": 2, "x": 2})
        talk.refused(11000, {"findAndModify": "a", "query": {"_id": 1}, "update": {"$set": {"x": 2}}})
        assert talk.ids({"x": 2}) == [2]

    def test_neither_and_both(self, talk):
        talk.refused(9, {"findAndModify": "a", "query": {}})
        talk.refused(9, {"findAndModify": "a", "query": {}, "remove": True, "update": {"x": 1}})


class TestUniqueIndexes:
    def twice(self, talk, first, second):
        talk.insert(first)
        reply = talk({"insert": "a", "documents": [second]})
        return reply.get("writeErrors", [{}])[0].get("code")

    def test_same_value(self, talk):
        with_index(talk, "x", unique=True)
        assert self.twice(talk, {"x": 1}, {"x": 1}) == 11000

    def test_absent_counts_as_a_value(self, talk):
        with_index(talk, "x", unique=True)
        assert self.twice(talk, {}, {"x": None}) == 11000

    def test_sparse_has_no_absent_ones(self, talk):
        with_index(talk, "x", unique=True, sparse=True)
        assert self.twice(talk, {}, {}) is None

    def test_two_fields(self, talk):
        with_index(talk, "files_id", "n", unique=True)
        assert self.twice(talk, {"files_id": 1, "n": 0}, {"files_id": 1, "n": 1}) is None
        assert self.twice(talk, {"files_id": 2, "n": 0}, {"files_id": 2, "n": 0}) == 11000

    def test_some_documents_only(self, talk):
        with_index(talk, "x", unique=True, partialFilterExpression={"state": "READY"})
        assert self.twice(talk, {"x": 1, "state": "DONE"}, {"x": 1, "state": "DONE"}) is None
        assert self.twice(talk, {"x": 1, "state": "READY"}, {"x": 1, "state": "READY"}) == 11000

    def test_items_of_lists(self, talk):
        with_index(talk, "x", unique=True)
        assert self.twice(talk, {"x": [1, 2]}, {"x": [2, 3]}) == 11000

    def test_value_is_free_after_its_document(self, talk):
        with_index(talk, "x", unique=True)
        talk.insert({"_id": 1, "x": 1})
        talk({"delete": "a", "deletes": [{"q": {"_id": 1}, "limit": 1}]})
        talk.insert({"_id": 2, "x": 1})
        assert talk.ids() == [2]

    def test_documents_that_don_t_agree_are_refused(self, talk):
        talk.insert({"_id": 1, "x": 1}, {"_id": 2, "x": 1})
        talk.refused(11000, {"createIndexes": "a", "indexes": [{"key": {"x": 1}, "name": "x", "unique": True}]})
        assert [index["name"] for index in talk({"listIndexes": "a"})["cursor"]["firstBatch"]] == ["_id_"]
        assert talk.ids({"x": 1}) == [1, 2]


class TestCatalogue:
    def test_indexes(self, talk):
        with_index(talk, "x", unique=True)
        reply = talk({"createIndexes": "a", "indexes": [{"key": {"x": 1}, "name": "i", "unique": True}]})
        assert (reply["numIndexesBefore"], reply["numIndexesAfter"]) == (2, 2)
        talk.refused(86, {"createIndexes": "a", "indexes": [{"key": {"x": -1}, "name": "i"}]})
        assert talk({"listIndexes": "a"})["cursor"]["firstBatch"] == [
            {"v": 2, "key": {"_id": 1}, "name": "_id_"},
            {"v": 2, "key": {"x": 1}, "unique": True, "name": "i"},
        ]
        assert talk({"dropIndexes": "a", "index": "i"})["nIndexesWas"] == 2
        talk.refused(27, {"dropIndexes": "a", "index": "i"})
        talk.insert({"x": 1}, {"x": 1})

    @pytest.mark.parametrize(
        "option", [{"expireAfterSeconds": 5}, {"key": {"x": "text"}}, {"collation": {"locale": "fr"}}]
    )
    def test_index_that_only_a_mongodb_has(self, talk, option):
        talk.refused(115, {"createIndexes": "a", "indexes": [{"key": {"x": 1}, "name": "x", **option}]})

    def test_names(self, talk):
        talk.insert({}, into="b")
        talk({"create": "c"})
        talk.refused(48, {"create": "c"})
        reply = talk({"listCollections": 1, "filter": {"name": {"$ne": "c"}}, "nameOnly": True})
        assert [entry["name"] for entry in reply["cursor"]["firstBatch"]] == ["b"]
        assert [entry["name"] for entry in talk({"listDatabases": 1}, "admin")["databases"]] == ["t"]

    def test_drop(self, talk):
        talk.insert({"_id": 1})
        assert talk({"drop": "a"})["ns"] == "t.a"
        talk.refused(26, {"drop": "a"})
        assert talk.find() == []
        talk.insert({"_id": 1})
        assert talk({"dropDatabase": 1})["dropped"] == "t"
        assert talk({"listDatabases": 1})["databases"] == []

    def test_rename(self, talk):
        talk.insert({"_id": 1})
        talk.insert({"_id": 2}, into="b")
        talk.refused(48, {"renameCollection": "t.a", "to": "t.b"}, "admin")
        talk.refused(26, {"renameCollection": "t.c", "to": "t.b"}, "admin")
        assert talk({"renameCollection": "t.b", "to": "t.a", "dropTarget": True}, "admin")["ok"] == 1.0
        assert talk.ids() == [2]
        assert talk.update({"_id": 2}, {"$set": {"x": 1}})["n"] == 1

    @pytest.mark.parametrize("name", ["", "a$b", "a\0b"])
    def test_bad_names(self, talk, name):
        reply = talk({"insert": name, "documents": [{}]})
        assert (reply.get("writeErrors") or [reply])[0]["code"] == 73


class TestAggregation:
    @pytest.fixture(autouse=True)
    def documents(self, talk):
        talk.insert({"_id": 1, "nodes": [1, 2], "x": {"y": 1}}, {"_id": 2, "nodes": [3], "x": {"y": 2}})
        talk.insert(*({"_id": i, "fw_id": i, "state": "RW"[i % 2]} for i in (1, 2, 3)), into="fireworks")

    def test_count_as_drivers_do(self, talk):
        group = {"$group": {"_id": 1, "n": {"$sum": 1}}}
        assert talk.aggregate({"$match": {"_id": 1}}, group) == [{"_id": 1, "n": 1}]
        assert talk.aggregate({"$match": {"_id": 9}}, group) == []
        assert talk.aggregate({"$match": {}}, {"$count": "count"}) == [{"count": 2}]

    def test_fireworks_in_workflows(self, talk):
        lookup = {"from": "fireworks", "localField": "nodes", "foreignField": "fw_id", "as": "fireworks"}
        found = talk.aggregate(
            {"$match": {}},
            {"$project": {"nodes": True, "_id": False}},
            {"$unwind": "$nodes"},
            {"$lookup": lookup},
            {"$unwind": "$fireworks"},
            {"$replaceRoot": {"newRoot": "$fireworks"}},
            {"$match": {"state": "W"}},
            {"$sort": {"fw_id": -1}},
        )
        assert [document["fw_id"] for document in found] == [3, 1]

    def test_unwound_documents_share_nothing(self, talk):
        made = talk.aggregate({"$match": {"_id": 1}}, {"$unwind": "$nodes"}, {"$set": {"x.y": "$nodes"}})
        assert [(document["nodes"], document["x"]["y"]) for document in made] == [(1, 1), (2, 2)]

    def test_stored_documents_stay_as_they_are(self, talk):
        talk.aggregate({"$set": {"x.y": 9}})
        assert talk.find({"x.y": 9}) == []
        assert talk.find()[0]["x"] == {"y": 1}

    def test_dates_from_texts(self, talk):
        texts = ["2026-03-01T10:00:00", "2026-03-01T10:00:00+02:00", datetime(2026, 5, 1), "no date"]
        talk.insert(*({"_id": 10 + i, "on": text} for i, text in enumerate(texts)))
        convert = {"$dateFromString": {"dateString": "$on", "onError": "$on", "onNull": "absent"}}
        made = talk.aggregate({"$match": {"_id": {"$gt": 1}}}, {"$set": {"on": convert}}, {"$sort": {"_id": 1}})
        expected = ["absent", datetime(2026, 3, 1, 10), datetime(2026, 3, 1, 8), datetime(2026, 5, 1), "no date"]
        assert [document["on"] for document in made] == expected

    def test_date_that_can_not_be_read(self, talk):
        stage = {"$set": {"on": {"$dateFromString": {"dateString": "tomorrow"}}}}
        assert "tomorrow" in talk.refused(2, {"aggregate": "a", "pipeline": [stage], "cursor": {}})


HERE = "LaunchPad server for one machine"
ONLY_IN_A_MONGODB = {
    "JavaScript": {"find": "a", "filter": {"$where": "sleep(1)"}},
    "JavaScript below": {"find": "a", "filter": {"$or": [{"$where": "1"}]}},
    "function": {"aggregate": "a", "pipeline": [{"$project": {"x": {"$function": {"body": "1"}}}}], "cursor": {}},
    "places": {"find": "a", "filter": {"x": {"$near": [1, 1]}}},
    "change stream": {"aggregate": "a", "pipeline": [{"$changeStream": {}}], "cursor": {}},
    "change stream of a database": {"aggregate": 1, "pipeline": [{"$changeStream": {}}], "cursor": {}},
    "output": {"aggregate": "a", "pipeline": [{"$out": "b"}], "cursor": {}},
    "hidden output": {"aggregate": "a", "pipeline": [{"$facet": {"x": [{"$out": "b"}]}}], "cursor": {}},
    "merge": {"aggregate": "a", "pipeline": [{"$merge": "b"}], "cursor": {}},
    "explanation": {"aggregate": "a", "pipeline": [], "explain": True, "cursor": {}},
    "collation": {"find": "a", "filter": {}, "collation": {"locale": "fr"}},
    "tailing": {"find": "a", "filter": {}, "tailable": True},
    "variables": {"find": "a", "filter": {}, "let": {"x": 1}},
}


class TestRefusals:
    @pytest.mark.parametrize("command", ONLY_IN_A_MONGODB.values(), ids=ONLY_IN_A_MONGODB)
    def test_says_who_has_it(self, talk, command):
        talk.insert({"_id": 1, "x": 1})
        reply = talk(command)
        assert (reply["ok"], reply["code"]) == (0.0, 2 if "$function" in str(command) else 115), reply
        assert HERE in reply["errmsg"]
        assert len(talk({"listCollections": 1})["cursor"]["firstBatch"]) == 1

    @pytest.mark.parametrize(
        "change", [{"$mul": {"x": 2}}, {"$bit": {"x": {"or": 1}}}, [{"$set": {"x": 1}}], {"$set": {"l.$[]": 1}}]
    )
    def test_update_that_only_a_mongodb_does(self, talk, change):
        talk.insert({"_id": 1, "x": 1, "l": [1]})
        (failure,) = talk.update({}, change)["writeErrors"]
        assert failure["code"] == 115
        assert HERE in failure["errmsg"]
        assert talk.find() == [{"_id": 1, "x": 1, "l": [1]}]

    def test_array_filters(self, talk):
        assert talk.update({}, {"$set": {"x": 1}}, arrayFilters=[{"e": 1}])["writeErrors"][0]["code"] == 115

    @pytest.mark.parametrize(
        "name", ["mapReduce", "createUser", "shutdown", "eval", "fsync", "nonsense", "setParameter"]
    )
    def test_unknown_command(self, talk, name):
        assert HERE in talk.refused(59, {name: "a"}, "admin")

    def test_transactions_and_retried_writes(self, talk):
        talk.refused(20, {"insert": "a", "documents": [{}], "txnNumber": Int64(1), "lsid": {"id": b"x"}})
        talk.refused(20, {"find": "a", "startTransaction": True, "autocommit": False, "txnNumber": Int64(1)})
        assert talk.find() == []

    @pytest.mark.parametrize(
        ("code", "command"),
        [
            (9, {"insert": "a"}),
            (9, {"insert": "a", "documents": [1]}),
            (9, {"update": "a", "updates": {}}),
            (9, {"aggregate": "a", "pipeline": {"$match": {}}, "cursor": {}}),
            (15959, {"aggregate": "a", "pipeline": [{"$match": 1}], "cursor": {}}),
            (9, {"aggregate": "a", "pipeline": [{"$a": 1, "$b": 2}], "cursor": {}}),
            (67, {"createIndexes": "a", "indexes": [{"key": {}, "name": "x"}]}),
            (9, {"distinct": "a"}),
        ],
    )
    def test_nonsense(self, talk, code, command):
        talk.insert({"_id": 1, "x": 1})
        talk.refused(code, command)

    def test_nonsense_is_refused_by_an_empty_collection_too(self, talk):
        talk.refused(2, {"find": "a", "filter": {"x": {"$unknown": 1}}})

    def test_what_goes_wrong_unforeseen_is_an_answer(self, talk, monkeypatch, caplog):
        monkeypatch.setattr(talk.session, "store", None)
        talk.refused(8, {"find": "a", "filter": {}})
        assert "the command find failed" in caplog.text


class TestStrangers:
    OPEN = {"hello", "isMaster", "ismaster", "ping", "saslStart", "saslContinue"}

    def test_only_greetings_are_answered(self, talk):
        talk.session.conversation = None
        for name in [*COMMANDS, "nonsense"]:
            code = talk({name: "a"}).get("code")
            assert (code != 13) == (name in self.OPEN), name

    def test_hello_says_one_server_without_sessions(self, talk):
        reply = talk({"hello": 1, "saslSupportedMechs": "admin.mlip_fw"}, "admin")
        assert reply["isWritablePrimary"] is True
        assert reply["saslSupportedMechs"] == ["SCRAM-SHA-256"]
        assert not {"logicalSessionTimeoutMinutes", "setName", "msg", "topologyVersion"} & set(reply)
        assert reply["minWireVersion"] <= 9 <= reply["maxWireVersion"] <= 25

    def test_other_mechanisms_are_refused(self, talk):
        talk.session.conversation = None
        for mechanism in ("PLAIN", "SCRAM-SHA-1", "MONGODB-X509", None):
            talk.refused(18, {"saslStart": 1, "mechanism": mechanism, "payload": b"n,,n=mlip_fw,r=x"}, "admin")

    def test_failed_proof_can_not_be_tried_again_in_the_same_conversation(self, talk):
        talk.session.conversation = None
        talk({"saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": b"n,,n=mlip_fw,r=x"}, "admin")
        talk.refused(18, {"saslContinue": 1, "payload": b"c=biws,r=x,p=eA=="}, "admin")
        talk.refused(17, {"saslContinue": 1, "payload": b"c=biws,r=x,p=eA=="}, "admin")
        talk.refused(13, {"find": "a"})

    def test_logout(self, talk):
        assert talk({"logout": 1})["ok"] == 1.0
        talk.refused(13, {"find": "a"})


@pytest.mark.parametrize("more", [[], [{"$sort": {"n": -1}}, {"$limit": 1}]])
def test_documents_are_counted_by_a_field_as_the_engine_does(talk, more):
    talk.insert(*({"_id": k, "state": "READY" if k % 3 else "WAITING"} for k in range(10)))
    count, slow = {"_id": "$state", "n": {"$sum": 1}}, {"_id": "$state", "n": {"$sum": 1}, "k": {"$sum": 0}}
    found = talk.aggregate({"$match": {"_id": {"$lt": 9}}}, {"$group": count}, *more)
    assert {one["_id"]: one["n"] for one in found} == ({"READY": 6} if more else {"READY": 6, "WAITING": 3})
    engine = talk.aggregate({"$match": {"_id": {"$lt": 9}}}, {"$group": slow}, *more)
    assert sorted(map(repr, found)) == sorted(repr({"_id": one["_id"], "n": one["n"]}) for one in engine)
    talk.insert({"_id": 10}, {"_id": 11, "state": 7})
    assert {one["_id"]: one["n"] for one in talk.aggregate({"$group": count})} == {
        **{"READY": 6, "WAITING": 4},
        **{None: 1, 7: 1},
    }
