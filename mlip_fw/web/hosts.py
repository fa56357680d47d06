"""The names by which a browser may call this server.

A page from elsewhere can let its own name lead to this machine (DNS rebinding) and would then count as one of ours.
The browser still says the name that it went by, so that only those that are known get an answer.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence

_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")


class Hosts:
    """Names of this server; any port, as a tunnel may change it.

    Parameters
    ----------
    names
        Those besides localhost, the machine's own, and all numbers: no page can come from somebody else's number.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        own = (socket.gethostname(), socket.getfqdn())
        self._names = {_plain(name) for name in ("localhost", *own, *names)}

    def know(self, host: str) -> bool:
        """Return whether the Host header of a request names this server."""
        matched = _HOST.fullmatch(host)
        if matched is None:
            return False
        name = _plain(matched["name"])
        return name in self._names or is_number(name)


def is_number(host: str) -> bool:
    """Return whether ``host`` is an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches ``host``."""
    return host == "localhost" or (is_number(host) and ipaddress.ip_address(host).is_loopback)


def _plain(name: str) -> str:
    return name.lower().strip("[]").removesuffix(".")
