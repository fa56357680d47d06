"""When a VASP calculation is believed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from custodian.custodian import Validator
from custodian.vasp.validators import VaspFilesValidator, VasprunXMLValidator
from pymatgen.core.structure import Structure

from mlip_fw.io.vasp import read_outcar_end, read_vasprun, same_structure


class LabelIsSound(Validator):
    """The run came to its end, is of this structure, converged, and its numbers are finite.

    pymatgen calls a self-consistency converged that took fewer than NELM steps, also if it was aborted by a
    STOPCAR; so VASP's own words are asked for as well.
    """

    def __init__(self, structure: Structure) -> None:
        self.structure = structure
        self.complaint: str | None = None

    def check(self, directory: str = "./") -> bool:
        """Return True if the label must not be believed, as custodian has it."""
        self.complaint = self._complaint(Path(directory))
        return self.complaint is not None

    def _complaint(self, folder: Path) -> str | None:
        end = read_outcar_end(folder / "OUTCAR")
        if not end.finished:
            return "VASP didn't come to its end: OUTCAR has no closing lines"
        try:
            run = read_vasprun(folder / "vasprun.xml")
        except ValueError as error:
            return str(error)
        if run.scf_steps >= run.most_scf_steps:
            return f"the self-consistency did not converge in NELM = {run.most_scf_steps} steps"
        if not end.converged:
            return f"the self-consistency did not converge: VASP says “aborting loop {end.scf_ended}”"
        if not same_structure(run.structure, self.structure):
            return "vasprun.xml is of another structure"
        if run.forces_ev_a.shape != (len(self.structure), 3):
            return f"forces have shape {run.forces_ev_a.shape}, expected {(len(self.structure), 3)}"
        numbers = (("energy", run.energy_ev), ("force", run.forces_ev_a), ("stress", run.stress_ev_a3))
        bad = [name for name, value in numbers if not np.isfinite(value).all()]
        return f"not a finite number: {', '.join(bad)}" if bad else None


def validators_of_a_run(structure: Structure) -> list[Validator]:
    """Return custodian's validators and ours for one run."""
    return [VaspFilesValidator(), VasprunXMLValidator(), LabelIsSound(structure)]
