"""Whether the result of a run can be believed, and whose fault a failed one is: machine, settings or structure."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
from custodian.custodian import CustodianError, MaxCorrectionsError, MaxCorrectionsPerJobError, NonRecoverableError
from pymatgen.core.structure import Structure

from mlip_fw.engines.oracle.vasp.job import STDERR, STDOUT
from mlip_fw.errors import LabelError, MlipError, WorkerError
from mlip_fw.io.vasp import read_outcar_end, read_vasprun, same_structure

EVIDENCE = ("INCAR", "KPOINTS", "POSCAR", "OSZICAR", "OUTCAR", STDOUT, STDERR, "custodian.json")
"""Files that tell what happened; not POTCAR, which is licensed."""
_MACHINE = (
    "No space left on device",
    "Disk quota exceeded",
    "Input/output error",
    "Stale file handle",
    "error while loading shared libraries",
    "cannot execute binary file",
    "Exec format error",
    "Illegal instruction",
    "could not find executable",
    "unable to find the specified executable",
    "could not access or execute an executable",
    "command not found",
    "execvp error",
)
_MEMORY = (
    "out of memory",
    "oom-kill",
    "oom_kill",
    "insufficient virtual memory",
    "cannot allocate memory",
    "allocation would exceed memory limit",
    "bad_alloc",
)
_EXIT_CODES = {
    126: "it is not executable",
    127: "it or a library of it was not found",
    -signal.SIGILL: "it was built for another processor",
    128 + signal.SIGILL: "it was built for another processor",
}
_SETTINGS = {
    "read_error": "VASP can't read INCAR; correct oracle.incar",
    "set_core_wf": "VASP can't read a POTCAR; restore VASP's file, or take a newer library",
}
_TAIL_BYTES = 2_000


def complaint_about(folder: Path, structure: Structure) -> str | None:
    """Return why the result of a run can't be believed, or None.

    It must have come to its end, be of this structure, converged, and its numbers finite. pymatgen calls a
    self-consistency converged that took fewer than NELM steps, also if it was aborted by a STOPCAR; so VASP's own
    words are asked for as well.
    """
    end = read_outcar_end(folder / "OUTCAR")
    if not end.finished:
        return "VASP didn't come to its end: OUTCAR has no closing lines"
    try:
        run = read_vasprun(folder / "vasprun.xml")
    except ValueError as error:
        return str(error)
    if run.scf_steps >= run.max_scf_steps:
        return f"the self-consistency did not converge in NELM = {run.max_scf_steps} steps"
    if not end.converged:
        return f"the self-consistency did not converge: VASP says “aborting loop {end.scf_ended}”"
    if not same_structure(run.structure, structure):
        return "vasprun.xml is of another structure"
    if run.forces_ev_a.shape != (len(structure), 3):
        return f"forces have shape {run.forces_ev_a.shape}, expected {(len(structure), 3)}"
    numbers = (("energy", run.energy_ev), ("force", run.forces_ev_a), ("stress", run.stress_ev_a3))
    bad = [name for name, value in numbers if not np.isfinite(value).all()]
    return f"not a finite number: {', '.join(bad)}" if bad else None


def blame(
    error: Exception, exit_code: int | None, complaint: str | None, corrections: list[dict[str, Any]], folder: Path
) -> MlipError:
    """Return the error to raise for a run that gave no label.

    A full disk, a missing program or an INCAR that VASP can't read would fail every structure, so the
    Firework fizzles and can be run again; all else says something about this structure.

    Parameters
    ----------
    error
        What custodian, or a handler, raised.
    exit_code
        Of the last attempt; negative is a signal, None if there was none or it was ended from this side.
    complaint
        What :func:`complaint_about` says of the result.
    corrections
        What custodian's handlers found and did.
    """
    said = "\n".join(_tail(folder / name) for name in (STDOUT, STDERR))
    if line := _line_with(_MACHINE, said):
        return WorkerError(f"this machine can't run VASP: “{line}”; fix it and run again")
    if exit_code in _EXIT_CODES:
        return WorkerError(
            f"vasp_cmd can't run here: {_EXIT_CODES[exit_code]}; correct env.vasp_cmd in my_fworker.yaml"
        )
    if _signal_of(exit_code) in ("SIGTERM", "SIGXCPU"):
        return WorkerError(f"VASP was ended from outside by {_signal_of(exit_code)}, as queues do; run it again")
    last = corrections[-1]["errors"] if corrections else []
    for name in set(last) & set(_SETTINGS):
        return WorkerError(f"{_SETTINGS[name]} and run again")
    reason = _reason(error, exit_code, complaint, corrections, said)
    return LabelError(reason, corrections=corrections, files=[folder / name for name in EVIDENCE])


def _reason(
    error: Exception,
    exit_code: int | None,
    complaint: str | None,
    corrections: list[dict[str, Any]],
    said: str,
) -> str:
    if line := _line_with(_MEMORY, said):
        return f"VASP ran out of memory: “{line}”"
    if not isinstance(error, CustodianError):
        return f"custodian could not judge the run ({type(error).__name__}: {error})"
    if isinstance(error, NonRecoverableError) and corrections:
        return f"custodian has no answer to {', '.join(sorted(corrections[-1]['errors']))}{_after(corrections[:-1])}"
    if isinstance(error, (MaxCorrectionsError, MaxCorrectionsPerJobError)):
        return f"VASP still fails{_after(corrections)}"
    if name := _signal_of(exit_code):
        short = "; was memory short?" if name == "SIGKILL" else ""
        return f"VASP was killed by {name}{short}"
    return f"{complaint or 'VASP failed, or left no CONTCAR or OSZICAR'}{_ended(exit_code, said)}"


def _after(corrections: list[dict[str, Any]]) -> str:
    if not corrections:
        return ""
    names = dict.fromkeys(name for correction in corrections for name in correction["errors"])
    return f" after {len(corrections)} corrections ({', '.join(names)})"


def _ended(exit_code: int | None, said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return f" (exit code {exit_code}, last words “{lines[-1][:200]}”)" if exit_code and lines else ""


def _signal_of(exit_code: int | None) -> str | None:
    """Return the signal that ended a command, also as mpirun and shells report it."""
    number = -exit_code if exit_code is not None and exit_code < 0 else (exit_code or 0) - 128
    return signal.Signals(number).name if number in set(signal.Signals) else None


def _line_with(phrases: tuple[str, ...], text: str) -> str | None:
    lowered = [phrase.lower() for phrase in phrases]
    return next((line.strip()[:200] for line in text.splitlines() if any(p in line.lower() for p in lowered)), None)


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as handle:
            handle.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            return handle.read().decode(errors="replace")
    except OSError:
        return ""
