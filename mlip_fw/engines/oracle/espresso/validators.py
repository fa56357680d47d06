"""custodian's Validator for pw.x: the last word before a label is believed."""

from __future__ import annotations

from typing import Any

from custodian.custodian import Validator

from mlip_fw.engines.oracle.espresso.job import OUTPUT, Calculation, incomplete
from mlip_fw.engines.oracle.espresso.trouble import Found
from mlip_fw.io.espresso import read_pw_output


class LabelIsWhole(Validator):
    """Converged, and energy, forces of all atoms and stress are there and finite, in the file on disk."""

    def __init__(self, calculation: Calculation) -> None:
        self._calculation = calculation
        self.complaint: Found | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return what custodian's log shows of the validator."""
        return {"@module": type(self).__module__, "@class": type(self).__name__}

    def check(self, directory: str = "./") -> bool:
        """Return True if the label must not be believed, as custodian has it."""
        text = (self._calculation.folder / OUTPUT).read_text(errors="replace")
        self._calculation.output = read_pw_output(text)
        self.complaint = self._calculation.found or incomplete(self._calculation, 0, text)
        return self.complaint is not None
