"""Fork server: calls in fresh child processes that have already imported what they need.

One server process imports the engines once and forks a child for every call. So a call starts in milliseconds
instead of seconds, a crash ends only that child, and no state leaks from one call into the next. A child leads a
process group of its own, which is killed as a whole when its time is over. It dies with the server, and the server
with the worker.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

from mlip_fw.errors import ChildError, WorkerError
from mlip_fw.runtime.process_info import die_with_parent

_PRELOAD = ("mlip_fw.engines.md.embedded", "mlip_fw.engines.oracle.ase_child", "mlip_fw.engines.ace.kernel.preload")
_READY = b"!"
"""Written by a child when it leads its process group."""
KILLED_EXIT_CODES = (-signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGKILL, 128 + signal.SIGTERM)
"""Exit codes of a process that was killed from outside; the larger ones are what mpirun and shells make of it."""


class ForkServer:
    """The server process, as the worker sees it; calls of several threads wait for each other.

    Examples
    --------
    >>> server = ForkServer(preload=())
    >>> server.call("math:factorial", 5)
    120
    >>> server.close()
    """

    def __init__(self, preload: tuple[str, ...] = _PRELOAD) -> None:
        self._preload = preload
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._received = b""

    def start(self) -> None:
        """Start the process if it is not running, and return at once, while it still imports."""
        if self._process is None or self._process.poll() is not None:
            self._received = b""
            self._process = subprocess.Popen(
                # -P: not from the current folder, which may be another user's, but from where this process imports
                [sys.executable, "-P", "-m", "mlip_fw.runtime.fork_server", json.dumps(_import_path()), *self._preload],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )

    def call(
        self,
        function: str,
        argument: Any,
        *,
        folder: Path | None = None,
        log: Path | None = None,
        timeout_s: float | None = None,
    ) -> Any:
        """Call a function in a fresh child and return its result.

        Parameters
        ----------
        function
            As ``module:name``.
        argument
            Its only argument, made of plain JSON values, as its result is.
        folder
            Working directory of the child; None: that of this process.
        log
            File to which the output of the child is appended; None: it is discarded.
        timeout_s
            Time after which the child and all that it started are killed, s; None is no limit.

        Raises
        ------
        ChildError
            If the function raised, or the child was killed, died or took too long.
        WorkerError
            If no child could be started.
        """
        request = {
            "function": function,
            "argument": argument,
            "folder": str(folder or Path.cwd()),
            "log": str(log or os.devnull),
        }
        with self._lock:
            self.start()
            try:
                return self._exchange(request, function, timeout_s)
            except (BrokenPipeError, EOFError):
                self._kill()
                raise WorkerError(
                    f"the process that should start {function} died; was it killed, or is memory short? Run again"
                ) from None
            except BaseException:
                if not isinstance(sys.exc_info()[1], ChildError):
                    self._kill()
                raise

    def close(self) -> None:
        """End the process and every child of it."""
        with self._lock:
            self._kill()

    def _exchange(self, request: dict[str, Any], function: str, limit: float | None) -> Any:
        process = self._process
        assert process is not None and process.stdin is not None
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        child = self._answer(None)["pid"]
        # the clock starts with the child, not with the imports before it
        deadline = None if limit is None else time.monotonic() + limit
        answer = self._answer(deadline)
        if answer is None:
            _kill_group(child)
            self._answer(None)
            raise ChildError(f"{function} took longer than {limit:g} s and was killed")
        if "result" in answer:
            return answer["result"]
        raise ChildError(answer["error"], answer.get("exit_code"), tuple(answer.get("kinds", ())))

    def _answer(self, deadline: float | None) -> Any:
        """Return the next answer of the server, or None if there is none at the deadline (monotonic time, s)."""
        assert self._process is not None and self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._received:
            wait = None if deadline is None else max(0.0, deadline - time.monotonic())
            # select must see what readline would have read ahead: the buffer is ours
            if not select.select([descriptor], [], [], wait)[0]:
                return None
            chunk = os.read(descriptor, 1 << 16)
            if not chunk:
                raise EOFError
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        return json.loads(line)

    def _kill(self) -> None:
        if self._process is not None:
            _kill_group(self._process.pid)
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    try:
                        pipe.close()
                    except OSError:
                        continue
            self._process, self._received = None, b""


def _import_path() -> list[str]:
    """Return where this process imports from, as absolute paths."""
    return [str(Path(place).absolute()) for place in sys.path]


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


_shared: ForkServer | None = None
"""The one of this process. State of the process on purpose: the worker starts it early, and engines that know nothing
of the worker, nor of each other, use it; one each would import for seconds and hold the memory several times."""


def fork_server() -> ForkServer:
    """Return the fork server of this process, started."""
    global _shared
    if _shared is None:
        _shared = ForkServer()
        atexit.register(_shared.close)
    _shared.start()
    return _shared


def _serve(modules: list[str]) -> None:
    """Be the server: answer requests, one JSON value a line, on standard input until it closes."""
    die_with_parent()
    # standard output is for answers only; what modules print goes to standard error
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    for module in modules:
        importlib.import_module(module)
    for line in iter(sys.stdin.buffer.readline, b""):
        request = json.loads(line)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            answers.close()
            _run_child(request, writer)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            pipe.read(len(_READY))  # only a child that leads its own group can be killed as a group
            answers.write(json.dumps({"pid": pid}).encode() + b"\n")
            said = pipe.read()
        _, status = os.waitpid(pid, 0)
        answers.write((said if said.endswith(b"\n") else _death_message(request, status)) or b"")


def _death_message(request: dict[str, Any], status: int) -> bytes:
    """Return the answer for a child that ended without one."""
    code = os.waitstatus_to_exitcode(status)
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return json.dumps({"error": f"{request['function']} {how}", "exit_code": code}).encode() + b"\n"


def _run_child(request: dict[str, Any], writer: int) -> NoReturn:
    """Be the child: call the function, write its result to ``writer`` and end."""
    code = 1
    try:
        os.setsid()
        die_with_parent()
        os.write(writer, _READY)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(request["folder"])  # this process ends with the call: nobody else sees it
        module, name = request["function"].split(":")
        result = getattr(importlib.import_module(module), name)(request["argument"])
        said, code = json.dumps({"result": result}), 0
    except BaseException as error:
        traceback.print_exc()
        kinds = [kind.__name__ for kind in type(error).__mro__]
        said = json.dumps({"error": f"{type(error).__name__}: {error}", "kinds": kinds})
    try:
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(said.encode() + b"\n")
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    sys.path += [place for place in json.loads(sys.argv[1]) if place not in sys.path]
    _serve(sys.argv[2:])
