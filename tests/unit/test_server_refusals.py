"""What a MongoDB refuses is refused with its code: a path of ours that is wrong fails here as it fails there.

Codes and names are those of MongoDB's ``src/mongo/base/error_codes.yml``; five-digit ones are ``Location<code>``.
"""

import pytest
from bson import Regex
from bson.int64 import Int64

from tests.helpers.database import Talk

MANY = 2**63 - 1


@pytest.fixture
def talk(tmp_path):
    client = Talk(tmp_path / "db.sqlite")
    yield client
    client.session.store.close()


def nested(levels):
    """Return a document of so many levels."""
    document = {"x": 1}
    for _ in range(levels - 1):
        document = {"x": document}
    return document


def listed(levels):
    """Return a document with lists in lists, of so many levels together."""
    value = 1
    for _ in range(levels - 1):
        value = [value]
    return {"x": value}


QUERIES = [
    ({"x": {"$in": 5}}, 2, "$in needs an array"),
    ({"x": {"$in": "abc"}}, 2, "$in needs an array"),
    ({"x": {"$in": {"a": 1}}}, 2, "$in needs an array"),
    ({"x": {"$in": None}}, 2, "$in needs an array"),
    ({"x": {"$nin": 5}}, 2, "$nin needs an array"),
    ({"x": {"$in": [{"$gt": 1}]}}, 2, "cannot nest $ under $in"),
    ({"x": {"$all": 5}}, 2, "$all needs an array"),
    ({"x": {"$all": [{"$gt": 5}]}}, 2, "no $ expressions in $all"),
    ({"$and": {"x": 1}}, 2, "$and must be an array"),
    ({"$or": {"x": 1}}, 2, "$or must be an array"),
    ({"$nor": 1}, 2, "$nor must be an array"),
    ({"$or": []}, 2, "$and/$or/$nor must be a nonempty array"),
    ({"$and": []}, 2, "$and/$or/$nor must be a nonempty array"),
    ({"$nor": []}, 2, "$and/$or/$nor must be a nonempty array"),
    ({"$or": [1]}, 2, "$or/$and/$nor entries need to be full objects"),
    ({"$or": [{"x": {"$in": 1}}]}, 2, "$in needs an array"),
    ({"$foo": 1}, 2, "unknown top level operator: $foo"),
    ({"$in": [1]}, 2, "unknown top level operator: $in"),
    ({"x": {"$foo": 1}}, 2, "unknown operator: $foo"),
    ({"x": {"$gt": 1, "y": 2}}, 2, "unknown operator: y"),
    ({"x": {"$elemMatch": 5}}, 2, "$elemMatch needs an Object"),
    ({"x": {"$elemMatch": {"y": {"$in": 5}}}}, 2, "$in needs an array"),
    ({"x": {"$not": 5}}, 2, "$not needs a regex or a document"),
    ({"x": {"$not": {}}}, 2, "$not cannot be empty"),
    ({"x": {"$not": {"$in": 5}}}, 2, "$in needs an array"),
    ({"x": {"$not": {"y": 5}}}, 2, "unknown operator: y"),
    ({"x": {"$size": "a"}}, 2, "Failed to parse $size"),
    ({"x": {"$size": -1}}, 2, "Expected a non-negative number"),
    ({"x": {"$size": 1.5}}, 2, "Expected an integer"),
    ({"x": {"$type": "foo"}}, 2, "Unknown type name alias: foo"),
    ({"x": {"$type": {}}}, 14, "type must be represented as a number or a string"),
    ({"x": {"$regex": 5}}, 2, "$regex has to be a string"),
    ({"x": {"$options": "i"}}, 2, "$options needs a $regex"),
    ({"x": {"$regex": "a", "$options": "q"}}, 51108, "invalid flag in regex options: q"),
    ({"x": {"$regex": "("}}, 51091, "Regular expression is invalid"),
    ({"x": {"$gt": Regex("a")}}, 2, "Can't have RegEx as arg to predicate over field 'x'."),
    ({"x": {"$ne": Regex("a")}}, 2, "Can't have regex as arg to $ne."),
    ({"x": {"$mod": 3}}, 2, "malformed mod, needs to be an array"),
    ({"x": {"$mod": [3]}}, 2, "malformed mod, not enough elements"),
    ({"x": {"$mod": [0, 1]}}, 2, "divisor cannot be 0"),
]


