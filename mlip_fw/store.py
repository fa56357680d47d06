"""Read-only questions to the LaunchPad about campaigns.

States are read from the workflows, which hold one line for each Firework; documents of Fireworks are read in part,
and no more of them than are shown. So a question costs about the same at ten thousand Fireworks as at ten.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fireworks import LaunchPad

_OURS = {"metadata.mlip_fw": True}
_SEEN = {
    "_id": 0,
    "fw_id": 1,
    "name": 1,
    "state": 1,
    "updated_on": 1,
    "created_on": 1,
    "spec._category": 1,
    "spec._launch_dir": 1,
}
_KINDS = ("md", "label", "candidates", "train", "bootstrap", "summary", "polish", "validate")
_TURN = re.compile(r"\bw(\d{2,})\b(?: s\d+)?(?: c(\d{4,}))?")
_PLACE = re.compile(r"walkers/(\d{2,})/cycle_(\d{4,})(?:/|$)")
_HASH = re.compile(r"\blabel ([0-9a-f]{16})\b")
_BATON = re.compile(r"mlip_fw_baton_(\d{2,})_(\d{2,})$")

Key = tuple[str, int | None, int | None, str | None]
"""Kind, walker, cycle and label: what a page knows of a Firework."""


@dataclass(frozen=True)
class FireworkRow:
    """One Firework, as a list shows it."""

    fw_id: int
    name: str
    kind: str
    """One of md, label, candidates, train, bootstrap, summary, polish, validate, other."""
    category: str
    state: str
    walker: int | None
    cycle: int | None
    label: str | None
    """Hash of the structure that it labels."""
    updated_on: float
    """s since 1970."""
    created_on: float
    directory: str | None
    """Where it runs; None where files travel, as each worker has a folder of its own."""


@dataclass(frozen=True)
class StoredCampaign:
    """A campaign that the LaunchPad knows."""

    name: str
    directory: str
    files: str
    """``shared`` or ``filepad``."""
    counts: dict[str, int]
    """Fireworks by state."""
    updated_on: float
    """The newest change, s since 1970."""


class Store:
    """What a LaunchPad knows of campaigns; nothing is changed.

    Parameters
    ----------
    launchpad
        The LaunchPad.

    Notes
    -----
    Every method raises pymongo's ``PyMongoError`` if the database does not answer.
    """

    def __init__(self, launchpad: LaunchPad) -> None:
        self._workflows, self._fireworks = launchpad.workflows, launchpad.fireworks

    def campaigns(self) -> list[StoredCampaign]:
        """Return all campaigns, the one that changed last first."""
        seen = {"name": 1, "metadata": 1, "fw_states": 1, "updated_on": 1, "nodes": {"$slice": 1}}
        found: dict[str, list[dict[str, Any]]] = {}
        for workflow in self._workflows.find(_OURS, seen):
            found.setdefault(str(workflow["metadata"].get("directory")), []).append(workflow)
        campaigns = [self._campaign(directory, parts) for directory, parts in found.items()]
        return sorted(campaigns, key=lambda one: (-one.updated_on, one.name))

    def counts(self, campaign: str, directory: str | None = None) -> dict[str, int]:
        """Return the number of Fireworks in each state."""
        return dict(Counter(self._states(campaign, directory).values()))

    def fireworks(
        self,
        campaign: str,
        directory: str | None = None,
        *,
        kind: str | None = None,
        states: Collection[str] | None = None,
        most: int = 200,
    ) -> list[FireworkRow]:
        """Return Fireworks, the newest first.

        Parameters
        ----------
        campaign, directory
            Name and directory of the campaign; without a directory all campaigns of that name.
        kind
            Only those of one kind.
        states
            Only those in one of these states.
        most
            No more than so many.
        """
        known = self._states(campaign, directory)
        chosen = [fw_id for fw_id, state in known.items() if states is None or state in states]
        wanted: dict[str, Any] = {"fw_id": {"$in": chosen}}
        if kind is not None:
            wanted["name"] = _name_of(campaign, kind)
        cursor = self._fireworks.find(wanted, _SEEN).sort("fw_id", -1).limit(most)
        return list(self._rows(cursor, campaign))

    def fw_id_of(
        self,
        campaign: str,
        directory: str | None,
        *,
        kind: str,
        walker: int | None = None,
        cycle: int | None = None,
        label: str | None = None,
    ) -> int | None:
        """Return the number of the newest Firework that does one piece of work, or None."""
        return self.links(campaign, directory).get((kind, walker, cycle, label))

    def links(self, campaign: str, directory: str | None = None) -> dict[Key, int]:
        """Return the number of the newest Firework of each piece of work.

        The key is (kind, walker, cycle, label), with None for what does not apply: ``("md", 0, 3, None)``,
        ``("label", None, None, "6da489910402c9b4")``, ``("train", None, None, None)`` for that of the bootstrap.
        """
        wanted = {"fw_id": {"$in": list(self._states(campaign, directory))}}
        seen = {"_id": 0, "fw_id": 1, "name": 1}
        found: dict[Key, int] = {}
        nameless = []
        for firework in self._fireworks.find(wanted, seen).sort("fw_id", 1):
            kind, walker, cycle, label = _read_name(firework["name"], campaign)
            if kind == "md" and cycle is None:
                nameless.append(firework["fw_id"])
            elif kind == "label":
                found[kind, None, None, label] = firework["fw_id"]
            else:
                found[kind, walker, cycle, None] = firework["fw_id"]
        for fw_id, (walker, cycle) in self._later_stages(nameless).items():
            found["md", walker, cycle, None] = fw_id
        return found

    def _states(self, campaign: str, directory: str | None) -> dict[int, str]:
        """Return the state of each Firework of a campaign."""
        wanted = {**_OURS, **({"metadata.directory": directory} if directory is not None else {})}
        found: dict[int, str] = {}
        for workflow in self._workflows.find(wanted, {"_id": 0, "name": 1, "fw_states": 1}):
            if _campaign_of(workflow["name"]) == campaign:
                found |= {int(fw_id): state for fw_id, state in workflow["fw_states"].items()}
        return found

    def _campaign(self, directory: str, parts: list[dict[str, Any]]) -> StoredCampaign:
        states = [state for workflow in parts for state in workflow["fw_states"].values()]
        first = self._fireworks.find_one(
            {"fw_id": {"$in": [fw_id for workflow in parts for fw_id in workflow["nodes"]]}},
            {"spec._tasks.handoff.campaign.files": 1},
        )
        return StoredCampaign(
            name=_campaign_of(parts[0]["name"]),
            directory=directory,
            files=_files_of(first),
            counts=dict(Counter(states)),
            updated_on=max(_seconds(workflow.get("updated_on")) for workflow in parts),
        )

    def _rows(self, documents: Iterable[dict[str, Any]], campaign: str) -> Iterator[FireworkRow]:
        kept = list(documents)
        read = {document["fw_id"]: _read_name(document["name"], campaign) for document in kept}
        later = self._later_stages([fw_id for fw_id, key in read.items() if key[0] == "md" and key[2] is None])
        for document in kept:
            kind, walker, cycle, label = read[document["fw_id"]]
            spec = document.get("spec", {})
            place = spec.get("_launch_dir")
            if walker is None and place and (found := _PLACE.search(place)):
                walker, cycle = int(found[1]), int(found[2])
            yield FireworkRow(
                fw_id=document["fw_id"],
                name=document["name"],
                kind=kind,
                category=str(spec.get("_category", "")),
                state=document["state"],
                walker=walker,
                cycle=later.get(document["fw_id"], (walker, cycle))[1],
                label=label,
                updated_on=_seconds(document.get("updated_on")),
                created_on=_seconds(document.get("created_on")),
                directory=place,
            )

    def _later_stages(self, fw_ids: list[int]) -> dict[int, tuple[int, int]]:
        """Return walker and cycle of MD that learns its cycle only from the stage before."""
        found = {}
        documents = self._fireworks.find({"fw_id": {"$in": fw_ids}}, {"_id": 0, "spec._tasks": 0}) if fw_ids else []
        for document in documents:
            for key, baton in document.get("spec", {}).items():
                if (named := _BATON.match(key)) and _stage_of(document["name"]) == int(named[2]):
                    found[document["fw_id"]] = int(named[1]), int(baton["cycle"])
        return found


def _campaign_of(workflow_name: str) -> str:
    """Return the campaign that a workflow is named after: its name, maybe with ``, finished part`` or the like."""
    return re.split("[ ,]", workflow_name, maxsplit=1)[0]


def _name_of(campaign: str, kind: str) -> dict[str, str]:
    return {"$regex": f"^{re.escape(campaign)}: {re.escape(kind)}( |$)"}


def _read_name(name: str, campaign: str) -> Key:
    work = name.removeprefix(f"{campaign}: ")
    kind = work.partition(" ")[0]
    if work == name or kind not in _KINDS:
        return "other", None, None, None
    turn, label = _TURN.search(work), _HASH.search(work)
    walker = int(turn[1]) if turn else None
    cycle = int(turn[2]) if turn and turn[2] else None
    return kind, walker, cycle, label[1] if label else None


def _stage_of(name: str) -> int | None:
    found = re.search(r" s(\d+)", name)
    return int(found[1]) if found else None


def _files_of(firework: dict[str, Any] | None) -> str:
    tasks = (firework or {}).get("spec", {}).get("_tasks") or [{}]
    return str(tasks[0].get("handoff", {}).get("campaign", {}).get("files", "shared"))


def _seconds(when: object) -> float:
    """Return a time of FireWorks, which is UTC as text or as a date, in s since 1970."""
    if isinstance(when, str):
        try:
            when = datetime.datetime.fromisoformat(when)
        except ValueError:
            return 0.0
    if not isinstance(when, datetime.datetime):
        return 0.0
    return (when if when.tzinfo else when.replace(tzinfo=datetime.UTC)).timestamp()
