"""Search for symbolic links whose target is outside of a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def links_out_of(root: Path, own: tuple[str, ...] = ()) -> Iterator[Path]:
    """Yield the symbolic links below ``root`` whose target is outside of it.

    Parameters
    ----------
    own
        Patterns, relative to ``root``, of links that are intended, and of folders with such links.
    """
    home = Path(os.path.realpath(root))
    folders = [root]
    while folders:
        for entry in _links_and_folders(folders.pop()):
            path = Path(entry.path)
            place = Path("/", path.relative_to(root))
            if any(place.match(f"/{pattern}") for pattern in own):
                continue
            if not entry.is_symlink():
                folders.append(path)
            elif not Path(os.path.realpath(path)).is_relative_to(home):
                yield path


def _links_and_folders(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if entry.is_symlink() or entry.is_dir()]
    except FileNotFoundError:  # another worker has just removed it
        return []
