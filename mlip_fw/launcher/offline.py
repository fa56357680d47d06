"""Fireworks on compute nodes that can't reach the database: collecting the results of FireWorks' offline mode.

``qlaunch --reserve`` writes a Firework to a folder, ``rlaunch singleshot --offline`` runs it there and writes the
result to ``FW_offline.json``, and :func:`collect_offline_runs` transfers that to the LaunchPad.
"""

from __future__ import annotations

import datetime
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fireworks import LaunchPad

logger = logging.getLogger("mlip_fw")
_RESULT, _PING = "FW_offline.json", "FW_ping.json"


@dataclass(frozen=True)
class OfflineRun:
    """State of an offline run, read from its folder."""

    fw_id: int
    launch_id: int
    state: str
    """RUNNING, COMPLETED or FIZZLED."""
    alive: datetime.datetime
    """Time of its last heartbeat."""


def read_offline_runs(launchpad: LaunchPad) -> Iterator[OfflineRun]:
    """Yield the state of each offline run that is not over for the LaunchPad.

    Runs that still wait in the queue are left out, and so are files that are half written or belong to another launch.
    """
    # read all at once: the cursor would time out while a slow file system answers
    for run in list(launchpad.offline_runs.find({"completed": False, "deprecated": False})):
        folder = Path(launchpad.get_launch_by_id(run["launch_id"]).launch_dir)
        news = _read(folder / _RESULT)
        if news.get("launch_id") == run["launch_id"] and "started_on" in news:
            state = news["state"] if "fwaction" in news else "RUNNING"
            yield OfflineRun(run["fw_id"], run["launch_id"], state, _last_change(folder / _RESULT, folder / _PING))


def collect_offline_runs(launchpad: LaunchPad) -> list[OfflineRun]:
    """Transfer the state of all offline runs to the LaunchPad, and return what was transferred.

    Unlike ``lpad recover_offline`` it never takes a half written file for a failure, and it keeps the time of the last
    heartbeat, by which lost runs are found.
    """
    return [news for news in list(read_offline_runs(launchpad)) if _transfer(launchpad, news)]


def _transfer(launchpad: LaunchPad, news: OfflineRun) -> bool:
    """Transfer the state of one run; return False if FireWorks could not."""
    if launchpad.recover_offline(news.launch_id, ignore_errors=True, print_errors=True) is not None:
        return False
    if news.state == "RUNNING":
        launchpad.ping_launch(news.launch_id, ptime=news.alive)
    logger.info("Firework %d: offline run is %s", news.fw_id, news.state)
    return True


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _last_change(*paths: Path) -> datetime.datetime:
    changed = max(path.stat().st_mtime for path in paths if path.exists())
    return datetime.datetime.fromtimestamp(changed, tz=datetime.UTC)
