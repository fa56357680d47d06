"""Shared by the commands: find campaigns, load worker and LaunchPad files, log, report database errors."""

from __future__ import annotations

import logging
import stat
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mlip_fw.cli.fireworks_import import import_fireworks
from mlip_fw.errors import DirectoryError, WorkerError

if TYPE_CHECKING:
    from fireworks import FWorker, LaunchPad, Workflow

    from mlip_fw.campaign.directory import CampaignDirectory

_WORKER_FILES = (Path("my_fworker.yaml"), Path("fw_configs/my_fworker.yaml"))
_LAUNCHPAD_FILES = (Path("my_launchpad.yaml"), Path("fw_configs/my_launchpad.yaml"))
_FOR_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def log_to_stderr() -> None:
    """Log mlip_fw's messages to standard error, one line each, and nothing of other libraries."""
    warnings.filterwarnings("ignore")
    keep_libraries_quiet()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Printable("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    logger = logging.getLogger("mlip_fw")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)


def keep_libraries_quiet() -> None:
    """Keep pyace from showing the log of all libraries, which it does on import if the root logger has no handler."""
    if not logging.root.handlers:
        logging.root.addHandler(logging.NullHandler())


class _Printable(logging.Formatter):
    """Formats log lines without control characters."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def printable(text: str) -> str:
    """Return ``text`` with control characters escaped: a terminal would obey them, and texts may be anybody's."""
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


def find_campaign(name: str | None) -> CampaignDirectory:
    """Return the campaign directory called ``name``, or the only one in the current folder.

    Raises
    ------
    DirectoryError
        If there is none, or several and no name.
    """
    from mlip_fw.campaign.directory import CampaignDirectory

    if name is not None:
        directory = CampaignDirectory(name)
        if not directory.exists():
            raise DirectoryError(
                f"{name} is not a campaign directory: it has no campaign.yaml and no events.jsonl; `mlip-fw pull` "
                "fetches one whose files are on the LaunchPad"
            )
        if not directory.journal.is_file() and directory.read_campaign().files == "filepad":
            raise DirectoryError(
                f"the files of {name} are on the LaunchPad (files: filepad); fetch them with `mlip-fw pull`"
            )
        return directory
    found = campaigns_here()
    if len(found) != 1:
        names = ", ".join(str(d.root.name) for d in found) or "none"
        raise DirectoryError(f"name a campaign directory; found in this folder: {names}")
    return found[0]


def campaigns_here() -> list[CampaignDirectory]:
    """Return the campaign directories in the current folder, or the folder itself if it is one."""
    folders = [Path(), *sorted(p for p in Path().iterdir() if p.is_dir())]
    begun = [folder for folder in folders if _has_begun(folder)]
    if not begun:
        return []
    from mlip_fw.campaign.directory import CampaignDirectory

    return [CampaignDirectory(folder) for folder in begun]


def _has_begun(folder: Path) -> bool:
    """Return whether a folder is a campaign directory; False if it can't be read, so that others are still found."""
    try:
        return (folder / "events.jsonl").is_file() and (folder / "campaign.yaml").is_file()
    except OSError:
        return False


def load_fworker(path: Path | None) -> FWorker:
    """Return the worker of ``path``, or of the usual places of FireWorks users, or one without settings."""
    import_fireworks()
    from fireworks import FWorker
    from fireworks.fw_config import FWORKER_LOC

    if path is None:
        path = next((p for p in _WORKER_FILES if p.is_file()), Path(FWORKER_LOC) if FWORKER_LOC else None)
    if path is None:
        return FWorker()
    try:
        return FWorker.from_file(str(path))
    except KeyError as error:
        raise WorkerError(f"the worker file {path} has no {error.args[0]}; see fw_configs/my_fworker.yaml") from error
    except Exception as error:
        raise WorkerError(f"can't read the worker file {path}: {error}") from error


def load_launchpad(path: Path | None, *, read_only: bool = False) -> LaunchPad:
    """Return the LaunchPad of ``path``, or of the usual places of FireWorks users.

    Parameters
    ----------
    path
        ``my_launchpad.yaml``.
    read_only
        For a command that only reads: wait 4 s instead of 30 s for the server, unless the file says otherwise.

    Raises
    ------
    WorkerError
        If it can't be read. The message contains neither text of the file nor of the driver: a password may be in it.
    """
    import_fireworks()
    from fireworks import LaunchPad

    from mlip_fw.launchpad.read_only import open_read_only

    if path is None:
        path = known_launchpad() if read_only else _launchpad_here()
    where = path or "my_launchpad.yaml"
    try:
        if read_only:
            launchpad = open_read_only(path)
        else:
            launchpad = LaunchPad.from_file(str(path)) if path is not None else LaunchPad.auto_load()
    except (OSError, TypeError) as error:
        raise WorkerError(f"can't open the LaunchPad of {where}: {error}") from None
    except Exception as error:
        raise WorkerError(f"can't open the LaunchPad of {where}: {_without_its_text(error)}") from None
    if path is not None and _is_secret(launchpad) and path.stat().st_mode & _FOR_OTHERS:
        logging.getLogger("mlip_fw").warning("%s holds a password and others can read it: chmod 600 %s", path, path)
    return launchpad


def known_launchpad() -> Path | None:
    """Return the default LaunchPad file, or None if there is none."""
    import_fireworks()
    from fireworks.fw_config import LAUNCHPAD_LOC

    return _launchpad_here() or (Path(LAUNCHPAD_LOC) if LAUNCHPAD_LOC else None)


def _launchpad_here() -> Path | None:
    return next((p for p in _LAUNCHPAD_FILES if p.is_file()), None)


def _without_its_text(error: Exception) -> str:
    """Return what is wrong with a LaunchPad file, without quoting it."""
    from ruamel.yaml.error import MarkedYAMLError

    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark
        return "it is not valid YAML" + (f" at line {mark.line + 1}, column {mark.column + 1}" if mark else "")
    return (
        f"{type(error).__name__}; in a MongoDB URI, user name and password have to be percent-encoded "
        "(urllib.parse.quote_plus)"
    )


def _is_secret(launchpad: LaunchPad) -> bool:
    held = launchpad.password or (launchpad.mongoclient_kwargs or {}).get("password")
    return bool(held) or "@" in (launchpad.host or "")


def add_to_launchpad(workflow: Workflow, path: Path | None) -> list[int]:
    """Add a Workflow to the LaunchPad and return the numbers of its Fireworks.

    Raises
    ------
    WorkerError
        If its database does not answer or is new.
    """
    from mlip_fw.io.addresses import without_credentials

    pad = load_launchpad(path)
    try:
        with explain_database_errors(pad):
            return sorted(pad.add_wf(workflow).values())
    except ValueError as error:
        if "FW id" not in str(error):
            raise
        where = without_credentials(pad.host)
        raise WorkerError(f"the LaunchPad {pad.name} at {where} is new: initialize it with `lpad reset`") from error


@contextmanager
def explain_database_errors(pad: LaunchPad) -> Iterator[None]:
    """Turn errors of a LaunchPad's database into one sentence with advice.

    Raises
    ------
    WorkerError
        If the database does not answer, or refuses user, password or query.
    """
    from pymongo.errors import PyMongoError

    from mlip_fw.launchpad.advice import explain

    try:
        yield
    except PyMongoError as error:
        raise WorkerError(explain(error, pad)) from error
