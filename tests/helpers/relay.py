"""Between a client and the LaunchPad server: counts what is asked, makes the way longer, refuses what a role would."""

import itertools
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ruamel.yaml import YAML

from mlip_fw.launchpad.server.command_error import CommandError
from mlip_fw.launchpad.server.wire_protocol import Request, encode_reply, parse

_HEADER = struct.Struct("<iiii")
_GREETINGS = {"hello", "isMaster", "ismaster", "saslStart", "saslContinue", "endSessions", "buildInfo", "logout"}
"""What a connection costs once, whatever is asked then."""
_READS = {"find", "getMore", "aggregate", "count", "distinct", "listIndexes", "listCollections", "killCursors", "ping"}


class Relay:
    """Listens on a port of its own, and hands on whole messages of MongoDB's protocol.

    Parameters
    ----------
    port
        That of the server.
    delay_s
        How much later each message arrives, in either direction, s.
    refuses
        Says of a command whether the user's role forbids it; the server does not see it then.
    """

    def __init__(self, port: int, delay_s: float = 0.0, refuses: Callable[[Request], bool] | None = None) -> None:
        self._target, self._delay_s, self.refuses = port, delay_s, refuses or (lambda request: False)
        self.asked: list[str] = []
        """Each command with its collection, in order: one round trip each."""
        self.refused: list[str] = []
        self._open: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Relay":
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._listening, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def launchpad_file(self, theirs: Path, folder: Path, **changes: object) -> Path:
        """Write a ``my_launchpad.yaml`` that leads here instead of to the server."""
        yaml, path = YAML(typ="safe"), folder / "my_launchpad.yaml"
        yaml.dump({**yaml.load(theirs), "port": self.port, **changes}, path)
        path.chmod(0o600)
        return path

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listening.accept()[0]
                server = socket.create_connection(("127.0.0.1", self._target))
                self._open += [client, server]
                for source, sink, is_question in ((client, server, True), (server, client, False)):
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=self._pump, args=(source, sink, is_question), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, is_question: bool) -> None:
        with suppress(OSError, EOFError):
            while True:
                head = _exactly(source, _HEADER.size)
                length, number, _, kind = _HEADER.unpack(head)
                body = _exactly(source, length - _HEADER.size)
                answer = self._note(parse(number, kind, body)) if is_question else None
                if self._delay_s:
                    time.sleep(self._delay_s if answer is None else 2 * self._delay_s)
                (sink if answer is None else source).sendall(head + body if answer is None else answer)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _note(self, request: Request) -> bytes | None:
        """Count a command, and return what a server would answer to a user who may not give it, or None."""
        if request.name in _GREETINGS:
            return None
        target = request.command.get("collection" if request.name == "getMore" else request.name)
        self.asked.append(f"{request.name} {target}")
        if not self.refuses(request):
            return None
        self.refused.append(self.asked[-1])
        said = f'not authorized on {request.database} to execute command {{ {request.name}: "{target}", lsid: {{}} }}'
        return encode_reply(request, CommandError(13, said).reply())


def writes(request: Request) -> bool:
    """Return whether MongoDB's role ``read`` forbids a command."""
    stages = itertools.chain.from_iterable(request.command.get("pipeline") or ())
    return request.name not in _READS or bool({"$out", "$merge"} & set(stages))


def _exactly(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not (more := source.recv(size - len(data))):
            raise EOFError
        data += more
    return data
