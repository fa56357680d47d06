"""The level of theory of a campaign: recorded once, the same for every label."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from pathlib import Path
from typing import Any

from mlip_fw.engines.oracle.label import level_of_theory
from mlip_fw.errors import DirectoryError, WorkerError
from mlip_fw.io.files import write_json
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.worker import Worker


def campaign_level(path: Path, campaign: Campaign, worker: Worker) -> dict[str, Any]:
    """Return the level of theory that the campaign began with; the first to ask records this worker's.

    Parameters
    ----------
    path
        File of the record, ``level_of_theory.json``.

    Raises
    ------
    DirectoryError
        If the record is damaged.
    """
    known = read_level(path)
    if known is None:
        _record_once(path, level_of_theory(campaign.oracle, worker, campaign.elements))
        known = read_level(path)
    assert known is not None
    return known


def _record_once(path: Path, level: dict[str, Any]) -> None:
    """Write a file that is whole from its first moment, unless another process has."""
    own = path.with_name(f".writing-{path.name}-{uuid.uuid4().hex[:8]}")
    write_json(own, level)
    with contextlib.suppress(FileExistsError):
        os.link(own, path)
    own.unlink()


def read_level(path: Path) -> dict[str, Any] | None:
    """Return a recorded level of theory, or None if there is none yet."""
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DirectoryError(f"{path} is damaged ({error}); restore it") from error
    if not isinstance(found, dict):
        raise DirectoryError(f"{path} is damaged (it holds no mapping); restore it")
    return found


def require_campaign_level(level: dict[str, Any], campaign: Campaign, worker: Worker) -> None:
    """Refuse a worker whose files make labels of another level of theory.

    Raises
    ------
    WorkerError
        If it does; names what differs.
    """
    here = level_of_theory(campaign.oracle, worker, campaign.elements)
    differing = [key for key in sorted({*level, *here}) if level.get(key) != here.get(key)]
    if differing:
        raise WorkerError(
            f"this worker would label at another level of theory than the campaign began with: {', '.join(differing)} "
            "differ from level_of_theory.json (a pseudopotential with other contents, perhaps); give it the same files"
        )
