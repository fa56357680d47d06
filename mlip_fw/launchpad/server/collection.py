"""One collection in memory: its documents and its indexes.

A stored document is replaced, never changed, so a reader may keep it without a copy.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import bson
from mongomock.filtering import NOTHING, iter_key_candidates

from mlip_fw.launchpad.server.bson_order import HASHABLE_TYPES, lookup_key
from mlip_fw.launchpad.server.command_error import CommandError
from mlip_fw.launchpad.server.mongomock_engine import matches

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored document: its row in the SQLite file, its BSON and its decoded fields."""

    row: int
    body: bytes
    fields: Fields


class Collection:
    """Documents in insertion order, with indexes."""

    def __init__(self, number: int, full_name: str, indexes: Mapping[str, Fields]) -> None:
        self.number = number
        self.full_name = full_name
        """``database.name``."""
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
        """Replace the indexes.

        Raises
        ------
        RefusedError
            With code 11000 if the documents violate a unique index; the old indexes stay then.
        """
        before = self.indexes
        self.indexes = dict(indexes)
        try:
            self._build()
        except CommandError:
            self.indexes = before
            self._build()
            raise

    def _build(self) -> None:
        self._found = {field: {} for index in self.indexes.values() for field in index["key"]}
        self._owners = {name: {} for name, index in self.indexes.items() if index.get("unique")}
        for stored in self:
            self.require_unique(stored.fields, stored.row)
            self._add_to_indexes(stored, set(self._found))

    def exchange(self, before: Stored | None, after: Stored | None) -> None:
        """Replace ``before`` by ``after``; None for ``before`` inserts, None for ``after`` deletes."""
        moved = self._changed_fields(before, after)
        if before is not None:
            self._remove_from_indexes(before, moved)
            if after is None:
                del self._documents[before.row]
        if after is not None:
            is_out_of_order = before is None and self._documents and after.row < next(reversed(self._documents))
            self._documents[after.row] = after
            self._add_to_indexes(after, moved)
            if is_out_of_order:
                self._documents = dict(sorted(self._documents.items()))

    def _changed_fields(self, before: Stored | None, after: Stored | None) -> set[str]:
        """Return the indexed fields in which ``after`` differs from ``before``; in most changes they are few."""
        if before is None or after is None:
            return set(self._found)
        return {field for field in self._found if not _is_same(before.fields, after.fields, field.partition(".")[0])}

    def _affected_owners(self, moved: set[str]) -> list[tuple[Fields, dict[Hashable, int]]]:
        """Return the unique indexes that a change of these fields affects, each with its map from key to row."""
        unique = [(self.indexes[name], owners) for name, owners in self._owners.items()]
        return [(i, owners) for i, owners in unique if "partialFilterExpression" in i or moved & i["key"].keys()]

    def _add_to_indexes(self, stored: Stored, moved: set[str]) -> None:
        for field in moved:
            for value in _values(stored.fields, field):
                self._found[field].setdefault(value, set()).add(stored.row)
        for index, owners in self._affected_owners(moved):
            for key in _keys(index, stored.fields):
                owners[key] = stored.row

    def _remove_from_indexes(self, stored: Stored, moved: set[str]) -> None:
        for field in moved:
            rows = self._found[field]
            for value in _values(stored.fields, field):
                rows[value].discard(stored.row)
                if not rows[value]:
                    del rows[value]
        for index, owners in self._affected_owners(moved):
            for key in _keys(index, stored.fields):
                del owners[key]

    def require_unique(self, fields: Fields, row: int | None) -> None:
        """Refuse a document whose unique keys another row than ``row`` has already."""
        for name, owners in self._owners.items():
            for key in _keys(self.indexes[name], fields):
                if owners.get(key, row) != row:
                    pattern = self.indexes[name]["key"]
                    value = {field: _first(fields, field) for field in pattern}
                    shown = ", ".join(f"{field}: {one!r}" for field, one in value.items())
                    raise CommandError(
                        11000,
                        f"E11000 duplicate key error collection: {self.full_name} index: {name} dup key: {{ {shown} }}",
                        keyPattern=pattern,
                        keyValue=value,
                    )

    def candidates(self, query: Mapping[str, Any]) -> tuple[list[Stored], str | None]:
        """Return the documents that may match, in insertion order, and the field whose condition the index has checked.

        The index that leaves the fewest documents is used; without one, all documents are returned, with None.
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
    """Return the values that an equality or ``$in`` condition allows; None for any other condition."""
    if isinstance(wanted, dict) and len(wanted) == 1:
        ((operator, operand),) = wanted.items()
        values = operand if operator == "$in" and isinstance(operand, list) else [operand]
        if operator not in ("$in", "$eq"):
            return None
    else:
        values = [wanted]
    return (
        [lookup_key(value) for value in values] if all(isinstance(value, HASHABLE_TYPES) for value in values) else None
    )


def _is_same(one: Fields, other: Fields, name: str) -> bool:
    """Return whether a field is the same in two documents, including the types of numbers (1 is not 1.0)."""
    if name not in one or name not in other:
        return name not in one and name not in other
    return one[name] is other[name] or bson.encode({"": one[name]}) == bson.encode({"": other[name]})


def _values(fields: Fields, path: str) -> set[Hashable]:
    """Return the index keys of a field: its value, or those of a list's items, as far as they can be looked up."""
    found = iter_key_candidates(path, fields) if "." in path else [fields.get(path)]
    return {lookup_key(item) for item in _items(found) if isinstance(item, HASHABLE_TYPES)}


def _keys(index: Fields, fields: Fields) -> Iterable[Hashable]:
    """Return the keys of a document in a unique index."""
    if "partialFilterExpression" in index and not matches(index["partialFilterExpression"], fields):
        return ()
    values = [list(iter_key_candidates(field, fields)) or [NOTHING] for field in index["key"]]
    if index.get("sparse") and all(value == [NOTHING] for value in values):
        return ()
    return {tuple(map(_same, combination)) for combination in itertools.product(*map(_items, values))}


def _items(found: Iterable[Any]) -> list[Any]:
    """Return values, with lists replaced by their items."""
    return list(itertools.chain.from_iterable(value if isinstance(value, list) else [value] for value in found))


def _same(value: Any) -> Hashable:
    """Return a key that is equal for values that MongoDB compares as equal."""
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
