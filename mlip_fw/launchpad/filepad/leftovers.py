"""Files in the database that nothing refers to any more, after killed processes and deleted workflows.

GridFS stores the chunks of a file first and its document last (MongoDB manual, "GridFS"), the FilePad's own document
comes after both, and what it replaces is removed at the end. A process that is killed in between leaves contents
without a name in the FilePad.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bson import ObjectId
from bson.errors import InvalidId
from gridfs import GridFS
from pymongo.database import Database

from mlip_fw.launchpad.filepad.campaign_files import CAMPAIGN_FILE
from mlip_fw.launchpad.filepad.file_store import FILEPAD, GRIDFS, PARTS
from mlip_fw.launchpad.filepad.published_files import filepad_key
from mlip_fw.launchpad.names import BATCH_SIZE, campaign_name

MIN_AGE_S = 86_400.0
"""Younger contents may still be being written."""
_KEY = re.compile(r"[a-z0-9-]+-[0-9a-f]{12}$")


@dataclass(frozen=True)
class Abandoned:
    """A campaign with files in the database but without a workflow."""

    key: str
    directory: str
    """The campaign directory that it was added with; empty if unknown."""
    n_files: int
    n_bytes: int


class Leftovers:
    """Finds files that can be removed.

    Parameters
    ----------
    database
        The LaunchPad's database.
    now
        Current time, s since 1970.
    """

    def __init__(self, database: Database[dict[str, Any]], now: float) -> None:
        self._database, self._documents = database, database[FILEPAD]
        self._files, self._chunks = database[f"{GRIDFS}.files"], database[f"{GRIDFS}.chunks"]
        self._old = datetime.datetime.fromtimestamp(now - MIN_AGE_S, datetime.UTC)

    def unnamed(self) -> list[ObjectId]:
        """Return stored contents that no document of the FilePad names, or only one of a part that no marker has."""
        # contents are read before their names: what is named in between is young
        stored = {one["_id"] for one in self._files.find({"campaign": {"$exists": True}}, {"_id": 1})}
        chunks = set(self._chunks.distinct("files_id"))
        whole = {one["_id"] for one in self._files.find({}, {"_id": 1})}
        needless = self._needless_parts()
        named = {gfs_id for place, gfs_id in self._named() if place not in needless}
        return sorted(one for one in (stored - named) | (chunks - whole) if self._is_old(one))

    def remove(self, contents: list[ObjectId]) -> None:
        """Remove contents, and the documents of parts that refer to them."""
        gridfs = GridFS(self._database, GRIDFS)
        for one in contents:
            self._documents.delete_many({"gfs_id": str(one), "identifier": {"$regex": f"/{PARTS}/"}})
            gridfs.delete(one)

    def abandoned(self) -> Iterator[Abandoned]:
        """Yield the campaigns whose workflows were deleted."""
        seen = {"name": 1, "metadata": 1}
        workflows = self._database["workflows"].find({"metadata.mlip_fw": True}, seen, batch_size=BATCH_SIZE)
        alive = {
            filepad_key(campaign_name(str(one["name"])), str(one["metadata"].get("directory"))) for one in workflows
        }
        found: dict[str, list[dict[str, Any]]] = {}
        for one in self._files.find({"campaign": {"$exists": True}}, {"campaign": 1, "length": 1}):
            found.setdefault(str(one["campaign"]), []).append(one)
        for key, files in sorted(found.items()):
            if key not in alive and _KEY.match(key) and all(self._is_old(one["_id"]) for one in files):
                yield Abandoned(
                    key, added_directory(self._database, key), len(files), sum(one["length"] for one in files)
                )

    def _named(self) -> Iterator[tuple[str, ObjectId]]:
        for one in self._documents.find({}, {"identifier": 1, "gfs_id": 1}):
            try:
                yield str(one.get("identifier")), ObjectId(one["gfs_id"])
            except (KeyError, InvalidId, TypeError):
                continue

    def _needless_parts(self) -> set[str]:
        """Return the identifiers of parts that belong to no marker."""
        parts: set[str] = set()
        needed: set[str] = set()
        for one in self._documents.find({}, {"identifier": 1, "metadata.parts": 1}):
            place = str(one.get("identifier"))
            key, _, path = place.partition("/")
            if path.startswith(f"{PARTS}/") and _KEY.match(key):
                parts.add(place)
            metadata = one.get("metadata")
            for part in (metadata.get("parts") if isinstance(metadata, dict) else None) or ():
                needed.add(f"{key}/{PARTS}/{part['sha256']}/{part['path']}")
        return parts - needed

    def _is_old(self, contents: Any) -> bool:
        return isinstance(contents, ObjectId) and contents.generation_time < self._old


def added_directory(database: Database[dict[str, Any]], key: str) -> str:
    """Return the campaign directory that a campaign was added with, or an empty text if unknown."""
    found = database[FILEPAD].find_one({"identifier": f"{key}/{CAMPAIGN_FILE}"}, {"metadata": 1}) or {}
    return str((found.get("metadata") or {}).get("directory", ""))
