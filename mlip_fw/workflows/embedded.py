"""A LaunchPad for one process, without a server."""

from __future__ import annotations

import mongomock
from fireworks import LaunchPad
from fireworks.core import launchpad as launchpad_module
from mongomock.gridfs import enable_gridfs_integration


class EmbeddedLaunchPad(LaunchPad):
    """A LaunchPad in the memory of this process, which no other one sees.

    Nobody asks whether its launches are alive, so they don't ping: mongomock's collections are not
    made for a second thread.
    """

    def __init__(self) -> None:
        real, launchpad_module.MongoClient = launchpad_module.MongoClient, mongomock.MongoClient
        try:
            super().__init__(strm_lvl="CRITICAL")
        finally:
            launchpad_module.MongoClient = real

    def ping_launch(self, launch_id: int, ptime: object = None, checkpoint: object = None) -> None:
        """Do nothing."""


def embedded_launchpad() -> LaunchPad:
    """Return a new and empty LaunchPad in the memory of this process."""
    enable_gridfs_integration()
    launchpad = EmbeddedLaunchPad()
    launchpad.reset("", require_password=False)
    return launchpad
