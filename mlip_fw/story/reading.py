"""Reading files that may be missing, half-written or damaged: each is read once until it changes."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mlip_fw.errors import MlipError

Found = TypeVar("Found")
Model = TypeVar("Model", bound=BaseModel)
_MOST_CAMPAIGNS = 32


@dataclass(frozen=True)
class _Kept:
    """What a file held when it was read, and when it was written."""

    stamp: tuple[int, int]
    value: Any
    complaint: str | None


class Reader:
    """Files of a campaign as they were read last; one that has changed since is read again.

    Paths are text here: there are thousands of files, and a ``Path`` takes longer than the look at its file.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, Any], _Kept] = {}

    def read(self, path: str, key: Any, parse: Callable[[Path], Any]) -> _Kept | None:
        """Return what ``parse`` makes of a file, or None if there is none."""
        where, stamp = (path, key), stamp_of(path)
        if stamp is None:
            self._kept.pop(where, None)
            return None
        kept = self._kept.get(where)
        if kept is None or kept.stamp != stamp:
            value, complaint = _attempt(Path(path), parse)
            kept = self._kept[where] = _Kept(stamp, value, complaint)
        return kept


class Look:
    """One look at the files of a campaign: what is damaged counts as absent, and is listed."""

    def __init__(self, root: Path, reader: Reader) -> None:
        self._root, self._reader = root, reader
        self.complaints: dict[str, str] = {}

    def file(self, path: Path | str, parse: Callable[[Path], Found]) -> Found | None:
        """Return what ``parse``, which must be one and the same function for all looks, makes of a file, or None."""
        found: Found | None = self._seen(path, self._reader.read(str(path), parse, parse))
        return found

    def model(self, path: Path | str, model: type[Model]) -> Model | None:
        """Return the model stored in a file, or None."""
        kept = self._reader.read(str(path), model, lambda path: model.model_validate_json(path.read_bytes()))
        found: Model | None = self._seen(path, kept)
        return found

    def complain(self, path: Path | str, what: str) -> None:
        """List a file as damaged."""
        self.complaints[Path(path).relative_to(self._root).as_posix()] = what

    def _seen(self, path: Path | str, kept: _Kept | None) -> Any:
        if kept is None:
            return None
        if kept.complaint is not None:
            self.complain(path, kept.complaint)
        return kept.value


@functools.lru_cache(maxsize=_MOST_CAMPAIGNS)
def reader_of(root: Path) -> Reader:
    """Return the one reader of a campaign that all looks of this process share."""
    return Reader()


def stamp_of(path: Path | str) -> tuple[int, int] | None:
    """Return when a file was written and its size, or None if there is no such file."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def time_of(path: Path | str) -> float | None:
    """Return when a file was written, s since 1970, or None if there is no such file."""
    stamp = stamp_of(path)
    return None if stamp is None else stamp[0] / 1e9


def _attempt(path: Path, parse: Callable[[Path], Any]) -> tuple[Any, str | None]:
    try:
        # a pipe or a device would never end
        return (parse(path), None) if path.is_file() else (None, "no regular file")
    except ValidationError as error:
        return None, _complaint(error)
    except UnicodeDecodeError:
        return None, "not text"
    except MlipError as error:
        return None, str(error)
    except OSError as error:
        return None, error.strerror or "can't be read"
    except (ValueError, KeyError, IndexError, TypeError) as error:
        return None, f"can't be read ({type(error).__name__})"


def _complaint(error: ValidationError) -> str:
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return "not JSON"
    return f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}"
