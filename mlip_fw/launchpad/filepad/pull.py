"""Fetch a campaign from the FilePad to a directory, and remove it from there at its end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from fireworks import LaunchPad

from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.errors import DirectoryError
from mlip_fw.io.files import write_text
from mlip_fw.launchpad.filepad.campaign_files import CAMPAIGN_FILE, published_campaign
from mlip_fw.launchpad.filepad.file_store import FILEPAD, FileStore, keys_with_file
from mlip_fw.launchpad.filepad.leftovers import added_directory
from mlip_fw.launchpad.filepad.local_copy import LocalCopy
from mlip_fw.launchpad.filepad.path_map import PathMap
from mlip_fw.launchpad.filepad.published_files import filepad_key
from mlip_fw.launchpad.filepad.staging import INPUT_FILES, LEVEL_OF_THEORY, FileSet, StagingSpec
from mlip_fw.launchpad.names import BATCH_SIZE, campaign_name
from mlip_fw.models.campaign import Campaign

_ALL = ("potentials/", "labels/", "quarantine/", "bootstrap/", "walkers/", "events/", LEVEL_OF_THEORY, "summary.json")
"""Potentials first: the labels that they were trained on are published already by then."""


def pull_campaign(launchpad: LaunchPad, name: str | None, target: Path | None) -> LocalCopy:
    """Fetch all published files of a campaign that are missing here.

    Parameters
    ----------
    name
        Name of the campaign, or the directory that it was added with; None if there is only one.
    target
        Directory to write to; None: the campaign's name in the current folder.

    Raises
    ------
    DirectoryError
        If there is no such campaign, or several, or the target holds something else.
    """
    campaign, directory = find_published(launchpad, name)
    here = CampaignDirectory(target if target is not None else Path(campaign.campaign))
    copy = _copy(launchpad, campaign, directory, here.root)
    local = Campaign.model_validate(copy.places.here(campaign.plain()))
    here.require_free_for(local)
    with here.locked():
        here.write_campaign(local)
        inputs = () if str(here.root) == directory else (INPUT_FILES,)
        copy.fetch(StagingSpec((*inputs, *map(FileSet, _ALL))))
        events = here.events()
        write_text(here.journal, "".join(json.dumps(event) + "\n" for event in events))
    return copy


def remove_published(launchpad: LaunchPad, copy: LocalCopy) -> None:
    """Remove the files of a campaign, which was pulled before and is finished, from the LaunchPad.

    Raises
    ------
    DirectoryError
        If its Fireworks may still need them.
    """
    added = {"metadata.mlip_fw": True, "metadata.directory": copy.places.directory}
    open_ones = launchpad.workflows.count_documents({**added, "state": {"$nin": ["COMPLETED", "ARCHIVED"]}})
    if open_ones:
        raise DirectoryError(
            f"the Fireworks of {copy.store.key} are not all COMPLETED, and may need its files: nothing was removed; "
            "let them end, or archive the workflow (`lpad archive_wflows`)"
        )
    copy.store.remove_all()


def find_published(launchpad: LaunchPad, name: str | None) -> tuple[Campaign, str]:
    """Return a campaign that is on the FilePad, and the directory that it was added with.

    Raises
    ------
    DirectoryError
        If there is no such campaign, or several.
    """
    seen = {"name": 1, "metadata": 1}
    added = list(launchpad.workflows.find({"metadata.mlip_fw": True}, seen, batch_size=BATCH_SIZE))
    places = sorted({(campaign_name(workflow["name"]), workflow["metadata"]["directory"]) for workflow in added})
    directories = {filepad_key(*place): place[1] for place in places if name in (None, *place)}
    found = []
    for key in keys_with_file(launchpad.db, directories, CAMPAIGN_FILE):
        campaign = published_campaign(FileStore(launchpad.db, key))
        found += [(campaign, directories[key])] if campaign is not None else []
    if not found and name is not None:
        found = list(_without_workflow(launchpad, name))
    if len(found) != 1:
        names = ", ".join(f"{campaign.campaign} ({directory})" for campaign, directory in found) or "none"
        wanted = "campaign" if name is None else f"campaign {name}"
        raise DirectoryError(
            f"the LaunchPad must have one {wanted} whose files travel (files: filepad), found {names}; name it, by its "
            "directory if need be"
        )
    return found[0]


def _without_workflow(launchpad: LaunchPad, name: str) -> Iterator[tuple[Campaign, str]]:
    """Yield campaigns of which only the files are left, found by name, directory or key, with their directories."""
    ends = {"$regex": f"^[a-z0-9-]+-[0-9a-f]{{12}}/{re.escape(CAMPAIGN_FILE)}$"}
    for document in launchpad.db[FILEPAD].find({"identifier": ends}, {"identifier": 1}):
        key = document["identifier"].partition("/")[0]
        called = key.rpartition("-")[0]
        directory = name if filepad_key(called, name) == key else added_directory(launchpad.db, key)
        if name not in (called, key, directory):
            continue
        if not directory:
            raise DirectoryError(
                f"{key} in the LaunchPad's FilePad has no workflow any more, and does not say with which directory it "
                "was added: name that directory"
            )
        campaign = published_campaign(FileStore(launchpad.db, key))
        if campaign is not None:
            yield campaign, directory


def path_map_of(launchpad: LaunchPad, here: CampaignDirectory) -> PathMap:
    """Return the path translation of a campaign that was pulled to this directory."""
    name = here.read_campaign().campaign
    try:
        campaign, directory = find_published(launchpad, str(here.root))
    except DirectoryError:
        campaign, directory = find_published(launchpad, name)
    return PathMap(campaign, directory, here.root)


def _copy(launchpad: LaunchPad, campaign: Campaign, directory: str, root: Path) -> LocalCopy:
    store = FileStore(launchpad.db, filepad_key(campaign.campaign, directory))
    return LocalCopy(PathMap(campaign, directory, root), store)
