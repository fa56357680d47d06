"""Atomic writing: a file is either complete or not there."""

from __future__ import annotations

import json
import os
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from mlip_fw.errors import CampaignError, DirectoryError

_PREFIX = ".writing-"
_MAX_NAME = 50
"""Number of characters of a file's name in its temporary name, which would else become too long."""
_MAX_UNPACKED = 100
"""Archives with a larger compression ratio are refused (zip bombs)."""
Model = TypeVar("Model", bound=BaseModel)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, and rename it to ``path`` at the end.

    Parameters
    ----------
    path
        The file to write. An existing file is replaced in one step.

    Raises
    ------
    DirectoryError
        If the file can't be written; nothing is left behind.
    """
    require_no_folder(path)
    temporary = path.with_name(f"{_PREFIX}{uuid.uuid4().hex[:8]}-{path.name[-_MAX_NAME:]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
        _make_lasting(path.parent)
    except OSError as error:
        raise DirectoryError(
            f"can't write {path}: {error.strerror or error}; free space or check permissions"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def require_no_folder(path: Path) -> None:
    """Check that ``path``, which is to be written, is not a folder.

    Raises
    ------
    DirectoryError
        If it is.
    """
    try:
        is_there = path.is_dir()
    except OSError as error:
        raise DirectoryError(f"can't write {path}: {error.strerror}; name another file") from error
    if is_there:
        raise DirectoryError(f"can't write {path}: a folder is there; name a file")


def _make_lasting(folder: Path) -> None:
    """Sync a folder, so that renamed files survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # not supported on some network file systems, which do not need it
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def require_file(path: Path, what: str, max_bytes: int) -> None:
    """Check that a user's file exists and is not too large; ``what`` names it in messages.

    Raises
    ------
    CampaignError
        If it is missing or too large.
    """
    if not path.is_file():
        raise CampaignError(f"{what}: there is no file {path}; paths are relative to the campaign file")
    if (found := path.stat().st_size) > max_bytes:
        raise CampaignError(f"{what}: {path} has {found} bytes, more than the {max_bytes} that are read; take a part")


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Write ``text`` to ``path`` atomically; ``private``: readable by the owner only."""
    with atomic_file(path) as temporary:
        if private:
            temporary.touch(mode=0o600)
        temporary.write_text(text)


def write_json(path: Path, value: Any) -> None:
    """Write ``value``, a model or plain JSON values, to ``path`` atomically."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    write_text(path, json.dumps(plain, indent=1, allow_nan=False) + "\n")


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write named arrays (``.npz`` format, whatever the suffix) to ``path`` atomically."""
    with atomic_file(path) as temporary, temporary.open("wb") as handle:
        np.savez(handle, **arrays)


def read_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """Return the named arrays in ``path``; None if the file is missing or damaged."""
    try:
        with zipfile.ZipFile(path) as packed:
            if sum(part.file_size for part in packed.infolist()) > _MAX_UNPACKED * path.stat().st_size:
                return None
        with np.load(path, allow_pickle=False) as data:
            return {name: data[name] for name in data.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError):
        return None


def write_array(path: Path, array: np.ndarray) -> None:
    """Write one array (``.npy``) to ``path`` atomically."""
    with atomic_file(path) as temporary, temporary.open("wb") as handle:
        np.save(handle, array)


def map_array(path: Path) -> np.ndarray | None:
    """Return the array (``.npy``) in ``path`` as a memory map; None if the file is missing or damaged."""
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, EOFError):
        return None


def read_model(path: Path, model: type[Model]) -> Model | None:
    """Return the model stored in ``path``; None if the file is missing or damaged.

    Raises
    ------
    DirectoryError
        If there is a file that this process can't read.
    """
    try:
        return model.model_validate_json(path.read_text()) if path.is_file() else None
    except (FileNotFoundError, ValidationError, UnicodeDecodeError):
        return None
    except OSError as error:
        raise DirectoryError(f"can't read {path}: {error.strerror or error}; check its permissions") from error


def read_or_create(path: Path, model: type[Model], make: Callable[[], Model]) -> Model:
    """Return the model stored in ``path``; if there is none, create it by ``make`` and write it."""
    found = read_model(path, model)
    if found is None:
        found = make()
        write_json(path, found)
    return found


def remove_half_written(folder: Path) -> int:
    """Remove temporary files of interrupted writes below ``folder``; return their number."""
    leftovers = list(folder.rglob(f"{_PREFIX}*"))
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)
