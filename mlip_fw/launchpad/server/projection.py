"""Projections: checked as MongoDB checks them, then applied by mongomock's engine.

Source: MongoDB manual, "Project Fields to Return from Query" and "find", Projection (since 4.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlip_fw.launchpad.server.command_error import CommandError, unsupported
from mlip_fw.launchpad.server.mongomock_engine import empty_collection, translate_engine_errors

_OPERATORS = {"$slice", "$elemMatch"}
_MACHINE = empty_collection()


def parse_projection(projection: Mapping[str, Any]) -> dict[str, Any]:
    """Check a projection and return it with True for included and False for excluded fields.

    Raises
    ------
    RefusedError
        With MongoDB's code: 31254 or 31253 if it mixes inclusion and exclusion, 31249 or 31250 if it names a field and
        a part of that field.
    """
    plain: dict[str, Any] = {}
    for path, wanted in projection.items():
        _require_path(path)
        if isinstance(wanted, dict):
            unknown = next((name for name in wanted if name not in _OPERATORS), None)
            if unknown is not None or len(wanted) != 1:
                raise unsupported(f"the projection {path}: {wanted!r}")
            plain[path] = wanted
        elif isinstance(wanted, int | float):
            plain[path] = bool(wanted)
        else:
            raise unsupported(f"the projection {path}: {wanted!r}")
    _require_one_way(plain)
    _require_no_collision(list(plain))
    return plain


def apply_projection(fields: dict[str, Any], plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a document that a checked projection selects."""
    kept = [name for name, value in plain.items() if value is True]
    if len(kept) == len(plain) and not any("." in name for name in kept):
        return {name: fields[name] for name in ("_id", *kept) if name in fields}
    with translate_engine_errors():
        part: dict[str, Any] = _MACHINE._copy_only_fields(fields, dict(plain), dict)
        return part


def _require_path(path: str) -> None:
    if path.startswith("$"):
        raise CommandError(16410, f"FieldPath field names may not start with '$'. Consider using $getField: {path}")
    if "" in path.split("."):
        raise CommandError(15998, f"FieldPath field names may not be empty strings, given '{path}'.")


def _require_one_way(plain: Mapping[str, Any]) -> None:
    ways = {path: wanted for path, wanted in plain.items() if isinstance(wanted, bool) and path != "_id"}
    if not ways:
        return
    shows = next(iter(ways.values()))
    other = next((path for path, wanted in ways.items() if wanted != shows), None)
    if other is not None and shows:
        raise CommandError(31254, f"Cannot do exclusion on field {other} in inclusion projection")
    if other is not None:
        raise CommandError(31253, f"Cannot do inclusion on field {other} in exclusion projection")


def _require_no_collision(paths: list[str]) -> None:
    seen: set[str] = set()
    for path in paths:
        parts = path.split(".")
        for n in range(1, len(parts)):
            if (above := ".".join(parts[:n])) in seen:
                raise CommandError(31249, f"Path collision at {path} remaining portion {path[len(above) + 1 :]}")
        if any(one.startswith(f"{path}.") for one in seen):
            raise CommandError(31250, f"Path collision at {path}")
        seen.add(path)
