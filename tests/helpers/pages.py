"""The pages of the documentation and the fenced blocks in them."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.programs import ROOT

DOCS = ROOT / "docs"
_FENCE = re.compile(r"^(?P<fence>`{3,})(?P<info>[^\n`]*)\n(?P<code>.*?)^(?P=fence)\s*$", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    """Return all pages."""
    return [page for page in sorted(DOCS.rglob("*.md")) if "_build" not in page.parts]


def blocks_in(text: str) -> Iterator[tuple[int, list[str], str]]:
    """Yield line, language with what stands behind it, and content of each block that names a language."""
    for match in _FENCE.finditer(text):
        if words := match["info"].split():
            yield text.count("\n", 0, match.start()) + 1, words, match["code"]


def names_in(page: Path) -> set[str]:
    """Return all names in code spans of a page, and the parts of dotted ones."""
    spans = re.findall(r"`([^`\n]+)`", page.read_text())
    return {part for span in spans for part in (span, *span.split("."))}
