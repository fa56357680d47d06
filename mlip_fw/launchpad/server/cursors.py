"""Cursors: results that clients fetch batch by batch."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument

from mlip_fw.launchpad.server.command_error import CommandError

FIRST_BATCH = 101
_MAX_BATCH_BYTES = 16 * 1024 * 1024
_IDLE_TIMEOUT_S = 600.0


@dataclass
class _Cursor:
    space: str
    documents: Sequence[bytes]
    position: int = 0
    last_used: float = 0.0

    def next_batch(self, max_documents: int | None) -> list[RawBSONDocument]:
        """Return the next documents, at most ``max_documents`` and no more than fit into one message."""
        batch: list[RawBSONDocument] = []
        size = 0
        while not self.is_spent and (max_documents is None or len(batch) < max_documents):
            document = self.documents[self.position]
            size += len(document)
            if batch and size > _MAX_BATCH_BYTES:
                break
            batch.append(RawBSONDocument(document))
            self.position += 1
        self.last_used = time.monotonic()
        return batch

    @property
    def is_spent(self) -> bool:
        return self.position >= len(self.documents)


class Cursors:
    """The open cursors of all clients; unused ones are dropped after ten minutes."""

    def __init__(self) -> None:
        self._open: dict[int, _Cursor] = {}

    def first(
        self, space: str, documents: Sequence[bytes], batch_size: int | None = None, *, single: bool = False
    ) -> dict[str, Any]:
        """Return the ``cursor`` part of the reply to a query, with the first batch.

        Parameters
        ----------
        space
            ``database.collection``.
        documents
            Encoded documents.
        batch_size
            Maximum number of documents in the first batch.
        single
            Whether the client wants the first batch only.
        """
        cursor = _Cursor(space, documents)
        batch = cursor.next_batch(FIRST_BATCH if batch_size is None else batch_size)
        number = 0
        if not cursor.is_spent and not single:
            self._forget_old()
            number = secrets.randbelow(2**62) + 1
            self._open[number] = cursor
        return {"firstBatch": batch, "id": Int64(number), "ns": space}

    def more(self, number: int, space: str, batch_size: int | None) -> dict[str, Any]:
        """Return the ``cursor`` part of the reply to ``getMore``, with the next batch.

        Raises
        ------
        RefusedError
            With code 43 if there is no such cursor.
        """
        cursor = self._open.get(number)
        if cursor is None or cursor.space != space:
            raise CommandError(43, f"cursor id {number} not found")
        batch = cursor.next_batch(batch_size or None)
        if cursor.is_spent:
            del self._open[number]
        return {"nextBatch": batch, "id": Int64(number if number in self._open else 0), "ns": space}

    def kill(self, numbers: Iterable[int]) -> tuple[list[int], list[int]]:
        """Close cursors; return the numbers that were open and those that weren't."""
        gone: list[int] = []
        missing: list[int] = []
        for number in numbers:
            (gone if self._open.pop(number, None) else missing).append(number)
        return gone, missing

    def _forget_old(self) -> None:
        oldest = time.monotonic() - _IDLE_TIMEOUT_S
        self._open = {number: cursor for number, cursor in self._open.items() if cursor.last_used > oldest}
