"""Analyses of campaigns for all pages, each kept until its campaign changes; or in words why there is none."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.file_cache import FileCache
from mlip_fw.errors import MlipError
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.summary import CampaignSummary
from mlip_fw.views.analysis.campaign_analysis import CampaignAnalysis
from mlip_fw.views.web.background_cache import BackgroundCache
from mlip_fw.views.web.campaign_index import CampaignEntry

NOT_STARTED = "it has not begun: no worker has taken its first Firework yet"
NOT_READ_YET = "its many files are being read for the first time; this page updates by itself"
logger = logging.getLogger("mlip_fw")


@dataclass
class Snapshot:
    """A campaign at one version of its files."""

    analysis: CampaignAnalysis
    version: str
    campaign: Campaign
    summary: CampaignSummary
    _made: dict[str, Any] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def once(self, what: str, make: Callable[[CampaignAnalysis], Any]) -> Any:
        """Return what ``make`` makes of the analysis; it is made once for this version."""
        with self._lock:
            if what not in self._made:
                self._made[what] = make(self.analysis)
            return self._made[what]


class Snapshots:
    """The newest snapshot of each campaign, shared by all threads of the server.

    Parameters
    ----------
    cache
        Runs the analysis in the background.
    prepare
        Called with each new snapshot in the background, to make what pages will need.
    """

    def __init__(self, cache: BackgroundCache, prepare: Callable[[Snapshot], object]) -> None:
        self._cache, self._prepare = cache, prepare
        self._files: defaultdict[Path, FileCache] = defaultdict(FileCache)

    def at(self, entry: CampaignEntry) -> Snapshot | str:
        """Return the snapshot of a campaign, or in words why there is none."""
        if entry.directory is None and entry.stored is not None and entry.stored.is_untouched:
            return NOT_STARTED
        if entry.directory is None:
            return "its files are not on this machine; here is what the LaunchPad knows"
        directory = entry.directory
        if not directory.root.is_dir():
            return f"its directory {directory.root} is not there any more"
        try:
            found = self._cache.result(("snapshot", directory.root), lambda: self._newest(directory))
        except MlipError as error:
            return str(error)
        except OSError as error:
            return f"its directory can't be read: {error.strerror}"
        except Exception as error:
            logger.warning("%s: %s", ascii(str(directory.root)), type(error).__name__, exc_info=error)
            return f"its files are damaged in a way that nobody thought of ({type(error).__name__})"
        return found or NOT_READ_YET

    def _newest(self, directory: CampaignDirectory) -> Snapshot:
        analysis = CampaignAnalysis(directory, self._files[directory.root])
        version = analysis.version()
        last: Snapshot | None = self._cache.known(("snapshot", directory.root))
        if last is not None and last.version == version:
            return last
        snapshot = Snapshot(analysis, version, analysis.campaign, analysis.summary)
        self._prepare(snapshot)
        return snapshot
