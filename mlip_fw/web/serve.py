"""The server itself: one process, a thread for each question, on one address."""

from __future__ import annotations

import errno
import signal
import socket
from threading import Thread

from flask import Flask
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from mlip_fw.errors import WorkerError

_PORTS_TRIED = 50
_SLOWEST_S = 60
_ENDS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class _Quiet(WSGIRequestHandler):
    """Answers without a log line for each question, and gives up on who never ends asking."""

    server_version, sys_version = "mlip-fw", ""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass

    def log_error(self, format: str, *args: object) -> None:
        pass

    def version_string(self) -> str:
        return self.server_version


def open_server(
    app: Flask, host: str, port: int, *, n_ports: int = _PORTS_TRIED, timeout_s: float = _SLOWEST_S
) -> BaseWSGIServer:
    """Return a server that listens, on ``port`` or on the next one that is free; 0: any.

    Parameters
    ----------
    app
        What answers.
    host, port
        Address, and the first port to try.
    n_ports
        Number of ports to try.
    timeout_s
        Time after which a visitor is given up who does not end asking, s.

    Raises
    ------
    WorkerError
        If none of the next ports is free, or the address is not one of this machine.
    """
    handler = type("_Quiet", (_Quiet,), {"timeout": timeout_s})
    for candidate in range(port, min(port + n_ports, 65536)):
        try:
            with _listening(host, candidate) as listening:
                server = make_server(
                    host, listening.getsockname()[1], app, threaded=True, request_handler=handler, fd=listening.fileno()
                )
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise _cant_listen(host, candidate, error.strerror or str(error)) from error
            continue
        except (UnicodeError, TypeError, ValueError) as error:
            raise _cant_listen(host, candidate, "it is no address and no name of a machine") from error
        return server
    raise WorkerError(f"no port from {port} to {port + n_ports - 1} is free on {host}; give another --port")


def _cant_listen(host: str, port: int, why: str) -> WorkerError:
    return WorkerError(f"can't listen on {host}, port {port}: {why}; give another --host or --port")


def address_of(server: BaseWSGIServer) -> str:
    """Return where a browser on this machine finds the server."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(server.host, server.host)
    return f"http://{f'[{host}]' if ':' in host.strip('[]') and not host.startswith('[') else host}:{server.port}/"


def serve_until_signal(server: BaseWSGIServer) -> None:
    """Answer until SIGINT, SIGTERM or SIGHUP, and end then."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
    try:
        Thread(target=server.serve_forever, daemon=True).start()
        signal.sigwait(_ENDS)
    finally:
        server.shutdown()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((host, port))
        opened.listen(128)
    except BaseException:
        opened.close()
        raise
    return opened
