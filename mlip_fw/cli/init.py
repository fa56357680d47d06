"""``init``: a campaign file, worker files and queue adapters to start from."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from importlib import resources
from pathlib import Path

import typer

from mlip_fw.cli.app import CAMPAIGNS, app
from mlip_fw.errors import DirectoryError
from mlip_fw.runtime.environment import require_utf8

_CATEGORIES = ("md", "dft", "train")
_WORKERS = ("my_fworker.yaml", *(f"my_fworker_{category}.yaml" for category in _CATEGORIES))
_FILES = ("campaign.yaml", "my_launchpad.yaml", "fw_configs/FW_config.yaml", *(f"fw_configs/{n}" for n in _WORKERS))


class QueueSystem(StrEnum):
    """A batch system for which queue adapters are provided."""

    SLURM = "slurm"
    PBS = "pbs"
    SGE = "sge"


@app.command(rich_help_panel=CAMPAIGNS)
def init(
    folder: Path = typer.Argument(..., help="folder to create", metavar="DIR"),
    queue: QueueSystem = typer.Option(QueueSystem.SLURM, "--queue", help="batch system of the queue adapters"),
) -> None:
    """Write a campaign file, fw_configs/ and my_launchpad.yaml to start from; overwrites nothing."""
    from mlip_fw.io.files import write_text

    require_utf8(folder, "the folder to make", "give it another name")
    texts = {name: _filled_in(name, folder) for name in _FILES}
    texts |= {f"fw_configs/{name}": _filled_in(source, folder) for name, source in _adapters(queue).items()}
    taken = [name for name in texts if (folder / name).exists()]
    if taken:
        raise DirectoryError(f"{folder} already has {', '.join(taken)}; nothing was written")
    for name, text in texts.items():
        write_text(folder / name, text, private=name == "my_launchpad.yaml")
        typer.echo(str(folder / name))


def _adapters(queue: QueueSystem) -> dict[str, str]:
    """Return name and template of each queue adapter."""
    below = "" if queue is QueueSystem.SLURM else f"{queue.value}/"
    names = [f"my_qadapter_{category}.yaml" for category in _CATEGORIES]
    return {name: f"fw_configs/{below}{name}" for name in names}


def _filled_in(name: str, folder: Path) -> str:
    """Return a template with absolute paths filled in: batch jobs start in another folder."""
    text = (resources.files("mlip_fw.cli") / "templates" / name).read_text()
    paths = {"/path/to/project": folder.absolute(), "/path/to/venv/bin": Path(sys.executable).parent}
    for placeholder, path in paths.items():
        text = text.replace(placeholder, shlex.quote(str(path)))
    return text
