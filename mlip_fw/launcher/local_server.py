"""The one-machine LaunchPad server for the rest of mlip_fw: its errors become mlip_fw's.

:mod:`mlip_fw.launchpad.server` imports nothing of mlip_fw, hence raises an error of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from mlip_fw.errors import DirectoryError
from mlip_fw.launchpad.server import control
from mlip_fw.launchpad.server.system import ServerError

P = ParamSpec("P")
R = TypeVar("R")


def _with_our_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Return ``function``, which raises DirectoryError in place of ServerError."""

    @functools.wraps(function)
    def call(*arguments: P.args, **options: P.kwargs) -> R:
        try:
            return function(*arguments, **options)
        except ServerError as error:
            raise DirectoryError(str(error)) from error

    return call


start_server = _with_our_errors(control.start_server)
server_status = _with_our_errors(control.server_status)
stop_server = _with_our_errors(control.stop_server)
serve_until_signal = _with_our_errors(control.serve_until_signal)
