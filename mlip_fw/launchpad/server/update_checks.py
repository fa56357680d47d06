"""Checks of update operators: those that need no document, and those on the document to be updated.

Source: MongoDB manual, "Update Operators", "Field Names with Periods and Dollar Signs". Codes of errors: MongoDB's
``error_codes.yml``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from mongomock.filtering import NOTHING

from mlip_fw.launchpad.server.bson_order import type_name
from mlip_fw.launchpad.server.command_error import CommandError, unsupported
from mlip_fw.launchpad.server.document_limits import require_depth

_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_ELSEWHERE = {"$mul", "$bit"}
_NO_NEW_PATH = {"$unset", "$pull", "$pullAll", "$pop", "$rename"}
"""Operators for which a missing path is no error."""


def require_operators(update: Mapping[str, Any]) -> None:
    """Refuse update operators that are wrong for any document.

    Raises
    ------
    RefusedError
        With MongoDB's code: 9 (FailedToParse) for an unknown operator, 40 (ConflictingUpdateOperators) if it changes
        one path twice, and others.
    """
    paths: dict[str, str] = {}
    for name, changes in update.items():
        if name in _ELSEWHERE:
            raise unsupported(f"the update operator {name}")
        if name not in _CHECKS:
            raise CommandError(
                9,
                f"Unknown modifier: {name}. Expected a valid update modifier or pipeline-style update specified as an "
                "array",
            )
        if not isinstance(changes, dict):
            raise CommandError(
                9,
                f"Modifiers operate on fields but we found type {type_name(changes)} instead. For example: "
                f"{{$mod: {{<field>: ...}}}} not {{{name}: {changes!r}}}",
            )
        for path, value in changes.items():
            _require_path(path)
            _CHECKS[name](name, path, value)
            _add_path(paths, path)
            if name == "$rename":
                _add_path(paths, value)
            elif name not in _NO_NEW_PATH:
                require_depth(value, above=path.count(".") + (2 if name in ("$push", "$addToSet") else 1))


def require_applicable(fields: dict[str, Any], update: Mapping[str, Any]) -> None:
    """Refuse update operators that do not fit a document: a path that can't be created, or a value of another type.

    Raises
    ------
    RefusedError
        With MongoDB's code: 28 (PathNotViable), 14 (TypeMismatch) or 2 (BadValue).
    """
    for name, changes in update.items():
        for path, value in changes.items():
            if "$" in path:
                continue  # positional: which item is meant is known only when the array is searched
            found = _found(fields, path, strict=name not in _NO_NEW_PATH)
            if found is not NOTHING and name in _CHECKS_OF_FOUND:
                _CHECKS_OF_FOUND[name](name, path, value, found, fields.get("_id"))


def _require_path(path: str) -> None:
    if not path:
        raise CommandError(56, "An empty update path is not valid.")
    parts = path.split(".")
    if "" in parts:
        raise CommandError(56, f"The update path '{path}' contains an empty field name, which is not allowed.")
    if parts[0] == "$":
        raise CommandError(2, f"Cannot have positional (i.e. '$') element in the first position in path '{path}'")
    for part in parts:
        if part.startswith("$["):
            raise unsupported("an update of several items of a list by $[]")
        if part.startswith("$") and part != "$":
            raise CommandError(
                52, f"The dollar ($) prefixed field '{part}' in '{path}' is not allowed in the context of an update."
            )


def _add_path(paths: dict[str, str], path: str) -> None:
    """Record a changed path and its prefixes; refuse one that conflicts with another."""
    parts = path.split(".")
    ways = [".".join(parts[: n + 1]) for n in range(len(parts))]
    meets = next((way for way in ways if paths.get(way) == "changed"), path if path in paths else None)
    if meets is not None:
        raise CommandError(40, f"Updating the path '{path}' would create a conflict at '{meets}'")
    for way in ways[:-1]:
        paths[way] = "on the way"
    paths[path] = "changed"


def _found(fields: dict[str, Any], path: str, *, strict: bool) -> Any:
    """Return the value at a path of a document, NOTHING if there is none."""
    parts = path.split(".")
    value: Any = fields
    for part, following in itertools.pairwise(parts):
        value = _child(value, part)
        if value is NOTHING:
            return NOTHING
        is_index = isinstance(value, list) and following.isdigit()
        if not isinstance(value, dict) and not is_index:
            if strict:
                raise CommandError(28, f"Cannot create field '{following}' in element {{{part}: {value!r}}}")
            return NOTHING
    return _child(value, parts[-1])


def _child(value: Any, part: str) -> Any:
    if isinstance(value, dict):
        return value.get(part, NOTHING)
    return value[int(part)] if part.isdigit() and int(part) < len(value) else NOTHING


def _is_number(value: Any) -> bool:
    return type_name(value) in ("int", "long", "double", "decimal")


def _anything(name: str, path: str, value: Any) -> None:
    """Accept any value."""


def _check_inc(name: str, path: str, value: Any) -> None:
    if not _is_number(value):
        raise CommandError(14, f"Cannot increment with non-numeric argument: {{{path}: {value!r}}}")


def _check_rename(name: str, path: str, value: Any) -> None:
    if not isinstance(value, str):
        raise CommandError(2, f"The 'to' field for $rename must be a string: {path}: {value!r}")
    _require_path(value)
    if "$" in path.split(".") + value.split("."):
        raise CommandError(2, f"The source and target field for $rename may not be dynamic: {path}")
    if path == value:
        raise CommandError(2, f"The source and target field for $rename must differ: {path}: {value!r}")


def _check_pop(name: str, path: str, value: Any) -> None:
    if not _is_number(value):
        raise CommandError(9, f"Expected a number in: {path}: {value!r}")
    if value not in (1, -1):
        raise CommandError(9, f"$pop expects 1 or -1, found: {value!r}")


def _check_pull_all(name: str, path: str, value: Any) -> None:
    if not isinstance(value, list):
        raise CommandError(2, f"$pullAll requires an array argument but was given a {type_name(value)}")


def _check_each(name: str, path: str, value: Any) -> None:
    if not isinstance(value, dict) or "$each" not in value:
        return
    if not isinstance(value["$each"], list):
        code = 2 if name == "$push" else 14
        message = f"The argument to $each in {name} must be an array but it was of type {type_name(value['$each'])}"
        raise CommandError(code, message)
    known = {"$each", "$slice", "$sort", "$position"} if name == "$push" else {"$each"}
    if unknown := sorted(value.keys() - known):
        raise CommandError(2, f"Unrecognized clause in {name}: {unknown[0]}")


def _check_found_inc(name: str, path: str, value: Any, found: Any, identity: Any) -> None:
    if not _is_number(found):
        raise CommandError(
            14,
            f"Cannot apply $inc to a value of non-numeric type. {{_id: {identity!r}}} has the field "
            f"'{path.rpartition('.')[2]}' of non-numeric type {type_name(found)}",
        )
    if isinstance(found, int) and isinstance(value, int) and not _SMALLEST <= found + value <= _LARGEST:
        raise CommandError(
            2,
            f"Failed to apply $inc operations to current value ((NumberLong){found}) for document "
            f"{{_id: {identity!r}}}",
        )


def _check_found_push(name: str, path: str, value: Any, found: Any, identity: Any) -> None:
    if not isinstance(found, list):
        kind = type_name(found)
        raise CommandError(
            2, f"The field '{path}' must be an array but is of type {kind} in document {{_id: {identity!r}}}"
        )


def _check_found_add_to_set(name: str, path: str, value: Any, found: Any, identity: Any) -> None:
    if not isinstance(found, list):
        last, kind = path.rpartition(".")[2], type_name(found)
        raise CommandError(
            2, f"Cannot apply $addToSet to non-array field. Field named '{last}' has non-array type {kind}"
        )


def _check_found_pull(name: str, path: str, value: Any, found: Any, identity: Any) -> None:
    if not isinstance(found, list):
        raise CommandError(2, "Cannot apply $pull to a non-array value")


def _check_found_pop(name: str, path: str, value: Any, found: Any, identity: Any) -> None:
    if not isinstance(found, list):
        raise CommandError(14, f"Path '{path}' contains an element of non-array type '{type_name(found)}'")


_CHECKS: Mapping[str, Callable[[str, str, Any], None]] = {
    **dict.fromkeys(("$set", "$setOnInsert", "$unset", "$max", "$min", "$currentDate", "$pull"), _anything),
    "$inc": _check_inc,
    "$rename": _check_rename,
    "$pop": _check_pop,
    "$pullAll": _check_pull_all,
    "$push": _check_each,
    "$addToSet": _check_each,
}
_CHECKS_OF_FOUND: Mapping[str, Callable[[str, str, Any, Any, Any], None]] = {
    "$inc": _check_found_inc,
    "$push": _check_found_push,
    "$addToSet": _check_found_add_to_set,
    "$pull": _check_found_pull,
    "$pullAll": _check_found_pull,
    "$pop": _check_found_pop,
}
