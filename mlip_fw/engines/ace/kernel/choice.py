"""Choice of the evaluator of a potential: the compiled kernel where possible, otherwise pyace; and the reason.

Every Firetask imports this module, so it imports neither numba nor pyace before a potential is evaluated.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlip_fw.engines.ace.kernel.identity import identity_of, why_not
from mlip_fw.errors import WorkerError
from mlip_fw.models.worker import Worker
from mlip_fw.runtime.cores import cores_of

if TYPE_CHECKING:
    from pyace import ACEBBasisSet

    from mlip_fw.engines.ace.kernel.kernel import Kernel

logger = logging.getLogger("mlip_fw")
Kind = Literal["auto", "kernel", "pyace"]
_said: set[str] = set()


@dataclass(frozen=True)
class Evaluator:
    """The evaluator that a worker asks for.

    Attributes
    ----------
    kind
        auto: the kernel, or pyace where the kernel can't; kernel: an error where it can't; pyace: never the kernel.
    threads
        Number of threads of the kernel.
    compiles
        Whether to compile the kernel if this machine has not done so yet; False where a user waits for a short answer.
    """

    kind: Kind = "auto"
    threads: int = 1
    compiles: bool = True


_NO_NUMBA = "numba is not installed"
PYACE = Evaluator("pyace")
_wanted = Evaluator()


def evaluator_of(worker: Worker) -> Evaluator:
    """Return the evaluator that a worker asks for, with its number of threads."""
    return Evaluator(worker.md_evaluator, worker.md_threads or cores_of())


def use(evaluator: Evaluator) -> None:
    """Set the default evaluator of this process."""
    global _wanted
    _wanted = evaluator


def wanted() -> Evaluator:
    """Return the default evaluator of this process, as set by :func:`use`."""
    return _wanted


@dataclass(frozen=True)
class Found:
    """The kernel of a potential, or the reason why it has none."""

    kernel: Kernel | None
    reason: str

    def __str__(self) -> str:
        return self.reason if self.kernel is not None else f"pyace: {self.reason}"


def kernel_of(
    basis: ACEBBasisSet,
    inverses: Sequence[np.ndarray] | None,
    evaluator: Evaluator,
    positions: np.ndarray,
    species: np.ndarray,
) -> Found:
    """Return the kernel of a potential if it agrees with pyace.

    Parameters
    ----------
    basis, inverses
        The potential, and the inverse of the active set of each element.
    evaluator
        The evaluator asked for.
    positions, species
        A structure for the comparison, (n, 3) in Å, and the indices of its elements.

    Raises
    ------
    WorkerError
        If the kernel is required and not available.
    """
    found = _found(basis, inverses, evaluator, positions, species)
    if found.kernel is None and evaluator.kind == "kernel":
        raise _refusal(found.reason)
    if found.kernel is None and evaluator.kind == "auto" and found.reason not in _said:
        _said.add(found.reason)
        logger.info("pyace evaluates this potential, and not the faster kernel: %s", found.reason)
    return found


def _found(
    basis: ACEBBasisSet,
    inverses: Sequence[np.ndarray] | None,
    evaluator: Evaluator,
    positions: np.ndarray,
    species: np.ndarray,
) -> Found:
    if reason := why_no_kernel(basis, evaluator.kind) or _other_active_set(basis, inverses):
        return Found(None, reason)
    if reason := why_not_here(compiles=evaluator.compiles):
        return Found(None, reason)
    from mlip_fw.engines.ace.kernel.check import difference_from_pyace
    from mlip_fw.engines.ace.kernel.kernel import Kernel

    if reason := difference_from_pyace(basis, identity_of(basis), positions, species):
        return Found(None, reason)
    return Found(Kernel(basis, inverses, evaluator.threads), _name(evaluator))


def _other_active_set(basis: ACEBBasisSet, inverses: Sequence[np.ndarray] | None) -> str | None:
    """Return a reason if an active set is of all coefficients of several densities, as pyace makes it."""
    n_functions = [len(first) + len(rest) for first, rest in zip(basis.basis_rank1, basis.basis, strict=True)]
    if inverses is None or [len(inverse) for inverse in inverses] == n_functions:
        return None
    return "its active set is not one of its functions"


def require_evaluator(basis: ACEBBasisSet, evaluator: Evaluator) -> None:
    """Refuse a potential if the kernel is required and not available.

    Raises
    ------
    WorkerError
        With the reason.
    """
    if evaluator.kind == "kernel" and (reason := why_no_kernel(basis) or why_not_here()):
        raise _refusal(reason)


def _refusal(reason: str) -> WorkerError:
    return WorkerError(
        f"env.md_evaluator is kernel, which can't evaluate this potential: {reason}; set it to auto or pyace"
    )


def why_no_kernel(basis: ACEBBasisSet, kind: Kind = "auto") -> str | None:
    """Return why the kernel can't evaluate a potential on any machine; None if it can."""
    return "the worker asks for it (env.md_evaluator)" if kind == "pyace" else why_not(basis)


def forecast(basis: ACEBBasisSet, evaluator: Evaluator) -> str:
    """Return the evaluator that a potential will have on this machine, as far as is known without compiling."""
    reason = why_no_kernel(basis, evaluator.kind) or (None if _has_numba() else _NO_NUMBA)
    return str(Found(None, reason)) if reason else _name(evaluator)


def _name(evaluator: Evaluator) -> str:
    return "the compiled kernel" + (f" on {evaluator.threads} threads" if evaluator.threads > 1 else "")


def _has_numba() -> bool:
    return importlib.util.find_spec("numba") is not None


def why_not_here(say: Callable[[str], None] = logger.info, *, compiles: bool = True) -> str | None:
    """Return why this machine can't compile the kernel; None once it has.

    Parameters
    ----------
    say
        Called with a message if the kernel has to be compiled: half a minute, once for each machine.
    compiles
        Whether to compile it now.
    """
    global _here
    if _here is None and not compiles and _has_numba():
        from mlip_fw.engines.ace.kernel.ready import is_compiled

        if not is_compiled():
            return "it is not compiled yet"
    if _here is None:
        _here = _compiled(say)
    return _here or None


_here: str | None = None
"""The reason, or an empty string if the kernel is compiled; None before that is known."""


def _compiled(say: Callable[[str], None]) -> str:
    if not _has_numba():
        return _NO_NUMBA
    try:
        from mlip_fw.engines.ace.kernel.ready import make_ready

        make_ready(say)
    except Exception as error:
        said = str(error).strip().partition("\n")[0]
        return f"numba can't compile it ({type(error).__name__}: {said})"
    return ""
