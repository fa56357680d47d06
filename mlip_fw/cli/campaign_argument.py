"""The campaign file that a command names: read, placed in a campaign directory, and checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mlip_fw.cli.common import load_fworker
from mlip_fw.errors import CampaignError, WorkerError
from mlip_fw.runtime.environment import require_utf8

if TYPE_CHECKING:
    from mlip_fw.campaign.directory import CampaignDirectory
    from mlip_fw.models.campaign import Campaign

CAMPAIGN = typer.Argument(
    ..., help="campaign file, folder that holds campaign.yaml, or campaign directory", metavar="CAMPAIGN"
)
DIRECTORY = typer.Option(None, "--dir", help="campaign directory; default: the campaign's name in this folder")
FWORKER = typer.Option(None, "--fworker", "-w", help="my_fworker.yaml")
_FILE = "campaign.yaml"
_BEGUN = ("events.jsonl", "inputs.json")
"""Files by which a campaign directory is known from a folder with a campaign file only."""


def read_campaign_argument(path: Path, directory: Path | None) -> tuple[Campaign, CampaignDirectory]:
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
    from mlip_fw.campaign.directory import CampaignDirectory
    from mlip_fw.io.campaign_file import read_campaign

    campaign = read_campaign(_file_of(path))
    if directory is None:
        directory = path if _is_begun(path) else Path(campaign.campaign)
    require_utf8(directory, "the campaign directory", "give another one with --dir")
    for key, name in campaign.named_files().items():
        require_utf8(Path(name), key, "rename that file or folder")
    return campaign, CampaignDirectory(directory)


def load_campaign(path: Path, directory: Path | None) -> tuple[Campaign, CampaignDirectory]:
    """Return a campaign with its pacemaker settings decided, and its directory."""
    campaign, where = read_campaign_argument(path, directory)
    from mlip_fw.engines.train.schedule import decided

    return decided(campaign, where.begun(), where.root).campaign, where


def load_checked_campaign(
    campaign_file: Path, directory: Path | None, fworker: Path | None
) -> tuple[Campaign, CampaignDirectory]:
    """Return a campaign to be added to a LaunchPad, and its directory.

    Its files are checked. What this machine lacks is only a warning: the work may be done by others.
    """
    campaign, where = load_campaign(campaign_file, directory)
    from mlip_fw.engines.oracle.label import require_oracle
    from mlip_fw.engines.oracle.scope import label_notes
    from mlip_fw.engines.structures.start import start_notes, start_structures
    from mlip_fw.engines.train.given_files import check_given_files
    from mlip_fw.engines.train.refinement import require_trainer
    from mlip_fw.firetasks.base import read_worker

    starts = start_structures(campaign)
    for note in (*start_notes(campaign, starts), *label_notes(campaign, starts)):
        typer.echo(note, err=True)
    check_given_files(campaign)
    fw = load_fworker(fworker)
    _warn_unless("make labels", lambda: require_oracle(campaign.oracle, read_worker(fw.env), campaign.elements))
    _warn_unless("train with pacemaker", lambda: require_trainer(campaign, read_worker(fw.env)))
    return campaign, where


def _warn_unless(what: str, check: Callable[[], object]) -> None:
    """Print a warning if a check of this machine fails."""
    try:
        check()
    except WorkerError as error:
        typer.echo(f"this machine can't {what}, so the workers must: {error}", err=True)


def _file_of(path: Path) -> Path:
    if not path.is_dir():
        return path
    if not (path / _FILE).is_file():
        raise CampaignError(f"the folder {path} holds no {_FILE}; `mlip-fw init {path}` writes one to start from")
    return path / _FILE


def _is_begun(path: Path) -> bool:
    return path.is_dir() and any((path / name).is_file() for name in _BEGUN)
