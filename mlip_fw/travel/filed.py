"""What a published file is: its path, its hash, and the files that were published with it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from pydantic import Field

from mlip_fw.errors import FilePadError
from mlip_fw.models.base import Frozen

_MOST_BYTES = 2_000_000_000


class Filed(Frozen):
    """What a file is: its path in the campaign directory, and its contents by their hash."""

    path: str = Field(pattern=r"^[^/\x00-\x1f][^\x00-\x1f]*$", max_length=500)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(strict=True, ge=0, le=_MOST_BYTES)

    @classmethod
    def of(cls, path: str, content: bytes) -> Filed:
        """Return what ``content`` is as the file ``path``."""
        if len(content) > _MOST_BYTES:
            raise FilePadError(f"{path} has {len(content)} bytes, more than the {_MOST_BYTES} that travel")
        return cls(path=path, sha256=sha256_of(content), size=len(content))

    def holds(self, content: bytes) -> bool:
        """Return whether ``content`` is that of the file."""
        return len(content) == self.size and sha256_of(content) == self.sha256


class Marker(Filed):
    """A published file, and the files that were published with it."""

    parts: list[Filed] = Field(default_factory=list)
    by: str = ""
    """The machine that published it."""
    directory: str = ""
    """The campaign directory that the campaign was added with; older versions don't say."""
    gfs_id: str = ""
    """Where GridFS has its contents."""
    compressed: bool = False

    def holds_all(self, content: bytes, parts: Mapping[str, bytes]) -> bool:
        """Return whether marker and parts have these contents."""
        return self.holds(content) and set(self.parts) == {Filed.of(name, inner) for name, inner in parts.items()}


def sha256_of(content: bytes) -> str:
    """Return the hash by which contents are known."""
    return hashlib.sha256(content).hexdigest()


def key_of(campaign: str, directory: str) -> str:
    """Return the name of a campaign in the FilePad, and of its copies: one for each campaign directory."""
    return f"{campaign}-{hashlib.sha256(directory.encode()).hexdigest()[:12]}"
