"""Queries compiled to predicates: parsed and checked once, then applied to many documents.

Source: MongoDB manual, "Query Predicates", "Query for Null or Missing Fields", "Query an Array". Codes of errors:
MongoDB's ``error_codes.yml``, here 2 (BadValue).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mongomock.filtering import NOTHING, _Filterer

from mlip_fw.launchpad.server.command_error import CommandError, unsupported
from mlip_fw.launchpad.server.query_operators import Test, is_expression, is_regex, regex_test, value_test

Predicate = Callable[[Any], bool]
_LOGICAL: Mapping[str, Callable[[list[Predicate], Any], bool]] = {
    "$and": lambda parts, fields: all(part(fields) for part in parts),
    "$or": lambda parts, fields: any(part(fields) for part in parts),
    "$nor": lambda parts, fields: not any(part(fields) for part in parts),
}
_NEGATED = {"$ne": "$eq", "$nin": "$in"}
_ELSEWHERE = {"$where", "$text", "$jsonSchema"}


def conditions(query: Any) -> list[tuple[str, Predicate]]:
    """Return the conditions of a query, all of which must hold, each with its field or logical operator.

    Raises
    ------
    RefusedError
        With code 2 if MongoDB refuses the query, with 115 if only MongoDB supports it.
    """
    if not isinstance(query, dict):
        raise CommandError(14, f"a query must be an object, not {type(query).__name__}")
    return [(name, _condition(name, wanted)) for name, wanted in query.items() if name != "$comment"]


def predicate(query: Any) -> Predicate:
    """Return a function that tells whether a document matches a query."""
    asked = [ask for _, ask in conditions(query)]
    return lambda fields: all(ask(fields) for ask in asked)


def _condition(name: str, wanted: Any) -> Predicate:
    if name in _LOGICAL:
        return _logical(name, wanted)
    if name == "$expr":
        parse = _Filterer.parse_expression[0]
        return lambda fields: bool(parse(wanted, fields, ignore_missing_keys=True))
    if name in _ELSEWHERE:
        raise unsupported(f"the query operator {name}")
    if name.startswith("$"):
        raise CommandError(2, f"unknown top level operator: {name}")
    return _field(name, wanted)


def _logical(name: str, parts: Any) -> Predicate:
    if not isinstance(parts, list):
        raise CommandError(2, f"{name} must be an array")
    if not parts:
        raise CommandError(2, "$and/$or/$nor must be a nonempty array")
    if not all(isinstance(part, dict) for part in parts):
        raise CommandError(2, "$or/$and/$nor entries need to be full objects")
    decide, asked = _LOGICAL[name], [predicate(part) for part in parts]
    return lambda fields: decide(asked, fields)


def _field(path: str, wanted: Any) -> Predicate:
    """Return the predicate of one field's condition."""
    if is_regex(wanted):
        return _any_value(path, regex_test(wanted))
    if not is_expression(wanted):
        return _any_value(path, value_test(path, "$eq", wanted))
    asked = [
        _operator(path, name, operand, wanted)
        for name, operand in wanted.items()
        if name not in ("$options", "$comment")
    ]
    if "$options" in wanted and "$regex" not in wanted:
        raise CommandError(2, "$options needs a $regex")
    return asked[0] if len(asked) == 1 else lambda fields: all(ask(fields) for ask in asked)


def _operator(path: str, name: str, operand: Any, whole: Mapping[str, Any]) -> Predicate:
    if name in _NEGATED:
        if name == "$ne" and is_regex(operand):
            raise CommandError(2, "Can't have regex as arg to $ne.")
        return _negated(_any_value(path, value_test(path, _NEGATED[name], operand, written=name)))
    if name == "$not":
        return _negated(_field(path, _of_not(operand)))
    if name == "$exists":
        there = _any_leaf(path, lambda value: value is not NOTHING)
        return there if operand else _negated(there)
    if name == "$all":
        return _all(path, operand)
    if name == "$elemMatch":
        return _any_leaf(path, _element_test(operand))
    if name == "$size":
        return _any_leaf(path, value_test(path, name, operand))
    if name == "$regex":
        return _any_value(path, regex_test(operand, whole.get("$options")))
    return _any_value(path, value_test(path, name, operand))


def _negated(ask: Predicate) -> Predicate:
    return lambda fields: not ask(fields)


def _of_not(operand: Any) -> Any:
    if is_regex(operand):
        return operand
    if not isinstance(operand, dict):
        raise CommandError(2, "$not needs a regex or a document")
    if not operand:
        raise CommandError(2, "$not cannot be empty")
    unknown = next((name for name in operand if not name.startswith("$")), None)
    if unknown is not None:
        raise CommandError(2, f"unknown operator: {unknown}")
    return operand


def _all(path: str, operand: Any) -> Predicate:
    if not isinstance(operand, list):
        raise CommandError(2, "$all needs an array")
    asked = []
    for item in operand:
        if is_expression(item) and "$elemMatch" not in item:
            raise CommandError(2, "no $ expressions in $all")
        asked.append(_field(path, item))
    return lambda fields: bool(asked) and all(ask(fields) for ask in asked)


def _element_test(operand: Any) -> Test:
    """Return the test of ``$elemMatch``: an array with an item that meets all conditions."""
    if not isinstance(operand, dict):
        raise CommandError(2, "$elemMatch needs an Object")
    if is_expression(operand) and next(iter(operand)) not in _LOGICAL:
        ask = _field("", operand)
        return lambda value: isinstance(value, list) and any(ask({"": item}) for item in value)
    ask = predicate(operand)
    return lambda value: isinstance(value, list) and any(isinstance(item, dict) and ask(item) for item in value)


def _any_value(path: str, test: Test) -> Predicate:
    """Return the predicate that a field, or an item of it if it is an array, passes a test."""

    def passes(value: Any) -> bool:
        return (isinstance(value, list) and any(map(test, value))) or test(value)

    return _any_leaf(path, passes)


def _any_leaf(path: str, test: Test) -> Predicate:
    if "." not in path:
        return lambda fields: test(fields.get(path, NOTHING))
    parts = path.split(".")

    def ask(fields: Any) -> bool:
        value = fields
        for at, part in enumerate(parts):
            if not isinstance(value, dict):
                return any(map(test, _leaves(value, parts, at)))
            value = value.get(part, NOTHING)
        return test(value)

    return ask


def _leaves(value: Any, parts: list[str], at: int) -> Iterator[Any]:
    """Yield the values at a path, from every document of an array on the path; NOTHING where a field is missing."""
    if at == len(parts):
        yield value
    elif isinstance(value, dict):
        yield from _leaves(value[parts[at]], parts, at + 1) if parts[at] in value else (NOTHING,)
    elif isinstance(value, list):
        if parts[at].isdigit() and int(parts[at]) < len(value):
            yield from _leaves(value[int(parts[at])], parts, at + 1)
        for item in value:
            if isinstance(item, dict):
                yield from _leaves(item, parts, at)
    else:
        yield NOTHING
