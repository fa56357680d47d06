"""The directory of a database: who may be in it, what lies there, and whether its server runs."""

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

from mlip_fw.database import HOST, NAME, USER
from mlip_fw.errors import DirectoryError
from mlip_fw.io.files import write_text
from mlip_fw.io.locks import try_lock

_LOCK_TRIES = 10


@dataclass(frozen=True)
class Running:
    """A server as it wrote itself down."""

    pid: int
    machine: str
    port: int
    """0 while it starts."""


class Home:
    """The directory of a database and the files in it.

    The server holds a lock on one of them as long as it lives, so a process number that was left
    behind is never mistaken for a server.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self.journal = self.root / "launchpad.sqlite"
        self.log = self.root / "server.log"
        self.launchpad_file = self.root / "my_launchpad.yaml"
        self._lock, self._starting = self.root / "lock", self.root / "starting"
        self._secret = self.root / "secret"

    def prepare(self) -> None:
        """Make the directory for this user alone.

        Raises
        ------
        DirectoryError
            If it can't be made, belongs to somebody else, or holds other things.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.root.stat().st_uid != os.geteuid():
                raise DirectoryError(f"the directory {self.root} belongs to another user; choose another with --dir")
            there = {path.name for path in self.root.iterdir()}
            if there and self._lock.name not in there:
                raise DirectoryError(
                    f"the directory {self.root} is not empty and no database of mlip-fw; choose another with --dir"
                )
            self.root.chmod(0o700)
            for path in (self._lock, self._starting):
                path.touch(mode=0o600)
        except OSError as error:
            raise DirectoryError(
                f"can't use the database directory {self.root}: {error.strerror}; check its permissions or "
                "choose another with --dir"
            ) from error

    def open_log(self) -> BinaryIO:
        """Open the server's log at its end, for what its logger can't catch."""
        return os.fdopen(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb")

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """Let one process at a time start a server here; others wait for it."""
        with self._starting.open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Be the one server of this database.

        Raises
        ------
        DirectoryError
            If there is one already.
        """
        with self._lock.open("r+") as handle:
            if not any(try_lock(handle) for _ in range(_LOCK_TRIES)):
                raise DirectoryError(f"a server of the database in {self.root} runs already: `mlip-fw db status`")
            yield

    def running(self) -> Running | None:
        """Return the server that runs, or None."""
        try:
            with self._lock.open("r") as handle:
                if try_lock(handle, only_looking=True):
                    return None
                facts = _facts(handle.read())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DirectoryError(f"can't look into {self.root}: {error.strerror}") from error
        return Running(
            _number(facts, "pid"), str(facts.get("machine")), _number(facts, "port") if facts.get("ready") else 0
        )

    def last_port(self) -> int:
        """Return the port of the last server here, or 0."""
        return _number(_facts(self._lock.read_text()), "port")

    def write_down(self, port: int, *, ready: bool) -> None:
        """Say who the server is; only the server does."""
        facts = {"pid": os.getpid(), "machine": socket.gethostname(), "port": port, "ready": ready}
        # in place: the lock is on this very file
        with self._lock.open("r+") as handle:
            handle.write(json.dumps(facts))
            handle.truncate()

    def secret(self) -> str:
        """Return the secret of this database, made if there is none.

        It is kept as it is: ``my_launchpad.yaml`` beside it, with the same rights, must hold it anyhow.
        """
        if not self._secret.exists():
            write_text(self._secret, secrets.token_urlsafe(32) + "\n", private=True)
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
        write_text(self.launchpad_file, text, private=True)


def default_directory() -> Path:
    """Return where the database of this user lies unless said otherwise."""
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
