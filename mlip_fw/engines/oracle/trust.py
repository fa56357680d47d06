"""Which ASE calculators a campaign from somebody else may use.

Naming a calculator is naming code. What is on this machine was put there by its owner, but a text that goes
to a calculator can be a command line, or the path of a model that is a pickle.
"""

from __future__ import annotations

from typing import Any

from ase.calculators.calculator import BaseCalculator

from mlip_fw.errors import CampaignError, WorkerError
from mlip_fw.models.oracle import AseOracle
from mlip_fw.models.worker import Worker

_ALLOWED = {"emt", "lj", "morse", "eam", "tblite", "xtb"}
"""Read through: whatever their parameters say, they only compute."""


def require_trusted(kind: Any, oracle: AseOracle, worker: Worker) -> None:
    """Refuse what is no calculator, and texts as parameters of a calculator that might run them.

    Parameters
    ----------
    kind
        What ``oracle.calculator`` names.

    Raises
    ------
    CampaignError
        If it is no ASE calculator and the worker does not name it.
    WorkerError
        If it is given texts and the worker does not name it.
    """
    if oracle.calculator in worker.trusted_calculators:
        return
    where = "env.trusted_calculators in my_fworker.yaml"
    if not (isinstance(kind, type) and issubclass(kind, BaseCalculator)):
        raise CampaignError(
            f"oracle.calculator {oracle.calculator} is not a class of ASE calculators, and may do anything; if you "
            f"trust it, name it in {where}"
        )
    texts = sorted(name for name, value in oracle.parameters.items() if _holds_text(value))
    if texts and oracle.calculator.lower() not in _ALLOWED:
        raise WorkerError(
            f"oracle.parameters: {', '.join(texts)} could make calculator {oracle.calculator} run a program or read "
            f"code; if you trust this campaign with it, name {oracle.calculator} in {where}"
        )


def _holds_text(value: Any) -> bool:
    """Whether a value is, or has in it, anything but numbers, true, false and null."""
    if isinstance(value, dict):
        return any(map(_holds_text, [*value, *value.values()]))
    if isinstance(value, list):
        return any(map(_holds_text, value))
    return not (value is None or isinstance(value, bool | int | float))
