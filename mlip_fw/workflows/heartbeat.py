"""FireWorks' signs of life, that go on when the database comes back."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from multiprocessing.managers import RemoteError
from threading import Event
from typing import Any

from pymongo.errors import PyMongoError

from mlip_fw.mongo_sentences import explain

logger = logging.getLogger("mlip_fw")
_AGAIN_S = 5.0


def persistent(ping: Callable[..., None], again_s: float = _AGAIN_S) -> Callable[..., None]:
    """Return the function of a heartbeat thread, begun again each time that the database ended it.

    FireWorks' own end with the first sign of life that fails, and a run that lives on is then taken for lost.

    Parameters
    ----------
    ping
        ``ping_launch`` or ``ping_multilaunch`` of FireWorks: gives signs of life until an event that is
        among its arguments.
    again_s
        Time until it is begun again, s.
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
