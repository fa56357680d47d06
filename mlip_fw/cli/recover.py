"""``recover``: repair what faults have left on a LaunchPad."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from mlip_fw.cli.app import RECOVERY, app
from mlip_fw.cli.common import explain_database_errors, load_launchpad, log_to_stderr, printable
from mlip_fw.cli.fireworks_import import import_fireworks


@app.command(rich_help_panel=RECOVERY)
def recover(
    launchpad: Path | None = typer.Option(None, "--launchpad", "-l", help="my_launchpad.yaml"),
    dry_run: bool = typer.Option(False, "--dry-run", help="show what would be done; change nothing"),
    silent_s: float | None = typer.Option(
        None, "--silent", min=0, help="treat a run as lost after this long without a sign of life, s"
    ),
    timeout_s: float = typer.Option(
        15, "--patience", min=0, help="treat the lock of a workflow as stale after this long, s"
    ),
    as_json: bool = typer.Option(False, "--json", help="print JSON on standard output"),
) -> None:
    """Recover Fireworks stopped by lost workers, cancelled jobs or database outages; safe to run from cron."""
    log_to_stderr()
    import_fireworks()
    from rich.console import Console
    from rich.table import Table

    from mlip_fw.launcher.recover import recover as recover_launchpad

    pad = load_launchpad(launchpad, read_only=dry_run)
    with explain_database_errors(pad):
        findings = list(recover_launchpad(pad, dry_run=dry_run, heartbeat_s=silent_s, timeout_s=timeout_s))
    if as_json:
        keys = ("kind", "fw_id", "name", "what")
        plain = [{**{key: getattr(f, key) for key in keys}, "mended": f.repair is not None} for f in findings]
        typer.echo(json.dumps(plain))
        return
    if not findings:
        typer.echo("nothing to recover")
        return
    table = Table("Firework", "name", "found", "why", title_justify="left")
    for finding in findings:
        table.add_row(str(finding.fw_id or ""), *map(printable, (finding.name, finding.kind, finding.what)))
    Console(emoji=False).print(table)
    n_repaired = sum(finding.repair is not None for finding in findings)
    typer.echo(
        f"{n_repaired} {'can be recovered' if dry_run else 'recovered'}, {len(findings) - n_repaired} need attention"
    )
