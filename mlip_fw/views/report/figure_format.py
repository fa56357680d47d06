"""File formats of figures; apart from the figures, as the command line needs it without matplotlib."""

from enum import StrEnum


class Format(StrEnum):
    """File format of a figure."""

    PNG = "png"
    SVG = "svg"
    PDF = "pdf"
