"""``init``: something to start from."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import typer

from mlip_fw.cli.app import app
from mlip_fw.errors import DirectoryError
from mlip_fw.io.files import write_text

_FILES = ("campaign.yaml", "my_launchpad.yaml", "fw_configs/FW_config.yaml", "fw_configs/my_fworker.yaml")


@app.command()
def init(folder: Path = typer.Argument(..., help="folder to make", metavar="DIR")) -> None:
    """Write a campaign, fw_configs/ and my_launchpad.yaml to start from; no file is overwritten."""
    taken = [name for name in _FILES if (folder / name).exists()]
    if taken:
        raise DirectoryError(f"{folder} already has {', '.join(taken)}; nothing was written")
    templates = resources.files("mlip_fw.cli") / "templates"
    for name in _FILES:
        write_text(folder / name, (templates / name).read_text())
        typer.echo(str(folder / name))
