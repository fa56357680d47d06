"""Query operators that test one value; operands that MongoDB refuses are refused with its code 2 (BadValue).

Source: MongoDB manual, "Query Predicates".
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from bson import ObjectId, Regex
from mongomock.filtering import NOTHING

from mlip_fw.launchpad.server.bson_order import (
    HASHABLE_TYPES,
    compare,
    equal,
    lookup_key,
    type_name,
    type_rank,
)
from mlip_fw.launchpad.server.command_error import CommandError, unsupported

Test = Callable[[Any], bool]
_ORDERS: Mapping[str, Callable[[int, int], bool]] = {
    **{"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le},
}
_ELSEWHERE = {
    *("$near", "$nearSphere", "$geoWithin", "$geoIntersects", "$maxDistance", "$minDistance", "$geometry"),
    *("$bitsAllClear", "$bitsAllSet", "$bitsAnyClear", "$bitsAnySet", "$sampleRate"),
}
_FLAGS = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE, "u": re.UNICODE}
_TYPES = {
    **{
        1: "double",
        2: "string",
        3: "object",
        4: "array",
        5: "binData",
        7: "objectId",
        8: "bool",
        9: "date",
        10: "null",
    },
    **{11: "regex", 16: "int", 17: "timestamp", 18: "long", 19: "decimal", -1: "minKey", 127: "maxKey"},
}
_NUMBERS = {"int", "long", "double", "decimal"}


def is_regex(value: Any) -> bool:
    """Return whether a value is a regular expression."""
    return isinstance(value, Regex | re.Pattern)


def is_expression(wanted: Any) -> bool:
    """Return whether a condition consists of operators, rather than being a value for equality."""
    if not isinstance(wanted, dict) or not wanted or not next(iter(wanted)).startswith("$"):
        return False
    return not {"$ref", "$id"} <= wanted.keys()


def value_test(path: str, name: str, operand: Any, written: str | None = None) -> Test:
    """Return the test function of an operator.

    Parameters
    ----------
    path
        The field, for messages.
    name
        The operator. Of the operators on whole arrays only ``$size`` is known here.
    written
        The operator that the user wrote, if it is the negation of ``name``.

    Raises
    ------
    RefusedError
        If MongoDB refuses the operand, or does not know the operator.
    """
    if name == "$eq":
        return _equality_test(operand)
    if name == "$in":
        return _in_test(operand, written or name)
    if name in _ORDERS:
        return _order_test(path, name, operand)
    if name in _OTHERS:
        return _OTHERS[name](operand)
    if name in _ELSEWHERE:
        raise unsupported(f"the query operator {name}")
    raise CommandError(2, f"unknown operator: {name}")


def regex_test(wanted: Any, options: Any = None) -> Test:
    """Return the test function of a regular expression; only strings can pass it."""
    if isinstance(wanted, Regex | re.Pattern):
        pattern, flags = wanted.pattern, wanted.flags
    elif isinstance(wanted, str):
        pattern, flags = wanted, 0
    else:
        raise CommandError(2, "$regex has to be a string")
    if options is not None and not isinstance(options, str):
        raise CommandError(2, "$options has to be a string")
    for letter in options or "":
        if letter not in _FLAGS:
            raise CommandError(51108, f"invalid flag in regex options: {letter}")
        flags |= _FLAGS[letter]
    try:
        search = re.compile(pattern, flags).search
    except re.error as error:
        raise CommandError(51091, f"Regular expression is invalid: {error}") from error
    return lambda value: isinstance(value, str) and search(value) is not None


def _equality_test(operand: Any) -> Test:
    if operand is None:
        return _is_missing
    if isinstance(operand, str | ObjectId):
        return lambda value: bool(value == operand)
    return lambda value: equal(value, operand)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _is_missing(value: Any) -> bool:
    return value is None or value is NOTHING


def _in_test(operand: Any, written: str) -> Test:
    if not isinstance(operand, list):
        raise CommandError(2, f"{written} needs an array")
    if any(is_expression(item) for item in operand):
        raise CommandError(2, f"cannot nest $ under {written}")
    exact = {lookup_key(item) for item in operand if isinstance(item, HASHABLE_TYPES)}
    others = [_other_test(item) for item in operand if not isinstance(item, HASHABLE_TYPES)]

    def test(value: Any) -> bool:
        if isinstance(value, HASHABLE_TYPES) and lookup_key(value) in exact:
            return True
        return any(other(value) for other in others)

    return test


def _other_test(item: Any) -> Test:
    if item is None:
        return _is_missing
    return regex_test(item) if is_regex(item) else lambda value: equal(value, item)


def _order_test(path: str, name: str, operand: Any) -> Test:
    if is_regex(operand):
        raise CommandError(2, f"Can't have RegEx as arg to predicate over field '{path}'.")
    if operand is None:
        # null is comparable with null only, and equal to it
        return _is_missing if name in ("$gte", "$lte") else lambda _: False
    decide, kind = _ORDERS[name], type_rank(operand)
    return lambda value: type_rank(value) == kind and not _is_nan(value) and decide(compare(value, operand), 0)


def _size_test(operand: Any) -> Test:
    if isinstance(operand, bool) or not isinstance(operand, int | float) or operand != int(operand):
        raise CommandError(2, f"Failed to parse $size. Expected an integer: {operand!r}")
    if operand < 0:
        raise CommandError(2, f"Failed to parse $size. Expected a non-negative number in: {operand!r}")
    return lambda value: isinstance(value, list) and len(value) == operand


def _type_test(operand: Any) -> Test:
    wanted: set[str] = set()
    for one in operand if isinstance(operand, list) else [operand]:
        is_code = isinstance(one, int | float) and not isinstance(one, bool)
        name = _TYPES.get(int(one)) if is_code else one
        if name is None:
            raise CommandError(2, f"Invalid numerical type code: {one}")
        if not isinstance(name, str):
            raise CommandError(14, "type must be represented as a number or a string")
        if name != "number" and name not in _TYPES.values():
            raise CommandError(2, f"Unknown type name alias: {name}")
        wanted |= _NUMBERS if name == "number" else {name}
    return lambda value: value is not NOTHING and type_name(value) in wanted


def _mod_test(operand: Any) -> Test:
    if not isinstance(operand, list):
        raise CommandError(2, "malformed mod, needs to be an array")
    if len(operand) != 2:
        raise CommandError(2, f"malformed mod, {'not enough' if len(operand) < 2 else 'too many'} elements")
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in operand):
        raise CommandError(2, "malformed mod, divisor and remainder are numbers")
    divisor, remainder = map(int, operand)
    if divisor == 0:
        raise CommandError(2, "divisor cannot be 0")
    return lambda value: (
        isinstance(value, int | float) and not isinstance(value, bool) and _remainder(value, divisor) == remainder
    )


def _remainder(value: float, divisor: int) -> int:
    """Return the remainder of a division that truncates towards zero, as in C."""
    return int(value) - divisor * int(int(value) / divisor)


_OTHERS: Mapping[str, Callable[[Any], Test]] = {"$size": _size_test, "$type": _type_test, "$mod": _mod_test}
