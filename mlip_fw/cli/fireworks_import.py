"""The first import of FireWorks: it reads its configuration then, which may be broken or print text."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from pathlib import Path

from mlip_fw.errors import WorkerError

_CONFIG = "FW_config.yaml"
_VARIABLE = "FW_CONFIG_FILE"


def import_fireworks() -> None:
    """Import FireWorks; anything that it prints goes to standard error.

    Raises
    ------
    WorkerError
        If its configuration can't be used; names the file.
    """
    if "fireworks" in sys.modules:
        return
    path = config_file()
    if path is not None and not path.exists():
        raise WorkerError(f"{_VARIABLE} names {path}, which does not exist; correct or unset it")
    try:
        with contextlib.redirect_stdout(sys.stderr):
            import fireworks  # noqa: F401
    except Exception as error:
        if path is None:
            raise
        raise WorkerError(f"FireWorks can't use its configuration file {path}: {_why(error)}; correct it") from error


def config_file() -> Path | None:
    """Return the configuration file that FireWorks reads, or None if there is none."""
    named = os.environ.get(_VARIABLE)
    found = [folder / _CONFIG for folder in default_folders() if _is_there(folder / _CONFIG)]
    return next(iter(found), Path(named) if named else None)


def default_folders() -> list[Path]:
    """Return the folders where FireWorks looks for its files, in its order."""
    package = importlib.util.find_spec("fireworks")
    installed = [Path(package.origin).parent.parent] if package is not None and package.origin else []
    return [Path.cwd(), Path(os.path.expanduser("~"), ".fireworks"), *installed]  # noqa: PTH111  never raises


def _is_there(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110  never raises


def _why(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"it needs the package {error.name}, which is not installed (JSON_SCHEMA_VALIDATE: true does so)"
    message = " ".join(str(error).split())
    return message or type(error).__name__
