"""What went wrong with pw.x, from how it ended and from what it wrote.

"JOB DONE." and the exit code alone say little: an SCF that did not converge, a stop by ``max_seconds`` and
a stop by an EXIT file all print "JOB DONE.", and share an exit code that differs between versions.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from enum import StrEnum

from mlip_fw.runtime.subprocesses import CommandResult
from mlip_fw.runtime.supervised_run import Failure


class PwTrouble(StrEnum):
    """Kinds of failure of pw.x; each has one repair, or none."""

    NOT_CONVERGED = "SCF not converged"
    DIAGONALISATION = "diagonalisation failed"
    NEEDS_SMEARING = "fixed occupations do not fit"
    TOO_FEW_BANDS = "too few bands"
    MEMORY = "out of memory"
    KILLED = "killed"
    TERMINATED = "ended from outside"
    CRASHED = "crashed"
    RESTART = "continuing failed"
    RADIAL_FFT = "cell too far from its first"
    OUT_OF_TIME = "walltime"
    HUNG = "took too long"
    EXIT_FILE = "stopped by an EXIT file"
    INPUT = "input refused"
    PSEUDOPOTENTIAL = "pseudopotential unreadable"
    DISK = "disk full"
    NOT_STARTED = "pw.x did not start"
    INCOMPLETE = "incomplete output"
    OTHER = "failed"


MACHINE_TROUBLES = {PwTrouble.PSEUDOPOTENTIAL, PwTrouble.DISK, PwTrouble.NOT_STARTED, PwTrouble.TERMINATED}
"""Troubles that say nothing about the structure. A queue ends its jobs by SIGTERM; the kernel, short of memory, by
SIGKILL, which does count against the structure."""


@dataclass(frozen=True)
class Traces:
    """What an attempt left: how the process ended, and the texts of pw.x."""

    ended: CommandResult
    out: str
    err: str = ""
    crash: str = ""


_ROUTINES = (
    (PwTrouble.MEMORY, r"cannot allocate|error allocating"),
    (PwTrouble.PSEUDOPOTENTIAL, r"readpp|upf|pseudo|not readable"),
    (PwTrouble.INPUT, r"read_namelists|read_cards|card_|iosys"),
    (PwTrouble.NEEDS_SMEARING, r"smearing is needed|specify occupations|odd number of electrons"),
    (PwTrouble.TOO_FEW_BANDS, r"too few bands|internal error, cannot bracket Ef"),
    (
        PwTrouble.DIAGONALISATION,
        r"diaghg|cholesky|S matrix|c_bands|egterg|ppcg|paro|dsygv|zhegv|eigenvectors|rotate_|gram_schmidt",
    ),
    (PwTrouble.RADIAL_FFT, r"radial FFT"),
    (PwTrouble.DISK, r"check_tempdir|error writing|davcio|cannot (?:open|write)|error opening"),
)
_MEMORY = (
    r"Cannot allocate memory|insufficient virtual memory|exceed memory limit|std::bad_alloc|oom[-_ ]kill|Out of memory"
)
_DISK = r"No space left on device|[Dd]isk quota exceeded"
_UPF_READER = r"xmltools|upf|radial_grids|read_pseudo"
_BLOCK = re.compile(r"bands \(ev\):\s*\n\s*\n((?:\s*-?\d+\.\d+.*\n)+)")
_WIDTHS_ABOVE = {"fermi-dirac": 5.0}
_DEFAULT_WIDTHS_ABOVE = 1.0
"""The highest band must lie this many smearing widths above the Fermi energy (Si8 at 1.7: 4e-6 eV from the limit)."""
_SIGNALS = {
    signal.SIGKILL: PwTrouble.KILLED,
    signal.SIGTERM: PwTrouble.TERMINATED,
    signal.SIGXCPU: PwTrouble.TERMINATED,
}


def diagnose(traces: Traces) -> Failure | None:
    """Return what went wrong, or None if nothing that pw.x wrote says that something did."""
    ended, out, err = traces.ended, traces.out, traces.err
    if ended.timed_out:
        return Failure(PwTrouble.HUNG, f"ended after {ended.seconds:.0f} s")
    if reason := why_not_started(err):
        return Failure(PwTrouble.NOT_STARTED, reason)
    for trouble, pattern in ((PwTrouble.DISK, _DISK), (PwTrouble.MEMORY, _MEMORY)):
        if match := re.search(f".*(?:{pattern}).*", err + out + traces.crash, re.IGNORECASE):
            return Failure(trouble, match.group(0).strip())
    return (
        _by_routine(out + traces.crash)
        or _by_own_stop(out)
        or _by_signal(ended.exit_code, err)
        or _by_fortran(err)
        or _unconverged(out)
        or _by_exit_code(traces)
    )


def _by_routine(text: str) -> Failure | None:
    """Read the box of percent signs that pw.x prints, or its copy in the file CRASH."""
    match = re.search(r"(?:Error in routine|from)\s+(\S+)\s*(?:\(\s*\d+\)|: error #\s+\d+).*\n\s*(.+)", text)
    if not match:
        return None
    said = f"{match.group(1)}: {match.group(2).strip()}"
    kinds = (trouble for trouble, pattern in _ROUTINES if re.search(pattern, said, re.IGNORECASE))
    return Failure(next(kinds, PwTrouble.OTHER), said)


def _by_own_stop(out: str) -> Failure | None:
    if "Maximum CPU time exceeded" in out:
        return Failure(PwTrouble.OUT_OF_TIME, "max_seconds is over")
    if "Program stopped by user request" in out:
        return Failure(PwTrouble.EXIT_FILE, "Program stopped by user request")
    return None


def _by_signal(exit_code: int, err: str) -> Failure | None:
    reported = re.search(r"exited on signal (\d+)", err)
    number = int(reported.group(1)) if reported else -exit_code if exit_code < 0 else exit_code - 128
    if number not in {s.value for s in signal.Signals}:
        return None
    name = signal.Signals(number).name
    if number == signal.SIGILL:
        return Failure(PwTrouble.NOT_STARTED, f"{name}: pw.x is built for another processor; correct pw_cmd")
    return Failure(_SIGNALS.get(signal.Signals(number), PwTrouble.CRASHED), f"by {name}")


def _by_fortran(err: str) -> Failure | None:
    match = re.search(r"(?:At line \d+ of file (\S+).*\n)?Fortran runtime error: (.+)", err)
    if not match:
        return None
    reader = re.search(_UPF_READER, match.group(1) or "")
    return Failure(PwTrouble.PSEUDOPOTENTIAL if reader else PwTrouble.OTHER, f"{match.group(1)}: {match.group(2)}")


def _unconverged(out: str) -> Failure | None:
    if "convergence NOT achieved" not in out:
        return None
    steps = re.findall(r"convergence NOT achieved after\s+(\d+)", out)
    return Failure(PwTrouble.NOT_CONVERGED, f"not converged after {steps[-1] if steps else '?'} steps")


def _by_exit_code(traces: Traces) -> Failure | None:
    ended, out = traces.ended, traces.out
    tail = " / ".join(filter(None, (line.strip() for line in traces.err.splitlines()[-3:])))
    if "Program PWSCF" not in out:
        why = (
            f"exit code {ended.exit_code}, nothing of pw.x in its output; {tail or 'no error message'}; correct pw_cmd"
        )
        return Failure(PwTrouble.NOT_STARTED, why)
    if ended.exit_code == 0:
        return None
    if re.search(r"(?:iteration #|diagonalization).*\s*\Z", out):
        # cdiaghg's "S matrix not positive definite" comes without text in some versions
        return Failure(PwTrouble.DIAGONALISATION, f"aborted inside the diagonalisation, exit code {ended.exit_code}")
    return Failure(PwTrouble.OTHER, f"exit code {ended.exit_code} without a message")


def why_not_started(stderr: str) -> str | None:
    """Return why a launcher could not start pw.x and what to do, or None if it does not say."""
    if "attempt to run as root" in stderr:
        return (
            "mpirun refuses to run as root; begin pw_cmd with "
            "`env OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun …` if that is what you want"
        )
    if "not enough slots" in stderr:
        return "mpirun has fewer slots than pw_cmd asks for; use a smaller -np, or --oversubscribe"
    if "unable to find the specified executable" in stderr or "unable to launch the specified" in stderr:
        name = re.search(r"^Executable: +(\S+)", stderr, re.MULTILINE)
        return f"mpirun does not find {name.group(1) if name else 'its program'}; correct pw_cmd"
    if missing := re.search(r"error while loading shared libraries: (.+)", stderr):
        return f"pw.x lacks a library: {missing.group(1)}"
    if missing := re.search(r"No module named .*", stderr):
        return f"the installed Quantum ESPRESSO is broken ({missing.group(0)}); run `mlip-fw doctor --install-qe`"
    return None


def wrong_bands(out: str, smearing: str | None, width_ev: float) -> Failure | None:
    """Return what the eigenvalues of a converged calculation say against it, or None.

    Parameters
    ----------
    out
        Standard output of pw.x.
    smearing
        Its ``smearing``; None with fixed occupations.
    width_ev
        Width of the smearing, eV.
    """
    last = out[out.rfind("End of self-consistent calculation") :]
    last_step = out[out.rfind("iteration #") :]
    if match := re.search(r"c_bands:\s+(\d+) eigenvalues not converged", last_step):
        return Failure(PwTrouble.DIAGONALISATION, f"{match.group(1)} eigenvalues not converged in the last SCF step")
    if smearing is None:
        return _overlapping_bands(last)
    return _band_cut_off(last, _WIDTHS_ABOVE.get(smearing, _DEFAULT_WIDTHS_ABOVE) * width_ev)


def _overlapping_bands(out: str) -> Failure | None:
    levels = re.search(r"highest occupied, lowest unoccupied level \(ev\):\s+(-?\d+\.\d+)\s*(-?\d+\.\d+)", out)
    if levels and float(levels.group(2)) < float(levels.group(1)):
        message = f"occupied up to {levels.group(1)} eV, empty from {levels.group(2)} eV: a metal"
        return Failure(PwTrouble.NEEDS_SMEARING, message)
    return None


def _band_cut_off(out: str, margin_ev: float) -> Failure | None:
    fermi = re.search(r"Fermi energ(?:y is|ies are)\s+(-?\d+\.\d+)(?:\s+(-?\d+\.\d+))?", out)
    tops = [float(re.findall(r"-?\d+\.\d{4}", block)[-1]) for block in _BLOCK.findall(out)]
    if not fermi or not tops:
        return None
    highest = max(float(x) for x in fermi.groups() if x)
    if min(tops) < highest + margin_ev:
        return Failure(
            PwTrouble.TOO_FEW_BANDS,
            f"the highest band reaches down to {min(tops):.2f} eV, the Fermi energy is {highest:.2f} eV",
        )
    return None
