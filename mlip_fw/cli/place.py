"""Which campaign file a command means, and which campaign directory goes with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mlip_fw.errors import CampaignError
from mlip_fw.surroundings import require_utf8

if TYPE_CHECKING:
    from mlip_fw.layout import CampaignDirectory
    from mlip_fw.models.campaign import Campaign

CAMPAIGN = typer.Argument(
    ..., help="campaign file, folder that holds campaign.yaml, or campaign directory", metavar="CAMPAIGN"
)
_FILE = "campaign.yaml"
_BEGUN = ("events.jsonl", "inputs.json")
"""What a campaign directory has besides its campaign file."""


def read_place(path: Path, directory: Path | None) -> tuple[Campaign, CampaignDirectory]:
    """Return a campaign and its directory.

    Of a folder its ``campaign.yaml`` is read. The directory is the one given; or the folder, where a campaign
    was begun in it; or the campaign's name in the current folder.

    Raises
    ------
    CampaignError
        If there is no campaign file or anything in it is wrong.
    DirectoryError
        If the path of the directory, or of a file that the campaign names, is not UTF-8.
    """
    from mlip_fw.io.campaign_file import read_campaign
    from mlip_fw.layout import CampaignDirectory

    campaign = read_campaign(_file_of(path))
    if directory is None:
        directory = path if _is_begun(path) else Path(campaign.campaign)
    require_utf8(directory, "the campaign directory", "give another one with --dir")
    for key, name in campaign.named_files().items():
        require_utf8(Path(name), key, "rename that file or folder")
    return campaign, CampaignDirectory(directory)


def _file_of(path: Path) -> Path:
    if not path.is_dir():
        return path
    if not (path / _FILE).is_file():
        raise CampaignError(f"the folder {path} holds no {_FILE}; `mlip-fw init {path}` writes one to start from")
    return path / _FILE


def _is_begun(path: Path) -> bool:
    return path.is_dir() and any((path / name).is_file() for name in _BEGUN)
