"""Workflows whose update was interrupted, because the worker died or the database went away.

FireWorks locks a workflow, writes new Fireworks, writes the changed ones, writes the workflow, and unlocks it. A death
in between leaves the lock, perhaps new Fireworks that belong to no workflow, and perhaps a Firework that is COMPLETED
while its workflow lacks what follows from it. An exception leaves the same without the lock. A death while finished
Fireworks are archived (:mod:`mlip_fw.launchpad.archiving`) leaves them without a workflow.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from fireworks import LaunchPad

from mlip_fw.launchpad.archiving import archive_strays
from mlip_fw.launchpad.names import BATCH_SIZE, CAMPAIGN_FIREWORKS
from mlip_fw.launchpad.recovery.faults import Fault, campaign_directory_of

HALF_ADDED = "half added"
_MAX_SCANS = 4
_FINAL_STATES = ("COMPLETED", "ARCHIVED", "DEFUSED")
_CHECKED_OUT = "RESERVED"
"""A worker changes the Firework to this state before the workflow; one that dies there is found by its age."""


@dataclass(frozen=True)
class _Torn:
    """A workflow that is locked, or whose states differ from those of its Fireworks."""

    nodes: tuple[int, ...]
    name: str
    changed: Any
    is_locked: bool
    differing: frozenset[tuple[int, str]]
    """Number and state of the Fireworks for which the workflow has another state."""


@dataclass(frozen=True)
class _Scan:
    """Everything inconsistent at one moment."""

    orphans: frozenset[int]
    finished: frozenset[int]
    """Orphans that are COMPLETED: those were being archived. One that was half added never runs."""
    torn: dict[Any, _Torn]


def find_torn_workflows(
    pad: LaunchPad, timeout_s: float, sleep: Callable[[float], object] = time.sleep
) -> Iterator[Fault]:
    """Find stale locks, half updated workflows and Fireworks without a workflow, unchanged for ``timeout_s``.

    An update takes a fraction of a second, with thousands of Fireworks seconds. While new Fireworks without workflow
    appear, somebody is adding some, and the scan is repeated.
    """
    before = _scan(pad)
    for _ in range(_MAX_SCANS):
        if not before.orphans and not before.torn:
            return
        sleep(timeout_s)
        now = _scan(pad)
        if now.orphans <= before.orphans:
            yield from _lasting(pad, before, now)
            return
        before = now


def _lasting(pad: LaunchPad, before: _Scan, now: _Scan) -> Iterator[Fault]:
    """Yield what two scans agree on."""
    # before the lock is removed, so that no worker runs a Firework that will be added again
    for fw_id in sorted(now.orphans - now.finished):
        what = "belongs to no workflow: a worker died while it added it"
        remove = partial(pad.fireworks.delete_one, {"fw_id": fw_id})
        yield Fault(HALF_ADDED, fw_id, _name(pad, fw_id), what, remove)
    for (campaign, directory), fw_ids in _by_campaign(pad, now.finished).items():
        name = f"{campaign}: {len(fw_ids)} finished Fireworks"
        what = "in no workflow: a worker died while it archived them"
        yield Fault("half shelved", fw_ids[0], name, what, partial(archive_strays, pad, campaign, directory, fw_ids))
    for key, torn in now.torn.items():
        if before.torn.get(key) == torn:
            kind, since = ("stale lock", ", which is locked since") if torn.is_locked else ("half changed", "")
            what = f"a worker died while it changed this workflow{since}"
            yield Fault(
                kind, min(torn.nodes), torn.name, what, partial(_repeat_update, pad, torn), frozenset(torn.nodes)
            )


def _repeat_update(pad: LaunchPad, torn: _Torn) -> None:
    """Remove the lock, and apply to the workflow again what the dead worker was about to apply."""
    for fw_id, state in torn.differing:
        if state == "COMPLETED":
            # FireWorks applies the action when the state changes to COMPLETED, so it must change again
            pad.fireworks.update_one({"fw_id": fw_id, "state": state}, {"$set": {"state": "RUNNING"}})
    pad.workflows.update_one({"nodes": torn.nodes[0]}, {"$unset": {"locked": True}})
    for fw_id, _ in sorted(torn.differing):
        pad._refresh_wf(fw_id)


def _scan(pad: LaunchPad) -> _Scan:
    wanted = {"nodes": 1, "fw_states": 1, "name": 1, "updated_on": 1, "state": 1, "locked": 1}
    workflows = list(pad.workflows.find({}, wanted, batch_size=BATCH_SIZE))
    states = {
        firework["fw_id"]: firework["state"]
        for firework in pad.fireworks.find(CAMPAIGN_FIREWORKS, {"fw_id": 1, "state": 1}, batch_size=BATCH_SIZE)
    }
    orphans = frozenset(states.keys() - {node for workflow in workflows for node in workflow["nodes"]})
    finished = frozenset(fw_id for fw_id in orphans if states[fw_id] == "COMPLETED")
    checked = {workflow["_id"]: _torn(workflow, states) for workflow in workflows}
    return _Scan(orphans, finished, {key: torn for key, torn in checked.items() if torn is not None})


def _torn(workflow: dict[str, Any], states: dict[int, str]) -> _Torn | None:
    """Return what is inconsistent in a workflow; None if nothing is, or if it is no campaign's."""
    nodes, is_locked = tuple(workflow["nodes"]), "locked" in workflow
    if not any(node in states for node in nodes) or (workflow["state"] in _FINAL_STATES and not is_locked):
        return None
    in_workflow = workflow["fw_states"]
    differing = frozenset(
        (node, states[node])
        for node in nodes
        if states.get(node, _CHECKED_OUT) not in (in_workflow.get(str(node)), _CHECKED_OUT)
    )
    if not is_locked and not differing:
        return None
    return _Torn(nodes, workflow["name"], workflow.get("updated_on"), is_locked, differing)


def _by_campaign(pad: LaunchPad, fw_ids: frozenset[int]) -> dict[tuple[str, str | None], list[int]]:
    """Group Fireworks by name and directory of their campaign."""
    found: dict[tuple[str, str | None], list[int]] = {}
    for firework in pad.fireworks.find({"fw_id": {"$in": sorted(fw_ids)}}, {"fw_id": 1, "spec": 1}):
        found.setdefault((firework["spec"]["campaign"], campaign_directory_of(firework)), []).append(firework["fw_id"])
    return found


def _name(pad: LaunchPad, fw_id: int) -> str:
    found = pad.fireworks.find_one({"fw_id": fw_id}, {"name": 1})
    return found["name"] if found else ""
