"""Which campaigns there are to be looked at: in folders of this machine, and on the LaunchPad."""

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

from mlip_fw.firework_names import Key
from mlip_fw.layout import CampaignDirectory
from mlip_fw.mongo_sentences import explain
from mlip_fw.store import Store, StoredCampaign
from mlip_fw.web.patience import Errands

Answer = TypeVar("Answer")
ANSWER_S = 4.0
"""So long a page waits for the database."""
_FRESH_S = 2.0
_REST_S = 15.0
_MOST_KEY = 40
logger = logging.getLogger("mlip_fw")


@dataclass(frozen=True)
class Place:
    """A campaign that can be looked at."""

    key: str
    """Its name in addresses: letters, digits, dots and dashes."""
    name: str
    directory: CampaignDirectory | None
    """None where its files are not on this machine."""
    stored: StoredCampaign | None
    """None where it is not on the LaunchPad."""


class Places:
    """All campaigns, found anew whenever somebody asks; one that was here stays in the list when it vanishes.

    Parameters
    ----------
    folders
        Campaign directories, and folders that hold some.
    store
        The LaunchPad, if there is one.
    errands
        Who asks it for what takes longer.
    """

    def __init__(self, folders: Sequence[Path], store: Store | None, errands: Errands) -> None:
        self._folders, self.store, self._errands = [folder.absolute() for folder in folders], store, errands
        self._seen: dict[Path, None] = {}
        self._stored: list[StoredCampaign] = []
        self._asked, self._lock = -math.inf, threading.Lock()
        self.is_answering = True
        """Whether the database answered when it was asked last."""
        self.trouble = ""
        """In words, why it did not."""

    @property
    def silence(self) -> str:
        """In words, why the LaunchPad says nothing just now; empty if it answers or there is none."""
        return "" if self.is_answering else self.trouble

    def all(self) -> list[Place]:
        """Return all campaigns, by name."""
        with self._lock:
            self._look_around()
            self._ask()
            return _with_keys([*self._places_here(), *self._places_elsewhere()])

    def find(self, key: str) -> Place | None:
        """Return the campaign called ``key`` in an address, or None; nothing else of an address leads to a file."""
        return next((place for place in self.all() if place.key == key), None)

    def ask(self, question: Callable[[Store, StoredCampaign], Answer], stored: StoredCampaign) -> Answer | None:
        """Return what the LaunchPad answers, or None where there is none or it does not answer in time."""
        if self.store is None or not self.is_answering:
            return None
        try:
            with pymongo.timeout(ANSWER_S):
                return question(self.store, stored)
        except Exception as error:
            self._note_silence(error)
            return None

    def links(self, stored: StoredCampaign) -> dict[Key, int]:
        """Return the numbers of a campaign's Fireworks, which are asked for anew when there are more."""
        n_fireworks = sum(stored.counts.values())
        return self.kept("links", n_fireworks, lambda store, at: store.links(at.name, at.directory), stored) or {}

    def kept(
        self, what: str, stamp: object, question: Callable[[Store, StoredCampaign], Answer], stored: StoredCampaign
    ) -> Answer | None:
        """Return what the LaunchPad answers, which is asked anew when ``stamp`` changes, or has answered before."""
        name = (what, stored.directory)
        before: tuple[object, Answer | None] = self._errands.known(name) or (None, None)
        if before[0] == stamp:
            return before[1]

        def find() -> tuple[object, Answer | None]:
            found = self.ask(question, stored)
            return before if found is None else (stamp, found)

        return (self._errands.result(name, find) or before)[1]

    def _note_silence(self, error: Exception) -> None:
        was_answering, self.is_answering, self._asked = self.is_answering, False, time.monotonic()
        if isinstance(error, PyMongoError) and self.store is not None:
            self.trouble = explain(error, self.store.launchpad, in_public=True)
            said = explain(error, self.store.launchpad)
        else:
            self.trouble = said = f"the LaunchPad holds something that can't be read ({type(error).__name__})"
        if was_answering:
            logger.warning(said)

    def _look_around(self) -> None:
        for folder in self._folders:
            self._seen.update(dict.fromkeys(campaigns_in(folder)))

    def _ask(self) -> None:
        now = time.monotonic()
        if self.store is None or now - self._asked < (_FRESH_S if self.is_answering else _REST_S):
            return
        store = self.store
        self._errands.result("campaigns", lambda: self._fetch(store))

    def _fetch(self, store: Store) -> None:
        try:
            with pymongo.timeout(ANSWER_S):
                self._stored, self.is_answering = store.campaigns(), True
            self._asked = time.monotonic()
        except Exception as error:
            self._note_silence(error)

    def _places_here(self) -> list[Place]:
        by_directory = {stored.directory: stored for stored in self._stored}
        found = []
        for root in self._seen:
            stored = by_directory.get(str(root)) or self._travelled(root.name)
            found.append(Place("", root.name, CampaignDirectory(root), stored))
        return found

    def _travelled(self, name: str) -> StoredCampaign | None:
        matching = [stored for stored in self._stored if stored.files == "filepad" and stored.name == name]
        return matching[0] if len(matching) == 1 else None

    def _places_elsewhere(self) -> list[Place]:
        here = {str(root) for root in self._seen}
        matched = {place.stored.directory for place in self._places_here() if place.stored is not None}
        found = []
        for stored in self._stored:
            if stored.directory in here or stored.directory in matched:
                continue
            root = _readable(stored.directory)
            found.append(Place("", stored.name, CampaignDirectory(root) if root is not None else None, stored))
        return found


def campaigns_in(folder: Path) -> list[Path]:
    """Return the campaign directories in a folder, or the folder itself if it is one."""
    try:
        folders = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
        return [path for path in folders if (path / "events.jsonl").is_file()]
    except OSError:
        return []


def _readable(directory: str | None) -> Path | None:
    """Return the directory that a Firework names if it is here and holds a campaign."""
    if not directory or not directory.startswith("/") or "\x00" in directory:
        return None
    try:
        return Path(directory) if (Path(directory) / "campaign.yaml").is_file() else None
    except OSError:
        return None


def _with_keys(places: Iterable[Place]) -> list[Place]:
    ordered = sorted(places, key=lambda place: (place.name, _whereabouts(place)))
    times = Counter(_slug(place.name) for place in ordered)
    return [replace(place, key=_key(place, is_only=times[_slug(place.name)] == 1)) for place in ordered]


def _key(place: Place, *, is_only: bool) -> str:
    slug = _slug(place.name)
    if is_only and slug == place.name:
        return slug
    told_apart = hashlib.sha256(f"{place.name}\n{_whereabouts(place)}".encode(errors="replace")).hexdigest()[:8]
    return f"{slug}-{told_apart}" if slug else told_apart


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:_MOST_KEY].strip(".-")


def _whereabouts(place: Place) -> str:
    if place.directory is not None:
        return str(place.directory.root)
    return (place.stored.directory if place.stored is not None else None) or ""
