"""What a page shows of a campaign, kept until something changes; what can't be read is said in words."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlip_fw.errors import MlipError
from mlip_fw.layout import CampaignDirectory
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.summary import CampaignSummary
from mlip_fw.story.tale import Story
from mlip_fw.web.places import Place

_MOST_KEPT = 64
logger = logging.getLogger("mlip_fw")


@dataclass
class Look:
    """A campaign as it was at one version."""

    story: Story
    version: str
    campaign: Campaign
    summary: CampaignSummary
    _made: dict[str, Any] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def once(self, what: str, make: Callable[[Story], Any]) -> Any:
        """Return what ``make`` makes of the campaign; it is made once for this version."""
        with self._lock:
            if what not in self._made:
                self._made[what] = make(self.story)
            return self._made[what]


class Looks:
    """The newest look at each campaign, for all threads of the server."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Path, Look] = OrderedDict()
        self._locks: dict[Path, threading.Lock] = {}
        self._lock = threading.Lock()

    def at(self, place: Place) -> Look | str:
        """Return a look at a campaign, or in words why there is none."""
        if place.directory is None:
            return "its files are not on this machine; here is what the LaunchPad knows"
        root = place.directory.root
        if not root.is_dir():
            return f"its directory {root} is not there any more"
        with self._lock:
            turn = self._locks.setdefault(root, threading.Lock())
        try:
            with turn:
                return self._fresh(place.directory)
        except MlipError as error:
            return str(error)
        except OSError as error:
            return f"its directory can't be read: {error.strerror}"
        except Exception as error:
            logger.warning("%s: %s", ascii(str(root)), type(error).__name__, exc_info=error)
            return f"its files are damaged in a way that nobody thought of ({type(error).__name__})"

    def _fresh(self, directory: CampaignDirectory) -> Look:
        story = Story(directory)
        version = story.version()
        kept = self._kept.get(directory.root)
        if kept is None or kept.version != version:
            kept = self._kept[directory.root] = Look(story, version, story.campaign, story.summary)
        with self._lock:
            self._kept.move_to_end(directory.root)
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return kept
