"""Read-only queries about the campaigns on a LaunchPad.

States are read from the workflows, which hold one entry per Firework; of the Fireworks' documents only those that are
shown are read, and only in part. A query costs about the same for ten thousand Fireworks as for ten, and takes the same
few round trips for any number of campaigns: a database may be 50 ms away.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from fireworks import LaunchPad

from mlip_fw.launchpad.names import (
    BATCH_SIZE,
    KnownNames,
    WorkKey,
    campaign_name,
    has_unknown_cycle,
    link_key,
    md_stage,
    parse_name,
)

_CAMPAIGNS = {"metadata.mlip_fw": True}
_ROW_FIELDS = {
    "_id": 0,
    "fw_id": 1,
    "name": 1,
    "state": 1,
    "updated_on": 1,
    "created_on": 1,
    "spec._category": 1,
    "spec._launch_dir": 1,
}
_PLACE = re.compile(r"walkers/(\d{2,})/cycle_(\d{4,})(?:/|$)")
_CARRY_OVER = re.compile(r"mlip_fw_baton_(\d{2,})_(\d{2,})$")
_MANY, _DENSE = 200, 0.5
"""A range of numbers is queried if more than so many are wanted, and they are more than this share of the range."""
_UNTOUCHED = {"READY", "WAITING", "PAUSED"}


@dataclass(frozen=True)
class FireworkRow:
    """One Firework, as a row of a table."""

    fw_id: int
    name: str
    kind: str
    """One of md, label, candidates, train, bootstrap, summary, polish, validate, other."""
    category: str
    state: str
    walker: int | None
    cycle: int | None
    label: str | None
    """Hash of the structure to be labelled."""
    updated_on: float
    """s since 1970."""
    created_on: float
    directory: str | None
    """Folder that it runs in; None for ``files: filepad``, where each worker has its own."""


@dataclass(frozen=True)
class StoredCampaign:
    """A campaign on the LaunchPad."""

    name: str
    directory: str
    files: str
    """``shared`` or ``filepad``."""
    counts: dict[str, int]
    """Fireworks by state."""
    updated_on: float
    """Time of the newest change, s since 1970."""

    @property
    def is_untouched(self) -> bool:
        """Whether no worker has run any of its Fireworks yet."""
        return set(self.counts) <= _UNTOUCHED


class CampaignQueries:
    """Queries about campaigns; nothing is changed.

    Parameters
    ----------
    launchpad
        The LaunchPad.

    Notes
    -----
    Every method raises pymongo's ``PyMongoError`` if the database does not answer.
    """

    def __init__(self, launchpad: LaunchPad) -> None:
        self.launchpad = launchpad
        self._workflows, self._fireworks = launchpad.workflows, launchpad.fireworks
        self._known = KnownNames()

    def campaigns(self) -> list[StoredCampaign]:
        """Return all campaigns, the last changed first; documents that can't be read as a campaign are left out."""
        seen = {"name": 1, "metadata": 1, "fw_states": 1, "updated_on": 1, "nodes": {"$slice": 1}}
        found: dict[str, list[dict[str, Any]]] = {}
        for workflow in self._all(self._workflows, _CAMPAIGNS, seen):
            found.setdefault(str(workflow["metadata"].get("directory")), []).append(workflow)
        files = self._files({directory: _first_of(parts) for directory, parts in found.items()})
        read = (_campaign_or_none(directory, parts, files[directory]) for directory, parts in found.items())
        campaigns = [campaign for campaign in read if campaign is not None]
        return sorted(campaigns, key=lambda one: (-one.updated_on, one.name))

    def counts(self, campaign: str, directory: str | None = None) -> dict[str, int]:
        """Return the number of Fireworks in each state."""
        return dict(Counter(_states(self._parts(campaign, directory)).values()))

    def fireworks(
        self,
        campaign: str,
        directory: str | None = None,
        *,
        kind: str | None = None,
        states: Collection[str] | None = None,
        limit: int = 200,
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
        limit
            Maximum number of rows.
        """
        parts = self._parts(campaign, directory)
        states_of, keys = _states(parts), self._keys(parts, campaign)
        chosen = [
            fw_id
            for fw_id in sorted(keys, reverse=True)
            if (kind is None or keys[fw_id][0] == kind) and (states is None or states_of[fw_id] in states)
        ]
        return list(self._rows(chosen[:limit], campaign))

    def links(self, campaign: str, directory: str | None = None) -> dict[WorkKey, int]:
        """Return the number of the newest Firework for each piece of work.

        The key is (kind, walker, cycle, label), with None for what does not apply, for example ``("md", 0, 3, None)``,
        ``("label", None, None, "6da489910402c9b4")``, or
        ``("train", None, None, None)`` for the training of the bootstrap.
        """
        keys = self._keys(self._parts(campaign, directory), campaign)
        found = {link_key(key): fw_id for fw_id, key in sorted(keys.items())}
        nameless = [fw_id for fw_id, key in keys.items() if has_unknown_cycle(key)]
        for fw_id, (walker, cycle) in self._later_stages(nameless).items():
            found["md", walker, cycle, None] = fw_id
        return {key: fw_id for key, fw_id in found.items() if not has_unknown_cycle(key)}

    def _keys(self, parts: list[dict[str, Any]], campaign: str) -> dict[int, WorkKey]:
        """Return what each Firework of a campaign does, by its number; each name is read from the database once."""
        of_part = {str(part["_id"]): {int(fw_id) for fw_id in part.get("fw_states", {})} for part in parts}
        unknown = {fw_id for part, wanted in of_part.items() for fw_id in wanted - self._known.of(part).keys()}
        names = self._names(unknown, campaign)
        found: dict[int, WorkKey] = {}
        for part, wanted in of_part.items():
            known = self._known.of(part)
            known |= {fw_id: names[fw_id] for fw_id in wanted & names.keys()}
            found |= {fw_id: known[fw_id] for fw_id in wanted & known.keys()}
        return found

    def _names(self, fw_ids: set[int], campaign: str) -> dict[int, WorkKey]:
        if not fw_ids:
            return {}
        documents = self._all(self._fireworks, {"fw_id": _among(fw_ids)}, {"_id": 0, "fw_id": 1, "name": 1})
        return {one["fw_id"]: parse_name(one["name"], campaign) for one in documents if one["fw_id"] in fw_ids}

    def _all(self, where: Any, query: dict[str, Any], seen: dict[str, Any]) -> list[dict[str, Any]]:
        """Return all documents at once: no cursor stays open, and could time out, while they are processed."""
        return list(where.find(query, seen, batch_size=BATCH_SIZE))

    def _parts(self, campaign: str, directory: str | None) -> list[dict[str, Any]]:
        """Return the workflows of a campaign: the active one, and those of its archived parts."""
        wanted = {**_CAMPAIGNS, **({"metadata.directory": directory} if directory is not None else {})}
        parts = self._all(self._workflows, wanted, {"name": 1, "fw_states": 1})
        return [part for part in parts if campaign_name(str(part.get("name"))) == campaign]

    def _files(self, first_ones: dict[str, int | None]) -> dict[str, str]:
        """Return the key ``files`` of campaigns, by directory, from one Firework of each."""
        wanted = {"fw_id": {"$in": sorted({fw_id for fw_id in first_ones.values() if fw_id is not None})}}
        seen = {"_id": 0, "fw_id": 1, "spec._tasks.handoff.campaign.files": 1}
        read = {one["fw_id"]: one for one in self._all(self._fireworks, wanted, seen)} if first_ones else {}
        return {directory: _files_of(read.get(fw_id)) for directory, fw_id in first_ones.items()}

    def _rows(self, fw_ids: list[int], campaign: str) -> Iterator[FireworkRow]:
        documents = self._all(self._fireworks, {"fw_id": {"$in": fw_ids}}, _ROW_FIELDS) if fw_ids else []
        documents.sort(key=lambda one: -int(one["fw_id"]))
        read = {document["fw_id"]: parse_name(document["name"], campaign) for document in documents}
        later = self._later_stages([fw_id for fw_id, key in read.items() if has_unknown_cycle(key)])
        for document in documents:
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
        """Return walker and cycle of MD Fireworks of later stages, which get their cycle from the stage before."""
        found = {}
        if not fw_ids:
            return {}
        for document in self._all(self._fireworks, {"fw_id": {"$in": fw_ids}}, {"_id": 0, "spec._tasks": 0}):
            for key, carry_over in document.get("spec", {}).items():
                if (named := _CARRY_OVER.match(key)) and md_stage(document["name"]) == int(named[2]):
                    found[document["fw_id"]] = int(named[1]), int(carry_over["cycle"])
        return found


def _among(fw_ids: set[int]) -> dict[str, Any]:
    """Return the condition for these numbers, or for their range, which is faster for many of them."""
    low, high = min(fw_ids), max(fw_ids)
    is_range = len(fw_ids) > _MANY and len(fw_ids) > _DENSE * (high - low + 1)
    return {"$gte": low, "$lte": high} if is_range else {"$in": sorted(fw_ids)}


def _states(parts: list[dict[str, Any]]) -> dict[int, str]:
    """Return the state of each Firework of a campaign."""
    return {int(fw_id): state for part in parts for fw_id, state in part.get("fw_states", {}).items()}


def _first_of(parts: list[dict[str, Any]]) -> int | None:
    """Return the number of one Firework of a campaign."""
    numbers = (fw_id for workflow in parts for fw_id in workflow.get("nodes") or ())
    return next((fw_id for fw_id in numbers if isinstance(fw_id, int)), None)


def _campaign_or_none(directory: str, parts: list[dict[str, Any]], files: str) -> StoredCampaign | None:
    try:
        return StoredCampaign(
            name=campaign_name(parts[0]["name"]),
            directory=directory,
            files=files,
            counts=dict(Counter(state for workflow in parts for state in workflow["fw_states"].values())),
            updated_on=max(_seconds(workflow.get("updated_on")) for workflow in parts),
        )
    except (KeyError, TypeError, AttributeError, IndexError):
        return None


def _files_of(firework: dict[str, Any] | None) -> str:
    try:
        return str((firework or {})["spec"]["_tasks"][0]["handoff"]["campaign"]["files"])
    except (KeyError, TypeError, AttributeError, IndexError):
        return "shared"


def _seconds(when: object) -> float:
    """Return a time of FireWorks, stored as text or as a date in UTC, in s since 1970; 0 if there is none."""
    if isinstance(when, str):
        try:
            when = datetime.datetime.fromisoformat(when)
        except ValueError:
            return 0.0
    if not isinstance(when, datetime.datetime):
        return 0.0
    return (when if when.tzinfo else when.replace(tzinfo=datetime.UTC)).timestamp()
