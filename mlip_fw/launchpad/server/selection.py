"""Find documents: candidates from the indexes, then the other conditions, then the order."""

from __future__ import annotations

import itertools
from typing import Any

import bson

from mlip_fw.launchpad.server.bson_order import type_name
from mlip_fw.launchpad.server.collection import Collection, Fields, Stored
from mlip_fw.launchpad.server.command_error import CommandError, unsupported
from mlip_fw.launchpad.server.mongomock_engine import sort_key, translate_engine_errors
from mlip_fw.launchpad.server.predicates import conditions
from mlip_fw.launchpad.server.projection import apply_projection, parse_projection


def as_document(value: Any, what: str) -> Fields:
    """Check that an option is a document and return it; an absent one is empty."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise CommandError(14, f"BSON field '{what}' is the wrong type '{type_name(value)}', expected type 'object'")
    return value


def as_count(value: Any, what: str) -> int:
    """Check that an option is a number of at least 0 and return it as an integer; an absent one is 0."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CommandError(
            14,
            f"BSON field '{what}' is the wrong type '{type_name(value)}', expected types "
            "'[long, int, decimal, double]'",
        )
    if value < 0:
        raise CommandError(51024, f"BSON field '{what}' value must be >= 0, actual value '{value}'")
    return int(value)


def as_limit(value: Any) -> int:
    """Return the limit of a ``count``; 0 means all, and a negative number counts by its absolute value."""
    return as_count(-value if isinstance(value, int | float) and value < 0 else value, "limit")


def select(collection: Collection, query: Fields, sort: Fields | None = None, limit: int = 0) -> list[Stored]:
    """Return the documents that match, sorted; at most ``limit`` unless that is 0."""
    flat = _flat(query)
    asked = conditions(flat)
    candidates, answered = collection.candidates(flat)
    if sort:
        candidates = sorted_documents(candidates, sort)
    asks = [ask for name, ask in asked if name != answered]
    if not asks:
        return candidates[:limit] if limit else candidates
    with translate_engine_errors():
        found = (stored for stored in candidates if all(ask(stored.fields) for ask in asks))
        return list(itertools.islice(found, limit or None))


def _flat(query: Fields) -> Fields:
    """Return a query with the conditions inside ``$and`` moved to the top level, unless a field would have two."""
    parts = query.get("$and")
    if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) for part in parts):
        return query
    merged = {field: wanted for field, wanted in query.items() if field != "$and"}
    for part in map(_flat, parts):
        if part.keys() & merged.keys():
            return query
        merged.update(part)
    return merged


def require_sort(sort: Fields) -> None:
    """Refuse an invalid sort specification (MongoDB manual, "cursor.sort()")."""
    for path, direction in sort.items():
        if path.startswith("$") and path != "$natural":
            raise CommandError(16410, f"FieldPath field names may not start with '$'. Consider using $getField: {path}")
        if "" in path.split("."):
            raise CommandError(15998, f"FieldPath field names may not be empty strings, given '{path}'.")
        if isinstance(direction, dict):
            raise unsupported(f"sorting by {path}: {direction}")
        if isinstance(direction, bool) or not isinstance(direction, int | float):
            raise CommandError(15974, f"Illegal key in $sort specification: {path}: {direction!r}")
        if direction not in (1, -1):
            raise CommandError(15975, "$sort key ordering must be 1 (for ascending) or -1 (for descending)")


def sorted_documents(documents: list[Stored], sort: Fields) -> list[Stored]:
    """Return documents sorted by fields; the first field is the primary key."""
    require_sort(sort)
    for path, direction in reversed(sort.items()):
        descending = direction < 0
        if path == "$natural":
            documents = sorted(documents, key=lambda stored: stored.row, reverse=descending)
        else:
            documents = sorted(
                documents,
                key=lambda stored: sort_key(stored.fields, path, descending),
                reverse=descending,
            )
    return documents


def encode_documents(documents: list[Stored], projection: Fields) -> list[bytes]:
    """Return documents as BSON, after a projection."""
    if not projection:
        return [stored.body for stored in documents]
    plain = parse_projection(projection)
    return [bson.encode(apply_projection(stored.fields, plain)) for stored in documents]
