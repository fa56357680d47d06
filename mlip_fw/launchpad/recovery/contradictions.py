"""Collections of a LaunchPad that contradict each other, for example after a restore from an inconsistent dump.

FireWorks numbers Fireworks from a counter (``fw_id_assigner``) and does not check whether a number is free: it deletes
the Firework that has it already. ``mongodump`` without ``--oplog`` reads one collection after the
other, so what it writes need not be one moment's (MongoDB manual, "mongodump", option ``--oplog``).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fireworks import LaunchPad

from mlip_fw.launchpad.names import BATCH_SIZE
from mlip_fw.launchpad.recovery.faults import Fault

COUNTER = "next number"
_HOW_TO = 'see docs/how-to/mongodb-in-production.md, "When recover says that the database contradicts itself"'
_OVER = ("ARCHIVED", "DEFUSED")


@dataclass(frozen=True)
class _Contradiction:
    """Something that is impossible in a consistent database."""

    kind: str
    fw_id: int
    name: str
    what: str
    nodes: frozenset[int] = frozenset()
    """Fireworks whose states are doubtful because of it."""


@dataclass
class Census:
    """The numbers in each collection, read in an order in which a healthy database is consistent but for moments."""

    workflows: list[dict[str, Any]]
    fireworks: list[dict[str, Any]]
    launches: list[dict[str, Any]]
    known: dict[int, dict[str, Any]] = field(init=False)
    """Fireworks by number."""

    @classmethod
    def of(cls, pad: LaunchPad) -> Census:
        """Read workflows before the Fireworks that they list, and Fireworks before the launches that they name."""
        seen = {"_id": 0, "fw_id": 1, "name": 1, "state": 1, "launches": 1, "archived_launches": 1}
        workflows = list(pad.workflows.find({}, {"nodes": 1, "name": 1}, batch_size=BATCH_SIZE))
        fireworks = list(pad.fireworks.find({}, seen, batch_size=BATCH_SIZE))
        launches = list(pad.launches.find({}, {"_id": 0, "launch_id": 1, "fw_id": 1}, batch_size=BATCH_SIZE))
        return cls(workflows, fireworks, launches)

    def __post_init__(self) -> None:
        self.known = {firework["fw_id"]: firework for firework in self.fireworks}

    def highest_firework(self) -> int:
        """Return the highest number of a Firework in any collection, 0 without any."""
        listed = (node for workflow in self.workflows for node in workflow["nodes"])
        return max([*self.known, *listed, *(launch["fw_id"] for launch in self.launches)], default=0)

    def highest_launch(self) -> int:
        """Return the highest number of a launch in any collection, 0 without any."""
        named = (number for firework in self.fireworks for number in _launches_of(firework))
        return max([*named, *(launch["launch_id"] for launch in self.launches)], default=0)


def find_stale_counters(pad: LaunchPad, census: Census) -> Iterator[Fault]:
    """Find counters that would give out a number that is taken; the repair raises them, which is harmless.

    Repair these first: with a stale counter, FireWorks overwrites what exists when something is added.
    """
    # read after the census: a number is taken from the counter before it is used
    counters = list(pad.fw_id_assigner.find({}, {"_id": 0}))
    for key, thing, highest in (
        ("next_fw_id", "Firework", census.highest_firework()),
        ("next_launch_id", "launch", census.highest_launch()),
    ):
        if not highest or (counters and all(counter.get(key, 0) > highest for counter in counters)):
            continue
        given = min((counter.get(key, 0) for counter in counters), default=None)
        problem = "no number is there to be given out" if given is None else f"number {given} would be given out next"
        what = f"{problem}, but {thing} {highest} exists: what is added would take the place of what is there"
        # at least 1: a counter document that is created anew needs both fields
        raised = {"$max": {"next_fw_id": 1, "next_launch_id": 1, key: highest + 1}}
        yield Fault(COUNTER, 0, f"{key} of the LaunchPad", what, partial(_raise, pad, raised))


def find_contradictions(
    pad: LaunchPad, census: Census, timeout_s: float, sleep: Callable[[float], object] = time.sleep
) -> Iterator[Fault]:
    """Find contradictions that only a person can resolve, unchanged for ``timeout_s``; each text says what to do.

    Listed Fireworks that do not exist, Fireworks in two workflows or in none, numbers of two Fireworks, launches that
    are missing or belong to another Firework. Those outside of campaigns are reported, too.
    """
    before = set(_all(pad, census))
    if not before:
        return
    # whoever is adding, deleting or archiving writes one collection after the other
    sleep(timeout_s)
    for one in sorted(before & set(_all(pad, Census.of(pad))), key=lambda one: (one.kind, one.fw_id)):
        yield Fault(one.kind, one.fw_id, one.name, one.what, None, one.nodes)


def _raise(pad: LaunchPad, change: dict[str, Any]) -> None:
    if not pad.fw_id_assigner.update_many({}, change).matched_count:
        pad.fw_id_assigner.update_one({}, change, upsert=True)


def _all(pad: LaunchPad, census: Census) -> Iterator[_Contradiction]:
    listed = Counter(node for workflow in census.workflows for node in set(workflow["nodes"]))
    shared = {node for node, times in listed.items() if times > 1}
    yield from _missing_fireworks(census, shared)
    yield from _shared_fireworks(census, shared)
    yield from _strays(pad, census, set(census.known) - set(listed))
    yield from _double_numbers(census)
    yield from _wrong_launches(pad, census)


def _missing_fireworks(census: Census, shared: set[int]) -> Iterator[_Contradiction]:
    for workflow in census.workflows:
        nodes = sorted(workflow["nodes"])
        missing = [node for node in nodes if node not in census.known]
        if not missing:
            continue
        what = f"this workflow lists {_numbers('Firework', missing)}, not in the database; "
        # deleting a workflow deletes its Fireworks, also those that it shares with another one
        if shared.isdisjoint(nodes):
            what += f"lpad delete_wflows -i {nodes[0]}, then add its campaign again with the same directory"
        else:
            what += _HOW_TO
        yield _Contradiction("missing Firework", missing[0], str(workflow.get("name", "")), what, frozenset(nodes))


def _shared_fireworks(census: Census, shared: set[int]) -> Iterator[_Contradiction]:
    by_owners: dict[tuple[int, ...], list[int]] = {}
    for node in sorted(shared):
        owners = tuple(i for i, workflow in enumerate(census.workflows) if node in workflow["nodes"])
        by_owners.setdefault(owners, []).append(node)
    for owners, nodes in by_owners.items():
        sharing = [census.workflows[i] for i in owners]
        names = ", ".join(f"{one.get('name', '')} ({min(one['nodes'])})" for one in sharing)
        what = f"{_numbers('Firework', nodes)} in {len(sharing)} workflows: {names}; {_HOW_TO}"
        name = str(census.known.get(nodes[0], {}).get("name", ""))
        everyone = frozenset(node for one in sharing for node in one["nodes"])
        yield _Contradiction("in two workflows", nodes[0], name, what, everyone)


def _strays(pad: LaunchPad, census: Census, strays: set[int]) -> Iterator[_Contradiction]:
    """Yield Fireworks outside of campaigns that are in no workflow; those of campaigns are repaired elsewhere."""
    if not strays:
        return
    wanted = {"fw_id": {"$in": sorted(strays)}, "spec.campaign": {"$exists": False}}
    for firework in pad.fireworks.find(wanted, {"fw_id": 1, "name": 1}):
        what = "belongs to no workflow, and to no campaign; its owner may delete it"
        yield _Contradiction("in no workflow", firework["fw_id"], str(firework.get("name", "")), what)


def _double_numbers(census: Census) -> Iterator[_Contradiction]:
    for fw_id, times in Counter(firework["fw_id"] for firework in census.fireworks).items():
        if times > 1:
            what = f"{times} Fireworks have this number; {_HOW_TO}"
            yield _Contradiction(
                "double number", fw_id, str(census.known[fw_id].get("name", "")), what, frozenset({fw_id})
            )


def _wrong_launches(pad: LaunchPad, census: Census) -> Iterator[_Contradiction]:
    owners = {launch["launch_id"]: launch["fw_id"] for launch in census.launches}
    foreign: dict[int, list[int]] = {}
    for firework in census.fireworks:
        fw_id, name = firework["fw_id"], str(firework.get("name", ""))
        again = f"lpad rerun_fws -i {fw_id} makes it ready; finished work is found on disk"
        missing = [number for number in firework.get("launches", []) if number not in owners]
        if missing and firework.get("state") not in _OVER:
            yield _Contradiction(
                "missing launch", fw_id, name, f"{_numbers('launch', missing)} of it not in the database; {again}"
            )
        if others := [n for n in firework.get("launches", []) if owners.get(n, fw_id) != fw_id]:
            foreign[fw_id] = others
    # Fireworks with a duplicate finder may share launches
    alone = {"fw_id": {"$in": sorted(foreign)}, "spec._dupefinder": {"$exists": False}}
    for firework in pad.fireworks.find(alone, {"fw_id": 1, "name": 1}) if foreign else []:
        numbers = foreign[firework["fw_id"]]
        what = f"{_numbers('launch', numbers)} of it is said to be of Firework {owners[numbers[0]]}; {_HOW_TO}"
        one = frozenset({firework["fw_id"]})
        yield _Contradiction("foreign launch", firework["fw_id"], str(firework.get("name", "")), what, one)


def _launches_of(firework: dict[str, Any]) -> list[int]:
    return [*firework.get("launches", []), *firework.get("archived_launches", [])]


def _numbers(thing: str, numbers: list[int], max_shown: int = 5) -> str:
    """Return a thing with its numbers, for example ``Fireworks 3, 4 and 12 more``."""
    shown = ", ".join(map(str, numbers[:max_shown]))
    more = f" and {len(numbers) - max_shown} more" if len(numbers) > max_shown else ""
    plural = "" if len(numbers) == 1 else "es" if thing.endswith("ch") else "s"
    return f"{thing}{plural} {shown}{more}"
