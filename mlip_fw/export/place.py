"""The target folder of an export: written completely or not at all, and no foreign file is overwritten."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlip_fw.errors import DirectoryError
from mlip_fw.export.card import CARD, read_card
from mlip_fw.io.locks import exclusive_lock

DATASET, INITIAL = "dataset.extxyz", "initial"
_LOCK, _STAGE = ".exporting.lock", ".exporting"
_OURS = (
    CARD,
    DATASET,
    INITIAL,
    "dataset.pckl.gzip",
    "potential.*",
    "training.json",
    "pacemaker.*",
    "campaign.yaml",
    "level_of_theory.json",
    "inputs",
    "structure.*",
    "citations.bib",
    "validation.json",
    "validation-*.png",
    "in.lammps",
    "in.gamma.lammps",
    "use_in_ase.py",
    "README.md",
)
"""What an export may have written; all else in its folder is somebody's own."""


@contextmanager
def room_in(target: Path) -> Iterator[Path]:
    """Give a folder to write an export in; at the end its files take their places in ``target``, the card last.

    They replace those of an earlier export; what else is there stays. If something goes wrong before the end,
    ``target`` is what it was. One process at a time: a second one waits for the first.

    Raises
    ------
    DirectoryError
        If ``target`` holds something and no export, or can't be written.
    """
    _require_free(target)
    was_there, stage = target.is_dir(), target / _STAGE
    try:
        with exclusive_lock(target / _LOCK):
            shutil.rmtree(stage, ignore_errors=True)
            try:
                stage.mkdir()
                yield stage
                _move(stage, target)
            finally:
                shutil.rmtree(stage, ignore_errors=True)
    except OSError as error:
        raise DirectoryError(
            f"can't write the export to {target}: {error.strerror or error}; free some space or fix its permissions"
        ) from error
    finally:
        if not was_there:
            with suppress(OSError):
                target.rmdir()


def _require_free(target: Path) -> None:
    """Refuse a folder that holds anything but an earlier export, or what a killed one left."""
    if target.exists() and not target.is_dir():
        raise DirectoryError(f"{target} is a file; give another --output")
    if not target.is_dir() or (target / _STAGE).is_dir():
        return
    if {path.name for path in target.iterdir()} <= {_LOCK}:
        return
    try:
        read_card(target)
    except DirectoryError as error:
        raise DirectoryError(f"{target} is not empty and holds no export; give another --output") from error


def _move(stage: Path, target: Path) -> None:
    (target / CARD).unlink(missing_ok=True)
    for path in list(target.iterdir()):
        if not any(path.match(pattern) for pattern in _OURS):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    for path in sorted(stage.iterdir(), key=lambda path: path.name == CARD):
        path.rename(target / path.name)
