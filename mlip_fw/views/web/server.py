"""The HTTP server: one process, one thread per request."""

from __future__ import annotations

import errno
import signal
import socket
from threading import Thread

from flask import Flask
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from mlip_fw.errors import WorkerError

_MAX_PORTS = 50
_REQUEST_TIMEOUT_S = 60
_END_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class _QuietHandler(WSGIRequestHandler):
    """Writes no log line per request, and gives up on requests that never end."""

    server_version, sys_version = "mlip-fw", ""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass

    def log_error(self, format: str, *args: object) -> None:
        pass

    def version_string(self) -> str:
        return self.server_version


def open_server(
    app: Flask, host: str, port: int, *, n_ports: int = _MAX_PORTS, timeout_s: float = _REQUEST_TIMEOUT_S
) -> BaseWSGIServer:
    """Return a listening server on ``port`` or the next one that is free; 0: any free port.

    Parameters
    ----------
    app
        The web application.
    host, port
        Address, and the first port to try.
    n_ports
        Number of ports to try.
    timeout_s
        Time after which a request that does not end is given up, s.

    Raises
    ------
    WorkerError
        If none of the next ports is free, or the address is not one of this machine.
    """
    handler = type("_QuietHandler", (_QuietHandler,), {"timeout": timeout_s})
    for candidate in range(port, min(port + n_ports, 65536)):
        try:
            with _listening(host, candidate) as listening:
                server = make_server(
                    host,
                    listening.getsockname()[1],
                    app,
                    threaded=True,
                    request_handler=handler,
                    fd=listening.fileno(),
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
    """Return the URL of the server for a browser on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(server.host, server.host)
    return f"http://{f'[{host}]' if ':' in host.strip('[]') and not host.startswith('[') else host}:{server.port}/"


def serve_until_signal(server: BaseWSGIServer) -> None:
    """Answer requests until SIGINT, SIGTERM or SIGHUP."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _END_SIGNALS)
    try:
        Thread(target=server.serve_forever, daemon=True).start()
        signal.sigwait(_END_SIGNALS)
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
