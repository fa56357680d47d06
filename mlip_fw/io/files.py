"""Writing so that a file is either whole or not there."""

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
_MOST_NAME = 50
"""So much of a file's name is in its temporary one, which must not be too long where its own is not."""
_MOST_UNPACKED = 100
"""Arrays that are so many times larger than their file are an attack on the memory."""
Model = TypeVar("Model", bound=BaseModel)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` and rename it to ``path`` at the end.

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
    temporary = path.with_name(f"{_PREFIX}{uuid.uuid4().hex[:8]}-{path.name[-_MOST_NAME:]}")
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
    """Refuse to write a file where a folder is.

    Raises
    ------
    DirectoryError
        If one is.
    """
    try:
        is_there = path.is_dir()
    except OSError as error:
        raise DirectoryError(f"can't write {path}: {error.strerror}; name another file") from error
    if is_there:
        raise DirectoryError(f"can't write {path}: a folder is there; name a file")


def _make_lasting(folder: Path) -> None:
    """Have the names in a folder outlive a power cut: what is said to be there must be there then."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # some network file systems can't, and have no need to
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def require_file(path: Path, what: str, most_bytes: int) -> None:
    """Refuse a user's file that is missing or too large to be what it should be; ``what`` says which file it is.

    Raises
    ------
    CampaignError
        If it is.
    """
    if not path.is_file():
        raise CampaignError(f"{what}: there is no file {path}; paths are relative to the campaign file")
    if (found := path.stat().st_size) > most_bytes:
        raise CampaignError(f"{what}: {path} has {found} bytes, more than the {most_bytes} that are read; take a part")


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Write ``text`` to ``path`` in one step; what is private only its owner can read."""
    with whole_file(path) as temporary:
        if private:
            temporary.touch(mode=0o600)
        temporary.write_text(text)


def write_json(path: Path, value: Any) -> None:
    """Write ``value``, a model or plain JSON values, to ``path`` in one step."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    write_text(path, json.dumps(plain, indent=1, allow_nan=False) + "\n")


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write named arrays (``.npz``) to ``path`` in one step, whatever its suffix."""
    with whole_file(path) as temporary, temporary.open("wb") as handle:
        np.savez(handle, **arrays)


def read_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """Return the named arrays in ``path``, or None if there is no whole file of them."""
    try:
        with zipfile.ZipFile(path) as packed:
            if sum(part.file_size for part in packed.infolist()) > _MOST_UNPACKED * path.stat().st_size:
                return None
        with np.load(path, allow_pickle=False) as data:
            return {name: data[name] for name in data.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError):
        return None


def write_array(path: Path, array: np.ndarray) -> None:
    """Write one array (``.npy``) to ``path`` in one step."""
    with whole_file(path) as temporary, temporary.open("wb") as handle:
        np.save(handle, array)


def map_array(path: Path) -> np.ndarray | None:
    """Return the array (``.npy``) in ``path``, read where it is looked at; None if there is no whole file of it."""
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, EOFError):
        return None


def read_model(path: Path, model: type[Model]) -> Model | None:
    """Return the model stored in ``path``, or None if there is no whole one.

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


def once(path: Path, model: type[Model], make: Callable[[], Model]) -> Model:
    """Return the model in ``path``; make and write it only if it is not there."""
    found = read_model(path, model)
    if found is None:
        found = make()
        write_json(path, found)
    return found


def remove_half_written(folder: Path) -> int:
    """Remove what interrupted writes left below ``folder`` and return how many files that were."""
    leftovers = list(folder.rglob(f"{_PREFIX}*"))
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)
