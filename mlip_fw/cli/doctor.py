"""``doctor``: what this machine can do, and what it lacks."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import typer

from mlip_fw.cli.app import EXIT_ERROR, OTHERS, app
from mlip_fw.cli.common import load_fworker, load_launchpad, log_to_stderr
from mlip_fw.cli.fireworks_import import import_fireworks
from mlip_fw.cli.progress import working
from mlip_fw.runtime.stdout import claim_stdout


@app.command(rich_help_panel=OTHERS)
def doctor(
    fworker: Path | None = typer.Option(None, "--fworker", "-w", help="my_fworker.yaml"),
    launchpad: Path | None = typer.Option(None, "--launchpad", "-l", help="my_launchpad.yaml of a database to test"),
    with_qe: bool = typer.Option(False, "--install-qe", help="install Quantum ESPRESSO for this user from PyPI first"),
    as_json: bool = typer.Option(False, "--json", help="print JSON on standard output"),
) -> None:
    """Check this machine: LAMMPS, extrapolation grade, oracles, pacemaker, database, queue."""
    log_to_stderr()
    answer = claim_stdout() if as_json else None
    logging.getLogger("mlip_fw").setLevel(logging.WARNING)
    import_fireworks()
    from mlip_fw.doctor import diagnose_machine
    from mlip_fw.engines.oracle.espresso.install import install_qe

    if with_qe:
        with working("installing Quantum ESPRESSO"):
            install_qe(say=lambda line: typer.echo(line, err=True))

    pad = (lambda: load_launchpad(launchpad, read_only=True)) if launchpad is not None else None
    with working("checking this machine"):
        findings = diagnose_machine(load_fworker(fworker), pad)
    if as_json:
        typer.echo(json.dumps([f.model_dump(mode="json") for f in findings]), file=answer)
    else:
        from mlip_fw.cli.fact_tables import print_facts

        print_facts("this machine", [(f.what, f.found, f.ok) for f in findings])
    if not all(f.ok for f in findings):
        raise typer.Exit(EXIT_ERROR)
