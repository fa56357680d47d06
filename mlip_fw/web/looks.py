"""What a page shows of a campaign, kept until something changes; what can't be read is said in words."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mlip_fw.errors import MlipError
from mlip_fw.layout import CampaignDirectory
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.summary import CampaignSummary
from mlip_fw.story.tale import Story
from mlip_fw.web.patience import Errands
from mlip_fw.web.places import Place

UNBEGUN = "it has not begun: no worker has taken its first Firework yet"
UNREAD = "its many files are being read for the first time; this page updates by itself"
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
    """The newest look at each campaign, for all threads of the server.

    Parameters
    ----------
    errands
        Who reads the files.
    prepare
        What is made of each new look while nobody waits for it.
    """

    def __init__(self, errands: Errands, prepare: Callable[[Look], object]) -> None:
        self._errands, self._prepare = errands, prepare

    def at(self, place: Place) -> Look | str:
        """Return a look at a campaign, or in words why there is none."""
        if place.directory is None and place.stored is not None and place.stored.is_untouched:
            return UNBEGUN
        if place.directory is None:
            return "its files are not on this machine; here is what the LaunchPad knows"
        directory = place.directory
        if not directory.root.is_dir():
            return f"its directory {directory.root} is not there any more"
        try:
            found = self._errands.result(("look", directory.root), lambda: self._fresh(directory))
        except MlipError as error:
            return str(error)
        except OSError as error:
            return f"its directory can't be read: {error.strerror}"
        except Exception as error:
            logger.warning("%s: %s", ascii(str(directory.root)), type(error).__name__, exc_info=error)
            return f"its files are damaged in a way that nobody thought of ({type(error).__name__})"
        return found or UNREAD

    def _fresh(self, directory: CampaignDirectory) -> Look:
        story = Story(directory)
        version = story.version()
        kept: Look | None = self._errands.known(("look", directory.root))
        if kept is not None and kept.version == version:
            return kept
        look = Look(story, version, story.campaign, story.summary)
        self._prepare(look)
        return look
