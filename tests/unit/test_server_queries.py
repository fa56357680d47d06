"""Which documents match: as MongoDB's manual says, with and without an index."""

from datetime import datetime

import pytest
from bson import ObjectId, Regex
from bson.int64 import Int64
from hypothesis import given, settings
from hypothesis import strategies as st

from mlip_fw.launchpad.server.collection import Collection, Stored
from mlip_fw.launchpad.server.predicates import predicate
from mlip_fw.launchpad.server.selection import select

OID = ObjectId("0123456789abcdef01234567")
NAN = float("nan")
CASES = [
    # the order of fields in an embedded document ("Query on Embedded/Nested Documents")
    ({"a": {"x": 1, "y": 2}}, {"a": {"x": 1, "y": 2}}, True),
    ({"a": {"x": 1, "y": 2}}, {"a": {"y": 2, "x": 1}}, False),
    ({"a": {"x": 1}}, {"a": {"x": 1, "y": 2}}, False),
    ({"a": {"b": {"x": 1, "y": 2}}}, {"a": {"b": {"y": 2, "x": 1}}}, False),
    ({"a": {"$eq": {"x": 1, "y": 2}}}, {"a": {"y": 2, "x": 1}}, False),
    ({"a": {"$in": [{"x": 1, "y": 2}]}}, {"a": {"y": 2, "x": 1}}, False),
    ({"a": {"$in": [{"x": 1, "y": 2}]}}, {"a": {"x": 1, "y": 2}}, True),
    ({"a": {"$ne": {"x": 1, "y": 2}}}, {"a": {"y": 2, "x": 1}}, True),
    ({"a": {"$nin": [{"x": 1, "y": 2}]}}, {"a": {"x": 1, "y": 2}}, False),
    ({"a": {"x": 1, "y": 2}}, {"a": [{"y": 2, "x": 1}]}, False),
    ({"a": {"x": 1, "y": 2}}, {"a": [0, {"x": 1, "y": 2}]}, True),
    ({"a": [{"x": 1, "y": 2}]}, {"a": [{"y": 2, "x": 1}]}, False),
    ({"a": {"$all": [{"x": 1, "y": 2}]}}, {"a": [{"y": 2, "x": 1}]}, False),
    ({"a.x": 1, "a.y": 2}, {"a": {"y": 2, "x": 1}}, True),
    ({"a": {}}, {"a": {}}, True),
    ({"a": {}}, {"a": {"x": 1}}, False),
    # null and missing ("Query for Null or Missing Fields")
    ({"a": None}, {}, True),
    ({"a": None}, {"a": None}, True),
    ({"a": None}, {"a": 0}, False),
    ({"a": None}, {"a": [1, None]}, True),
    ({"a": {"$ne": None}}, {}, False),
    ({"a": {"$ne": None}}, {"a": 1}, True),
    ({"a": {"$in": [None]}}, {}, True),
    ({"a": {"$nin": [None, 1]}}, {}, False),
    ({"a": {"$exists": True}}, {"a": None}, True),
    ({"a": {"$exists": False}}, {"a": None}, False),
    ({"a": {"$exists": False}}, {}, True),
    ({"a": {"$exists": 0}}, {}, True),
    ({"a": {"$type": "null"}}, {}, False),
    ({"a": {"$type": 10}}, {"a": None}, True),
    ({"a.b": None}, {"a": 5}, True),
    ({"a.b": None}, {"a": None}, True),
    ({"a.b": None}, {"a": {"b": 1}}, False),
    ({"a.b": None}, {"a": [{"b": 1}, {}]}, True),
    ({"a.b": {"$exists": False}}, {"a": [{"b": 1}, {}]}, False),
    ({"a": {"$gte": None}}, {}, True),
    ({"a": {"$gt": None}}, {"a": 1}, False),
    # numbers by value, never truth values ("Comparison/Sort Order")
    ({"a": 1}, {"a": 1.0}, True),
    ({"a": 1.0}, {"a": Int64(1)}, True),
    ({"a": 1}, {"a": True}, False),
    ({"a": True}, {"a": 1}, False),
    ({"a": {"$in": [1]}}, {"a": True}, False),
    ({"a": {"$in": [0.0]}}, {"a": 0}, True),
    ({"a": {"x": 1}}, {"a": {"x": True}}, False),
    ({"a": [1]}, {"a": [True]}, False),
    ({"a": {"$gt": 0}}, {"a": True}, False),
    ({"a": {"$gte": 1}}, {"a": 1.0}, True),
    ({"a": {"$lt": 2**53 + 1}}, {"a": 2**53}, True),
    ({"a": {"$gt": 1}}, {"a": "2"}, False),
    ({"a": {"$gt": 1}}, {"a": NAN}, False),
    ({"a": {"$lt": 1}}, {"a": NAN}, False),
    ({"a": {"$gt": "a"}}, {"a": "b"}, True),
    ({"a": {"$lt": datetime(2026, 1, 2)}}, {"a": datetime(2026, 1, 1)}, True),
    ({"a": {"$lt": datetime(2026, 1, 2)}}, {"a": "2026-01-01"}, False),
    ({"a": {"$gt": {"x": 1}}}, {"a": {"x": 2}}, True),
    ({"a": {"$gt": {"x": 1}}}, {"a": {"x": "a"}}, True),
    ({"a": {"$lt": {"x": 1, "y": 1}}}, {"a": {"x": 1}}, True),
    ({"a": {"$gt": [1, 2]}}, {"a": [1, 3]}, True),
    ({"a": {"$gt": b"b"}}, {"a": b"aa"}, True),
    ({"a": OID}, {"a": str(OID)}, False),
    ({"a": OID}, {"a": [str(OID)]}, False),
    # arrays ("Query an Array")
    ({"a": 1}, {"a": [1, 2]}, True),
    ({"a": [1, 2]}, {"a": [1, 2]}, True),
    ({"a": [2, 1]}, {"a": [1, 2]}, False),
    ({"a": [1]}, {"a": [[1], 2]}, True),
    ({"a": {"$gt": 1, "$lt": 2}}, {"a": [0, 3]}, True),
    ({"a": {"$elemMatch": {"$gt": 1, "$lt": 2}}}, {"a": [0, 3]}, False),
    ({"a": {"$elemMatch": {"$gt": 1, "$lt": 4}}}, {"a": [0, 3]}, True),
    ({"a": {"$elemMatch": {"x": 1, "y": 2}}}, {"a": [{"x": 1, "y": 3}, {"x": 2, "y": 2}]}, False),
    ({"a": {"$elemMatch": {"x": 1, "y": 2}}}, {"a": [{"y": 2, "x": 1}]}, True),
    ({"a": {"$elemMatch": {"$or": [{"x": 1}, {"y": 1}]}}}, {"a": [{"y": 1}]}, True),
    ({"a": {"$ne": 1}}, {"a": [1, 2]}, False),
    ({"a": {"$nin": [1]}}, {"a": [2, 3]}, True),
    ({"a": {"$not": {"$gt": 2}}}, {"a": [1, 3]}, False),
    ({"a": {"$not": {"$gt": 2}}}, {}, True),
    ({"a": {"$not": Regex("^x")}}, {"a": "y"}, True),
    ({"a": {"$all": [1, 2]}}, {"a": [2, 1, 3]}, True),
    ({"a": {"$all": [1]}}, {"a": 1}, True),
    ({"a": {"$all": []}}, {"a": [1]}, False),
    ({"a": {"$all": [{"$elemMatch": {"x": 1}}, {"$elemMatch": {"x": 2}}]}}, {"a": [{"x": 1}, {"x": 2}]}, True),
    ({"a": {"$size": 2}}, {"a": [1, 2]}, True),
    ({"a": {"$size": 1}}, {"a": 5}, False),
    ({"a": {"$size": 0}}, {}, False),
    ({"a.0": 1}, {"a": [1, 2]}, True),
    ({"a.1": 1}, {"a": [1, 2]}, False),
    ({"a.x": 2}, {"a": [{"x": 1}, {"x": 2}]}, True),
    ({"a.x.y": 2}, {"a": [{"x": [{"y": 2}]}]}, True),
    ({"a.x": 2}, {"a": [1, [{"x": 2}]]}, False),
    ({"a": []}, {"a": []}, True),
    ({"a": {"$type": "array"}}, {"a": []}, True),
    ({"a": {"$type": "string"}}, {"a": [1, "b"]}, True),
    ({"a": {"$type": ["int", "string"]}}, {"a": 1.5}, False),
    ({"a": {"$type": "number"}}, {"a": 1.5}, True),
    ({"a": {"$type": "bool"}}, {"a": 1}, False),
    ({"a": {"$type": "long"}}, {"a": Int64(1)}, True),
    # texts and the rest
    ({"a": Regex("^B", "i")}, {"a": "bc"}, True),
    ({"a": {"$regex": "^B", "$options": "i"}}, {"a": ["x", "bc"]}, True),
    ({"a": {"$regex": "^B"}}, {"a": "bc"}, False),
    ({"a": {"$in": [Regex("^b")]}}, {"a": "bc"}, True),
    ({"a": Regex("1")}, {"a": 1}, False),
    ({"a": {"$mod": [4, 1]}}, {"a": 5}, True),
    ({"a": {"$mod": [4, -1]}}, {"a": -5}, True),
    ({"$or": [{"a": 1}, {"b": 1}]}, {"b": 1}, True),
    ({"$nor": [{"a": 1}, {"b": 1}]}, {"b": 1}, False),
    ({"$and": [{"a": {"$gt": 1}}, {"a": {"$lt": 3}}], "$comment": "x"}, {"a": 2}, True),
    ({"$expr": {"$gt": ["$a", "$b"]}}, {"a": 2, "b": 1}, True),
    ({"a": {"$ref": "c", "$id": 1}}, {"a": {"$ref": "c", "$id": 1}}, True),
    ({"a": {"$eq": 1, "$ne": 2}}, {"a": 1}, True),
    ({}, {"a": 1}, True),
]


