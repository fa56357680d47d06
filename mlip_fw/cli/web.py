"""``web``: campaigns in the browser, beside FireWorks' own GUI."""

from __future__ import annotations

import logging
import os
import stat
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mlip_fw.cli.app import CAMPAIGNS, app
from mlip_fw.cli.common import known_launchpad, load_launchpad, log_to_stderr
from mlip_fw.cli.fireworks_import import import_fireworks
from mlip_fw.errors import DirectoryError, WorkerError

if TYPE_CHECKING:
    from fireworks import LaunchPad

_PASSWORD = "MLIP_FW_WEB_PASSWORD"
_SHORTEST, _LONGEST = 8, 1000
_FOR_OTHERS = stat.S_IRWXG | stat.S_IRWXO
logger = logging.getLogger("mlip_fw")


@app.command(rich_help_panel=CAMPAIGNS)
def web(
    campaigns: list[Path] | None = typer.Argument(
        None,
        help="campaign directories, or folders of campaigns, in addition to the current folder",
        metavar="[CAMPAIGN]...",
    ),
    launchpad: Path | None = typer.Option(None, "--launchpad", "-l", help="my_launchpad.yaml; default: FireWorks' own"),
    host: str = typer.Option(
        "127.0.0.1", "--host", help="address to listen on; any but the loopback address needs a password"
    ),
    port: int = typer.Option(5000, "--port", min=0, max=65535, help="port, or the next free one; 0: any"),
    password_from: Path | None = typer.Option(
        None, "--password-from", help=f"file whose first line is the password; or set {_PASSWORD}"
    ),
    names: list[str] | None = typer.Option(
        None,
        "--name",
        help="host name that browsers use for this server, in addition to the machine's own (may be repeated)",
    ),
    opens: bool = typer.Option(False, "--open", help="open the page in a browser"),
) -> None:
    """Show campaigns in the browser, with FireWorks' own GUI; read-only."""
    log_to_stderr()
    import_fireworks()
    from mlip_fw.views.web.app import create_app
    from mlip_fw.views.web.server import address_of, open_server, serve_until_signal

    host, password = host.removeprefix("[").removesuffix("]"), _password(password_from)
    _require_password(host, password)
    pad = _launchpad(launchpad)
    pages = create_app([Path(), *_existing(campaigns or ())], pad, password=password, names=[host, *(names or ())])
    server = open_server(pages, host, port)
    address = address_of(server)
    typer.echo(f"campaigns: {address}")
    if pad is not None:
        typer.echo(f"FireWorks: {address}fireworks/")
    if password is not None:
        typer.echo("log in with any user name and the password")
    typer.echo("read-only; stop with Ctrl-C")
    if opens:
        webbrowser.open(address)
    serve_until_signal(server)


def _password(path: Path | None) -> str | None:
    if path is None:
        return _long_enough(os.environ[_PASSWORD], _PASSWORD) if _PASSWORD in os.environ else None
    try:
        with path.open() as handle:
            text = handle.readline(_LONGEST)
        if path.stat().st_mode & _FOR_OTHERS:
            logger.warning("%s holds a password and others can read it: chmod 600 %s", path, path)
    except (OSError, UnicodeDecodeError) as error:
        raise WorkerError(f"can't read the password file {path}: {error}") from error
    return _long_enough(text.rstrip("\r\n"), str(path))


def _long_enough(password: str, where: str) -> str:
    if len(password) < _SHORTEST:
        raise WorkerError(f"the password in {where} has {len(password)} characters; at least {_SHORTEST} are needed")
    return password


def _require_password(host: str, password: str | None) -> None:
    from mlip_fw.views.web.allowed_hosts import is_loopback

    if password is None and not is_loopback(host):
        raise WorkerError(
            f"listening on {host} would show your campaigns to others: give a password with --password-from FILE or "
            f"in {_PASSWORD}; or leave out --host and use an ssh tunnel, see docs/how-to/watch-a-campaign.md"
        )


def _launchpad(path: Path | None) -> LaunchPad | None:
    """Return the LaunchPad, or None; a default one that can't be opened is only a warning."""
    if path is not None:
        return load_launchpad(path, read_only=True)
    try:
        return load_launchpad(None, read_only=True) if known_launchpad() is not None else None
    except WorkerError as error:
        logger.warning("%s; only campaigns in folders are shown", error)
        return None


def _existing(campaigns: Sequence[Path]) -> Sequence[Path]:
    from mlip_fw.campaign.directory import CampaignDirectory
    from mlip_fw.views.web.campaign_index import campaigns_in

    for path in campaigns:
        if not campaigns_in(path) and not CampaignDirectory(path).exists():
            raise DirectoryError(f"{path} is not a campaign directory and contains none; name another")
    return campaigns
