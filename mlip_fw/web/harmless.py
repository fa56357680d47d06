"""Which questions FireWorks' GUI may be asked: it hands on to the database whatever a link says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from fireworks import Firework

_OPERATORS = {"$and", "$or", "$nor", "$not", "$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists"}
"""What only compares. Others run code ($where, $function) or can take for ever ($regex)."""
_MOST_CHARACTERS, _MOST_DEEP = 2000, 20
_PLACES = {
    "state": {*Firework.STATE_RANKS, "total"},
    "sorting_key": {"_id", "fw_id", "name", "created_on", "updated_on"},
    "sorting_order": {"ASCENDING", "DESCENDING"},
    "interval": {"minutes", "hours", "days", "months", "years"},
    "coll": {"fireworks", "workflows"},
}
_MOST_INTERVALS, _MOST_PAGES = 100, 1_000_000
_MOST_ID = 2**31
_KEY = re.compile(r"\w[\w.-]{0,99}")


def fault_of_place(values: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the parts of an address, or None."""
    for name, allowed in _PLACES.items():
        if name in values and values[name] not in allowed:
            return f"{name} has to be one of {', '.join(sorted(allowed))}"
    if "num_intervals" in values and not _is_count(str(values["num_intervals"]), _MOST_INTERVALS):
        return f"the number of intervals has to be 1 to {_MOST_INTERVALS}"
    if "key" in values and not _KEY.fullmatch(values["key"]):
        return "the key of metadata has to be a plain word"
    if any(values.get(name, 0) >= _MOST_ID for name in ("fw_id", "wf_id")):
        return "there is no such number"
    return None


def fault_of_questions(asked: Mapping[str, str]) -> str | None:
    """Return what is wrong with the questions behind an address, or None."""
    if "page" in asked and not _is_count(asked["page"], _MOST_PAGES):
        return f"the page has to be a number from 1 to {_MOST_PAGES}"
    return next((fault for name in ("fw_query", "wf_query") if (fault := fault_of_query(asked.get(name, "")))), None)


def fault_of_query(text: str) -> str | None:
    """Return why a query is not passed on to the database, or None.

    Examples
    --------
    >>> fault_of_query('{"spec.campaign": "cu-melt"}')
    >>> fault_of_query('{"$where": "sleep(1000)"}')
    'the query uses $where; only comparisons are passed on: $and, $eq, $exists, $gt, $gte, $in, $lt, $lte, $ne, \
$nin, $nor, $not, $or'
    """
    if not text:
        return None
    if len(text) > _MOST_CHARACTERS:
        return f"the query has more than {_MOST_CHARACTERS} characters"
    try:
        query = json.loads(text)
    except (ValueError, RecursionError):
        return "the query is not valid JSON"
    if not isinstance(query, dict):
        return "the query is not a JSON object"
    return _fault_of_part(query, _MOST_DEEP)


def _fault_of_part(part: Any, deep: int) -> str | None:
    if not isinstance(part, dict | list):
        return None
    if not deep:
        return f"the query is more than {_MOST_DEEP} levels deep"
    for key in part if isinstance(part, dict) else ():
        if key.startswith("$") and key not in _OPERATORS:
            return f"the query uses {key}; only comparisons are passed on: {', '.join(sorted(_OPERATORS))}"
    inner = part.values() if isinstance(part, dict) else part
    return next((fault for value in inner if (fault := _fault_of_part(value, deep - 1))), None)


def _is_count(text: str, most: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most