@pytest.mark.parametrize("is_empty", [True, False])
@pytest.mark.parametrize(("query", "code", "said"), QUERIES, ids=[str(query) for query, *_ in QUERIES])
def test_queries(talk, query, code, said, is_empty):
    """Wherever they come from, whether there are documents or not, and whether an index could answer them."""
    if not is_empty:
        talk.insert({"_id": 1, "x": 5})
    talk({"createIndexes": "a", "indexes": [{"key": {"x": 1}, "name": "x"}]})
    assert said in talk.refused(code, {"find": "a", "filter": query})
    assert said in talk.refused(code, {"count": "a", "query": query})
    assert said in talk.refused(code, {"distinct": "a", "key": "x", "query": query})
    assert said in talk.refused(code, {"findAndModify": "a", "query": query, "remove": True})
    for stages in ([{"$match": query}], [{"$limit": 1}, {"$match": query}]):
        assert said in talk.refused(code, {"aggregate": "a", "pipeline": stages, "cursor": {}})
    for command in (
        {"update": "a", "updates": [{"q": query, "u": {"$set": {"y": 1}}}]},
        {"delete": "a", "deletes": [{"q": query, "limit": 0}]},
    ):
        (failure,) = talk(command)["writeErrors"]
        assert (failure["code"], said in failure["errmsg"]) == (code, True)
    assert talk.find() == ([] if is_empty else [{"_id": 1, "x": 5}])


FINDS = [
    ({"filter": 5}, 14, "wrong type 'int', expected type 'object'"),
    ({"skip": -1}, 51024, "BSON field 'skip' value must be >= 0, actual value '-1'"),
    ({"limit": -1}, 51024, "BSON field 'limit' value must be >= 0, actual value '-1'"),
    ({"batchSize": -1}, 51024, "BSON field 'batchSize' value must be >= 0"),
    ({"limit": "x"}, 14, "wrong type 'string'"),
    ({"sort": 5}, 14, "expected type 'object'"),
    ({"sort": {"x": 0}}, 15975, "$sort key ordering must be 1 (for ascending) or -1 (for descending)"),
    ({"sort": {"x": 2}}, 15975, "$sort key ordering must be 1"),
    ({"sort": {"x": "up"}}, 15974, "Illegal key in $sort specification: x: 'up'"),
    ({"sort": {"x": True}}, 15974, "Illegal key in $sort specification"),
    ({"sort": {"$x": 1}}, 16410, "FieldPath field names may not start with '$'"),
    ({"sort": {"x..y": 1}}, 15998, "may not be empty strings"),
    ({"projection": {"x": 1, "y": 0}}, 31254, "Cannot do exclusion on field y in inclusion projection"),
    ({"projection": {"x": 0, "y": 1}}, 31253, "Cannot do inclusion on field y in exclusion projection"),
    ({"projection": {"x": 1, "x.y": 1}}, 31249, "Path collision at x.y remaining portion y"),
    ({"projection": {"x.y": 1, "x": 1}}, 31250, "Path collision at x"),
    ({"projection": {"$x": 1}}, 16410, "FieldPath field names may not start with '$'"),
]


@pytest.mark.parametrize(("options", "code", "said"), FINDS, ids=[str(options) for options, *_ in FINDS])
def test_options_of_find(talk, options, code, said):
    talk.insert({"_id": 1, "x": 5})
    assert said in talk.refused(code, {"find": "a", "filter": {}, **options})


def test_a_wrong_projection_changes_nothing(talk):
    talk.insert({"_id": 1, "x": 5})
    change = {"query": {}, "update": {"$set": {"x": 6}}, "fields": {"x": 1, "y": 0}}
    talk.refused(31254, {"findAndModify": "a", **change})
    assert talk.find() == [{"_id": 1, "x": 5}]


