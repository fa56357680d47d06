"""The typer application, to which each command module adds its command, and the general options."""

from __future__ import annotations

import signal
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from mlip_fw import __version__
from mlip_fw.runtime.environment import require_assertions, require_current_folder

EXIT_ERROR = 1
EXIT_STOPPED = 3
EXIT_INTERRUPTED = 128 + signal.SIGINT
TRACEBACK = "--traceback"
CAMPAIGNS, CLUSTER, RECOVERY, OTHERS = "Campaigns", "On a cluster", "Recovery", "Others"
"""Groups of commands in ``mlip-fw --help``."""
_ORDER = (
    *("init", "check", "run", "status", "web", "report", "validate", "export"),
    *("add", "workflow", "rlaunch", "pull", "db"),
    *("recover", "retry-labels"),
    *("doctor", "rebuild"),
)


class _Ordered(TyperGroup):
    """Lists the commands in the order in which users need them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=_ORDER.index)


app = typer.Typer(
    name="mlip-fw",
    cls=_Ordered,
    help="On-the-fly active learning of ACE potentials: MD halts where the potential extrapolates, the potential is "
    "retrained on new reference calculations, and MD resumes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mlip-fw {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="print the version"),
    with_traceback: bool = typer.Option(False, TRACEBACK, help="show the Python traceback of an error"),
) -> None:
    """Options of every command."""
    if "--help" not in sys.argv:
        require_assertions()
        require_current_folder()
