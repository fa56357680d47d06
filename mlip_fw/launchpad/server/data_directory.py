"""Directory of a database: its files, their permissions, and the lock that says whether a server runs."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from mlip_fw.launchpad.server import HOST, NAME, USER
from mlip_fw.launchpad.server.system import ServerError, try_lock, write_private

_LOCK_TRIES = 10


@dataclass(frozen=True)
class RunningServer:
    """A running server, as it describes itself in the lock file."""

    pid: int
    machine: str
    port: int
    """0 while the server starts."""


class DataDirectory:
    """The directory of a database and the files in it.

    The server holds the lock on one of them as long as it lives, so a stale process number is never taken for a
    running server.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self.journal = self.root / "launchpad.sqlite"
        self.log = self.root / "server.log"
        self.launchpad_file = self.root / "my_launchpad.yaml"
        self._lock, self._starting = self.root / "lock", self.root / "starting"
        self._secret = self.root / "secret"

    def prepare(self) -> None:
        """Create the directory, readable for this user only.

        Raises
        ------
        ServerError
            If it can't be created, belongs to another user, or holds other files.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.root.stat().st_uid != os.geteuid():
                raise ServerError(f"the directory {self.root} belongs to another user; choose another with --dir")
            there = {path.name for path in self.root.iterdir()}
            if there and self._lock.name not in there:
                raise ServerError(
                    f"the directory {self.root} is not empty and no database of mlip-fw; choose another with --dir"
                )
            self.root.chmod(0o700)
            for path in (self._lock, self._starting):
                path.touch(mode=0o600)
        except OSError as error:
            raise ServerError(
                f"can't use the database directory {self.root}: {error.strerror}; check its permissions or "
                "choose another with --dir"
            ) from error

    def open_log(self) -> BinaryIO:
        """Open the server's log for appending: the standard error of the server process goes there."""
        return os.fdopen(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb")

    @contextlib.contextmanager
    def start_lock(self) -> Iterator[None]:
        """Let one process at a time start a server; others wait."""
        with self._starting.open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def server_lock(self) -> Iterator[None]:
        """Hold the lock of the server; at most one server runs for a database.

        Raises
        ------
        ServerError
            If a server runs already.
        """
        with self._lock.open("r+") as handle:
            if not any(try_lock(handle) for _ in range(_LOCK_TRIES)):
                raise ServerError(f"a server of the database in {self.root} runs already: `mlip-fw db status`")
            yield

    def running_server(self) -> RunningServer | None:
        """Return the running server, or None."""
        try:
            with self._lock.open("r") as handle:
                if try_lock(handle, shared=True):
                    return None
                facts = _facts(handle.read())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ServerError(f"can't look into {self.root}: {error.strerror}") from error
        return RunningServer(
            _number(facts, "pid"), str(facts.get("machine")), _number(facts, "port") if facts.get("ready") else 0
        )

    def last_port(self) -> int:
        """Return the port of the last server here, or 0."""
        return _number(_facts(self._lock.read_text()), "port")

    def write_status(self, port: int, *, ready: bool) -> None:
        """Write the server's process number, host and port to the lock file; only the server calls this."""
        facts = {"pid": os.getpid(), "machine": socket.gethostname(), "port": port, "ready": ready}
        # in place, not by renaming a new file: the lock is on this one
        with self._lock.open("r+") as handle:
            handle.write(json.dumps(facts))
            handle.truncate()

    def secret(self) -> str:
        """Return the password of this database; create it if there is none.

        It is stored as plain text: ``my_launchpad.yaml`` beside it, with the same permissions, must hold it anyhow.
        """
        if not self._secret.exists():
            write_private(self._secret, secrets.token_urlsafe(32) + "\n")
        self._secret.chmod(0o600)
        return self._secret.read_text().strip()

    def write_launchpad_file(self, port: int) -> None:
        """Write the file that FireWorks' commands take with ``-l``."""
        lines = {
            "host": HOST,
            "port": port,
            "name": NAME,
            "username": USER,
            "password": json.dumps(self.secret()),
            "authsource": "admin",
            "logdir": "null",
            "strm_lvl": "INFO",
            "user_indices": "[]",
            "wf_user_indices": "[]",
        }
        text = "# written by `mlip-fw db start`; the password is for you alone\n"
        text += "".join(f"{key}: {value}\n" for key, value in lines.items())
        write_private(self.launchpad_file, text)


def default_directory() -> Path:
    """Return the default directory of this user's database."""
    data = os.environ.get("XDG_DATA_HOME", "")
    return (Path(data) if data.startswith("/") else Path.home() / ".local" / "share") / "mlip_fw" / "launchpad"


def _facts(text: str) -> dict[str, Any]:
    try:
        facts = json.loads(text)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _number(facts: dict[str, Any], name: str) -> int:
    value = facts.get(name)
    return value if isinstance(value, int) and 0 <= value < 2**31 else 0
