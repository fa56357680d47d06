"""The command line: ``mlip-fw``."""

from __future__ import annotations

import sys
import traceback

import typer

from mlip_fw import __version__
from mlip_fw.errors import MlipError

EXIT_ERROR = 1
_TRACEBACK = "--traceback"

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
    with_traceback: bool = typer.Option(False, _TRACEBACK, help="show where an error comes from"),
) -> None:
    """Options of every command."""


def main() -> None:
    """Run the command line; errors are one paragraph and exit code 1."""
    from mlip_fw.cli import look, machine, run, start  # noqa: F401  each adds its commands

    wants_traceback = _TRACEBACK in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != _TRACEBACK]
    try:
        app()
    except MlipError as error:
        _report(str(error), wants_traceback)
    except KeyboardInterrupt:
        _report("interrupted; the same command goes on from there", wants_traceback)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(EXIT_ERROR)
    except Exception as error:
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        _report(f"{said}. This should not happen; {_TRACEBACK} shows where it comes from", wants_traceback)


def _report(message: str, wants_traceback: bool) -> None:
    if wants_traceback:
        traceback.print_exc()
    print(f"error: {message}", file=sys.stderr)
    sys.exit(EXIT_ERROR)
