"""``export``: a potential with all that belongs to it, as a folder to hand on."""

from __future__ import annotations

from pathlib import Path

import typer

from mlip_fw.cli.app import CAMPAIGNS, app
from mlip_fw.cli.common import find_campaign, log_to_stderr
from mlip_fw.cli.progress import working
from mlip_fw.runtime.environment import require_utf8

_WHICH = typer.Argument(None, help="campaign directory; default: the one in this folder", metavar="[CAMPAIGN]")


@app.command(rich_help_panel=CAMPAIGNS)
def export(
    campaign: str | None = _WHICH,
    output: Path = typer.Option(..., "--output", "-o", help="folder to write"),
    generation: int | None = typer.Option(
        None, "--generation", min=0, metavar="N", help="generation to export; default: the newest"
    ),
    as_json: bool = typer.Option(False, "--json", help="print JSON on standard output"),
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
