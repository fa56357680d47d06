"""custodian's Job and Validator for an ASE calculator: a child process, and what is believed of its answer."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path

import numpy as np
from custodian import Custodian
from custodian.custodian import CustodianError, Job, Validator

from mlip_fw.engines.oracle.ase_child import OUTPUT, label_structure
from mlip_fw.engines.warm import KILLED, nursery
from mlip_fw.errors import ChildError, LabelError, WorkerError
from mlip_fw.models.oracle import AseOracle

LOG = "oracle.out"
_MOST_KILLS = 3
_MACHINE_FAULTS = {"OSError", "ImportError", "MemoryError", "DirectoryError"}
"""Exceptions that say nothing of the structure."""


class AseJob(Job):
    """Label the structure of the current folder in a child process."""

    def __init__(self, oracle: AseOracle, folder: Path, *, probe: bool) -> None:
        self._oracle, self._folder, self._probe = oracle, folder, probe

    def setup(self, directory: str = "./") -> None:
        """Remove what an earlier attempt left, so that nothing stale is believed."""
        (self._folder / OUTPUT).unlink(missing_ok=True)

    def run(self, directory: str = "./") -> None:
        """Run the calculator; custodian sees a child that has already ended."""
        argument = {
            "calculator": self._oracle.calculator,
            "parameters": self._oracle.parameters,
            "probe": self._probe,
            "max_force_ev_a": self._oracle.max_force_ev_a,
        }
        function = f"{label_structure.__module__}:{label_structure.__name__}"
        for attempt in range(1, _MOST_KILLS + 1):
            try:
                nursery().call(
                    function, argument, folder=self._folder, log=self._folder / LOG, timeout_s=self._oracle.timeout_s
                )
            except ChildError as error:
                # killed from outside: the machine failed, not the calculation
                if error.exit_code not in KILLED or attempt == _MOST_KILLS:
                    raise
            else:
                return

    def postprocess(self, directory: str = "./") -> None:
        """Nothing is left to do."""

    def terminate(self, directory: str = "./") -> None:
        """End the child."""
        nursery().close()


class LabelIsSound(Validator):
    """Energy and forces are there, finite and converged."""

    def __init__(self, folder: Path, n_atoms: int) -> None:
        # custodian's log wants every argument back under its own name
        self._folder, self._n_atoms = folder, n_atoms
        self.complaint: str | None = None

    def check(self, directory: str = "./") -> bool:
        """Return True if the label must not be believed, as custodian has it."""
        self.complaint = self._complaint()
        return self.complaint is not None

    def _complaint(self) -> str | None:
        try:
            label = json.loads((self._folder / OUTPUT).read_text())
        except (OSError, ValueError):
            return "the calculator wrote no result"
        if not label["converged"]:
            return "the calculation did not converge"
        if label["energy_ev"] is None or not math.isfinite(label["energy_ev"]):
            return "the energy is not a finite number"
        if label["forces_ev_a"] is None:
            return "a force is not a finite number"
        forces = np.array(label["forces_ev_a"])
        if forces.shape != (self._n_atoms, 3):
            return f"forces have shape {forces.shape}, expected {(self._n_atoms, 3)}"
        return None if label.get("stress_is_finite", True) else "a stress component is not a finite number"


def run_job(job: AseJob, validator: LabelIsSound, folder: Path) -> None:
    """Run a job under custodian, so that ``label.json`` in its folder holds a label.

    Raises
    ------
    LabelError
        If it does not; the text is the reason.
    WorkerError
        If this machine is to blame.
    """
    custodian = Custodian(
        handlers=[], jobs=[job], validators=[validator], max_errors=1, directory=str(folder), polling_time_step=1
    )
    chatty = logging.getLogger("custodian")
    level = chatty.level
    chatty.setLevel(logging.WARNING)
    try:
        custodian.run()
    except ChildError as error:
        if LabelError.__name__ in error.kinds:
            raise LabelError(str(error).removeprefix(f"{LabelError.__name__}: ")) from error
        if _MACHINE_FAULTS & set(error.kinds):
            raise WorkerError(f"this machine can't label: {error}; fix it and run again") from error
        raise LabelError(str(error)) from error
    except CustodianError as error:
        raise LabelError(validator.complaint or f"custodian: {error}") from error
    finally:
        chatty.setLevel(level)
