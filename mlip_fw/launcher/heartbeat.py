"""FireWorks' heartbeat, continued after a database outage."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from multiprocessing.managers import RemoteError
from threading import Event
from typing import Any

from pymongo.errors import PyMongoError

from mlip_fw.launchpad.advice import explain

logger = logging.getLogger("mlip_fw")
_RETRY_INTERVAL_S = 5.0


def restart_after_errors(ping: Callable[..., None], again_s: float = _RETRY_INTERVAL_S) -> Callable[..., None]:
    """Return the function of a heartbeat thread that is restarted after database errors.

    FireWorks' own thread ends with the first ping that fails; the run goes on, but is then taken for lost.

    Parameters
    ----------
    ping
        FireWorks' ``ping_launch`` or ``ping_multilaunch``; pings until an event among its arguments is set.
    again_s
        Time until it is restarted, s.
    """

    @functools.wraps(ping)
    def beat(*arguments: Any) -> None:
        stop = next(argument for argument in arguments if isinstance(argument, Event))
        while not stop.is_set():
            try:
                ping(*arguments)
            except (PyMongoError, RemoteError) as error:
                why = explain(error) if isinstance(error, PyMongoError) else type(error).__name__
                logger.warning("the heartbeat of this run was not stored, and the run continues: %s", why)
                stop.wait(again_s)
            else:
                return

    return beat
