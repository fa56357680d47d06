"""Updates of documents: shallow ``$set`` and ``$unset`` here, all others by mongomock's engine on a copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bson
from bson import ObjectId

from mlip_fw.launchpad.server.collection import Fields, Stored
from mlip_fw.launchpad.server.command_error import CommandError, unsupported
from mlip_fw.launchpad.server.document_limits import require_identity, require_storable
from mlip_fw.launchpad.server.mongomock_engine import empty_collection, translate_engine_errors
from mlip_fw.launchpad.server.update_checks import require_applicable, require_operators
from mlip_fw.launchpad.server.wire_protocol import CODEC

_MACHINE = empty_collection()


def check_update(update: Any) -> bool:
    """Check an update and return whether it is a whole new document, rather than operators."""
    if isinstance(update, list):
        raise unsupported("an update by a pipeline")
    if not isinstance(update, dict):
        raise CommandError(9, "Update argument must be either an object or an array")
    first = next(iter(update), "")
    if first.startswith("$"):
        require_operators(update)
        return False
    dollar = next((name for name in update if name.startswith("$")), None)
    if dollar is not None:
        raise CommandError(
            52,
            f"The dollar ($) prefixed field '{dollar}' in '{dollar}' is not allowed in the context of an update's "
            "replacement document.",
        )
    require_storable(update)
    return True


def apply_update(before: Stored, query: Mapping[str, Any], update: Any, *, is_new: bool = False) -> Fields:
    """Return the fields of a document after an update.

    Raises
    ------
    RefusedError
        With code 66 if the ``_id`` would change, or with the translated error of mongomock.
    """
    identity = before.fields.get("_id")
    if not next(iter(update), "").startswith("$"):
        if update.get("_id", identity) != identity:
            raise CommandError(66, "the (immutable) field '_id' of a document can't be changed by replacing it")
        return {"_id": identity, **update}
    require_applicable(before.fields, update)
    if _is_shallow(update):
        return _with_other_fields(before.fields, update)
    fields: Fields = bson.decode(before.body, CODEC)
    with translate_engine_errors():
        _MACHINE._apply_update_document(fields, query, update, is_new)
    if "_id" in fields and fields["_id"] == identity:
        return fields
    raise CommandError(66, "the (immutable) field '_id' of a document can't be changed")


def _is_shallow(update: Fields) -> bool:
    """Return whether an update only sets and unsets top-level fields."""
    paths = [path for changes in update.values() for path in changes]
    return update.keys() <= {"$set", "$unset"} and not any("." in p or p.startswith("$") or p == "_id" for p in paths)


def _with_other_fields(before: Fields, update: Fields) -> Fields:
    """Return a document that shares the unchanged fields with ``before``.

    FireWorks locks a workflow by setting a field: that should not cost a copy of the whole workflow.
    """
    gone = update.get("$unset", {})
    return {name: value for name, value in (before | update.get("$set", {})).items() if name not in gone}


def build_upsert(query: Mapping[str, Any], update: Any) -> Fields:
    """Return the document that an upsert inserts when nothing matched."""
    with translate_engine_errors():
        expanded = _MACHINE._expand_dots(_equalities(query))
        start, _ = _MACHINE._discard_operators(expanded)
    start = dict(start or {})
    replaces = not next(iter(update), "").startswith("$")
    identity = start.pop("_id", None)
    if identity is None and not replaces:
        identity = update.get("$set", {}).get("_id", update.get("$setOnInsert", {}).get("_id"))
    elif identity is None:
        identity = update.get("_id")
    if identity is None:
        identity = ObjectId()
    require_identity(identity)
    base = {"_id": identity} if replaces else {"_id": identity, **start}
    return apply_update(Stored(0, bson.encode(base), base), query, update, is_new=True)


def _equalities(query: Mapping[str, Any]) -> Fields:
    """Return the equality conditions of a query, whose values an upserted document gets."""
    found: Fields = {}
    for name, wanted in query.items():
        if name == "$and" and isinstance(wanted, list):
            for part in wanted:
                found.update(_equalities(part))
        elif not name.startswith("$"):
            found[name] = wanted
    return found
