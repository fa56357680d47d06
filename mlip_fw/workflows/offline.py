"""Fireworks on compute nodes that don't reach the database: FireWorks' offline mode, mended from outside.

``qlaunch --reserve`` writes what is to run to a folder, ``rlaunch singleshot --offline`` runs it there and
leaves what came of it in ``FW_offline.json``, and :func:`collect_offline` takes that to the LaunchPad.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fireworks import LaunchPad
from fireworks.core import rocket

logger = logging.getLogger("mlip_fw")
_NEWS, _PING = "FW_offline.json", "FW_ping.json"


@dataclass(frozen=True)
class OfflineNews:
    """What a folder says of a Firework that runs, or ran, without the database."""

    fw_id: int
    launch_id: int
    state: str
    """RUNNING, COMPLETED or FIZZLED."""
    alive: datetime.datetime
    """Its last sign of life."""


def mend_offline_mode() -> None:
    """Let ``rlaunch --offline`` open its files, where FireWorks and monty disagree on how to.

    FireWorks (2.1.4) opens ``FW_offline.json`` without a mode, which monty refuses since 2026.
    """
    opens = rocket.zopen
    if not _needs_a_mode(opens):
        return

    def zopen(filename: str | os.PathLike[str], mode: str = "rt", **options: Any) -> IO[Any]:
        stream: IO[Any] = opens(filename, mode, **options)
        return stream

    rocket.zopen = zopen


def offline_news(launchpad: LaunchPad) -> Iterator[OfflineNews]:
    """Yield what there is to know of each offline run that the LaunchPad has not yet seen the end of.

    A run that waits in the queue has no news, nor has a file that is being written just now, or that
    another launch has taken over.
    """
    # all at once: a slow file system must not outlast the cursor
    for run in list(launchpad.offline_runs.find({"completed": False, "deprecated": False})):
        folder = Path(launchpad.get_launch_by_id(run["launch_id"]).launch_dir)
        news = _read(folder / _NEWS)
        if news.get("launch_id") == run["launch_id"] and "started_on" in news:
            state = news["state"] if "fwaction" in news else "RUNNING"
            yield OfflineNews(run["fw_id"], run["launch_id"], state, _last_change(folder / _NEWS, folder / _PING))


def collect_offline(launchpad: LaunchPad) -> list[OfflineNews]:
    """Take the news of all offline runs to the LaunchPad, and return what it took.

    Unlike ``lpad recover_offline`` it never takes a file that is half written for a failure, and keeps the
    last sign of life, by which lost runs are found.
    """
    return [news for news in list(offline_news(launchpad)) if _taken(launchpad, news)]


def _taken(launchpad: LaunchPad, news: OfflineNews) -> bool:
    if launchpad.recover_offline(news.launch_id, ignore_errors=True, print_errors=True) is not None:
        return False
    if news.state == "RUNNING":
        launchpad.ping_launch(news.launch_id, ptime=news.alive)
    logger.info("Firework %d: offline run is %s", news.fw_id, news.state)
    return True


def _needs_a_mode(opens: Any) -> bool:
    try:
        opens(os.devnull).close()
    except (TypeError, RuntimeError):
        return True
    return False


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _last_change(*paths: Path) -> datetime.datetime:
    changed = max(path.stat().st_mtime for path in paths if path.exists())
    return datetime.datetime.fromtimestamp(changed, tz=datetime.UTC)
