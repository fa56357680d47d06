"""``mlip_fw.load``: find a campaign by its path."""

from __future__ import annotations

import difflib
from pathlib import Path

from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.errors import DirectoryError
from mlip_fw.views.notebook.loaded_campaign import LoadedCampaign

_MAX_NAMED = 8


def load(campaign: str | Path) -> LoadedCampaign:
    """Return a campaign; see :func:`mlip_fw.load`.

    Raises
    ------
    DirectoryError
        If there is no campaign there; the message names those nearby.
    """
    try:
        path = Path(campaign).expanduser()
        is_there = path.exists()
    except (OSError, RuntimeError) as error:
        raise DirectoryError(f"can't look at {campaign}: {error}; name another directory") from error
    directory = CampaignDirectory(path)
    if not is_there:
        raise DirectoryError(f"{path} is not there; {_others(path)}")
    if not path.is_dir():
        raise DirectoryError(f"{path} is a file; give the directory of a campaign: {_others(path)}")
    if not directory.exists():
        raise DirectoryError(f"{path} is not a campaign directory: it has no campaign.yaml; {_around(path)}")
    if not directory.journal.is_file():
        raise DirectoryError(
            f"{path} has no events.jsonl: the campaign has not started here. `mlip-fw run` starts it; `mlip-fw "
            "pull` brings one whose files are on the LaunchPad"
        )
    return LoadedCampaign(directory)


def _around(folder: Path) -> str:
    """Return the campaign that contains a folder, or else those that the folder contains, as a hint."""
    around = next((parent for parent in folder.absolute().parents if CampaignDirectory(parent).exists()), None)
    return _others(folder / "any") if around is None else f"did you mean {around}?"


def _others(path: Path) -> str:
    """Return the campaign beside ``path`` with a similar name, or else all of them, as a hint."""
    folder = path.parent
    names = sorted(
        file.parent.name for file in folder.glob("*/campaign.yaml") if (file.parent / "events.jsonl").is_file()
    )
    if not names:
        return f"there is no campaign in {folder.absolute()}"
    if close := difflib.get_close_matches(path.name, names, n=1, cutoff=0.6):
        return f"did you mean {folder / close[0]}?"
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return f"in {folder.absolute()} there are: {', '.join(names[:_MAX_NAMED])}{more}"
