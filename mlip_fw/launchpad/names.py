"""Parse the names of Fireworks and workflows that :mod:`mlip_fw.workflows.build` writes, and the queries for them."""

from __future__ import annotations

import re
import threading
from typing import Any

_KINDS = ("md", "label", "candidates", "train", "bootstrap", "summary", "polish", "audit", "validate")
_WALKER_AND_CYCLE = re.compile(r"\bw(\d{2,})\b(?: s\d+)?(?: c(\d{4,}))?")
_HASH = re.compile(r"\blabel ([0-9a-f]{16})\b")
_MAX_WORKFLOWS = 256

BATCH_SIZE = 1_000_000
"""Batch size of queries: large, so that MongoDB fills its 16 MB; its default first batch has 101 documents."""
CAMPAIGN_FIREWORKS: dict[str, Any] = {"spec.campaign": {"$gt": ""}}
"""Query for the Fireworks of campaigns; unlike ``$exists``, an index on ``spec.campaign`` answers it alone."""

WorkKey = tuple[str, int | None, int | None, str | None]
"""What a Firework does: kind, walker, cycle and label."""


def workflow_metadata(directory: str | None) -> dict[str, Any]:
    """Return the metadata of a campaign's workflows, by which they are found."""
    return {"mlip_fw": True, "directory": directory}


def campaign_name(workflow_name: str) -> str:
    """Return the campaign in the name of a workflow, which may end in ``, finished part`` or the like."""
    return re.split("[ ,]", workflow_name, maxsplit=1)[0]


def parse_name(name: str, campaign: str) -> WorkKey:
    """Return what a Firework does, from its name; ``other`` for a name that mlip_fw does not give."""
    work = name.removeprefix(f"{campaign}: ")
    kind = work.partition(" ")[0]
    if work == name or kind not in _KINDS:
        return "other", None, None, None
    found, label = _WALKER_AND_CYCLE.search(work), _HASH.search(work)
    walker = int(found[1]) if found else None
    cycle = int(found[2]) if found and found[2] else None
    return kind, walker, cycle, label[1] if label else None


def md_stage(name: str) -> int | None:
    """Return the stage in the name of an MD Firework, or None."""
    found = re.search(r" s(\d+)", name)
    return int(found[1]) if found else None


def link_key(key: WorkKey) -> WorkKey:
    """Return the key for links to a Firework: a label counts as the same for any walker and cycle."""
    kind, walker, cycle, label = key
    return (kind, None, None, label) if label is not None else (kind, walker, cycle, None)


def has_unknown_cycle(key: WorkKey) -> bool:
    """Return whether it is MD of a later stage, whose cycle is known only when the stage before has ended."""
    return key[0] == "md" and key[2] is None


class KnownNames:
    """What the Fireworks of each workflow do, as far as it was read: names never change.

    Shared by the threads of a web server; the workflows that were used last are kept.
    """

    def __init__(self) -> None:
        self._by_workflow: dict[str, dict[int, WorkKey]] = {}
        self._lock = threading.Lock()

    def of(self, workflow: str) -> dict[int, WorkKey]:
        """Return the names of a workflow's Fireworks by number, for the caller to complete."""
        with self._lock:
            found = self._by_workflow[workflow] = self._by_workflow.pop(workflow, {})
            while len(self._by_workflow) > _MAX_WORKFLOWS:
                del self._by_workflow[next(iter(self._by_workflow))]
            return found
