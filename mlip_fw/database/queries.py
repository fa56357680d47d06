"""Looking for documents: by index first, then by mongomock's matching, then in order."""

from __future__ import annotations

import itertools
from typing import Any

import bson
from mongomock.filtering import filter_applies

from mlip_fw.database.collection import Collection, Fields, Stored
from mlip_fw.database.matching import engine_speaks, shown, sort_key
from mlip_fw.database.refusal import RefusedError, not_here


def as_document(value: Any, what: str) -> Fields:
    """Return an option that must be a document; absent is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RefusedError(9, f"{what} is a document, not {type(value).__name__}")
    return value


def as_count(value: Any, what: str) -> int:
    """Return an option that must be a whole number, not negative; absent is 0."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value != int(value):
        raise RefusedError(2, f"{what} is a whole number, not negative; it is {value!r}")
    return int(value)


def as_limit(value: Any) -> int:
    """Return how many documents are asked for, 0 for all; old drivers write it negative."""
    return as_count(-value if isinstance(value, int | float) and value < 0 else value, "limit")


def select(collection: Collection, query: Fields, sort: Fields | None = None, most: int = 0) -> list[Stored]:
    """Return the documents that match, in order; at most ``most`` unless that is 0."""
    candidates, rest = collection.candidates(_flat(query))
    if sort:
        candidates = in_order(candidates, sort)
    if not rest:
        return candidates[:most] if most else candidates
    with engine_speaks():
        if not candidates:
            filter_applies(rest, {})  # what is wrong with a query is wrong without documents too
        found = (stored for stored in candidates if filter_applies(rest, stored.fields))
        return list(itertools.islice(found, most or None))


def _flat(query: Fields) -> Fields:
    """Return a query with what is inside ``$and`` beside the rest, where no field has two conditions."""
    parts = query.get("$and")
    if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) for part in parts):
        return query
    merged = {field: wanted for field, wanted in query.items() if field != "$and"}
    for part in map(_flat, parts):
        if part.keys() & merged.keys():
            return query
        merged.update(part)
    return merged


def in_order(documents: list[Stored], sort: Fields) -> list[Stored]:
    """Return documents sorted by fields, the first one the most important."""
    for path, direction in reversed(sort.items()):
        descending = isinstance(direction, int | float) and direction < 0
        if path == "$natural":
            documents = sorted(documents, key=lambda stored: stored.row, reverse=descending)
        elif path.startswith("$") or not isinstance(direction, int | float):
            raise not_here(f"sorting by {path}: {direction}")
        else:
            documents = sorted(
                documents,
                key=lambda stored: sort_key(stored.fields, path, descending),
                reverse=descending,
            )
    return documents


def encoded(documents: list[Stored], projection: Fields) -> list[bytes]:
    """Return what of the documents is asked for."""
    if not projection:
        return [stored.body for stored in documents]
    return [bson.encode(shown(stored.fields, projection)) for stored in documents]
