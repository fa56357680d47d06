"""Names of the files of one cycle: an MD run, and the labels and training that followed its halt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

RESULT, SELECTION = "result.json", "selection.json"
"""Written last: if one is there, its step is done and the files beside it are whole."""


@dataclass(frozen=True)
class CycleFiles:
    """Files in the folder of a cycle, or in that of the bootstrap, which begins with a selection."""

    folder: Path

    @property
    def start(self) -> Path:
        """LAMMPS data file that a walker starts from."""
        return self.folder / "start.data"

    @property
    def result(self) -> Path:
        """The result of the MD run."""
        return self.folder / RESULT

    @property
    def candidates(self) -> Path:
        """All structures that might have been labelled."""
        return self.folder / "candidates.extxyz"

    @property
    def selected(self) -> Path:
        """The structures that are labelled, in the order of the selection."""
        return self.folder / "selected.extxyz"

    @property
    def selection(self) -> Path:
        """Which structures are labelled and why."""
        return self.folder / SELECTION

    @property
    def label_balance(self) -> Path:
        """How many labels were made and how many failed when the training that followed was over."""
        return self.folder / "labels.json"
