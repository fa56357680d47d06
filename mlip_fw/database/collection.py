"""The documents of one collection in memory, with what finds them quickly.

A stored document is never changed but replaced, so whoever reads may keep it.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import bson
from mongomock.filtering import NOTHING, iter_key_candidates

from mlip_fw.database.matching import matches
from mlip_fw.database.refusal import RefusedError
from mlip_fw.database.values import EXACT, hashed

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stored:
    """A document as it is stored."""

    row: int
    body: bytes
    fields: Fields


class Collection:
    """Documents in the order of their insertion, and indexes."""

    def __init__(self, number: int, full_name: str, indexes: Mapping[str, Fields]) -> None:
        self.number = number
        self.full_name = full_name
        """Database and name with a dot between."""
        self.indexes: dict[str, Fields] = {}
        self._documents: dict[int, Stored] = {}
        self._found: dict[str, dict[Hashable, set[int]]] = {}
        self._owners: dict[str, dict[Hashable, int]] = {}
        self.set_indexes(indexes)

    def __len__(self) -> int:
        return len(self._documents)

    def __iter__(self) -> Iterator[Stored]:
        return iter(self._documents.values())

    def set_indexes(self, indexes: Mapping[str, Fields]) -> None:
        """Have these indexes from now on.

        Raises
        ------
        RefusedError
            With code 11000 if the documents don't agree with a unique one; the indexes are the old ones then.
        """
        before = self.indexes
        self.indexes = dict(indexes)
        try:
            self._build()
        except RefusedError:
            self.indexes = before
            self._build()
            raise

    def _build(self) -> None:
        self._found = {field: {} for index in self.indexes.values() for field in index["key"]}
        self._owners = {name: {} for name, index in self.indexes.items() if index.get("unique")}
        for stored in self:
            self.require_unique(stored.fields, stored.row)
            self._enter(stored, set(self._found))

    def exchange(self, before: Stored | None, after: Stored | None) -> None:
        """Put ``after`` in the place of ``before``; None stands for no document."""
        moved = self._moved(before, after)
        if before is not None:
            self._leave(before, moved)
            if after is None:
                del self._documents[before.row]
        if after is not None:
            is_out_of_order = before is None and self._documents and after.row < next(reversed(self._documents))
            self._documents[after.row] = after
            self._enter(after, moved)
            if is_out_of_order:
                self._documents = dict(sorted(self._documents.items()))

    def _moved(self, before: Stored | None, after: Stored | None) -> set[str]:
        """Return the fields with an index in which ``after`` differs from ``before``; few do in most changes."""
        if before is None or after is None:
            return set(self._found)
        return {field for field in self._found if not _is_same(before.fields, after.fields, field.partition(".")[0])}

    def _owners_by(self, moved: set[str]) -> list[tuple[Fields, dict[Hashable, int]]]:
        """Return the unique indexes that documents leave or enter if these fields differ, with their owners."""
        unique = [(self.indexes[name], owners) for name, owners in self._owners.items()]
        return [(i, owners) for i, owners in unique if "partialFilterExpression" in i or moved & i["key"].keys()]

    def _enter(self, stored: Stored, moved: set[str]) -> None:
        for field in moved:
            for value in _values(stored.fields, field):
                self._found[field].setdefault(value, set()).add(stored.row)
        for index, owners in self._owners_by(moved):
            for key in _keys(index, stored.fields):
                owners[key] = stored.row

    def _leave(self, stored: Stored, moved: set[str]) -> None:
        for field in moved:
            rows = self._found[field]
            for value in _values(stored.fields, field):
                rows[value].discard(stored.row)
                if not rows[value]:
                    del rows[value]
        for index, owners in self._owners_by(moved):
            for key in _keys(index, stored.fields):
                del owners[key]

    def require_unique(self, fields: Fields, row: int | None) -> None:
        """Refuse a document that another one than ``row`` excludes."""
        for name, owners in self._owners.items():
            for key in _keys(self.indexes[name], fields):
                if owners.get(key, row) != row:
                    pattern = self.indexes[name]["key"]
                    value = {field: _first(fields, field) for field in pattern}
                    said = ", ".join(f"{field}: {one!r}" for field, one in value.items())
                    raise RefusedError(
                        11000,
                        f"E11000 duplicate key error collection: {self.full_name} index: {name} dup key: {{ {said} }}",
                        keyPattern=pattern,
                        keyValue=value,
                    )

    def candidates(self, query: Mapping[str, Any]) -> tuple[list[Stored], str | None]:
        """Return all documents that may match, in their order, and the field that they needn't be asked for any more.

        The index that leaves the fewest documents answers its part of the query.
        """
        best: list[set[int]] | None = None
        answered = None
        for field, wanted in query.items():
            rows, values = self._found.get(field), _exact(wanted)
            if rows is not None and values is not None:
                found = [rows[value] for value in set(values) if value in rows]
                if best is None or sum(map(len, found)) < sum(map(len, best)):
                    best, answered = found, field
        if best is None:
            return list(self._documents.values()), None
        return [self._documents[row] for row in sorted(set().union(*best))], answered


def _exact(wanted: Any) -> list[Hashable] | None:
    """Return the values, one of which a field must have; None if that is not what a condition says."""
    if isinstance(wanted, dict) and len(wanted) == 1:
        ((operator, operand),) = wanted.items()
        values = operand if operator == "$in" and isinstance(operand, list) else [operand]
        if operator not in ("$in", "$eq"):
            return None
    else:
        values = [wanted]
    return [hashed(value) for value in values] if all(isinstance(value, EXACT) for value in values) else None


def _is_same(one: Fields, other: Fields, name: str) -> bool:
    """Return whether a field is the same in two documents, to the type of each number."""
    if name not in one or name not in other:
        return name not in one and name not in other
    return one[name] is other[name] or bson.encode({"": one[name]}) == bson.encode({"": other[name]})


def _values(fields: Fields, path: str) -> set[Hashable]:
    """Return the values of a field, or of the items of a list, that can be looked for exactly."""
    found = iter_key_candidates(path, fields) if "." in path else [fields.get(path)]
    return {hashed(item) for item in _items(found) if isinstance(item, EXACT)}


def _keys(index: Fields, fields: Fields) -> Iterable[Hashable]:
    """Return what of a document must be unique."""
    if "partialFilterExpression" in index and not matches(index["partialFilterExpression"], fields):
        return ()
    values = [list(iter_key_candidates(field, fields)) or [NOTHING] for field in index["key"]]
    if index.get("sparse") and all(value == [NOTHING] for value in values):
        return ()
    return {tuple(map(_same, combination)) for combination in itertools.product(*map(_items, values))}


def _items(found: Iterable[Any]) -> list[Any]:
    """Return values with the items of lists in the place of the lists."""
    return list(itertools.chain.from_iterable(value if isinstance(value, list) else [value] for value in found))


def _same(value: Any) -> Hashable:
    """Return something that is equal for values that MongoDB deems equal."""
    if value is NOTHING or value is None:
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (float, value)
    return bson.encode({"": value})


def _first(fields: Fields, path: str) -> Any:
    value = next(iter(iter_key_candidates(path, fields)), None)
    return None if value is NOTHING else value