@pytest.mark.parametrize(
    ("projection", "expected"),
    [
        ({"x": 1, "_id": 0}, {"x": 5}),
        ({"x": 0, "_id": 1}, {"_id": 1, "y": {"z": 1, "w": 2}}),
        ({"x": 5}, {"_id": 1, "x": 5}),
        ({"y.z": 0.0}, {"_id": 1, "x": 5, "y": {"w": 2}}),
        ({"y.z": 1, "x": True}, {"_id": 1, "x": 5, "y": {"z": 1}}),
    ],
)
def test_projections_that_a_mongodb_takes(talk, projection, expected):
    talk.insert({"_id": 1, "x": 5, "y": {"z": 1, "w": 2}})
    assert talk.find(projection=projection) == [expected]


DOCUMENT = {"_id": 1, "n": 1, "text": "a", "list": [1], "none": None, "in": {"x": 1}, "yes": True, "large": Int64(MANY)}
UPDATES = [
    ({"$foo": {"n": 1}}, 9, "Unknown modifier: $foo"),
    ({"$set": {"n": 2}, "x": 1}, 9, "Unknown modifier: x"),
    ({"x": 1, "$set": {"n": 2}}, 52, "The dollar ($) prefixed field '$set'"),
    ({"$set": 5}, 9, "Modifiers operate on fields but we found type int instead"),
    ({"$set": {"_id": 2}}, 66, "_id"),
    ({"$unset": {"_id": ""}}, 66, "_id"),
    ({"$inc": {"_id": 1}}, 66, "_id"),
    ({"$set": {"in": 1, "in.x": 2}}, 40, "Updating the path 'in.x' would create a conflict at 'in'"),
    ({"$set": {"in.x": 2, "in": 1}}, 40, "Updating the path 'in' would create a conflict at 'in'"),
    ({"$set": {"n": 1}, "$inc": {"n": 1}}, 40, "Updating the path 'n' would create a conflict at 'n'"),
    ({"$set": {"in.x": 1}, "$unset": {"in": ""}}, 40, "Updating the path 'in' would create a conflict at 'in'"),
    ({"$setOnInsert": {"n": 1}, "$set": {"n": 2}}, 40, "Updating the path 'n' would create a conflict at 'n'"),
    ({"$rename": {"n": "m"}, "$set": {"m": 2}}, 40, "Updating the path 'm' would create a conflict at 'm'"),
    ({"$rename": {"in": "in.y"}}, 40, "Updating the path 'in.y' would create a conflict at 'in'"),
    ({"$rename": {"n": "n"}}, 2, "The source and target field for $rename must differ"),
    ({"$rename": {"n": 5}}, 2, "The 'to' field for $rename must be a string"),
    ({"$rename": {"n": ""}}, 56, "An empty update path is not valid."),
    ({"$set": {"": 1}}, 56, "An empty update path is not valid."),
    ({"$set": {"in..x": 1}}, 56, "contains an empty field name"),
    ({"$set": {"$x": 1}}, 52, "The dollar ($) prefixed field '$x' in '$x'"),
    ({"$set": {"in.$x": 1}}, 52, "The dollar ($) prefixed field '$x' in 'in.$x'"),
    ({"$set": {"$.x": 1}}, 2, "Cannot have positional (i.e. '$') element in the first position"),
    ({"$set": {"n.x": 1}}, 28, "Cannot create field 'x' in element {n: 1}"),
    ({"$set": {"none.x": 1}}, 28, "Cannot create field 'x' in element {none: None}"),
    ({"$set": {"list.x": 1}}, 28, "Cannot create field 'x' in element {list: [1]}"),
    ({"$inc": {"text.x": 1}}, 28, "Cannot create field 'x' in element {text: 'a'}"),
    ({"$push": {"n": 1}}, 2, "The field 'n' must be an array but is of type int in document {_id: 1}"),
    ({"$push": {"none": 1}}, 2, "The field 'none' must be an array but is of type null"),
    ({"$push": {"list": {"$each": 5}}}, 2, "The argument to $each in $push must be an array but it was of type int"),
    ({"$push": {"list": {"$each": [1], "foo": 1}}}, 2, "Unrecognized clause in $push: foo"),
    ({"$addToSet": {"n": 1}}, 2, "Cannot apply $addToSet to non-array field. Field named 'n' has non-array type int"),
    ({"$addToSet": {"list": {"$each": 5}}}, 14, "The argument to $each in $addToSet must be an array"),
    ({"$pull": {"n": 1}}, 2, "Cannot apply $pull to a non-array value"),
    ({"$pullAll": {"n": [1]}}, 2, "Cannot apply $pull to a non-array value"),
    ({"$pullAll": {"list": 1}}, 2, "$pullAll requires an array argument but was given a int"),
    ({"$pop": {"n": 1}}, 14, "Path 'n' contains an element of non-array type 'int'"),
    ({"$pop": {"list": 5}}, 9, "$pop expects 1 or -1, found: 5"),
    ({"$pop": {"list": "a"}}, 9, "Expected a number in: list: 'a'"),
    ({"$inc": {"text": 1}}, 14, "Cannot apply $inc to a value of non-numeric type. {_id: 1} has the field 'text'"),
    ({"$inc": {"none": 1}}, 14, "of non-numeric type null"),
    ({"$inc": {"yes": 1}}, 14, "of non-numeric type bool"),
    ({"$inc": {"n": "1"}}, 14, "Cannot increment with non-numeric argument: {n: '1'}"),
    ({"$inc": {"n": True}}, 14, "Cannot increment with non-numeric argument"),
    ({"$inc": {"large": 1}}, 2, "Failed to apply $inc operations to current value ((NumberLong)9223372036854775807)"),
    ({"$set": {"deep": nested(100)}}, 15, "exceeds 100 nesting levels"),
    ({"$push": {"list": nested(99)}}, 15, "exceeds 100 nesting levels"),
]


