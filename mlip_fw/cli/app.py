"""The application that every command adds itself to, and its general options."""

from __future__ import annotations

import signal

import typer

from mlip_fw import __version__

EXIT_ERROR = 1
EXIT_STOPPED = 3
EXIT_INTERRUPTED = 128 + signal.SIGINT
TRACEBACK = "--traceback"

app = typer.Typer(
    name="mlip-fw",
    help="On-the-fly active learning of ACE potentials: MD that halts, mends its potential and goes on.",
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
    with_traceback: bool = typer.Option(False, TRACEBACK, help="show where an error comes from"),
) -> None:
    """Options of every command."""
