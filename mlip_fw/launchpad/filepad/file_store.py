"""The files of one campaign in FireWorks' FilePad: published atomically, with hashes, first come first served."""

from __future__ import annotations

import socket
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bson import ObjectId
from bson.errors import InvalidId
from gridfs import GridFS
from gridfs.errors import CorruptGridFile, NoFile
from pydantic import ValidationError
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from mlip_fw.errors import FilePadError
from mlip_fw.launchpad.filepad.published_files import FileRecord, Marker

FILEPAD, GRIDFS = "filepad", "filepad_gfs"
"""FireWorks' names of the collections, so that its FilePad can read what is stored here."""
PARTS = "parts"
_LAST = "\U0010ffff"
_BATCH_SIZE = 500
_COMPRESSION, _SAMPLE_BYTES, _WORTH = 1, 100_000, 0.9
_CHUNK_BYTES = 1 << 22
_MAX_TRIES = 20


class FileStore:
    """The published files of one campaign.

    Parameters
    ----------
    database
        The LaunchPad's database.
    key
        Unique name of the campaign in it.
    directory
        The campaign directory that it was added with; stored with each file.

    Notes
    -----
    Reading needs no write permission: indexes are created when the first file is stored.
    """

    def __init__(self, database: Database[dict[str, Any]], key: str, directory: str = "") -> None:
        self.key, self._directory = key, directory
        self._documents, self._contents = database[FILEPAD], GridFS(database, GRIDFS)
        self._is_indexed = False

    def below(self, prefix: str, *, newest: bool = False, limit: int = 0) -> Iterator[Marker]:
        """Yield the markers whose paths begin with ``prefix``, sorted by path.

        Parameters
        ----------
        newest
            Only the last one.
        limit
            Maximum number; 0: all.
        """
        found = self._documents.find(self._begins(prefix)).sort("identifier", -1 if newest else 1)
        # read all at once: MongoDB would close the cursor after 10 min of slow downloads
        yield from map(self._marker, list(found.limit(1 if newest else limit)))

    def names_below(self, prefix: str) -> list[str]:
        """Return the published paths that begin with ``prefix``, without their records."""
        found = self._documents.find(self._begins(prefix), {"identifier": 1})
        return [document["identifier"].removeprefix(f"{self.key}/") for document in found]

    def named(self, paths: Iterable[str]) -> dict[str, Marker]:
        """Return the markers that are published under ``paths``, by path."""
        return {marker.path: marker for marker in map(self._marker, self._with(paths))}

    def publish(self, path: str, content: bytes, parts: Mapping[str, bytes] | None = None) -> Marker:
        """Publish a file with its parts atomically; return the published marker, which may be another machine's."""
        if (first := self.named([path]).get(path)) is not None:
            return first
        parts = parts or {}
        marker = self._with_parts(path, content, parts)
        self._insert(path, marker, content)
        now = self.named([path]).get(path, marker)
        self._settle(marker, parts, now)
        return now

    def replace(self, path: str, content: bytes, parts: Mapping[str, bytes] | None = None) -> None:
        """Publish a file with its parts in place of what is published under its path.

        The old file is removed after the new one is in its place. If two processes replace it at once, the last one
        wins, and each removes only what it has replaced. A process that is killed in between leaves contents that no
        reader sees; ``mlip-fw recover`` removes them a day later (:mod:`mlip_fw.launchpad.filepad.leftovers`).
        """
        parts = parts or {}
        marker = self._with_parts(path, content, parts)
        document = self._document(path, marker, content)
        before = self._put_in_place(document)
        if before is not None:
            self._drop_contents(before)
            self._drop_parts(self._marker(before))
        self._settle(marker, parts, self.named([path]).get(path, marker))

    def read(self, filed: FileRecord, of: Marker) -> bytes:
        """Return the contents of a marker or of one of its parts, checked by their hash.

        Raises
        ------
        FilePadError
            If they are missing or damaged.
        """
        try:
            document = of.model_dump() if filed is of else next(self._with([_place_of(filed)]))
            content = self._contents_of(document, filed.size)
        except (StopIteration, NoFile, CorruptGridFile, InvalidId, zlib.error) as error:
            raise self._damaged(filed, of, type(error).__name__) from error
        if not filed.holds(content):
            raise self._damaged(filed, of, "its sha256 is another")
        return content

    def remove(self, paths: Iterable[str]) -> None:
        """Remove what is published under ``paths``, with the parts."""
        for document in list(self._with(paths)):
            if self._documents.delete_one({"_id": document["_id"], "gfs_id": document["gfs_id"]}).deleted_count:
                self._drop_contents(document)
                self._drop_parts(self._marker(document))

    def remove_all(self) -> None:
        """Remove everything of this campaign, including contents without a name."""
        self._documents.delete_many(self._begins(""))
        for stored in list(self._contents.find({"campaign": self.key})):
            self._contents.delete(stored._id)

    def _begins(self, prefix: str) -> dict[str, Any]:
        return {"identifier": {"$gte": f"{self.key}/{prefix}", "$lt": f"{self.key}/{prefix}{_LAST}"}}

    def _with(self, paths: Iterable[str]) -> Iterator[dict[str, Any]]:
        wanted = [f"{self.key}/{path}" for path in paths]
        for first in range(0, len(wanted), _BATCH_SIZE):
            yield from list(self._documents.find({"identifier": {"$in": wanted[first : first + _BATCH_SIZE]}}))

    def _with_parts(self, path: str, content: bytes, parts: Mapping[str, bytes]) -> Marker:
        """Store the parts of a marker, which readers find through the marker only, and return the marker."""
        filed = {FileRecord.of(name, inner): inner for name, inner in parts.items()}
        there = {document["identifier"] for document in self._with(map(_place_of, filed))}
        for part, inner in filed.items():
            if f"{self.key}/{_place_of(part)}" not in there:
                self._insert(_place_of(part), part, inner)
        plain = FileRecord.of(path, content).plain()
        return Marker(**plain, parts=list(filed), by=socket.gethostname(), directory=self._directory)

    def _settle(self, ours: Marker, parts: Mapping[str, bytes], now: Marker) -> None:
        """Make sure that the parts of the published marker exist, and remove ours if another one is published."""
        if set(now.parts) == set(ours.parts):
            # another process may have removed parts with an older marker, after they were found to exist
            self._with_parts(ours.path, b"", parts)
        else:
            self._drop_parts(ours)

    def _put_in_place(self, document: dict[str, Any]) -> dict[str, Any] | None:
        """Replace the document with the same identifier, and return the old one, or None.

        Two simultaneous upserts of a new identifier may both insert; the unique index refuses the second one, which
        then finds the first (MongoDB manual, "db.collection.findOneAndReplace()", Upsert with Unique Index).
        """
        for _ in range(_MAX_TRIES):
            try:
                return self._documents.find_one_and_replace(
                    {"identifier": document["identifier"]}, document, upsert=True
                )
            except DuplicateKeyError:
                continue
        self._drop_contents(document)
        raise FilePadError(f"{document['identifier']} in the LaunchPad's FilePad can't be replaced; run it again")

    def _drop_contents(self, document: dict[str, Any]) -> None:
        self._contents.delete(ObjectId(document["gfs_id"]))

    def _drop_parts(self, of: Marker) -> None:
        """Remove the parts of a replaced or removed marker, except for those that the published one shares."""
        now = self.named([of.path]).get(of.path)
        gone = set(of.parts) - set(now.parts if now is not None else ())
        for document in list(self._with(map(_place_of, gone))):
            self._documents.delete_one({"_id": document["_id"]})
            self._drop_contents(document)

    def _require_indexes(self) -> None:
        if not self._is_indexed:
            for name in ("identifier", "gfs_id"):
                self._documents.create_index(name, unique=True)
            self._is_indexed = True

    def _insert(self, place: str, filed: FileRecord, content: bytes) -> None:
        """Store a file, unless one is stored under its name."""
        document = self._document(place, filed, content)
        try:
            self._documents.insert_one(document)
        except DuplicateKeyError:
            self._drop_contents(document)

    def _document(self, place: str, filed: FileRecord, content: bytes) -> dict[str, Any]:
        """Store the contents of a file, read them back to check them, and return the file's document."""
        self._require_indexes()
        compressed = _is_worth_compressing(content)
        packed = zlib.compress(content, _COMPRESSION) if compressed else content
        document = {
            "identifier": f"{self.key}/{place}",
            "gfs_id": str(self._contents.put(packed, chunk_size=_CHUNK_BYTES, campaign=self.key)),
            "compressed": compressed,
            "original_file_name": filed.path.rpartition("/")[2],
            "metadata": filed.model_dump(mode="json", exclude={"gfs_id", "compressed"}),
        }
        if self._contents_of(document, filed.size) != content:
            self._drop_contents(document)
            raise FilePadError(f"{self.key}/{place} comes out of the LaunchPad's FilePad otherwise than it went in")
        return document

    def _contents_of(self, document: dict[str, Any], size: int) -> bytes:
        """Return stored contents, at most one byte more than expected: compressed data may be a decompression bomb."""
        packed: bytes = self._contents.get(ObjectId(document["gfs_id"])).read(
            -1 if document["compressed"] else size + 1
        )
        return zlib.decompressobj().decompress(packed, size + 1) if document["compressed"] else packed

    def _marker(self, document: dict[str, Any]) -> Marker:
        place = document["identifier"]
        try:
            where = {name: document[name] for name in ("gfs_id", "compressed")}
            marker = Marker.model_validate({**document["metadata"], **where})
        except (ValidationError, KeyError, TypeError) as error:
            raise FilePadError(f"{place!a} in the LaunchPad's FilePad is none of mlip_fw's: {error}") from None
        if place != f"{self.key}/{marker.path}":
            raise FilePadError(f"{place!a} in the LaunchPad's FilePad says that it is {marker.path!a}")
        return marker

    def _damaged(self, filed: FileRecord, of: Marker, why: str) -> FilePadError:
        return FilePadError(
            f"{filed.path} of {self.key} in the LaunchPad's FilePad is damaged ({why}); put back a backup of the "
            f"database, or delete {self.key}/{of.path} with FireWorks' FilePad.delete_file and rerun, on "
            f"{of.by or 'the machine'} that published it, the Firework that made it"
        )


def _place_of(part: FileRecord) -> str:
    return f"{PARTS}/{part.sha256}/{part.path}"


def _is_worth_compressing(content: bytes) -> bool:
    """Return whether the start of ``content`` shrinks by more than 10 %; that of restart files doesn't."""
    sample = content[:_SAMPLE_BYTES]
    return len(zlib.compress(sample, _COMPRESSION)) < _WORTH * len(sample)


def keys_with_file(database: Database[dict[str, Any]], keys: Iterable[str], path: str) -> list[str]:
    """Return the keys under which a file is published, by one query for all."""
    places = {f"{key}/{path}": key for key in keys}
    found = database[FILEPAD].find({"identifier": {"$in": list(places)}}, {"identifier": 1})
    there = {document["identifier"] for document in found}
    return [key for place, key in places.items() if place in there]
