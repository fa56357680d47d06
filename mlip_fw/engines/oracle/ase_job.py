"""One label by an ASE calculator under custodian: a child process, and what is believed of its answer."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np

from mlip_fw.engines.oracle.ase_child import OUTPUT, label_structure
from mlip_fw.errors import ChildError, LabelError, WorkerError
from mlip_fw.models.oracle import AseOracle
from mlip_fw.runtime.fork_server import KILLED_EXIT_CODES, fork_server
from mlip_fw.runtime.supervised_run import AttemptedRun, AttemptJob, ResultCheck

LOG = "oracle.out"
_MAX_KILLS = 3
_MACHINE_FAULTS = {"OSError", "ImportError", "MemoryError", "DirectoryError"}
"""Exceptions that say nothing of the structure."""


@dataclass(kw_only=True)
class AseRun(AttemptedRun):
    """A label of the structure in the folder, made in a child process."""

    oracle: AseOracle
    n_atoms: int
    probe: bool
    """Whether the calculator's forces are compared with the derivative of its energy."""

    def label(self) -> None:
        """Have the calculator write ``label.json`` into the folder.

        Raises
        ------
        LabelError
            If there is no label in it; the text is the reason.
        WorkerError
            If this machine is to blame.
        """
        check = ResultCheck(self.complaint)
        try:
            error = self.supervise(AttemptJob(self), [], [check], max_errors=1)
        except ChildError as child:
            if LabelError.__name__ in child.kinds:
                raise LabelError(str(child).removeprefix(f"{LabelError.__name__}: ")) from child
            if _MACHINE_FAULTS & set(child.kinds):
                raise WorkerError(f"this machine can't label: {child}; fix it and run again") from child
            raise LabelError(str(child)) from child
        if error is not None:
            raise LabelError(check.complaint or f"custodian: {error}") from error

    def prepare(self) -> None:
        """Remove what an earlier attempt left, so that nothing stale is believed."""
        (self.folder / OUTPUT).unlink(missing_ok=True)

    def attempt(self) -> None:
        """Run the calculator, again if the child was killed from outside: then the machine failed."""
        argument = {
            "calculator": self.oracle.calculator,
            "parameters": self.oracle.parameters,
            "probe": self.probe,
            "max_force_ev_a": self.oracle.max_force_ev_a,
        }
        function = f"{label_structure.__module__}:{label_structure.__name__}"
        for attempt in range(1, _MAX_KILLS + 1):
            try:
                fork_server().call(
                    function, argument, folder=self.folder, log=self.folder / LOG, timeout_s=self.oracle.timeout_s
                )
            except ChildError as error:
                if error.exit_code not in KILLED_EXIT_CODES or attempt == _MAX_KILLS:
                    raise
            else:
                return

    def complaint(self) -> str | None:
        """Return why the answer can't be believed, or None if energy and forces are there, finite and converged."""
        try:
            label = json.loads((self.folder / OUTPUT).read_text())
        except (OSError, ValueError):
            return "the calculator wrote no result"
        if not label["converged"]:
            return "the calculation did not converge"
        if label["energy_ev"] is None or not math.isfinite(label["energy_ev"]):
            return "the energy is not a finite number"
        if label["forces_ev_a"] is None:
            return "a force is not a finite number"
        forces = np.array(label["forces_ev_a"])
        if forces.shape != (self.n_atoms, 3):
            return f"forces have shape {forces.shape}, expected {(self.n_atoms, 3)}"
        return None if label.get("stress_is_finite", True) else "a stress component is not a finite number"
