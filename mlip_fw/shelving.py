"""Finished Fireworks of a long workflow are put on a shelf, a workflow of their own, so that the rest stays short.

FireWorks reads, rebuilds and writes the whole workflow twice for each of its Fireworks: in a campaign of some
hundred cycles, that costs more than the Firework does. What is finished plays no part in what follows:
a child of it waits only for those of its parents that are not.
"""

from __future__ import annotations

import datetime
import logging
from typing import Any

from fireworks import LaunchPad, Workflow
from pymongo.errors import PyMongoError

from mlip_fw.firework_names import metadata_of
from mlip_fw.mongo_sentences import explain

logger = logging.getLogger("mlip_fw")
MOST_FINISHED = 90
"""So many finished Fireworks stay where they are."""
KEPT = 30
"""If there are more, so many of them do, the newest: what came just before is seen beside what goes on."""


def shelve_finished(launchpad: LaunchPad, fw_id: int) -> None:
    """Move all but the newest finished Fireworks of a campaign's workflow to another workflow, if they are many.

    It is done in one change of one document, and only if nobody holds the workflow or has changed it meanwhile:
    there is no lock that a killed worker could leave. One that is killed before the second change, the shelf, leaves
    finished Fireworks without a workflow, and ``mlip-fw recover`` gives them one.

    Parameters
    ----------
    launchpad
        Where the workflow is.
    fw_id
        A Firework of it.
    """
    try:
        workflow = launchpad.workflows.find_one({"nodes": fw_id, "metadata.mlip_fw": True})
        old = _old_ones(launchpad, workflow) if workflow else set()
        if old and _taken_out(launchpad, workflow, old):
            _put(launchpad, workflow["name"], workflow["metadata"], _among(workflow, old))
            logger.debug("%d finished Fireworks are on the shelf", len(old))
    except PyMongoError as error:
        logger.warning("finished Fireworks stay in their workflow: %s", explain(error, launchpad))


def shelve_strays(launchpad: LaunchPad, campaign: str, directory: str | None, fw_ids: list[int]) -> None:
    """Give finished Fireworks that are in no workflow one of their own."""
    _put(launchpad, campaign, metadata_of(directory), {fw_id: [] for fw_id in fw_ids})


def _old_ones(launchpad: LaunchPad, workflow: dict[str, Any]) -> set[int]:
    finished = sorted(int(key) for key, state in workflow["fw_states"].items() if state == "COMPLETED")
    if len(finished) <= MOST_FINISHED:
        return set()
    # what the workflow has not heard of yet is no old story
    wanted = {"fw_id": {"$in": finished[:-KEPT]}, "state": "COMPLETED"}
    return {firework["fw_id"] for firework in launchpad.fireworks.find(wanted, {"fw_id": 1})}


def _taken_out(launchpad: LaunchPad, workflow: dict[str, Any], old: set[int]) -> bool:
    rest = {int(key) for key in workflow["fw_states"]} - old
    as_it_was = {"_id": workflow["_id"], "locked": {"$exists": False}, "fw_states": workflow["fw_states"]}
    without = {
        **_links(_among(workflow, rest)),
        "fw_states": {key: state for key, state in workflow["fw_states"].items() if int(key) in rest},
    }
    return bool(launchpad.workflows.update_one(as_it_was, {"$set": without}).matched_count)


def _put(launchpad: LaunchPad, name: str, metadata: dict[str, Any], links: dict[int, list[int]]) -> None:
    now = datetime.datetime.now(datetime.UTC)
    shelf = {
        **_links(links),
        "fw_states": {str(fw_id): "COMPLETED" for fw_id in links},
        "state": "COMPLETED",
        "name": f"{name}, finished part",
        "metadata": metadata,
        "created_on": now,
        "updated_on": now,
    }
    launchpad.workflows.insert_one(shelf)


def _among(workflow: dict[str, Any], fw_ids: set[int]) -> dict[int, list[int]]:
    """Return the children of these Fireworks of a workflow, as far as they are among them."""
    return {
        int(parent): [child for child in children if child in fw_ids]
        for parent, children in workflow["links"].items()
        if int(parent) in fw_ids
    }


def _links(children: dict[int, list[int]]) -> dict[str, Any]:
    found: dict[str, Any] = Workflow.Links(children).to_db_dict()
    return found
