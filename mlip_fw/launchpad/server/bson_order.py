"""MongoDB's comparison of values: numbers by value, documents field by field in their order, types never mixed.

Source: MongoDB manual, "Comparison/Sort Order" and "Query on Embedded/Nested Documents" (an equality of a whole
embedded document needs the same fields in the same order).
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator
from datetime import datetime
from typing import Any

from bson import Binary, Decimal128, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64
from mongomock.filtering import NOTHING

HASHABLE_TYPES = (str, int, float, bool, ObjectId, datetime, bytes)
"""Types whose values are equal exactly if their keys (:func:`lookup_key`) are."""
_NUMBER, _OBJECT, _LIST, _BYTES, _UNKNOWN = 10, 20, 25, 30, 100
_RANKS: dict[type, int] = {
    **{MinKey: -1, type(None): 5, int: _NUMBER, Int64: _NUMBER, float: _NUMBER, Decimal128: _NUMBER, str: 15},
    **{dict: _OBJECT, list: _LIST, bytes: _BYTES, Binary: _BYTES, ObjectId: 35, bool: 40, datetime: 45},
    **{DatetimeMS: 45, Timestamp: 47, Regex: 50, MaxKey: 127},
}
_INT32 = 2**31
_ALIASES: dict[type, str] = {
    **{MinKey: "minKey", type(None): "null", Int64: "long", float: "double", Decimal128: "decimal", str: "string"},
    **{dict: "object", list: "array", bytes: "binData", Binary: "binData", ObjectId: "objectId", bool: "bool"},
    **{datetime: "date", DatetimeMS: "date", Timestamp: "timestamp", Regex: "regex", MaxKey: "maxKey"},
}


def type_rank(value: Any) -> int:
    """Return the position of the value's type in MongoDB's order of types."""
    return _RANKS.get(type(value), _UNKNOWN)


def type_name(value: Any) -> str:
    """Return the alias of the value's BSON type (MongoDB manual, "BSON Types")."""
    if type(value) is int:
        return "int" if -_INT32 <= value < _INT32 else "long"
    return _ALIASES.get(type(value), type(value).__name__)


def equal(one: Any, other: Any) -> bool:
    """Return whether two values are equal; documents with the same fields in another order are not."""
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and len(one) == len(other)
            and all(
                name == its_name and equal(value, its_value)
                for (name, value), (its_name, its_value) in zip(one.items(), other.items(), strict=True)
            )
        )
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return type(one) is type(other) and one == other
    return bool(one == other)


def compare(one: Any, other: Any) -> int:
    """Return a number below, equal to or above 0 if ``one`` sorts before, with or after ``other``."""
    kind, its_kind = type_rank(one), type_rank(other)
    if kind != its_kind:
        return kind - its_kind
    if kind == _OBJECT:
        return _compare_items(_fields_of(one), _fields_of(other))
    if kind == _LIST:
        return _compare_items(iter(one), iter(other))
    if kind == _BYTES and len(one) != len(other):
        return len(one) - len(other)
    if one is None or one == other:
        return 0
    return -1 if one < other else 1


def _fields_of(document: dict[str, Any]) -> Iterator[Any]:
    for name, value in document.items():
        yield from (type_rank(value), name, value)


def _compare_items(ones: Iterator[Any], others: Iterator[Any]) -> int:
    for one, other in itertools.zip_longest(ones, others, fillvalue=NOTHING):
        if one is NOTHING or other is NOTHING:
            return -1 if one is NOTHING else 1
        if (order := compare(one, other)) != 0:
            return order
    return 0


def lookup_key(value: Any) -> Hashable:
    """Return a dictionary key for a value of one of the ``HASHABLE_TYPES``; unlike for Python, 1 and True differ."""
    return (bool, value) if isinstance(value, bool) else value
