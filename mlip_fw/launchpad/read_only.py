"""A LaunchPad for commands that only read: a missing server is reported within seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fireworks import LaunchPad

SERVER_SELECTION_TIMEOUT_MS = 4_000
"""Time to find a server; workers wait pymongo's default of 30 s, which outlasts a failover."""
_SOCKET_MS = 60_000


class _ReadOnlyLaunchPad(LaunchPad):
    """Reads the file as FireWorks does, with short time limits where the file sets none."""

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> LaunchPad:
        given = dict(d.get("mongoclient_kwargs") or {})
        named = {key.lower() for key in given}
        for key, value in (("serverSelectionTimeoutMS", SERVER_SELECTION_TIMEOUT_MS), ("socketTimeoutMS", _SOCKET_MS)):
            if key.lower() not in named and f"{key.lower()}=" not in str(d.get("host")).lower():
                given[key] = value
        pad: LaunchPad = LaunchPad.from_dict({**d, "mongoclient_kwargs": given})
        return pad


def open_read_only(path: Path | None) -> LaunchPad:
    """Return the LaunchPad of a file, or of FireWorks' configuration, with short time limits."""
    if path is None:
        return _ReadOnlyLaunchPad.from_dict({"host": None})
    return _ReadOnlyLaunchPad.from_file(str(path))
