"""A campaign on the FilePad: published when it is added, copied to each machine that works on it."""

from __future__ import annotations

import os
from pathlib import Path

from fireworks import LaunchPad
from ruamel.yaml.error import YAMLError

from mlip_fw.campaign.directory import CampaignDirectory, differences
from mlip_fw.errors import CampaignError, FilePadError, WorkerError
from mlip_fw.io.campaign_file import campaign_text, parse_campaign
from mlip_fw.io.safe_yaml import load_yaml
from mlip_fw.launchpad.filepad.file_store import FileStore
from mlip_fw.launchpad.filepad.local_copy import LocalCopy
from mlip_fw.launchpad.filepad.path_map import PathMap, input_paths
from mlip_fw.launchpad.filepad.published_files import Marker, filepad_key
from mlip_fw.models.campaign import Campaign, with_earlier_basis
from mlip_fw.models.handoff import Handoff
from mlip_fw.models.worker import Worker

CAMPAIGN_FILE = "campaign.yaml"
_HOW_TO = "see docs/how-to/no-shared-file-system.md"


def publish_campaign(campaign: Campaign, directory: str, launchpad: LaunchPad) -> None:
    """Publish a campaign, the files that it names, and the files that its directory holds already.

    Raises
    ------
    CampaignError
        If another campaign has this name and directory, or a file has changed since this one was added.
    """
    store = FileStore(launchpad.db, filepad_key(campaign.campaign, directory), directory)
    _require_same(campaign, store)
    for name, at in input_paths(campaign).items():
        content = Path(name).read_bytes()
        if not store.publish(at, content).holds(content):
            raise CampaignError(
                f"{name} has changed since {campaign.campaign} was added; restore it, or give another --dir"
            )
    LocalCopy(PathMap(campaign, directory, Path(directory)), store).publish_all()
    store.replace(CAMPAIGN_FILE, campaign_text(campaign).encode())


def open_copy(handoff: Handoff, worker: Worker, launchpad: LaunchPad | None) -> LocalCopy:
    """Return this machine's copy of a hand-off's campaign; create it if there is none.

    Raises
    ------
    WorkerError
        If the worker has no folder for copies, or no LaunchPad.
    CampaignError
        If another campaign is published under its name and directory.
    """
    campaign = handoff.campaign
    if launchpad is None:
        raise WorkerError(
            f"the files of {campaign.campaign} travel through the LaunchPad (files: filepad), which offline mode does "
            f"not reach; run its Fireworks without --offline, {_HOW_TO}"
        )
    if worker.campaigns_dir is None:
        raise WorkerError(
            f"my_fworker.yaml has no env.campaigns_dir, where this machine would keep its copy of {campaign.campaign} "
            f"(files: filepad); add it, {_HOW_TO}"
        )
    key = filepad_key(campaign.campaign, handoff.directory)
    store = FileStore(launchpad.db, key, handoff.directory)
    root = Path(os.path.expandvars(worker.campaigns_dir)).expanduser().absolute() / key
    places = PathMap(campaign, handoff.directory, root)
    directory = CampaignDirectory(root)
    if not directory.exists():
        if _require_same(campaign, store) is None:
            store.publish(CAMPAIGN_FILE, campaign_text(campaign).encode())
        directory.write_campaign(Campaign.model_validate(places.here(campaign.plain())))
    return LocalCopy(places, store)


def require_inputs(copy: LocalCopy, campaign: Campaign) -> None:
    """Require that the files that a campaign names are in the copy.

    Raises
    ------
    CampaignError
        If one is missing: the campaign was added without it.
    """
    for name, at in input_paths(campaign).items():
        if not (copy.root / at).is_file():
            raise CampaignError(
                f"{name}, which the campaign names, is not in the LaunchPad's FilePad; add the campaign with "
                f"`mlip-fw add` on the machine that has this file, {_HOW_TO}"
            )


def published_campaign(store: FileStore) -> Campaign | None:
    """Return the campaign as it was added, or None if none was.

    Raises
    ------
    FilePadError
        If it can't be read.
    """
    marker = store.named([CAMPAIGN_FILE]).get(CAMPAIGN_FILE)
    if marker is None:
        return None
    try:
        return _read(store, marker)
    except FilePadError:
        if store.named([CAMPAIGN_FILE]).get(CAMPAIGN_FILE) == marker:
            raise
    # it has been replaced meanwhile, as when a campaign is added again
    return published_campaign(store)


def _read(store: FileStore, marker: Marker) -> Campaign:
    where = f"{store.key}/{CAMPAIGN_FILE} in the LaunchPad's FilePad"
    try:
        data = load_yaml(store.read(marker, marker).decode())
    except (YAMLError, ValueError, RecursionError) as error:
        raise FilePadError(f"{where} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise FilePadError(f"{where} holds no campaign")
    return parse_campaign(with_earlier_basis(data), where)


def _require_same(campaign: Campaign, store: FileStore) -> Campaign | None:
    found = published_campaign(store)
    if found is not None and (changed := differences(found.identity(), campaign.with_basis_of(found).identity())):
        raise CampaignError(
            f"another campaign called {campaign.campaign} was added with this directory: {', '.join(changed[:5])} "
            f"differ from what the LaunchPad's FilePad has as {store.key}; give another --dir"
        )
    return found
