"""Validation of requests to FireWorks' GUI, which passes URL parameters to the database unchecked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from fireworks import Firework

_OPERATORS = {"$and", "$or", "$nor", "$not", "$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists"}
"""Comparisons only: other operators run code ($where, $function) or can take for ever ($regex)."""
_MAX_CHARACTERS, _MAX_DEPTH = 2000, 20
_PATH_VALUES = {
    "state": {*Firework.STATE_RANKS, "total"},
    "sorting_key": {"_id", "fw_id", "name", "created_on", "updated_on"},
    "sorting_order": {"ASCENDING", "DESCENDING"},
    "interval": {"minutes", "hours", "days", "months", "years"},
    "coll": {"fireworks", "workflows"},
}
_MAX_INTERVALS, _MAX_PAGES = 100, 1_000_000
_MAX_ID = 2**31
_KEY = re.compile(r"\w[\w.-]{0,99}")


def fault_of_path(values: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the variable parts of a URL path, or None."""
    for name, allowed in _PATH_VALUES.items():
        if name in values and values[name] not in allowed:
            return f"{name} has to be one of {', '.join(sorted(allowed))}"
    if "num_intervals" in values and not _is_count(str(values["num_intervals"]), _MAX_INTERVALS):
        return f"the number of intervals has to be 1 to {_MAX_INTERVALS}"
    if "key" in values and not _KEY.fullmatch(values["key"]):
        return "the key of metadata has to be a plain word"
    if any(values.get(name, 0) >= _MAX_ID for name in ("fw_id", "wf_id")):
        return "there is no such number"
    return None


def fault_of_arguments(arguments: Mapping[str, str]) -> str | None:
    """Return what is wrong with the query string, or None."""
    if "page" in arguments and not _is_count(arguments["page"], _MAX_PAGES):
        return f"the page has to be a number from 1 to {_MAX_PAGES}"
    return next(
        (fault for name in ("fw_query", "wf_query") if (fault := fault_of_query(arguments.get(name, "")))), None
    )


def fault_of_query(text: str) -> str | None:
    """Return why a MongoDB query is not passed on to the database, or None.

    Examples
    --------
    >>> fault_of_query('{"spec.campaign": "cu-melt"}')
    >>> fault_of_query('{"$where": "sleep(1000)"}')
    'the query uses $where; only comparisons are passed on: $and, $eq, $exists, $gt, $gte, $in, $lt, $lte, $ne, \
$nin, $nor, $not, $or'
    """
    if not text:
        return None
    if len(text) > _MAX_CHARACTERS:
        return f"the query has more than {_MAX_CHARACTERS} characters"
    try:
        query = json.loads(text)
    except (ValueError, RecursionError):
        return "the query is not valid JSON"
    if not isinstance(query, dict):
        return "the query is not a JSON object"
    return _fault_of_part(query, _MAX_DEPTH)


def _fault_of_part(part: Any, depth: int) -> str | None:
    if not isinstance(part, dict | list):
        return None
    if not depth:
        return f"the query is more than {_MAX_DEPTH} levels deep"
    for key in part if isinstance(part, dict) else ():
        if key.startswith("$") and key not in _OPERATORS:
            return f"the query uses {key}; only comparisons are passed on: {', '.join(sorted(_OPERATORS))}"
    inner = part.values() if isinstance(part, dict) else part
    return next((fault for value in inner if (fault := _fault_of_part(value, depth - 1))), None)


def _is_count(text: str, maximum: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= maximum
