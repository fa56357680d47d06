"""What MongoDB does not store: too deep documents, names that begin with a dollar, some ``_id``.

Source: MongoDB manual, "MongoDB Limits and Thresholds" (nested depth), "Documents" (the ``_id`` field), "Field Names
with Periods and Dollar Signs". Servers before 5.0 insert no name that begins with ``$``: what must work with all of
them doesn't either.
"""

from __future__ import annotations

from typing import Any

from mlip_fw.database.operators import is_regex
from mlip_fw.database.refusal import RefusedError

MOST_LEVELS = 100


def require_storable(document: dict[str, Any]) -> None:
    """Refuse a document that MongoDB does not store, whatever its size.

    Raises
    ------
    RefusedError
        With code 15 if it is too deep, 52 for a name, 53 for its ``_id``.
    """
    for name in document:
        if name.startswith("$"):
            raise RefusedError(52, f"Document can't have $ prefixed field names: {name}")
    require_identity(document.get("_id"))
    require_depth(document)


def require_identity(identity: Any) -> None:
    """Refuse an ``_id`` that no document may have."""
    if isinstance(identity, list) or is_regex(identity):
        kind = "array" if isinstance(identity, list) else "regex"
        raise RefusedError(53, f"The '_id' value cannot be of type {kind}")
    for name in identity if isinstance(identity, dict) else ():
        if name.startswith("$"):
            raise RefusedError(52, f"_id fields may not contain '$'-prefixed fields: {name} is not valid for storage.")


def require_depth(value: Any, above: int = 0) -> None:
    """Refuse a value that, below so many levels, makes a document deeper than is allowed."""
    if not _fits(value, MOST_LEVELS - above):
        raise RefusedError(15, f"cannot store a document because it exceeds {MOST_LEVELS} nesting levels")


def _fits(value: Any, levels: int) -> bool:
    """Return whether a value has no more levels of documents and lists; both count."""
    if levels < 0:
        return False
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    if inner is None:
        return True
    return levels > 0 and all(_fits(one, levels - 1) for one in inner if isinstance(one, dict | list))
