"""Names of Fireworks and workflows: what they say of the work, as :mod:`mlip_fw.fireworks.build` gives them."""

from __future__ import annotations

import re
from typing import Any

_KINDS = ("md", "label", "candidates", "train", "bootstrap", "summary", "polish", "validate")
_TURN = re.compile(r"\bw(\d{2,})\b(?: s\d+)?(?: c(\d{4,}))?")
_HASH = re.compile(r"\blabel ([0-9a-f]{16})\b")

AT_ONCE = 1_000_000
"""Documents of an answer: MongoDB cuts it at 16 MB, where it would else cut it at 101 documents."""
OF_A_CAMPAIGN: dict[str, Any] = {"spec.campaign": {"$gt": ""}}
"""Fireworks of campaigns: unlike ``$exists``, an index of ``spec.campaign`` answers this without the documents."""

Key = tuple[str, int | None, int | None, str | None]
"""Kind, walker, cycle and label: what a page knows of a Firework."""


def metadata_of(directory: str | None) -> dict[str, Any]:
    """Return what every workflow of a campaign carries: by this they are found, counted and shown together."""
    return {"mlip_fw": True, "directory": directory}


def campaign_of(workflow_name: str) -> str:
    """Return the campaign that a workflow is named after: its name, maybe with ``, finished part`` or the like."""
    return re.split("[ ,]", workflow_name, maxsplit=1)[0]


def read_name(name: str, campaign: str) -> Key:
    """Return what a Firework does; of a name that is none of ours, ``other``."""
    work = name.removeprefix(f"{campaign}: ")
    kind = work.partition(" ")[0]
    if work == name or kind not in _KINDS:
        return "other", None, None, None
    turn, label = _TURN.search(work), _HASH.search(work)
    walker = int(turn[1]) if turn else None
    cycle = int(turn[2]) if turn and turn[2] else None
    return kind, walker, cycle, label[1] if label else None


def stage_of(name: str) -> int | None:
    """Return the stage of an MD Firework."""
    found = re.search(r" s(\d+)", name)
    return int(found[1]) if found else None


def work_of(key: Key) -> Key:
    """Return the key that links use: a label is the same one wherever it was chosen."""
    kind, walker, cycle, label = key
    return (kind, None, None, label) if label is not None else (kind, walker, cycle, None)


def learns_its_cycle(key: Key) -> bool:
    """Return whether it is the MD of a later stage, whose cycle is known when the stage before has ended."""
    return key[0] == "md" and key[2] is None
