"""A LaunchPad for commands that only look: where no database answers, they say so within seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fireworks import LaunchPad

SOON_MS = 4_000
"""So long a server is looked for; workers wait 30 s, pymongo's default, which is longer than a failover takes."""
_SOCKET_MS = 60_000


class _Looking(LaunchPad):
    """Reads the file as FireWorks does, and shortens what the file leaves open."""

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> LaunchPad:
        given = dict(d.get("mongoclient_kwargs") or {})
        named = {key.lower() for key in given}
        for key, value in (("serverSelectionTimeoutMS", SOON_MS), ("socketTimeoutMS", _SOCKET_MS)):
            if key.lower() not in named and f"{key.lower()}=" not in str(d.get("host")).lower():
                given[key] = value
        pad: LaunchPad = LaunchPad.from_dict({**d, "mongoclient_kwargs": given})
        return pad


def launchpad_to_look_at(path: Path | None) -> LaunchPad:
    """Return the LaunchPad of a file, or FireWorks' own; it does not wait long for its server."""
    if path is None:
        return _Looking.from_dict({"host": None})
    return _Looking.from_file(str(path))
