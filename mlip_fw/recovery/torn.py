"""Workflows that a worker died in the middle of changing.

FireWorks locks a workflow, writes new Fireworks, writes the changed ones, writes the workflow, and
unlocks it. A death in between leaves the lock, maybe Fireworks that belong to no workflow, and maybe
a Firework that says COMPLETED while its workflow has not heard what follows from it. An exception in
between leaves the same without the lock. A death while finished Fireworks are put on the shelf leaves them
without a workflow, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from fireworks import LaunchPad

from mlip_fw.firework_names import AT_ONCE, OF_A_CAMPAIGN
from mlip_fw.recovery.findings import Finding, directory_of
from mlip_fw.shelving import shelve_strays

HALF_ADDED = "half added"
_MOST_LOOKS = 4
_LEFT_ALONE = ("COMPLETED", "ARCHIVED", "DEFUSED")
_BEING_TAKEN = "RESERVED"
"""A worker takes a Firework before it tells the workflow; one that dies there is found by its age."""


@dataclass(frozen=True)
class _Torn:
    """A workflow that is locked, or does not say what its Fireworks say."""

    nodes: tuple[int, ...]
    name: str
    changed: Any
    is_locked: bool
    differing: frozenset[tuple[int, str]]
    """Number and state of the Fireworks of which the workflow says something else."""


@dataclass(frozen=True)
class _Look:
    """What is not as it should be at one moment."""

    orphans: frozenset[int]
    finished: frozenset[int]
    """Those of the orphans that ran to their end; one that was half added never does."""
    torn: dict[Any, _Torn]


def torn_workflows(
    pad: LaunchPad, patience_s: float, sleep: Callable[[float], object] = time.sleep
) -> Iterator[Finding]:
    """Find locks that nobody holds, workflows half changed and Fireworks of no workflow, still so after ``patience_s``.

    A workflow is changed within a fraction of a second; one of thousands takes seconds. While new
    Fireworks come in, somebody is at work, and nothing is certain.
    """
    before = _look(pad)
    for _ in range(_MOST_LOOKS):
        if not before.orphans and not before.torn:
            return
        sleep(patience_s)
        now = _look(pad)
        if now.orphans <= before.orphans:
            yield from _lasting(pad, before, now)
            return
        before = now


def _lasting(pad: LaunchPad, before: _Look, now: _Look) -> Iterator[Finding]:
    # before the lock goes, so that nobody takes up what is done again
    for fw_id in sorted(now.orphans - now.finished):
        what = "belongs to no workflow: a worker died while it added it"
        remove = partial(pad.fireworks.delete_one, {"fw_id": fw_id})
        yield Finding(HALF_ADDED, fw_id, _name(pad, fw_id), what, remove)
    for (campaign, directory), fw_ids in _by_campaign(pad, now.finished).items():
        name = f"{campaign}: {len(fw_ids)} finished Fireworks"
        what = "in no workflow: a worker died while it put them on the shelf"
        yield Finding("half shelved", fw_ids[0], name, what, partial(shelve_strays, pad, campaign, directory, fw_ids))
    for key, torn in now.torn.items():
        if before.torn.get(key) == torn:
            kind, since = ("stale lock", ", which is locked since") if torn.is_locked else ("half changed", "")
            what = f"a worker died while it changed this workflow{since}"
            yield Finding(kind, min(torn.nodes), torn.name, what, partial(_mend, pad, torn), frozenset(torn.nodes))


def _mend(pad: LaunchPad, torn: _Torn) -> None:
    """Have everything that the dead worker was telling the workflow told again."""
    for fw_id, state in torn.differing:
        if state == "COMPLETED":
            # its action is applied when it is seen to complete, so it must be seen again
            pad.fireworks.update_one({"fw_id": fw_id, "state": state}, {"$set": {"state": "RUNNING"}})
    pad.workflows.update_one({"nodes": torn.nodes[0]}, {"$unset": {"locked": True}})
    for fw_id, _ in sorted(torn.differing):
        pad._refresh_wf(fw_id)


def _look(pad: LaunchPad) -> _Look:
    wanted = {"nodes": 1, "fw_states": 1, "name": 1, "updated_on": 1, "state": 1, "locked": 1}
    workflows = list(pad.workflows.find({}, wanted, batch_size=AT_ONCE))
    ours = {
        firework["fw_id"]: firework["state"]
        for firework in pad.fireworks.find(OF_A_CAMPAIGN, {"fw_id": 1, "state": 1}, batch_size=AT_ONCE)
    }
    orphans = frozenset(ours.keys() - {node for workflow in workflows for node in workflow["nodes"]})
    finished = frozenset(fw_id for fw_id in orphans if ours[fw_id] == "COMPLETED")
    looked = {workflow["_id"]: _torn(workflow, ours) for workflow in workflows}
    return _Look(orphans, finished, {key: torn for key, torn in looked.items() if torn is not None})


def _torn(workflow: dict[str, Any], ours: dict[int, str]) -> _Torn | None:
    """Return what is wrong with a workflow, if it is a campaign's and something is."""
    nodes, is_locked = tuple(workflow["nodes"]), "locked" in workflow
    if not any(node in ours for node in nodes) or (workflow["state"] in _LEFT_ALONE and not is_locked):
        return None
    said = workflow["fw_states"]
    differing = frozenset(
        (node, ours[node]) for node in nodes if ours.get(node, _BEING_TAKEN) not in (said.get(str(node)), _BEING_TAKEN)
    )
    if not is_locked and not differing:
        return None
    return _Torn(nodes, workflow["name"], workflow.get("updated_on"), is_locked, differing)


def _by_campaign(pad: LaunchPad, fw_ids: frozenset[int]) -> dict[tuple[str, str | None], list[int]]:
    """Return Fireworks by the name and the directory of their campaign."""
    found: dict[tuple[str, str | None], list[int]] = {}
    for firework in pad.fireworks.find({"fw_id": {"$in": sorted(fw_ids)}}, {"fw_id": 1, "spec": 1}):
        found.setdefault((firework["spec"]["campaign"], directory_of(firework)), []).append(firework["fw_id"])
    return found


def _name(pad: LaunchPad, fw_id: int) -> str:
    found = pad.fireworks.find_one({"fw_id": fw_id}, {"name": 1})
    return found["name"] if found else ""
