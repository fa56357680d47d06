"""Archiving: finished Fireworks of a long workflow move to a workflow of their own, so that the active one stays short.

FireWorks reads, rebuilds and writes the whole workflow twice for each of its Fireworks; in a campaign of some hundred
cycles that costs more than the work itself. Finished Fireworks can be taken out, since a child waits only for those of
its parents that are not finished. Unlike FireWorks' own archiving (``lpad archive_wflows``)
it leaves their states as they are.
"""

from __future__ import annotations

import datetime
import logging
from typing import Any

from fireworks import LaunchPad, Workflow
from pymongo.errors import PyMongoError

from mlip_fw.launchpad.advice import explain
from mlip_fw.launchpad.names import workflow_metadata

logger = logging.getLogger("mlip_fw")
MAX_FINISHED = 90
"""Archiving starts when a workflow has more finished Fireworks than this."""
KEPT_FINISHED = 30
"""Number of finished Fireworks that stay, the newest: users see them beside the running ones."""


def archive_finished(launchpad: LaunchPad, fw_id: int) -> None:
    """Move all but the newest finished Fireworks of a campaign's workflow to another workflow, if there are many.

    They are taken out by one atomic update of one document, and only if the workflow is neither locked nor changed
    meanwhile, so a killed worker can't leave a lock. One that is killed before it inserts the other workflow leaves
    finished Fireworks without a workflow; ``mlip-fw recover`` gives them one.

    Parameters
    ----------
    launchpad
        The LaunchPad of the workflow.
    fw_id
        One of its Fireworks.
    """
    try:
        workflow = launchpad.workflows.find_one({"nodes": fw_id, "metadata.mlip_fw": True})
        old = _archivable(launchpad, workflow) if workflow else set()
        if old and _take_out(launchpad, workflow, old):
            _insert_archive(launchpad, workflow["name"], workflow["metadata"], _among(workflow, old))
            logger.debug("%d finished Fireworks were archived", len(old))
    except PyMongoError as error:
        logger.warning("finished Fireworks stay in their workflow: %s", explain(error, launchpad))


def archive_strays(launchpad: LaunchPad, campaign: str, directory: str | None, fw_ids: list[int]) -> None:
    """Insert a workflow for finished Fireworks that are in none."""
    _insert_archive(launchpad, campaign, workflow_metadata(directory), {fw_id: [] for fw_id in fw_ids})


def _archivable(launchpad: LaunchPad, workflow: dict[str, Any]) -> set[int]:
    finished = sorted(int(key) for key, state in workflow["fw_states"].items() if state == "COMPLETED")
    if len(finished) <= MAX_FINISHED:
        return set()
    # COMPLETED for the workflow and in its own document: an update of the workflow may be under way
    wanted = {"fw_id": {"$in": finished[:-KEPT_FINISHED]}, "state": "COMPLETED"}
    return {firework["fw_id"] for firework in launchpad.fireworks.find(wanted, {"fw_id": 1})}


def _take_out(launchpad: LaunchPad, workflow: dict[str, Any], old: set[int]) -> bool:
    """Remove Fireworks from a workflow; return False if it is locked or has changed since it was read."""
    rest = {int(key) for key in workflow["fw_states"]} - old
    as_it_was = {"_id": workflow["_id"], "locked": {"$exists": False}, "fw_states": workflow["fw_states"]}
    without = {
        **_links(_among(workflow, rest)),
        "fw_states": {key: state for key, state in workflow["fw_states"].items() if int(key) in rest},
    }
    return bool(launchpad.workflows.update_one(as_it_was, {"$set": without}).matched_count)


def _insert_archive(launchpad: LaunchPad, name: str, metadata: dict[str, Any], links: dict[int, list[int]]) -> None:
    now = datetime.datetime.now(datetime.UTC)
    archive = {
        **_links(links),
        "fw_states": {str(fw_id): "COMPLETED" for fw_id in links},
        "state": "COMPLETED",
        "name": f"{name}, finished part",
        "metadata": metadata,
        "created_on": now,
        "updated_on": now,
    }
    launchpad.workflows.insert_one(archive)


def _among(workflow: dict[str, Any], fw_ids: set[int]) -> dict[int, list[int]]:
    """Return the links of a workflow between these of its Fireworks."""
    return {
        int(parent): [child for child in children if child in fw_ids]
        for parent, children in workflow["links"].items()
        if int(parent) in fw_ids
    }


def _links(children: dict[int, list[int]]) -> dict[str, Any]:
    found: dict[str, Any] = Workflow.Links(children).to_db_dict()
    return found
