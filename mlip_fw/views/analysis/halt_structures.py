"""Structure files of halts: count their frames without parsing numbers, and read them."""

from __future__ import annotations

from pathlib import Path

from ase import Atoms

from mlip_fw.campaign.file_cache import CampaignFiles
from mlip_fw.campaign.label_files import columns_of
from mlip_fw.errors import DirectoryError
from mlip_fw.io.structures import facts_of

HALTED, CRASHED, CANDIDATES, SELECTED = "halt.extxyz", "crash.extxyz", "candidates.extxyz", "selected.extxyz"


def count_frames(path: Path) -> int:
    """Return how many structures an extended XYZ file holds.

    Raises
    ------
    DirectoryError
        If a structure ends before its last atom.
    """
    lines, at, found = path.read_text().splitlines(), 0, 0
    while at < len(lines):
        n_atoms = max(0, int(lines[at]))
        end = at + 2 + n_atoms
        if len(lines) < end or _is_cut(lines[end - 1], lines[at + 1]):
            raise DirectoryError(f"structure {found} ends before its {n_atoms} atoms")
        at, found = end, found + 1
    return found


def count_frames_of_nonempty(path: Path) -> int:
    """Return how many structures a file holds that can't be empty.

    Raises
    ------
    DirectoryError
        If it is empty, or a structure ends before its last atom.
    """
    if not (found := count_frames(path)):
        raise DirectoryError("it is empty")
    return found


FRAME_COUNTERS = {
    HALTED: count_frames_of_nonempty,
    CRASHED: count_frames_of_nonempty,
    # empty where no candidate was plausible
    CANDIDATES: count_frames,
    SELECTED: count_frames,
}
"""How the frames of each file of a halt are counted; one function per file, as results are cached by function."""


def first_frame(path: Path, files: CampaignFiles) -> Atoms | None:
    """Return the first structure of a file of a halt; None if it is missing or damaged."""
    return next(iter(all_frames(path, files)), None)


def all_frames(path: Path, files: CampaignFiles) -> list[Atoms]:
    """Return all structures of a file of a halt, or none; a file that can't be read is listed as damaged."""
    if not files.parsed(path, FRAME_COUNTERS[path.name]):
        return []
    from ase.io import read

    try:
        return list(read(path, index=":", format="extxyz"))
    except (OSError, ValueError, IndexError, KeyError, StopIteration, RuntimeError) as error:
        files.report_damage(path, f"its structures can't be read ({type(error).__name__})")
        return []


def _is_cut(row: str, heading: str) -> bool:
    return len(row.split()) < columns_of(facts_of(heading)["Properties"])[2]
