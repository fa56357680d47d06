"""How many Fireworks of campaigns are in each state, for ``status -l``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlip_fw.cli.common import answering, load_launchpad
from mlip_fw.errors import WorkerError

if TYPE_CHECKING:
    from mlip_fw.layout import CampaignDirectory
    from mlip_fw.store import Store, StoredCampaign

Counts = Mapping[str, int] | str | None
"""Fireworks by state; in words why they are not known; None where no LaunchPad was asked."""


class FireworkCounts:
    """Asks a LaunchPad, through one connection, as often as it is called.

    Parameters
    ----------
    path
        ``my_launchpad.yaml``; None: nobody is asked.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._store: Store | None = None

    def of(self, directories: Sequence[CampaignDirectory]) -> list[Counts]:
        """Return the counts of campaigns; a LaunchPad that can't be asked hides nothing that files say."""
        if self._path is None:
            return [None] * len(directories)
        try:
            store = self._opened(self._path)
            with answering(store.launchpad):
                stored = store.campaigns() if directories else []
        except WorkerError as error:
            return [str(error)] * len(directories)
        return [_counts(stored, directory) for directory in directories]

    def _opened(self, path: Path) -> Store:
        from mlip_fw.store import Store

        if self._store is None:
            self._store = Store(load_launchpad(path, looking=True))
        return self._store


def _counts(stored: Sequence[StoredCampaign], directory: CampaignDirectory) -> Counts:
    """Return the counts of the campaign that was added with this directory, or of which this is the only copy."""
    name = directory.read_campaign().campaign
    added = [one for one in stored if one.directory == str(directory.root) and one.name == name]
    travelled = [one for one in stored if one.files == "filepad" and one.name == name]
    found = added or (travelled if len(travelled) == 1 else [])
    return dict(found[0].counts) if found else {}
