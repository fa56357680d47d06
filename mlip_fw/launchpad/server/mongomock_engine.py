"""mongomock's engine behind the server: error translation, matching one document, sort keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import mongomock
from bson import ObjectId
from mongomock.filtering import NOTHING, BsonComparable, resolve_key
from pymongo.errors import PyMongoError

from mlip_fw.launchpad.server.command_error import MONGODB_MAY_KNOW, USE_MONGODB, CommandError
from mlip_fw.launchpad.server.predicates import predicate

_NULL, _LIST, _EMPTY_LIST = 5, 25, 0
_ORDER_OF_TYPES = {float: 10, int: 10, str: 15, bytes: 30, ObjectId: 35, bool: 40, datetime: 45}


def empty_collection() -> Any:
    """Return an empty collection of mongomock; some of its methods work on documents that are passed in."""
    return mongomock.MongoClient().machine.machine


@contextmanager
def translate_engine_errors() -> Iterator[None]:
    """Translate exceptions of mongomock into MongoDB's errors."""
    try:
        yield
    except NotImplementedError as error:
        message = str(error).replace(" in mongomock yet", "").replace(" in Mongomock", "").rstrip(".")
        raise CommandError(115, f"{message}: {USE_MONGODB}") from error
    except PyMongoError as error:
        raise CommandError(2, f"{error}: {MONGODB_MAY_KNOW}") from error
    except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
        raise CommandError(2, f"can't be understood: {type(error).__name__}: {error}") from error


def matches(query: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
    """Return whether a document matches a query."""
    with translate_engine_errors():
        return predicate(query)(fields)


def sort_key(fields: Mapping[str, Any], path: str, descending: bool) -> tuple[int, Any]:
    """Return the sort key of a document; a list sorts by its smallest item, or by its largest if descending."""
    value = _value_at(path, fields)
    if not isinstance(value, list):
        return _comparable(value)
    if not value:
        return _EMPTY_LIST, 0
    return (max if descending else min)(map(_comparable, value))


def _value_at(path: str, fields: Mapping[str, Any]) -> Any:
    value: Any = fields
    for part in path.split("."):
        if not isinstance(value, dict):
            # a list on the path: mongomock resolves it
            return resolve_key(path, fields)
        value = value.get(part)
    return value


def _comparable(value: Any) -> tuple[int, Any]:
    order = _ORDER_OF_TYPES.get(type(value))
    if order is not None:
        return order, value
    if value is None or value is NOTHING:
        return _NULL, 0
    if isinstance(value, int):
        return _ORDER_OF_TYPES[int], value
    return _LIST, BsonComparable(value)
