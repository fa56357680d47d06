"""The number of Fireworks of each campaign by state, for ``status -l``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlip_fw.cli.common import explain_database_errors, load_launchpad
from mlip_fw.errors import WorkerError

if TYPE_CHECKING:
    from mlip_fw.campaign.directory import CampaignDirectory
    from mlip_fw.launchpad.queries import CampaignQueries, StoredCampaign

Counts = Mapping[str, int] | str | None
"""Number of Fireworks by state; in words why it is not known; None where no LaunchPad was asked."""


class FireworkCounts:
    """Queries a LaunchPad through one connection, which is opened on the first query.

    Parameters
    ----------
    path
        ``my_launchpad.yaml``; None: no LaunchPad is queried.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._store: CampaignQueries | None = None

    def of(self, directories: Sequence[CampaignDirectory]) -> list[Counts]:
        """Return the counts of each campaign, or why they are not known if the LaunchPad can't be queried."""
        if self._path is None:
            return [None] * len(directories)
        try:
            store = self._opened(self._path)
            with explain_database_errors(store.launchpad):
                stored = store.campaigns() if directories else []
        except WorkerError as error:
            return [str(error)] * len(directories)
        return [_counts(stored, directory) for directory in directories]

    def _opened(self, path: Path) -> CampaignQueries:
        from mlip_fw.launchpad.queries import CampaignQueries

        if self._store is None:
            self._store = CampaignQueries(load_launchpad(path, read_only=True))
        return self._store


def _counts(stored: Sequence[StoredCampaign], directory: CampaignDirectory) -> Counts:
    """Return the counts of the campaign that was added with this directory, or of which this is the only copy."""
    name = directory.read_campaign().campaign
    added = [one for one in stored if one.directory == str(directory.root) and one.name == name]
    with_files_there = [one for one in stored if one.files == "filepad" and one.name == name]
    found = added or (with_files_there if len(with_files_there) == 1 else [])
    return dict(found[0].counts) if found else {}
