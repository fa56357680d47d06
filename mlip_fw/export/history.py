"""Order in which the labels of a generation were trained on; it decides the last bits of the coefficients."""

from __future__ import annotations

from collections.abc import Iterator

from mlip_fw.campaign.generations import Generations
from mlip_fw.errors import DirectoryError
from mlip_fw.models.card import Recipe
from mlip_fw.models.training import TrainingRecord


def lineage(generations: Generations, generation: int) -> list[TrainingRecord]:
    """Return the records of a generation and of all that it grew from, the oldest first.

    Raises
    ------
    DirectoryError
        If one of them is missing or damaged.
    """
    records: list[TrainingRecord] = []
    number: int | None = generation
    while number is not None:
        record = generations.record(number)
        if record is None:
            raise DirectoryError(f"{generations.folder(number)} has no whole training.json; restore it")
        if record.parent is not None and record.parent >= number:
            raise DirectoryError(
                f"{generations.folder(number)}/training.json names generation {record.parent} as its parent, which is "
                "no earlier one; restore it"
            )
        records.append(record)
        number = record.parent
    return records[::-1]


def recipe(records: list[TrainingRecord]) -> Recipe:
    """Return the linear trainings of a lineage; a first record without labels is an imported potential."""
    imported = not records[0].labels
    steps = [record.new_labels for record in records[imported:] if record.trainer == "linear"]
    return Recipe(imported=imported, steps=steps)


def split_frames(text: str) -> Iterator[str]:
    """Yield the text of each frame of an extended XYZ file, to the byte."""
    lines = text.splitlines(keepends=True)
    start = 0
    while start < len(lines):
        end = start + 2 + int(lines[start])
        yield "".join(lines[start:end])
        start = end