@pytest.mark.parametrize(("query", "document", "is_match"), CASES, ids=[f"{q} {d}" for q, d, _ in CASES])
def test_matching(query, document, is_match):
    assert predicate(query)(document) == is_match
    assert predicate({"$nor": [query]})(document) != is_match
    indexes = {"i": {"key": {"a": 1}}, "j": {"key": {"a.x": 1}}}
    collection = Collection(1, "t.a", indexes)
    collection.exchange(None, Stored(1, b"", document))
    assert bool(select(collection, query)) == is_match


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0, -0.5, "", "a", b"a", OID]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xy"), inner, max_size=2),
    max_leaves=4,
)
DOCUMENTS = st.dictionaries(st.sampled_from("ab"), VALUES, max_size=2)
OPERATORS = st.one_of(
    VALUES,
    *(st.fixed_dictionaries({name: VALUES}) for name in ("$eq", "$ne", "$gt", "$lte")),
    *(st.fixed_dictionaries({name: st.lists(VALUES, max_size=3)}) for name in ("$in", "$nin", "$all")),
)
QUERY = st.dictionaries(st.sampled_from(["a", "b", "a.x", "b.y"]), OPERATORS, max_size=2)


@settings(max_examples=200, deadline=None)
@given(st.lists(DOCUMENTS, max_size=6), QUERY)
def test_an_index_changes_no_answer(documents, query):
    rows = []
    for indexes in ({}, {name: {"key": {name: 1}} for name in ("a", "b", "a.x", "b.y")}):
        collection = Collection(1, "t.a", indexes)
        for row, document in enumerate(documents):
            collection.exchange(None, Stored(row, b"", document))
        rows.append([stored.row for stored in select(collection, query)])
    assert rows[0] == rows[1]


@settings(max_examples=100, deadline=None)
@given(DOCUMENTS)
def test_a_document_is_found_by_its_own_fields(document):
    assert predicate(document)(document)
    for name, value in document.items():
        assert predicate({name: {"$in": [value]}})(document)
        assert not predicate({name: {"$ne": value}})(document)
