"""``db``: the LaunchPad server for one machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mlip_fw.cli.app import CLUSTER, app
from mlip_fw.cli.fireworks_import import import_fireworks

if TYPE_CHECKING:
    from mlip_fw.launchpad.server.control import ServerFacts

db = typer.Typer(help="LaunchPad server for a single machine without MongoDB.", no_args_is_help=True)
app.add_typer(db, name="db", rich_help_panel=CLUSTER)

_DIR = typer.Option(
    None, "--dir", help="folder of the database; default: mlip_fw/launchpad in $XDG_DATA_HOME or ~/.local/share"
)
_JSON = typer.Option(False, "--json", help="print JSON on standard output")


@db.command()
def start(
    directory: Path | None = _DIR,
    port: int = typer.Option(0, min=0, max=65535, help="port on 127.0.0.1; 0: the last one used, or a free one"),
    foreground: bool = typer.Option(
        False, "--foreground", help="stay in the foreground; stop the server when interrupted"
    ),
    as_json: bool = _JSON,
) -> None:
    """Start the server and write its my_launchpad.yaml; a new database is initialized."""
    import_fireworks()
    from mlip_fw.launcher.local_server import serve_until_signal, server_status, start_server
    from mlip_fw.launchpad.server.data_directory import default_directory

    folder = directory or default_directory()
    was_running = server_status(folder) is not None

    def say(facts: ServerFacts) -> None:
        if as_json:
            typer.echo(json.dumps(_as_json(facts)))
        else:
            typer.echo(_introduction(facts, was_running=was_running))

    if foreground:
        serve_until_signal(folder, port=port, say=say)
    else:
        say(start_server(folder, port=port))


@db.command()
def stop(directory: Path | None = _DIR, as_json: bool = _JSON) -> None:
    """Stop the server; the database is kept."""
    from mlip_fw.launcher.local_server import stop_server
    from mlip_fw.launchpad.server.data_directory import default_directory

    facts = stop_server(directory or default_directory())
    if as_json:
        typer.echo(json.dumps({"stopped": facts is not None}))
    else:
        typer.echo("no server was running" if facts is None else f"stopped the server of {facts.directory}")


@db.command()
def status(directory: Path | None = _DIR, as_json: bool = _JSON) -> None:
    """Show whether the server runs, and where."""
    from mlip_fw.launcher.local_server import server_status
    from mlip_fw.launchpad.server.data_directory import default_directory

    facts = server_status(directory or default_directory())
    if as_json:
        typer.echo(json.dumps({"running": False} if facts is None else _as_json(facts)))
    elif facts is None:
        typer.echo(f"no server runs for {directory or default_directory()}")
    else:
        typer.echo(f"process {facts.pid} listens on 127.0.0.1:{facts.port} for {facts.launchpad_file}")


def _introduction(facts: ServerFacts, *, was_running: bool) -> str:
    return (
        f"the LaunchPad server {'is already running' if was_running else 'is running'} on 127.0.0.1:{facts.port}, "
        f"process {facts.pid}\n"
        f"use it:  lpad -l {facts.launchpad_file} get_wflows\n"
        f"or copy {facts.launchpad_file} to where you work\n"
        "it serves this user on this machine only; for several machines use MongoDB"
    )


def _as_json(facts: ServerFacts) -> dict[str, Any]:
    return {
        "running": True,
        "directory": str(facts.directory),
        "port": facts.port,
        "pid": facts.pid,
        "launchpad_file": str(facts.launchpad_file),
    }
