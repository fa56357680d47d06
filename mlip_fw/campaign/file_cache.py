"""Read files that may be missing, half-written or damaged, each one once until it changes on disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mlip_fw.errors import DirectoryError, MlipError

Parsed = TypeVar("Parsed")
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class _CachedFile:
    """What a file held when it was read, and its time of modification and size then."""

    stamp: tuple[int, int]
    value: Any
    problem: str | None
    """Why it could not be parsed."""
    is_unreadable: bool = False
    """Whether this process may not read it; what it holds may be whole."""


class FileCache:
    """Parsed files of a campaign; a file is parsed again when its time of modification or its size changes.

    Share one cache between several :class:`CampaignFiles` of the same campaign to make the later ones fast.
    """

    # Paths are text here: a campaign has thousands of files, and making a `Path` takes longer than a `stat`.

    def __init__(self) -> None:
        self._files: dict[tuple[str, Any], _CachedFile] = {}

    def read(self, path: str, key: Any, parse: Callable[[Path], Any]) -> _CachedFile | None:
        """Return what ``parse`` makes of a file, or None if there is no such file.

        ``key`` stands for ``parse``: a file may be read by several parsers.
        """
        where, stamp = (path, key), stamp_of(path)
        if stamp is None:
            self._files.pop(where, None)
            return None
        cached = self._files.get(where)
        if cached is None or cached.stamp != stamp:
            cached = self._files[where] = _parse(Path(path), parse, stamp)
        return cached


class CampaignFiles:
    """Tolerant access to the files of a campaign: a damaged file counts as absent and is listed in ``damaged``.

    Parameters
    ----------
    root
        The campaign directory.
    cache
        What was read before; by default nothing.
    """

    def __init__(self, root: Path, cache: FileCache | None = None) -> None:
        self._root, self._cache = root, cache if cache is not None else FileCache()
        self.damaged: dict[str, str] = {}
        """What is wrong with each damaged file, by its path below the campaign directory."""
        self._unreadable: dict[str, str] = {}

    def parsed(self, path: Path | str, parse: Callable[[Path], Parsed]) -> Parsed | None:
        """Return what ``parse`` makes of a file, or None if it is missing or damaged.

        ``parse`` must be a module-level function: results are cached by its identity.
        """
        found: Parsed | None = self._value(path, self._cache.read(str(path), parse, parse))
        return found

    def model(self, path: Path | str, model: type[Model]) -> Model | None:
        """Return the model stored in a JSON file, or None if it is missing or damaged."""
        cached = self._cache.read(str(path), model, lambda path: model.model_validate_json(path.read_bytes()))
        found: Model | None = self._value(path, cached)
        return found

    def report_damage(self, path: Path | str, problem: str) -> None:
        """List a file as damaged."""
        self.damaged[Path(path).relative_to(self._root).as_posix()] = problem

    def require_readable(self) -> None:
        """Make sure that nothing was left out only because this process may not read it.

        Raises
        ------
        DirectoryError
            If a file that was asked for exists, but can't be read.
        """
        for path, problem in self._unreadable.items():
            raise DirectoryError(f"can't read {path}: {problem}; check its permissions")

    def _value(self, path: Path | str, cached: _CachedFile | None) -> Any:
        if cached is None:
            return None
        if cached.problem is not None:
            self.report_damage(path, cached.problem)
        if cached.is_unreadable:
            self._unreadable[str(path)] = cached.problem or "unknown error"
        return cached.value


def stamp_of(path: Path | str) -> tuple[int, int] | None:
    """Return time of modification (ns since 1970) and size (bytes) of a file; None if there is no such file."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def time_of(path: Path | str) -> float | None:
    """Return when a file was modified, s since 1970; None if there is no such file."""
    stamp = stamp_of(path)
    return None if stamp is None else stamp[0] / 1e9


def _parse(path: Path, parse: Callable[[Path], Any], stamp: tuple[int, int]) -> _CachedFile:
    try:
        # reading a named pipe or a device would never end
        if not path.is_file():
            return _CachedFile(stamp, None, "no regular file")
        return _CachedFile(stamp, parse(path), None)
    except ValidationError as error:
        problem = _first_problem(error)
    except UnicodeDecodeError:
        problem = "not text"
    except MlipError as error:
        problem = str(error)
    except OSError as error:
        return _CachedFile(stamp, None, error.strerror or "can't be read", is_unreadable=True)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        problem = f"can't be read ({type(error).__name__})"
    return _CachedFile(stamp, None, problem)


def _first_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return "not JSON"
    return f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}"
