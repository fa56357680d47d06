"""Files in the database that nobody can use: of killed processes, and of deleted workflows."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from fireworks import LaunchPad

from mlip_fw.recovery.findings import Finding
from mlip_fw.recovery.lease import server_time
from mlip_fw.travel.leftovers import Leftovers


def left_files(pad: LaunchPad) -> Iterator[Finding]:
    """Find contents that no file names, which can go, and campaigns whose workflows were deleted, which are named.

    Their files may be the only results: a person decides.
    """
    leftovers = Leftovers(pad.db, server_time(pad.db))
    if unnamed := leftovers.unnamed():
        what = f"{len(unnamed)} stored contents that no file names: a worker was killed while it stored files"
        yield Finding("unused files", 0, "FilePad", what, partial(leftovers.remove, unnamed))
    for one in leftovers.abandoned():
        where = one.directory or "(the directory that it was added with)"
        size = f"{one.n_files} files, {one.n_bytes / 1e6:.1f} MB"
        what = f"{size}, of a campaign without a workflow; to fetch and remove them: mlip-fw pull {where} --remove"
        yield Finding("files without workflow", 0, one.key, what, None)
