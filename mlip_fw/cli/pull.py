"""``pull``: fetch the files of a campaign with ``files: filepad``."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from mlip_fw.cli.app import CLUSTER, app
from mlip_fw.cli.common import explain_database_errors, load_launchpad, log_to_stderr
from mlip_fw.cli.fireworks_import import import_fireworks
from mlip_fw.cli.progress import working
from mlip_fw.runtime.environment import require_utf8


@app.command(rich_help_panel=CLUSTER)
def pull(
    campaign: str | None = typer.Argument(
        None, help="campaign name, or the directory it was added with; default: the only one", metavar="[CAMPAIGN]"
    ),
    directory: Path | None = typer.Option(
        None, "--dir", help="target folder; default: the campaign's name in this folder"
    ),
    launchpad: Path | None = typer.Option(None, "--launchpad", "-l", help="my_launchpad.yaml"),
    remove: bool = typer.Option(
        False, "--remove", help="then remove the files from the LaunchPad if the campaign has ended"
    ),
    as_json: bool = typer.Option(False, "--json", help="print JSON on standard output"),
) -> None:
    """Fetch the new files of a campaign with `files: filepad`, for status, report and the other commands."""
    log_to_stderr()
    import_fireworks()
    from mlip_fw.launchpad.filepad.pull import pull_campaign as pull_files
    from mlip_fw.launchpad.filepad.pull import remove_published

    require_utf8(directory or Path(), "the folder to bring files to", "give another one with --dir")
    pad = load_launchpad(launchpad)
    with explain_database_errors(pad), working("fetching files"):
        copy = pull_files(pad, campaign, directory)
        if remove:
            remove_published(pad, copy)
    n_bytes = sum(filed.size for filed in copy.fetched)
    if as_json:
        typer.echo(json.dumps({"directory": str(copy.root), "files": len(copy.fetched), "bytes": n_bytes}))
    else:
        typer.echo(f"{copy.root}: {len(copy.fetched)} files fetched, {n_bytes / 1e6:.1f} MB")