@pytest.mark.parametrize(("change", "code", "said"), UPDATES, ids=[str(change)[:60] for change, *_ in UPDATES])
def test_updates(talk, change, code, said):
    talk.insert(DOCUMENT)
    (failure,) = talk.update({}, change)["writeErrors"]
    assert (failure["code"], said in failure["errmsg"]) == (code, True), failure
    assert said in talk.refused(code, {"findAndModify": "a", "query": {}, "update": change})
    assert talk.find() == [DOCUMENT]


WRONG_FOR_ALL = [row for row in UPDATES if row[1] in (9, 40, 52, 56)]


@pytest.mark.parametrize(("change", "code", "said"), WRONG_FOR_ALL)
def test_updates_that_find_nothing(talk, change, code, said):
    (failure,) = talk.update({}, change)["writeErrors"]
    assert (failure["code"], said in failure["errmsg"]) == (code, True), failure


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"$set": {"_id": 1, "n": 2}}, {"n": 2}),
        ({"$set": {}}, {}),
        ({"$unset": {"n.x": ""}}, {}),
        ({"$pull": {"absent": 1}}, {}),
        ({"$rename": {"absent": "n2"}}, {}),
        ({"$push": {"new": 1}}, {"new": [1]}),
        ({"$set": {"list.1": 2}}, {"list": [1, 2]}),
        ({"$set": {"a.b": 1, "a.c": 2}}, {"a": {"b": 1, "c": 2}}),
        ({"$inc": {"n": 0.5, "absent": 2}}, {"n": 1.5, "absent": 2}),
    ],
)
def test_updates_that_a_mongodb_does(talk, change, expected):
    talk.insert(DOCUMENT)
    assert talk.update({}, change)["n"] == 1
    (found,) = talk.find()
    assert found == {**DOCUMENT, **expected}


def test_a_positional_update_finds_its_item(talk):
    talk.insert({"_id": 1, "list": [{"n": 1}, {"n": 2}]})
    talk.update({"list.n": 2}, {"$set": {"list.$.n": 5}})
    assert talk.find() == [{"_id": 1, "list": [{"n": 1}, {"n": 5}]}]


