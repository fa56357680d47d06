"""Aggregation pipelines, run by mongomock's engine.

Added to it are ``$dateFromString``, which FireWorks sorts by, and the shortcuts for the pipelines that FireWorks and
the web pages ask for often.
"""

from __future__ import annotations

import copy
import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import bson
from mongomock import aggregate

from mlip_fw.launchpad.server.collection import Collection, Fields, Stored
from mlip_fw.launchpad.server.command_error import CommandError, unsupported
from mlip_fw.launchpad.server.databases import Databases
from mlip_fw.launchpad.server.mongomock_engine import translate_engine_errors
from mlip_fw.launchpad.server.predicates import predicate
from mlip_fw.launchpad.server.selection import require_sort, select
from mlip_fw.launchpad.server.wire_protocol import CODEC

_STAGES = {
    *("$addFields", "$bucket", "$count", "$facet", "$graphLookup", "$group", "$limit", "$lookup", "$match"),
    *("$project", "$replaceRoot", "$sample", "$set", "$skip", "$sort", "$unwind"),
}
_DATE_FORM = "$dateFromString"


def run_pipeline(store: Databases, database: str, name: str, pipeline: Any) -> list[bytes]:
    """Return the encoded documents that result from a pipeline on a collection."""
    _require_known(pipeline)
    collection = store.find(database, name)
    query, rest = _leading_query(pipeline)
    found = select(collection, query)
    if rest[:1] == [{"$group": {"_id": 1, "n": {"$sum": 1}}}]:
        documents, rest = ([{"_id": 1, "n": len(found)}] if found else []), rest[1:]
    elif rest and "$count" in rest[0]:
        documents, rest = [{rest[0]["$count"]: len(found)}] if found else [], rest[1:]
    elif (counts := _counted(found, rest)) is not None:
        documents, rest = counts, rest[1:]
    else:
        documents = [_copy(stored) for stored in found]
    with translate_engine_errors():
        return [
            bson.encode(made)
            for made in aggregate.process_pipeline(documents, _LookupDatabase(store, database), rest, None)
        ]


def _counted(found: Iterable[Stored], stages: list[Fields]) -> list[Fields] | None:
    """Return the number of documents for each text in a field, if the first stage asks for that; decodes nothing."""
    group = stages[0].get("$group") if stages else None
    if not isinstance(group, dict) or len(group) != 2 or list(group.values())[1] != {"$sum": 1}:
        return None
    (key, by), (name, _) = group.items()
    if key != "_id" or not isinstance(by, str) or not re.fullmatch(r"\$\w+", by):
        return None
    values = [stored.fields.get(by[1:]) for stored in found]
    if not all(isinstance(value, str) for value in values):
        return None
    return [{"_id": value, name: number} for value, number in Counter(values).items()]


def _copy(stored: Stored) -> Fields:
    """Return a copy of a document that stages may change."""
    return bson.decode(stored.body, CODEC)


def _require_known(pipeline: Any) -> None:
    if not isinstance(pipeline, list):
        raise CommandError(9, "a pipeline is a list of stages")
    for stage in pipeline:
        if not isinstance(stage, dict) or len(stage) != 1:
            raise CommandError(9, "a pipeline stage is a document with exactly one field")
        ((name, options),) = stage.items()
        if name not in _STAGES:
            raise unsupported(f"the pipeline stage {name}")
        if name == "$match" and not isinstance(options, dict):
            raise CommandError(15959, "the match filter must be an expression in an object")
        if name == "$sort":
            _require_order(options)
        if name == "$facet" and isinstance(options, dict):
            for inner in options.values():
                _require_known(inner)


def _require_order(sort: Any) -> None:
    if not isinstance(sort, dict):
        raise CommandError(15973, "the $sort key specification must be an object")
    if not sort:
        raise CommandError(15976, "$sort stage must have at least one sort key")
    require_sort(sort)


def _leading_query(pipeline: list[Fields]) -> tuple[Fields, list[Fields]]:
    """Split off a leading ``$match``, which indexes can answer, from the other stages."""
    if pipeline and "$match" in pipeline[0]:
        return pipeline[0]["$match"], pipeline[1:]
    return {}, pipeline


class _LookupDatabase:
    """The database as mongomock's ``$lookup`` and ``$graphLookup`` use it."""

    def __init__(self, store: Databases, database: str) -> None:
        self._store, self._database = store, database

    def get_collection(self, name: str) -> _LookupCollection:
        return _LookupCollection(self._store.find(self._database, name))


class _LookupCollection:
    """A collection that a ``$lookup`` searches."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def find(self, query: Fields) -> Iterator[Fields]:
        return (_copy(stored) for stored in select(self._collection, query))


def _date_from_string(parser: Any, options: Any) -> Any:
    """Return the UTC date in an ISO 8601 text, which is how FireWorks writes dates."""
    unknown = set(options) - {"dateString", "onError", "onNull"}
    if unknown:
        raise unsupported(f"{_DATE_FORM} with {sorted(unknown)[0]}")
    try:
        text = parser.parse(options["dateString"])
    except KeyError:
        text = None
    if text is None:
        return parser.parse(options.get("onNull"))
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        if "onError" not in options:
            raise CommandError(2, f"{_DATE_FORM} can't read {text!r}") from None
        return parser.parse(options["onError"])
    return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found


def _with_date_from_string(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def handle(parser: Any, operator: str, values: Any) -> Any:
        return _date_from_string(parser, values) if operator == _DATE_FORM else original(parser, operator, values)

    return handle


def _unwind(documents: list[Fields], database: Any, options: Any) -> list[Fields]:
    """Yield one document per item of a list; unlike mongomock's, it does not copy the whole list for each of them."""
    path = options if isinstance(options, str) else ""
    if not path.startswith("$") or "." in path:
        return list(_UNWIND(documents, database, options))
    field, made = path[1:], []
    for document in documents:
        listed = document.pop(field, None)
        for item in listed if isinstance(listed, list) else [] if listed is None else [listed]:
            made.append({**copy.deepcopy(document), field: item})
    return made


def _match(documents: list[Fields], database: Any, options: Any) -> list[Fields]:
    """Return the documents that match, by the same rules as ``find``."""
    ask = predicate(options)
    return [document for document in documents if ask(document)]


# mongomock has no way to register stages and operators, and $facet runs pipelines from within. Only the server process
# imports this module, so nobody else meets the changed engine
_UNWIND = aggregate._PIPELINE_HANDLERS["$unwind"]
aggregate._PIPELINE_HANDLERS["$unwind"] = _unwind
aggregate._PIPELINE_HANDLERS["$match"] = _match
aggregate._Parser._handle_date_operator = _with_date_from_string(aggregate._Parser._handle_date_operator)
