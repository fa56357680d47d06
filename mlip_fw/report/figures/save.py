"""Writing figures."""

from __future__ import annotations

import io
from enum import StrEnum
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from mlip_fw.io.files import whole_file
from mlip_fw.report.figures.style import STYLE

_DPI = 300
_NO_DATE = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


class Format(StrEnum):
    """What a figure may be written as."""

    PNG = "png"
    SVG = "svg"
    PDF = "pdf"


def as_bytes(figure: Figure, kind: Format = Format.PNG, dpi: int = _DPI) -> bytes:
    """Return a figure as a file's content, the same each time."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format=kind.value, dpi=dpi, metadata=_NO_DATE.get(kind.value))
    return buffer.getvalue()


def save(figure: Figure, path: Path, kind: Format = Format.PNG) -> Path:
    """Write a figure whole and return its path."""
    content = as_bytes(figure, kind)
    with whole_file(path) as temporary:
        temporary.write_bytes(content)
    return path
