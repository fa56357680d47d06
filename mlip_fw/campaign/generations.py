"""The versions of a campaign's potential: whole folders, published by one rename."""

from __future__ import annotations

import errno
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mlip_fw.errors import DirectoryError, NumberTakenError
from mlip_fw.io.files import read_model
from mlip_fw.models.training import TrainingRecord

_NAME = re.compile(r"gen_(\d{4})")
_MAX = 9999
_IS_THERE = (errno.ENOTEMPTY, errno.EEXIST)


class Generations:
    """``potentials/gen_NNNN`` of a campaign directory.

    A generation appears whole or not at all, whatever is killed meanwhile, and never changes.

    Parameters
    ----------
    root
        The campaign directory.
    claim
        Called with number and folder of a new generation before it appears; may raise that the number is taken.
    newest
        With ``claim``: the generation to go on from, whatever appears meanwhile; None if there is none.
    """

    def __init__(
        self, root: Path, *, claim: Callable[[int, Path], None] | None = None, newest: int | None = None
    ) -> None:
        self._root, self._claim = root / "potentials", claim
        self._max_number = _MAX if claim is None else -1 if newest is None else newest

    def rows(self, basis: str) -> Path:
        """Return the folder of basis functions of labelled structures, kept between trainings for each basis."""
        return self._root / "rows" / basis

    def folder(self, generation: int) -> Path:
        """Return the folder of a generation."""
        return self._root / f"gen_{generation:04d}"

    def potential(self, generation: int) -> Path:
        """Return the potential (.yaml) of a generation."""
        return self.folder(generation) / "potential.yaml"

    def record(self, generation: int) -> TrainingRecord | None:
        """Return how a generation was made."""
        return read_model(self.folder(generation) / "training.json", TrainingRecord)

    def numbers(self) -> list[int]:
        """Return the numbers of all generations, in order."""
        found = (_NAME.fullmatch(p.name) for p in self._root.glob("gen_*"))
        return sorted(number for m in found if m and (number := int(m.group(1))) <= self._max_number)

    def newest(self) -> int | None:
        """Return the number of the newest generation, or None."""
        numbers = self.numbers()
        return numbers[-1] if numbers else None

    def newest_of(self, trainer: str) -> int | None:
        """Return the number of the newest generation that ``trainer`` made, or None."""
        return next((n for n in reversed(self.numbers()) if self.trainer(n) == trainer), None)

    def trainer(self, generation: int) -> str:
        """Return who made a generation; one whose record is damaged counts as linear."""
        record = self.record(generation)
        return record.trainer if record is not None else "linear"

    def fit_for_md(self) -> int | None:
        """Return the number of the newest generation that was not refused; of the newest if all were, or None."""
        return next((number for number in reversed(self.numbers()) if not self.faults(number)), self.newest())

    def records(self) -> dict[int, TrainingRecord | None]:
        """Return how every generation was made, in order; None where that is damaged."""
        return {number: self.record(number) for number in self.numbers()}

    def newest_to_select_with(self) -> int | None:
        """Return the number of the newest generation whose active set can be used, or None.

        That of a refused linear generation can: it does not depend on the coefficients. pacemaker's basis does.
        """
        numbers = reversed(self.numbers())
        return next((n for n in numbers if self.trainer(n) == "linear" or not self.faults(n)), None)

    def faults(self, generation: int) -> list[str]:
        """Return why a generation is refused for MD; nothing if it is not."""
        return faults_of(self.record(generation))

    def refused(self) -> dict[int, list[str]]:
        """Return why generations are refused for MD, by number."""
        return {number: faults for number in self.numbers() if (faults := self.faults(number))}

    @contextmanager
    def new(self) -> Iterator[tuple[int, Path]]:
        """Yield the next number and a folder to fill; publish it at the end.

        Raises
        ------
        NumberTakenError
            If another training took the number meanwhile.
        DirectoryError
            If the disk can't be written.
        """
        newest = self.newest()
        number = 0 if newest is None else newest + 1
        if number > _MAX:
            raise DirectoryError(f"{self._root} has {_MAX + 1} generations, the most that it can hold")
        draft = self._root / f".draft-{uuid.uuid4().hex[:8]}"
        try:
            draft.mkdir(parents=True)
            yield number, draft
            if self._claim is None:
                draft.rename(self.folder(number))
            else:
                self._claim(number, draft)
                self._place(number, draft)
        except OSError as error:
            if error.errno in _IS_THERE:
                raise NumberTakenError(f"another training has published generation {number} meanwhile") from error
            raise DirectoryError(f"can't write generation {number} in {self._root}: {error.strerror}") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _place(self, number: int, draft: Path) -> None:
        """Let a claimed generation appear; another process of this machine may have fetched part of it already."""
        self._max_number = number
        try:
            draft.rename(self.folder(number))
        except OSError as error:
            if error.errno not in _IS_THERE:
                raise
            for path in draft.iterdir():
                path.replace(self.folder(number) / path.name)

    def remove_drafts(self) -> None:
        """Remove what killed trainings left."""
        for draft in self._root.glob(".draft-*"):
            shutil.rmtree(draft, ignore_errors=True)


def faults_of(record: TrainingRecord | None) -> list[str]:
    """Return why a generation is refused for MD; nothing if it is not."""
    return [] if record is None or record.stability is None else record.stability.reasons


def newest_fit(records: Mapping[int, TrainingRecord | None]) -> int | None:
    """Return the number of the newest generation that was not refused; of the newest if all were, or None."""
    sound = [number for number, record in records.items() if not faults_of(record)]
    return max(sound or records, default=None)
