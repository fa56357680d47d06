"""``export`` and ``rebuild``: a potential to hand on, and the proof that it can be made again."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import typer

from mlip_fw.cli.app import CAMPAIGNS, EXIT_STOPPED, OTHERS, app
from mlip_fw.cli.common import find_campaign, log_to_stderr
from mlip_fw.cli.progress import working
from mlip_fw.surroundings import require_utf8

_WHICH = typer.Argument(None, help="campaign directory; default: the one in this folder", metavar="[CAMPAIGN]")
_EXPORT = typer.Argument(..., help="a folder that `mlip-fw export` wrote", metavar="DIR")
_JSON = typer.Option(False, "--json", help="print JSON on standard output")


@app.command(rich_help_panel=CAMPAIGNS)
def export(
    campaign: str | None = _WHICH,
    output: Path = typer.Option(..., "--output", "-o", help="folder to write"),
    generation: int | None = typer.Option(
        None, "--generation", min=0, metavar="N", help="generation to export; default: the newest"
    ),
    as_json: bool = _JSON,
) -> None:
    """Write a potential with its active set, dataset, examples and model card to a folder."""
    from mlip_fw.export.folder import export_campaign

    log_to_stderr()
    require_utf8(output, "the folder to write", "give another one with --output")
    with working(f"writing {output}"):
        card = export_campaign(find_campaign(campaign), output, generation)
    if as_json:
        typer.echo(card.model_dump_json())
        return
    typer.echo(f"{output}: generation {card.generation} of {card.campaign}, {card.labels} labels; start with README.md")


@app.command(rich_help_panel=OTHERS)
def rebuild(
    folder: Path = _EXPORT,
    output: Path | None = typer.Option(
        None, "--output", "-o", help="folder for the retrained generations; default: a temporary one"
    ),
    as_json: bool = _JSON,
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
