"""Pagination of long tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import urlencode

Row = TypeVar("Row")
ROWS = 25
_MAX_PAGES = 10_000


@dataclass(frozen=True)
class TablePage(Generic[Row]):
    """The rows of one page of a table."""

    name: str
    rows: Sequence[Row]
    total: int
    page: int
    pages: int

    @property
    def first(self) -> int:
        """Number of its first row, from 1; 0 in an empty table."""
        return (self.page - 1) * ROWS + 1 if self.total else 0


class Pager:
    """The page of each table that a query string such as ``?labels=2&halts=3`` requests."""

    def __init__(self, requested: Mapping[str, str]) -> None:
        self._requested = dict(requested)

    def table_page(self, name: str, rows: Sequence[Row]) -> TablePage[Row]:
        """Return the requested page of a table, or its last page if there are not so many."""
        pages = max(1, -(-len(rows) // ROWS))
        page = min(self.page_number(name), pages)
        return TablePage(name, rows[(page - 1) * ROWS : page * ROWS], len(rows), page, pages)

    def page_number(self, name: str) -> int:
        """Return the requested page number of a table, from 1."""
        text = self._requested.get(name, "")
        is_number = text.isascii() and text.isdigit() and len(text) < 6
        return min(max(1, int(text)), _MAX_PAGES) if is_number else 1

    def choice(self, name: str, allowed: Sequence[str]) -> str:
        """Return the requested one of the ``allowed`` words; the first if none is requested."""
        requested = self._requested.get(name, "")
        return requested if requested in allowed else allowed[0]

    def to(self, **changes: object) -> str:
        """Return the query string with changes; unknown parameters of the request are dropped."""
        known = {"halts", "generations", "labels", "quarantine", "queue", "state"}
        kept = {name: value for name, value in self._requested.items() if name in known and len(value) < 20}
        return "?" + urlencode({**kept, **{name: str(value) for name, value in changes.items()}})
