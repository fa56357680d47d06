"""The ``ase`` oracle: any ASE calculator, run by custodian and believed only after validation."""

from __future__ import annotations

import difflib
import inspect
import json
import logging
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ase
import numpy as np
from ase import Atoms
from ase.io import write

from mlip_fw.engines.oracle.answer import Labelled, facts_of
from mlip_fw.engines.oracle.ase_child import INPUT, OUTPUT, calculator_class
from mlip_fw.engines.oracle.ase_job import LOG, AseRun
from mlip_fw.engines.oracle.trust import require_trusted
from mlip_fw.errors import CampaignError, LabelError, WorkerError
from mlip_fw.io.structures import with_labels
from mlip_fw.models.oracle import AseOracle
from mlip_fw.models.worker import Worker
from mlip_fw.runtime.stdout import stdout_on_stderr

logger = logging.getLogger("mlip_fw")
_SAME_EV = 1e-9
_TAKEN = "energy_taken"


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
    own = [peer for peer in peers if peer.info.get("code") == code]
    with tempfile.TemporaryDirectory(prefix="mlip-fw-label-") as name:
        place = Path(name)
        write(place / INPUT, Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc), format="extxyz")
        run = AseRun(folder=place, oracle=oracle, n_atoms=len(atoms), probe=not own)
        try:
            run.label()
        except LabelError as error:
            raise LabelError(str(error), files=_kept(place / LOG, folder)) from error
        label = json.loads((place / OUTPUT).read_text())
    _warn_of_a_mixture(label, own)
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
    """Return what is recorded of the two energies of a calculator, with their values if they differ."""
    other = label["other_energy_ev"]
    if other is None:
        return {}
    values = {"free_energy_ev": label["energy_ev"], "energy_ev": other} if _differ(label) else {}
    return {_TAKEN: "free_energy", **values}


def _differ(label: dict[str, Any]) -> bool:
    return label["other_energy_ev"] is not None and abs(label["other_energy_ev"] - label["energy_ev"]) > _SAME_EV


def _warn_of_a_mixture(label: dict[str, Any], own: list[Atoms]) -> None:
    """Say so if a campaign has labels of an earlier version, which took a calculator's ``energy`` in any case."""
    if _differ(label) and any(_TAKEN not in str(peer.info.get("convergence")) for peer in own):
        logger.warning(
            "this campaign has labels of an earlier version, with the calculator's energy; new ones have its free "
            "energy, which belongs to the forces (here %.4g eV less). Begin another directory for labels of one kind",
            label["other_energy_ev"] - label["energy_ev"],
        )
