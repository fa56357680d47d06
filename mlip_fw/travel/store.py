"""The files of one campaign in FireWorks' FilePad: whole, hashed, and the first one stays."""

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
from mlip_fw.travel.filed import Filed, Marker

FILEPAD, GRIDFS = "filepad", "filepad_gfs"
"""FireWorks' own names: its FilePad reads what is stored here."""
PARTS = "parts"
_LAST = "\U0010ffff"
_AT_ONCE = 500
_COMPRESSION, _SAMPLE_BYTES, _WORTH = 1, 100_000, 0.9
_CHUNK_BYTES = 1 << 22
_MOST_RACES = 20


class FileStore:
    """What is published of one campaign.

    Parameters
    ----------
    database
        That of the LaunchPad.
    key
        Name of the campaign in it, which no other campaign has.
    directory
        The campaign directory that it was added with, to be noted beside what is published.

    Notes
    -----
    To read needs no right to write: indexes are built before the first file is stored.
    """

    def __init__(self, database: Database[dict[str, Any]], key: str, directory: str = "") -> None:
        self.key, self._directory = key, directory
        self._documents, self._contents = database[FILEPAD], GridFS(database, GRIDFS)
        self._is_indexed = False

    def below(self, prefix: str, *, newest: bool = False, most: int = 0) -> Iterator[Marker]:
        """Give what is published under paths that begin with ``prefix``, in the order of paths.

        Parameters
        ----------
        newest
            Give the last one only.
        most
            Give no more than so many; 0: all.
        """
        found = self._documents.find(self._begins(prefix)).sort("identifier", -1 if newest else 1)
        # all at once: contents that come slowly must not outlast the cursor, which MongoDB ends after 10 min
        yield from map(self._marker, list(found.limit(1 if newest else most)))

    def names_below(self, prefix: str) -> list[str]:
        """Return the paths that begin with ``prefix``, without anything else of them."""
        found = self._documents.find(self._begins(prefix), {"identifier": 1})
        return [document["identifier"].removeprefix(f"{self.key}/") for document in found]

    def named(self, paths: Iterable[str]) -> dict[str, Marker]:
        """Return what is published under ``paths``."""
        return {marker.path: marker for marker in map(self._marker, self._with(paths))}

    def publish(self, path: str, content: bytes, parts: Mapping[str, bytes] | None = None) -> Marker:
        """Publish a file, and what belongs to it, at once; return what is published now, which may be another's."""
        if (first := self.named([path]).get(path)) is not None:
            return first
        parts = parts or {}
        marker = self._with_parts(path, content, parts)
        self._insert(path, marker, content)
        now = self.named([path]).get(path, marker)
        self._settle(marker, parts, now)
        return now

    def replace(self, path: str, content: bytes, parts: Mapping[str, bytes] | None = None) -> None:
        """Publish a file, and what belongs to it, in place of what may be published under its path.

        What was there is removed when the new file is in its place. Of two that replace it at once one comes last,
        and each removes just what it has replaced. What one leaves that is killed in between, no reader sees;
        ``mlip-fw recover`` removes it a day later (:mod:`mlip_fw.travel.leftovers`).
        """
        parts = parts or {}
        marker = self._with_parts(path, content, parts)
        document = self._document(path, marker, content)
        before = self._put_in_place(document)
        if before is not None:
            self._drop_contents(before)
            self._drop_parts(self._marker(before))
        self._settle(marker, parts, self.named([path]).get(path, marker))

    def read(self, filed: Filed, of: Marker) -> bytes:
        """Return the contents of a marker, or of one of its parts, as they were when they were published.

        Raises
        ------
        FilePadError
            If they are not there, or are not what they were.
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
        """Take back what is published under ``paths``, with what belongs to it."""
        for document in list(self._with(paths)):
            if self._documents.delete_one({"_id": document["_id"], "gfs_id": document["gfs_id"]}).deleted_count:
                self._drop_contents(document)
                self._drop_parts(self._marker(document))

    def remove_all(self) -> None:
        """Take back everything, with what no file names any more."""
        self._documents.delete_many(self._begins(""))
        for stored in list(self._contents.find({"campaign": self.key})):
            self._contents.delete(stored._id)

    def _begins(self, prefix: str) -> dict[str, Any]:
        return {"identifier": {"$gte": f"{self.key}/{prefix}", "$lt": f"{self.key}/{prefix}{_LAST}"}}

    def _with(self, paths: Iterable[str]) -> Iterator[dict[str, Any]]:
        wanted = [f"{self.key}/{path}" for path in paths]
        for first in range(0, len(wanted), _AT_ONCE):
            yield from list(self._documents.find({"identifier": {"$in": wanted[first : first + _AT_ONCE]}}))

    def _with_parts(self, path: str, content: bytes, parts: Mapping[str, bytes]) -> Marker:
        """Store parts, which nobody sees before the marker, and return it."""
        filed = {Filed.of(name, inner): inner for name, inner in parts.items()}
        there = {document["identifier"] for document in self._with(map(_place_of, filed))}
        for part, inner in filed.items():
            if f"{self.key}/{_place_of(part)}" not in there:
                self._insert(_place_of(part), part, inner)
        plain = Filed.of(path, content).plain()
        return Marker(**plain, parts=list(filed), by=socket.gethostname(), directory=self._directory)

    def _settle(self, ours: Marker, parts: Mapping[str, bytes], now: Marker) -> None:
        """Have the parts of what is published now, and no others."""
        if set(now.parts) == set(ours.parts):
            # somebody may have removed some with an older file, after they were found to be there
            self._with_parts(ours.path, b"", parts)
        else:
            self._drop_parts(ours)

    def _put_in_place(self, document: dict[str, Any]) -> dict[str, Any] | None:
        """Put a document in the place of that with its identifier, and return what was there, or None.

        Two upserts at once of what is not there may both insert; the unique index refuses the second one, which then
        finds the first (MongoDB manual, "db.collection.findOneAndReplace()", Upsert with Unique Index).
        """
        for _ in range(_MOST_RACES):
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
        """Remove the parts of a marker that was replaced or removed, but those that what is published now has."""
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

    def _insert(self, place: str, filed: Filed, content: bytes) -> None:
        """Store a file, if none is there under its name."""
        document = self._document(place, filed, content)
        try:
            self._documents.insert_one(document)
        except DuplicateKeyError:
            self._drop_contents(document)

    def _document(self, place: str, filed: Filed, content: bytes) -> dict[str, Any]:
        """Store the contents of a file, read them back, and return the document that says so."""
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
        """Return stored contents, but no more than one byte too many: what is packed can be a bomb."""
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

    def _damaged(self, filed: Filed, of: Marker, why: str) -> FilePadError:
        return FilePadError(
            f"{filed.path} of {self.key} in the LaunchPad's FilePad is damaged ({why}); put back a backup of the "
            f"database, or delete {self.key}/{of.path} with FireWorks' FilePad.delete_file and rerun, on "
            f"{of.by or 'the machine'} that published it, the Firework that made it"
        )


def _place_of(part: Filed) -> str:
    return f"{PARTS}/{part.sha256}/{part.path}"


def _is_worth_compressing(content: bytes) -> bool:
    """Return whether the start of ``content`` shrinks by more than a tenth: restart files don't."""
    sample = content[:_SAMPLE_BYTES]
    return len(zlib.compress(sample, _COMPRESSION)) < _WORTH * len(sample)


def keys_with(database: Database[dict[str, Any]], keys: Iterable[str], path: str) -> list[str]:
    """Return those campaigns that have published a file: one question for all of them."""
    places = {f"{key}/{path}": key for key in keys}
    found = database[FILEPAD].find({"identifier": {"$in": list(places)}}, {"identifier": 1})
    there = {document["identifier"] for document in found}
    return [key for place, key in places.items() if place in there]
