"""A LaunchPad in memory, for one process and without a server."""

from __future__ import annotations

from fireworks import LaunchPad
from mongomock.gridfs import enable_gridfs_integration

from mlip_fw.launcher.fireworks_patches import in_memory_patches, patched


class EmbeddedLaunchPad(LaunchPad):
    """A LaunchPad in the memory of this process, invisible to others.

    Its launches send no heartbeat: nobody needs it, and mongomock's collections are not safe for a second thread.
    """

    def __init__(self) -> None:
        with patched(in_memory_patches()):
            super().__init__(strm_lvl="CRITICAL")

    def ping_launch(self, launch_id: int, ptime: object = None, checkpoint: object = None) -> None:
        """Do nothing."""


def embedded_launchpad() -> LaunchPad:
    """Return a new, empty LaunchPad in the memory of this process."""
    enable_gridfs_integration()
    launchpad = EmbeddedLaunchPad()
    launchpad.reset("", require_password=False)
    return launchpad
