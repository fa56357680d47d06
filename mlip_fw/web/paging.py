"""Long tables, page by page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import urlencode

Row = TypeVar("Row")
ROWS = 25
_MOST_PAGES = 10_000


@dataclass(frozen=True)
class Part(Generic[Row]):
    """Some rows of a table."""

    name: str
    rows: Sequence[Row]
    total: int
    page: int
    pages: int

    @property
    def first(self) -> int:
        """Number, from 1, of its first row."""
        return (self.page - 1) * ROWS + 1 if self.total else 0


class Pager:
    """Which page of each table is asked for: ``?labels=2&halts=3``."""

    def __init__(self, asked: Mapping[str, str]) -> None:
        self._asked = dict(asked)

    def part(self, name: str, rows: Sequence[Row]) -> Part[Row]:
        """Return the rows of the page that is asked for; the nearest page if there is no such one."""
        pages = max(1, -(-len(rows) // ROWS))
        page = min(self.page(name), pages)
        return Part(name, rows[(page - 1) * ROWS : page * ROWS], len(rows), page, pages)

    def page(self, name: str) -> int:
        """Return which page of a table is asked for."""
        text = self._asked.get(name, "")
        is_number = text.isascii() and text.isdigit() and len(text) < 6
        return min(max(1, int(text)), _MOST_PAGES) if is_number else 1

    def choice(self, name: str, allowed: Sequence[str]) -> str:
        """Return which of some words is asked for; the first if none is."""
        asked = self._asked.get(name, "")
        return asked if asked in allowed else allowed[0]

    def to(self, **changes: object) -> str:
        """Return the address of the same page with changes; only what this page knows is repeated."""
        known = {"halts", "generations", "labels", "quarantine", "queue", "state"}
        kept = {name: value for name, value in self._asked.items() if name in known and len(value) < 20}
        return "?" + urlencode({**kept, **{name: str(value) for name, value in changes.items()}})
