"""Which evaluator a potential has: compiled code where that can be, or pyace; and why.

Nothing here needs numba or pyace until a potential is evaluated: every Firetask imports it.
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
    """What a worker wants.

    Attributes
    ----------
    kind
        auto: the kernel, and pyace for what it does not know; kernel: nothing else; pyace: never the kernel.
    threads
        Of the kernel.
    compiles
        Whether to compile the kernel, if this machine has not yet: not where somebody waits for a short answer.
    """

    kind: Kind = "auto"
    threads: int = 1
    compiles: bool = True


_NO_NUMBA = "numba is not installed"
PYACE = Evaluator("pyace")
_wanted = Evaluator()


def evaluator_of(worker: Worker) -> Evaluator:
    """Return what a worker wants, with the threads that it has."""
    return Evaluator(worker.md_evaluator, worker.md_threads or cores_of())


def use(evaluator: Evaluator) -> None:
    """Say what potentials of this process are evaluated by, from now on."""
    global _wanted
    _wanted = evaluator


def wanted() -> Evaluator:
    """Return what :func:`use` said last."""
    return _wanted


@dataclass(frozen=True)
class Found:
    """The kernel of a potential, or why it has none."""

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
    """Return the kernel of a potential, if it says what pyace says.

    Parameters
    ----------
    basis, inverses
        The potential, and the inverses of its active sets by element.
    evaluator
        What is wanted.
    positions, species
        A structure to compare both on, (n, 3) in Å, and the numbers of its elements.

    Raises
    ------
    WorkerError
        If nothing but the kernel is wanted, and it can't be had.
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
    """Return that an active set is one of derivatives by all coefficients, which pyace makes for several densities."""
    n_functions = [len(first) + len(rest) for first, rest in zip(basis.basis_rank1, basis.basis, strict=True)]
    if inverses is None or [len(inverse) for inverse in inverses] == n_functions:
        return None
    return "its active set is not one of its functions"


def require_evaluator(basis: ACEBBasisSet, evaluator: Evaluator) -> None:
    """Refuse a potential, if nothing but the kernel is wanted and it can't be had.

    Raises
    ------
    WorkerError
        For that reason.
    """
    if evaluator.kind == "kernel" and (reason := why_no_kernel(basis) or why_not_here()):
        raise _refusal(reason)


def _refusal(reason: str) -> WorkerError:
    return WorkerError(
        f"env.md_evaluator is kernel, which can't evaluate this potential: {reason}; set it to auto or pyace"
    )


def why_no_kernel(basis: ACEBBasisSet, kind: Kind = "auto") -> str | None:
    """Return why a potential is not for the kernel, whatever this machine has; None if it is."""
    return "the worker asks for it (env.md_evaluator)" if kind == "pyace" else why_not(basis)


def forecast(basis: ACEBBasisSet, evaluator: Evaluator) -> str:
    """Return what will evaluate a potential on this machine, as far as that is known without compiling anything."""
    reason = why_no_kernel(basis, evaluator.kind) or (None if _has_numba() else _NO_NUMBA)
    return str(Found(None, reason)) if reason else _name(evaluator)


def _name(evaluator: Evaluator) -> str:
    return "the compiled kernel" + (f" on {evaluator.threads} threads" if evaluator.threads > 1 else "")


def _has_numba() -> bool:
    return importlib.util.find_spec("numba") is not None


def why_not_here(say: Callable[[str], None] = logger.info, *, compiles: bool = True) -> str | None:
    """Return why this machine can't compile the kernel; None if it has.

    Parameters
    ----------
    say
        Is told if it has to be compiled, which takes half a minute, once for each machine.
    compiles
        Whether to do that now.
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
"""Why not, or nothing at all if it can; None before that is known."""


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
