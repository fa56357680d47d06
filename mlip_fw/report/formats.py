"""What figures may be written as."""

from enum import StrEnum


class Format(StrEnum):
    """What a figure may be written as."""

    PNG = "png"
    SVG = "svg"
    PDF = "pdf"
