"""The list of campaigns that pages show: those in folders of this machine and those on the LaunchPad."""

from __future__ import annotations

import hashlib
import logging
import math
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import pymongo
from pymongo.errors import PyMongoError

from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.launchpad.advice import explain
from mlip_fw.launchpad.names import WorkKey
from mlip_fw.launchpad.queries import CampaignQueries, StoredCampaign
from mlip_fw.views.web.background_cache import BackgroundCache

Answer = TypeVar("Answer")
DATABASE_TIMEOUT_S = 4.0
"""Time limit of a query to the database."""
_REFRESH_S = 2.0
"""Time between two queries for the campaigns on the LaunchPad."""
_RETRY_S = 15.0
"""The same while the database does not answer."""
_MAX_KEY = 40
logger = logging.getLogger("mlip_fw")


@dataclass(frozen=True)
class CampaignEntry:
    """A campaign in the list."""

    key: str
    """Its name in URLs: letters, digits, dots and dashes."""
    name: str
    directory: CampaignDirectory | None
    """None where its files are not on this machine."""
    stored: StoredCampaign | None
    """None where it is not on the LaunchPad."""


class CampaignIndex:
    """All campaigns, searched again on each request; one that was found stays in the list if its folder vanishes.

    Parameters
    ----------
    folders
        Campaign directories, or folders that contain campaign directories.
    store
        The LaunchPad, if there is one.
    cache
        Runs the queries in the background.
    """

    def __init__(self, folders: Sequence[Path], store: CampaignQueries | None, cache: BackgroundCache) -> None:
        self._folders, self.store, self._cache = [folder.absolute() for folder in folders], store, cache
        self._found: dict[Path, None] = {}
        self._stored: list[StoredCampaign] = []
        self._queried_at, self._lock = -math.inf, threading.Lock()
        self.is_answering = True
        """Whether the database answered the last query."""
        self.trouble = ""
        """Why it did not, in words."""

    @property
    def launchpad_error(self) -> str:
        """Why the LaunchPad does not answer at present; empty if it does or there is none."""
        return "" if self.is_answering else self.trouble

    def all(self) -> list[CampaignEntry]:
        """Return all campaigns, by name."""
        with self._lock:
            self._search_folders()
            self._query_campaigns()
            return _with_keys([*self._entries_here(), *self._entries_elsewhere()])

    def find(self, key: str) -> CampaignEntry | None:
        """Return the campaign with this key, or None; no other part of a URL leads to a file."""
        return next((entry for entry in self.all() if entry.key == key), None)

    def ask(self, query: Callable[[CampaignQueries, StoredCampaign], Answer], stored: StoredCampaign) -> Answer | None:
        """Return the answer of the LaunchPad, or None if there is none or it does not answer in time."""
        if self.store is None or not self.is_answering:
            return None
        try:
            with pymongo.timeout(DATABASE_TIMEOUT_S):
                return query(self.store, stored)
        except Exception as error:
            self._note_launchpad_error(error)
            return None

    def links(self, stored: StoredCampaign) -> dict[WorkKey, int]:
        """Return the numbers of a campaign's Fireworks; they are queried again when there are more."""
        n_fireworks = sum(stored.counts.values())
        return (
            self.cached_answer("links", n_fireworks, lambda store, at: store.links(at.name, at.directory), stored) or {}
        )

    def cached_answer(
        self,
        what: str,
        stamp: object,
        query: Callable[[CampaignQueries, StoredCampaign], Answer],
        stored: StoredCampaign,
    ) -> Answer | None:
        """Return the answer of the LaunchPad; it is queried again when ``stamp`` changes, and keeps its last answer."""
        name = (what, stored.directory)
        before: tuple[object, Answer | None] = self._cache.known(name) or (None, None)
        if before[0] == stamp:
            return before[1]

        def ask() -> tuple[object, Answer | None]:
            found = self.ask(query, stored)
            return before if found is None else (stamp, found)

        return (self._cache.result(name, ask) or before)[1]

    def _note_launchpad_error(self, error: Exception) -> None:
        was_answering, self.is_answering, self._queried_at = self.is_answering, False, time.monotonic()
        if isinstance(error, PyMongoError) and self.store is not None:
            self.trouble = explain(error, self.store.launchpad, in_public=True)
            message = explain(error, self.store.launchpad)
        else:
            self.trouble = message = f"the LaunchPad holds something that can't be read ({type(error).__name__})"
        if was_answering:
            logger.warning(message)

    def _search_folders(self) -> None:
        for folder in self._folders:
            self._found.update(dict.fromkeys(campaigns_in(folder)))

    def _query_campaigns(self) -> None:
        now = time.monotonic()
        if self.store is None or now - self._queried_at < (_REFRESH_S if self.is_answering else _RETRY_S):
            return
        store = self.store
        self._cache.result("campaigns", lambda: self._fetch(store))

    def _fetch(self, store: CampaignQueries) -> None:
        try:
            with pymongo.timeout(DATABASE_TIMEOUT_S):
                self._stored, self.is_answering = store.campaigns(), True
            self._queried_at = time.monotonic()
        except Exception as error:
            self._note_launchpad_error(error)

    def _entries_here(self) -> list[CampaignEntry]:
        by_directory = {stored.directory: stored for stored in self._stored}
        found = []
        for root in self._found:
            stored = by_directory.get(str(root)) or self._with_files_on_launchpad(root.name)
            found.append(CampaignEntry("", root.name, CampaignDirectory(root), stored))
        return found

    def _with_files_on_launchpad(self, name: str) -> StoredCampaign | None:
        matching = [stored for stored in self._stored if stored.files == "filepad" and stored.name == name]
        return matching[0] if len(matching) == 1 else None

    def _entries_elsewhere(self) -> list[CampaignEntry]:
        here = {str(root) for root in self._found}
        matched = {entry.stored.directory for entry in self._entries_here() if entry.stored is not None}
        found = []
        for stored in self._stored:
            if stored.directory in here or stored.directory in matched:
                continue
            root = _readable(stored.directory)
            found.append(CampaignEntry("", stored.name, CampaignDirectory(root) if root is not None else None, stored))
        return found


def campaigns_in(folder: Path) -> list[Path]:
    """Return the campaign directories in a folder, and the folder itself if it is one."""
    try:
        folders = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
        return [path for path in folders if (path / "events.jsonl").is_file()]
    except OSError:
        return []


def _readable(directory: str | None) -> Path | None:
    """Return the directory that a Firework names, if it exists here and holds a campaign."""
    if not directory or not directory.startswith("/") or "\x00" in directory:
        return None
    try:
        return Path(directory) if (Path(directory) / "campaign.yaml").is_file() else None
    except OSError:
        return None


def _with_keys(entries: Iterable[CampaignEntry]) -> list[CampaignEntry]:
    ordered = sorted(entries, key=lambda entry: (entry.name, _location(entry)))
    n_with_slug = Counter(_slug(entry.name) for entry in ordered)
    return [replace(entry, key=_key(entry, is_only=n_with_slug[_slug(entry.name)] == 1)) for entry in ordered]


def _key(entry: CampaignEntry, *, is_only: bool) -> str:
    slug = _slug(entry.name)
    if is_only and slug == entry.name:
        return slug
    suffix = hashlib.sha256(f"{entry.name}\n{_location(entry)}".encode(errors="replace")).hexdigest()[:8]
    return f"{slug}-{suffix}" if slug else suffix


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:_MAX_KEY].strip(".-")


def _location(entry: CampaignEntry) -> str:
    if entry.directory is not None:
        return str(entry.directory.root)
    return (entry.stored.directory if entry.stored is not None else None) or ""
