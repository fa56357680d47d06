"""The ``ase`` oracle: any ASE calculator, run by custodian and believed only after validation."""

from __future__ import annotations

import difflib
import inspect
import json
import logging
import math
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ase
import numpy as np
from ase import Atoms
from ase.io import write
from custodian import Custodian
from custodian.custodian import CustodianError, Job, Validator

from mlip_fw.engines.oracle.answer import Labelled, facts_of
from mlip_fw.engines.oracle.ase_child import INPUT, OUTPUT, calculator_class, label_structure
from mlip_fw.engines.oracle.trust import require_trusted
from mlip_fw.engines.warm import KILLED, nursery
from mlip_fw.errors import CampaignError, ChildError, LabelError, WorkerError
from mlip_fw.io.structures import with_labels
from mlip_fw.models.oracle import AseOracle
from mlip_fw.models.worker import Worker
from mlip_fw.stdout import stdout_on_stderr

LOG = "oracle.out"
_MOST_KILLS = 3
_SAME_EV = 1e-9
_MACHINE_FAULTS = {"OSError", "ImportError", "MemoryError", "DirectoryError"}
"""Exceptions that say nothing of the structure."""


def require_calculator(oracle: AseOracle, worker: Worker) -> None:
    """Check that the calculator exists here, may be used here, and takes its parameters.

    Raises
    ------
    CampaignError
        If there is no such calculator or it refuses the parameters.
    WorkerError
        If its package is not installed, or the worker does not trust it.
    """
    kind = trusted_calculator(oracle, worker)
    try:
        _require_known_parameters(kind, oracle)
        with stdout_on_stderr():
            kind(**oracle.parameters)
    except CampaignError:
        raise
    except Exception as error:
        raise CampaignError(f"oracle.parameters don't fit calculator {oracle.calculator}: {error}") from error


def trusted_calculator(oracle: AseOracle, worker: Worker) -> Any:
    """Return the calculator's class, if the campaign may use it here.

    Raises
    ------
    CampaignError
        If there is no such calculator.
    WorkerError
        If its package is not installed, or the worker does not trust it.
    """
    try:
        with stdout_on_stderr():
            kind = calculator_class(oracle.calculator)
    except ImportError as error:
        raise WorkerError(
            f"oracle.calculator {oracle.calculator} needs a package that is not installed ({error}); install it"
        ) from error
    except LookupError as error:
        raise CampaignError(f"oracle.calculator {oracle.calculator!r} is not a calculator; {error.args[0]}") from error
    except Exception as error:
        raise CampaignError(f"oracle.calculator {oracle.calculator} can't be imported: {error}") from error
    require_trusted(kind, oracle, worker)
    return kind


def _require_known_parameters(kind: Any, oracle: AseOracle) -> None:
    """Refuse misspelt parameters, which many of ASE's calculators would swallow."""
    signature = inspect.signature(kind).parameters
    known = {*getattr(kind, "default_parameters", {}), *signature}
    if not getattr(kind, "default_parameters", {}) and any(p.kind is p.VAR_KEYWORD for p in signature.values()):
        return
    for name in oracle.parameters:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(known))}"
            raise CampaignError(f"oracle.parameters: calculator {oracle.calculator} has no {name}; {hint}")


class AseJob(Job):
    """Label the structure of the current folder in a child process."""

    def __init__(self, oracle: AseOracle, folder: Path, probe: bool) -> None:
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


def label_with_ase(
    atoms: Atoms, oracle: AseOracle, peers: Iterable[Atoms] = (), folder: Path | None = None
) -> Labelled:
    """Return ``atoms`` with energy, forces and stress.

    The energy is the one whose derivative the forces are: the free energy, if the calculator has one. Constraints
    are left out. The first label of a campaign also has to show that its forces are the derivative of its energy.

    Parameters
    ----------
    peers
        Labels that are there already: if one is of this calculator, its forces are not asked about again.

    folder
        Where to keep what the calculator printed if there will be no label; None: nowhere.

    Raises
    ------
    LabelError
        If no trustworthy label came of it; the text is the reason.
    """
    code = f"ase {oracle.calculator}"
    probe = not any(peer.info.get("code") == code for peer in peers)
    with tempfile.TemporaryDirectory(prefix="mlip-fw-label-") as name:
        place = Path(name)
        write(place / INPUT, Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc), format="extxyz")
        validator = LabelIsSound(place, len(atoms))
        try:
            _run_custodian(AseJob(oracle, place, probe), validator, place)
        except LabelError as error:
            raise LabelError(str(error), files=_kept(place / LOG, folder)) from error
        label = json.loads((place / OUTPUT).read_text())
    labelled = with_labels(atoms, label["energy_ev"], np.array(label["forces_ev_a"]), label["stress_ev_a3"])
    facts = facts_of(
        code=code,
        version=ase.__version__,
        seconds=float(label["seconds"]),
        corrections=[],
        convergence=_which_energy(label),
    )
    return Labelled(labelled, facts)


def _kept(log: Path, folder: Path | None) -> list[Path]:
    """Keep what the calculator printed for the quarantine."""
    if folder is None or not log.is_file():
        return []
    folder.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copy(log, folder))]


def _which_energy(label: dict[str, Any]) -> dict[str, Any]:
    """Return what is recorded of the two energies of a calculator, if they differ."""
    other = label["other_energy_ev"]
    if other is None or abs(other - label["energy_ev"]) <= _SAME_EV:
        return {}
    return {"energy_taken": "free_energy", "free_energy_ev": label["energy_ev"], "energy_ev": other}


def _run_custodian(job: Job, validator: LabelIsSound, folder: Path) -> None:
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
            raise WorkerError(f"this machine can't label: {error}; mend it and run again") from error
        raise LabelError(str(error)) from error
    except CustodianError as error:
        raise LabelError(validator.complaint or f"custodian: {error}") from error
    finally:
        chatty.setLevel(level)
