"""``rebuild``: retrain an exported potential from its dataset, to show that it can be reproduced."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import typer

from mlip_fw.cli.app import EXIT_STOPPED, OTHERS, app
from mlip_fw.cli.common import log_to_stderr
from mlip_fw.cli.progress import working
from mlip_fw.runtime.environment import require_utf8

_EXPORT = typer.Argument(..., help="a folder that `mlip-fw export` wrote", metavar="DIR")


@app.command(rich_help_panel=OTHERS)
def rebuild(
    folder: Path = _EXPORT,
    output: Path | None = typer.Option(
        None, "--output", "-o", help="folder for the retrained generations; default: a temporary one"
    ),
    as_json: bool = typer.Option(False, "--json", help="print JSON on standard output"),
) -> None:
    """Retrain an exported potential from its dataset and compare all coefficients."""
    from mlip_fw.export import rebuild as rebuilding

    log_to_stderr()
    for path in (folder, output or folder):
        require_utf8(path, "the exported potential", "rename that folder")
    with TemporaryDirectory(prefix="mlip-fw-rebuild-") as scratch, working(f"reading {folder}") as tell:
        target = output if output is not None else Path(scratch)
        for number in rebuilding.rebuild(folder, target):
            tell(f"retraining: generation {number} done")
        found = rebuilding.compare(folder, target)
    if as_json:
        facts = {"identical": found.is_identical, "largest_difference": found.largest_difference}
        typer.echo(json.dumps({**facts, "same_active_set": found.same_active_set}))
    elif found.is_identical:
        typer.echo("identical, bit for bit: coefficients and active set")
    else:
        same = "is the same" if found.same_active_set else "differs"
        typer.echo(
            f"coefficients differ by up to {found.largest_difference:.2g} of the largest, the active set {same}; "
            "other processors and library versions round differently: see versions in model.json"
        )
    if not found.is_identical:
        raise typer.Exit(EXIT_STOPPED)
