"""The exceptions of mlip_fw.

::

    MlipError                     one paragraph for the user: expected, found, where, what to do
    ├── CampaignError             the campaign file, or a file it names, can't be used
    ├── DirectoryError            the campaign directory can't be used
    │   └── NumberTakenError      another training published the same generation first
    ├── FilePadError              a file in the LaunchPad's FilePad is damaged or can't be used
    ├── WorkerError               this machine lacks a program or a setting
    ├── MDError                   the simulation could not run, or crashed beyond recovery
    ├── LabelError                a reference calculation gave no trustworthy label
    ├── TrainingError             no potential could be made from the labels
    └── ChildError                a child process died, hung, or raised
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


class MlipError(Exception):
    """Base of every error that mlip_fw raises on purpose; its text is one paragraph."""

    def to_dict(self) -> dict[str, str]:
        """Return what FireWorks stores of the error in a launch."""
        return {"error": type(self).__name__, "message": str(self)}


class CampaignError(MlipError):
    """The campaign file, or a file it names, can't be used."""


class DirectoryError(MlipError):
    """The campaign directory can't be used: it holds something else, or is locked, not writable or full."""


class NumberTakenError(DirectoryError):
    """Another training published the same generation first."""


class FilePadError(MlipError):
    """A file in the LaunchPad's FilePad is damaged, missing or not from mlip_fw."""


class WorkerError(MlipError):
    """This machine lacks a program or a setting that the campaign needs."""


class MDError(MlipError):
    """The simulation could not run, or crashed beyond recovery."""


class LabelError(MlipError):
    """A reference calculation gave no trustworthy label."""

    def __init__(self, message: str, *, corrections: Sequence[dict[str, Any]] = (), files: Sequence[Path] = ()) -> None:
        super().__init__(message)
        self.corrections = list(corrections)
        """What was tried: ``errors`` and ``actions`` of each correction, in order."""
        self.files = list(files)
        """Inputs and outputs that show what went wrong."""


class TrainingError(MlipError):
    """No potential could be made from the labels."""


class ChildError(MlipError):
    """A child process died, hung or raised."""

    def __init__(self, message: str, exit_code: int | None = None, kinds: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.kinds = kinds
        """Names of the classes of the exception that the child raised, the most special first."""
        self.exit_code = exit_code
        """Exit code of a child that died; negative is a signal."""