INSERTS = [
    ({"$x": 1}, 52, "Document can't have $ prefixed field names: $x"),
    ({"_id": [1]}, 53, "The '_id' value cannot be of type array"),
    ({"_id": Regex("a")}, 53, "The '_id' value cannot be of type regex"),
    ({"_id": {"$x": 1}}, 52, "$x is not valid for storage"),
    (nested(101), 15, "exceeds 100 nesting levels"),
    (listed(101), 15, "exceeds 100 nesting levels"),
]


@pytest.mark.parametrize(("document", "code", "said"), INSERTS, ids=[str(document)[:30] for document, *_ in INSERTS])
def test_inserts(talk, document, code, said):
    (failure,) = talk({"insert": "a", "documents": [document]})["writeErrors"]
    assert (failure["code"], said in failure["errmsg"]) == (code, True)
    (failure,) = talk.update({"x": 1}, document, upsert=True)["writeErrors"]
    assert failure["code"] in (code, 9)
    assert talk.find() == []


@pytest.mark.parametrize("document", [nested(100), listed(100), {"a.b": 1}, {"a": {"$x": 1}}])
def test_inserts_that_a_mongodb_takes(talk, document):
    talk.insert({"_id": 1, **document})
    assert talk.find() == [{"_id": 1, **document}]
    assert talk.update({}, {"$set": {"y": nested(99)}})["n"] == 1


def test_names_of_codes(talk):
    names = {
        14: {"find": "a", "filter": 5},
        9: {"findAndModify": "a", "query": {}, "update": {"$foo": {}}},
        40: {"findAndModify": "a", "query": {}, "update": {"$set": {"x": 1, "x.y": 1}}},
        51024: {"find": "a", "skip": -1},
    }
    found = {code: talk(command)["codeName"] for code, command in names.items()}
    assert found == {14: "TypeMismatch", 9: "FailedToParse", 40: "ConflictingUpdateOperators", 51024: "Location51024"}


class TestIndexes:
    def make(self, talk, name, key, **options):
        return talk({"createIndexes": "a", "indexes": [{"key": key, "name": name, **options}]})

    @pytest.mark.parametrize(
        ("name", "key", "options", "code", "code_name"),
        [
            ("x_1", {"x": -1}, {"unique": True}, 86, "IndexKeySpecsConflict"),
            ("x_1", {"x": 1}, {}, 86, "IndexKeySpecsConflict"),
            ("other", {"x": 1}, {"unique": True}, 85, "IndexOptionsConflict"),
        ],
    )
    def test_other_ones_of_the_same_name_or_key(self, talk, name, key, options, code, code_name):
        assert self.make(talk, "x_1", {"x": 1}, unique=True)["ok"] == 1.0
        reply = self.make(talk, name, key, **options)
        assert (reply["ok"], reply["code"], reply["codeName"]) == (0.0, code, code_name)
        assert self.make(talk, "x_1", {"x": 1}, unique=True)["ok"] == 1.0

    def test_order_of_fields_makes_another_key(self, talk):
        assert self.make(talk, "one", {"x": 1, "y": 1})["ok"] == 1.0
        assert self.make(talk, "other", {"y": 1, "x": 1})["ok"] == 1.0
        assert self.make(talk, "one", {"y": 1, "x": 1})["code"] == 86

    def test_duplicates_say_which_key(self, talk):
        self.make(talk, "x_1", {"x": 1}, unique=True)
        talk.insert({"_id": 1, "x": "a"})
        (failure,) = talk({"insert": "a", "documents": [{"_id": 2, "x": "a"}]})["writeErrors"]
        assert (failure["code"], failure["keyPattern"], failure["keyValue"]) == (11000, {"x": 1}, {"x": "a"})
        assert failure["errmsg"] == "E11000 duplicate key error collection: t.a index: x_1 dup key: { x: 'a' }"


def test_a_delete_takes_one_or_all(talk):
    talk.insert({"_id": 1}, {"_id": 2})
    (failure,) = talk({"delete": "a", "deletes": [{"q": {}, "limit": 2}]})["writeErrors"]
    assert (failure["code"], len(talk.find())) == (9, 2)
