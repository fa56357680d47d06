"""Records of published files: path, hash, size, and the files that belong to a marker."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from pydantic import Field

from mlip_fw.errors import FilePadError
from mlip_fw.models.base import Frozen

_MAX_BYTES = 2_000_000_000


class FileRecord(Frozen):
    """A published file: its path in the campaign directory, and hash and size of its contents."""

    path: str = Field(pattern=r"^[^/\x00-\x1f][^\x00-\x1f]*$", max_length=500)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(strict=True, ge=0, le=_MAX_BYTES)

    @classmethod
    def of(cls, path: str, content: bytes) -> FileRecord:
        """Return the record of a file with these contents."""
        if len(content) > _MAX_BYTES:
            raise FilePadError(f"{path} has {len(content)} bytes, more than the {_MAX_BYTES} that travel")
        return cls(path=path, sha256=sha256_of(content), size=len(content))

    def holds(self, content: bytes) -> bool:
        """Return whether the file has these contents."""
        return len(content) == self.size and sha256_of(content) == self.sha256


class Marker(FileRecord):
    """A published file together with its parts, the files that were published with it."""

    parts: list[FileRecord] = Field(default_factory=list)
    by: str = ""
    """Host name of the machine that published it."""
    directory: str = ""
    """The campaign directory that the campaign was added with; empty in records of older versions."""
    gfs_id: str = ""
    """Identifier of its contents in GridFS."""
    compressed: bool = False

    def holds_all(self, content: bytes, parts: Mapping[str, bytes]) -> bool:
        """Return whether marker and parts have these contents."""
        return self.holds(content) and set(self.parts) == {FileRecord.of(name, inner) for name, inner in parts.items()}


def sha256_of(content: bytes) -> str:
    """Return the SHA-256 of contents, as hexadecimal text."""
    return hashlib.sha256(content).hexdigest()


def filepad_key(campaign: str, directory: str) -> str:
    """Return the unique name of a campaign in the FilePad and of its local copies, from its name and directory."""
    return f"{campaign}-{hashlib.sha256(directory.encode()).hexdigest()[:12]}"
