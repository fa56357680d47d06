"""Documents that MongoDB does not store: too deeply nested, field names with a leading ``$``, invalid ``_id``.

Source: MongoDB manual, "MongoDB Limits and Thresholds" (nested depth), "Documents" (the ``_id`` field), "Field Names
with Periods and Dollar Signs". Servers before 5.0 refuse a leading ``$`` in field names; so does this one, since
what works here must work with all of them.
"""

from __future__ import annotations

from typing import Any

from mlip_fw.launchpad.server.command_error import CommandError
from mlip_fw.launchpad.server.query_operators import is_regex

MAX_LEVELS = 100


def require_storable(document: dict[str, Any]) -> None:
    """Refuse a document that MongoDB does not store; its size is checked elsewhere.

    Raises
    ------
    RefusedError
        With code 15 if it is nested too deeply, 52 for a field name, 53 for its ``_id``.
    """
    for name in document:
        if name.startswith("$"):
            raise CommandError(52, f"Document can't have $ prefixed field names: {name}")
    require_identity(document.get("_id"))
    require_depth(document)


def require_identity(identity: Any) -> None:
    """Refuse a value that can't be an ``_id``."""
    if isinstance(identity, list) or is_regex(identity):
        kind = "array" if isinstance(identity, list) else "regex"
        raise CommandError(53, f"The '_id' value cannot be of type {kind}")
    for name in identity if isinstance(identity, dict) else ():
        if name.startswith("$"):
            raise CommandError(52, f"_id fields may not contain '$'-prefixed fields: {name} is not valid for storage.")


def require_depth(value: Any, above: int = 0) -> None:
    """Refuse a value whose own levels and ``above`` levels around it exceed the limit."""
    if isinstance(value, dict | list) and not _fits(value, MAX_LEVELS - above):
        raise CommandError(15, f"cannot store a document because it exceeds {MAX_LEVELS} nesting levels")


def _fits(value: dict[str, Any] | list[Any], levels: int) -> bool:
    """Return whether a document or list is nested at most ``levels`` deep, its own level included."""
    if levels < 1:
        return False
    for one in value.values() if isinstance(value, dict) else value:
        kind = type(one)
        if (kind is dict or kind is list) and not _fits(one, levels - 1):
            return False
    return True
