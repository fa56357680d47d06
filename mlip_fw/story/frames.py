"""Structures of halts: whether their files are whole, without reading a number of them, and then the structures."""

from __future__ import annotations

from pathlib import Path

from ase import Atoms

from mlip_fw.errors import DirectoryError
from mlip_fw.io.structures import facts_of
from mlip_fw.story.label_files import columns_of
from mlip_fw.story.reading import Look

HALTED, CRASHED, CANDIDATES, SELECTED = "halt.extxyz", "crash.extxyz", "candidates.extxyz", "selected.extxyz"


def count_frames(path: Path) -> int:
    """Return how many structures an extended XYZ file holds.

    Raises
    ------
    DirectoryError
        If one ends before its atoms.
    """
    lines, at, found = path.read_text().splitlines(), 0, 0
    while at < len(lines):
        n_atoms = max(0, int(lines[at]))
        end = at + 2 + n_atoms
        if len(lines) < end or _is_cut(lines[end - 1], lines[at + 1]):
            raise DirectoryError(f"structure {found} ends before its {n_atoms} atoms")
        at, found = end, found + 1
    return found


def count_some_frames(path: Path) -> int:
    """Return the same of a file that can't be empty.

    Raises
    ------
    DirectoryError
        If it is, or one of its structures ends before its atoms.
    """
    if not (found := count_frames(path)):
        raise DirectoryError("it is empty")
    return found


COUNTED = {HALTED: count_some_frames, CRASHED: count_some_frames, CANDIDATES: count_frames, SELECTED: count_frames}
"""How the files of a halt are looked at; nothing may have been plausible enough to be selected."""


def frame_of(path: Path, look: Look) -> Atoms | None:
    """Return the first structure of a file, or None; a file that can't be read is listed as damaged."""
    return next(iter(frames_of(path, look)), None)


def frames_of(path: Path, look: Look) -> list[Atoms]:
    """Return all structures of a file, or none; a file that can't be read is listed as damaged."""
    if not look.file(path, COUNTED[path.name]):
        return []
    from ase.io import read

    try:
        return list(read(path, index=":", format="extxyz"))
    except (OSError, ValueError, IndexError, KeyError, StopIteration, RuntimeError) as error:
        look.complain(path, f"its structures can't be read ({type(error).__name__})")
        return []


def _is_cut(row: str, heading: str) -> bool:
    return len(row.split()) < columns_of(facts_of(heading)["Properties"])[2]
