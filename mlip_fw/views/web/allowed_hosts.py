"""Host names that requests may use, as a protection against DNS rebinding.

A foreign site can let its own domain resolve to this machine, and the browser then lets its scripts read our pages.
The Host header still names that domain, so requests with unknown names are refused.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence

_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")


class AllowedHosts:
    """Host names of this server, with any port, as a tunnel may change it.

    Parameters
    ----------
    names
        Allowed besides localhost, the host name of the machine, and all IP addresses, which no DNS can redirect.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        own = (socket.gethostname(), socket.getfqdn())
        self._names = {_plain(name) for name in ("localhost", *own, *names)}

    def allows(self, host: str) -> bool:
        """Return whether the Host header of a request is allowed."""
        matched = _HOST.fullmatch(host)
        if matched is None:
            return False
        name = _plain(matched["name"])
        return name in self._names or is_ip_address(name)


def is_ip_address(host: str) -> bool:
    """Return whether ``host`` is an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches ``host``."""
    return host == "localhost" or (is_ip_address(host) and ipaddress.ip_address(host).is_loopback)


def _plain(name: str) -> str:
    return name.lower().strip("[]").removesuffix(".")
