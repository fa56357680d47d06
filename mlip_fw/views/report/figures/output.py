"""Figures as files, bytes and text."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from mlip_fw.io.files import atomic_file
from mlip_fw.views.report.figure_format import Format
from mlip_fw.views.report.figures.style import STYLE

_DPI = 300
# the date of writing would make each file differ
_NO_DATE = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


def as_bytes(figure: Figure, kind: Format = Format.PNG, dpi: int = _DPI) -> bytes:
    """Return a figure as the content of a file; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format=kind.value, dpi=dpi, metadata=_NO_DATE.get(kind.value))
    return buffer.getvalue()


def as_text(figure: Figure, dpi: int) -> str:
    """Return a figure as PNG in base64."""
    return base64.b64encode(as_bytes(figure, dpi=dpi)).decode()


def save(figure: Figure, path: Path, kind: Format = Format.PNG) -> Path:
    """Write a figure and return its path; the file appears whole or not at all."""
    content = as_bytes(figure, kind)
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)
    return path
