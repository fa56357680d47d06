"""``retry-labels``: compute failed labels again."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from mlip_fw.cli.app import EXIT_STOPPED, RECOVERY, app
from mlip_fw.cli.common import (
    add_to_launchpad,
    explain_database_errors,
    find_campaign,
    load_fworker,
    load_launchpad,
    log_to_stderr,
)
from mlip_fw.cli.fireworks_import import import_fireworks
from mlip_fw.cli.progress import working
from mlip_fw.errors import DirectoryError
from mlip_fw.runtime.stdout import claim_stdout

_WHICH = typer.Argument(None, help="campaign directory; default: the one in this folder", metavar="[CAMPAIGN]")


@app.command(rich_help_panel=RECOVERY)
def retry_labels(
    campaign: str | None = _WHICH,
    label: list[str] | None = typer.Option(None, "--label", help="only this label (may be repeated)"),
    changed: Path | None = typer.Option(None, "--with", help="campaign file with changed limits"),
    fworker: Path | None = typer.Option(None, "--fworker", "-w", help="my_fworker.yaml"),
    to_launchpad: bool = typer.Option(
        False, "--add", help="add the labels to the LaunchPad instead of computing them here"
    ),
    launchpad: Path | None = typer.Option(None, "--launchpad", "-l", help="my_launchpad.yaml"),
    as_json: bool = typer.Option(False, "--json", help="print JSON on standard output"),
) -> None:
    """Retry failed labels after fixing the cause; resume the campaign with `mlip-fw run` afterwards."""
    log_to_stderr()
    answer = claim_stdout() if as_json else None
    import_fireworks()
    from mlip_fw.firetasks.base import read_worker
    from mlip_fw.io.campaign_file import read_campaign
    from mlip_fw.launcher.retry import retry_handoffs, retry_locally, retry_workflow, with_stored_paths

    directory = find_campaign(campaign)
    if changed is not None:
        with directory.locked():
            directory.claim(read_campaign(changed))
    handoffs = retry_handoffs(directory, label or [])
    on_filepad = directory.read_campaign().files == "filepad"
    if on_filepad and not to_launchpad:
        raise DirectoryError(
            f"the files of {directory.root} are on the LaunchPad (files: filepad); use --add to have workers label"
        )
    if to_launchpad:
        if on_filepad:
            from mlip_fw.launchpad.filepad.pull import path_map_of

            with explain_database_errors(pad := load_launchpad(launchpad)):
                handoffs = with_stored_paths(handoffs, path_map_of(pad, directory))
        if handoffs:
            add_to_launchpad(retry_workflow(handoffs), launchpad)
        typer.echo(f"added {len(handoffs)} labels to the LaunchPad")
        return
    states = {}
    with working("labels") as tell:
        tell(done=0, total=len(handoffs))
        for name, state in retry_locally(handoffs, read_worker(load_fworker(fworker).env)):
            states[name] = state
            tell(done=len(states))
    failed = [name for name, state in states.items() if state == "quarantined"]
    if as_json:
        typer.echo(json.dumps(states), file=answer)
    elif not states:
        typer.echo("there are no failed labels")
    else:
        typer.echo(f"{len(states) - len(failed)} of {len(states)} labels computed")
        for name in failed:
            typer.echo(f"{name} failed again; see {directory.root / 'quarantine' / name}.json")
        if failed and changed is None:
            typer.echo("limits were those of the directory's campaign.yaml; --with takes a campaign file with others")
    if failed:
        raise typer.Exit(EXIT_STOPPED)
