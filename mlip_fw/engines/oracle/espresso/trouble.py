"""What went wrong with pw.x, told from how it ended and from what it wrote.

"JOB DONE." and the exit code alone say little: an SCF that did not converge, a stop by ``max_seconds`` and
a stop by an EXIT file all print "JOB DONE.", and share an exit code that differs between versions.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from enum import StrEnum

from mlip_fw.engines.oracle.espresso.command import why_not_started
from mlip_fw.engines.process import Ended


class Trouble(StrEnum):
    """Kinds of failure; every kind has one repair, or none."""

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


FAULTS_OF_THE_MACHINE = {Trouble.PSEUDOPOTENTIAL, Trouble.DISK, Trouble.NOT_STARTED, Trouble.TERMINATED}
"""A queue ends its jobs by SIGTERM; short memory is told by SIGKILL."""


@dataclass(frozen=True)
class Found:
    """A failure and the words that gave it away."""

    trouble: Trouble
    said: str


@dataclass(frozen=True)
class Traces:
    """What an attempt left."""

    ended: Ended
    out: str
    err: str = ""
    crash: str = ""


_ROUTINES = (
    (Trouble.MEMORY, r"cannot allocate|error allocating"),
    (Trouble.PSEUDOPOTENTIAL, r"readpp|upf|pseudo|not readable"),
    (Trouble.INPUT, r"read_namelists|read_cards|card_|iosys"),
    (Trouble.NEEDS_SMEARING, r"smearing is needed|specify occupations|odd number of electrons"),
    (Trouble.TOO_FEW_BANDS, r"too few bands|internal error, cannot bracket Ef"),
    (
        Trouble.DIAGONALISATION,
        r"diaghg|cholesky|S matrix|c_bands|egterg|ppcg|paro|dsygv|zhegv|eigenvectors|rotate_|gram_schmidt",
    ),
    (Trouble.RADIAL_FFT, r"radial FFT"),
    (Trouble.DISK, r"check_tempdir|error writing|davcio|cannot (?:open|write)|error opening"),
)
_MEMORY = (
    r"Cannot allocate memory|insufficient virtual memory|exceed memory limit|std::bad_alloc|oom[-_ ]kill|Out of memory"
)
_DISK = r"No space left on device|[Dd]isk quota exceeded"
_UPF_READER = r"xmltools|upf|radial_grids|read_pseudo"
_SIGNALS = {
    signal.SIGKILL: Trouble.KILLED,
    signal.SIGTERM: Trouble.TERMINATED,
    signal.SIGXCPU: Trouble.TERMINATED,
}


def diagnose(traces: Traces) -> Found | None:
    """Return what went wrong, or None if pw.x says of nothing that it did."""
    ended, out, err = traces.ended, traces.out, traces.err
    if ended.timed_out:
        return Found(Trouble.HUNG, f"ended after {ended.seconds:.0f} s")
    if reason := why_not_started(err):
        return Found(Trouble.NOT_STARTED, reason)
    for trouble, pattern in ((Trouble.DISK, _DISK), (Trouble.MEMORY, _MEMORY)):
        if match := re.search(f".*(?:{pattern}).*", err + out + traces.crash, re.IGNORECASE):
            return Found(trouble, match.group(0).strip())
    return (
        _said_by_a_routine(out + traces.crash)
        or _stopped_itself(out)
        or _by_signal(ended.exit_code, err)
        or _by_fortran(err)
        or _unconverged(out)
        or _without_a_word(traces)
    )


def _said_by_a_routine(text: str) -> Found | None:
    """Read the box of percent signs that pw.x prints, or its copy in the file CRASH."""
    match = re.search(r"(?:Error in routine|from)\s+(\S+)\s*(?:\(\s*\d+\)|: error #\s+\d+).*\n\s*(.+)", text)
    if not match:
        return None
    said = f"{match.group(1)}: {match.group(2).strip()}"
    kinds = (trouble for trouble, pattern in _ROUTINES if re.search(pattern, said, re.IGNORECASE))
    return Found(next(kinds, Trouble.OTHER), said)


def _stopped_itself(out: str) -> Found | None:
    if "Maximum CPU time exceeded" in out:
        return Found(Trouble.OUT_OF_TIME, "max_seconds is over")
    if "Program stopped by user request" in out:
        return Found(Trouble.EXIT_FILE, "Program stopped by user request")
    return None


def _by_signal(exit_code: int, err: str) -> Found | None:
    reported = re.search(r"exited on signal (\d+)", err)
    number = int(reported.group(1)) if reported else -exit_code if exit_code < 0 else exit_code - 128
    if number not in {s.value for s in signal.Signals}:
        return None
    name = signal.Signals(number).name
    if number == signal.SIGILL:
        return Found(Trouble.NOT_STARTED, f"{name}: pw.x is built for another processor; correct pw_cmd")
    return Found(_SIGNALS.get(signal.Signals(number), Trouble.CRASHED), f"by {name}")


def _by_fortran(err: str) -> Found | None:
    match = re.search(r"(?:At line \d+ of file (\S+).*\n)?Fortran runtime error: (.+)", err)
    if not match:
        return None
    reader = re.search(_UPF_READER, match.group(1) or "")
    return Found(Trouble.PSEUDOPOTENTIAL if reader else Trouble.OTHER, f"{match.group(1)}: {match.group(2)}")


def _unconverged(out: str) -> Found | None:
    if "convergence NOT achieved" not in out:
        return None
    steps = re.findall(r"convergence NOT achieved after\s+(\d+)", out)
    return Found(Trouble.NOT_CONVERGED, f"not converged after {steps[-1] if steps else '?'} steps")


def _without_a_word(traces: Traces) -> Found | None:
    ended, out = traces.ended, traces.out
    tail = " / ".join(filter(None, (line.strip() for line in traces.err.splitlines()[-3:])))
    if "Program PWSCF" not in out:
        why = (
            f"exit code {ended.exit_code}, nothing of pw.x in its output; {tail or 'no error message'}; correct pw_cmd"
        )
        return Found(Trouble.NOT_STARTED, why)
    if ended.exit_code == 0:
        return None
    if re.search(r"(?:iteration #|diagonalization).*\s*\Z", out):
        # cdiaghg's "S matrix not positive definite" comes without text in some versions
        return Found(Trouble.DIAGONALISATION, f"aborted inside the diagonalisation, exit code {ended.exit_code}")
    return Found(Trouble.OTHER, f"exit code {ended.exit_code} without a message")
