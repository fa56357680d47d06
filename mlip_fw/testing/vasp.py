"""A stand-in for VASP: ``vasp_cmd: python -m mlip_fw.testing.vasp [--reference DIR] [--fail KIND]``.

With ``--reference`` it compares the inputs that mlip_fw wrote with recorded ones and plays the outputs that
belong to them: those of run 1 from ``DIR/1``, of run 2, after a correction, from ``DIR/2``. Without, it
makes outputs up. ``--fail`` goes wrong in one way until INCAR says what repairs it. Nothing that it makes is
a result, and none of it was recorded from a real VASP.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from mlip_fw.testing.vasp_files import (
    CLOSING,
    Answer,
    Inputs,
    incar_of,
    last_line,
    oszicar,
    outcar,
    read_poscar,
    scf_line,
    vasprun,
)

_INPUTS = ("INCAR", "KPOINTS", "POSCAR", "POTCAR.symbols")
_OUTPUTS = ("vasprun.xml", "OUTCAR", "OSZICAR", "CONTCAR")
_SAID, _COMPLAINED, _CODE = "vasp.out", "std_err.txt", "exit_code"
_COUNTER = "stand-in.runs"
_STEPS = 9
_FOR_EVER_S = 3600


@dataclass(frozen=True)
class FakeFailure:
    """One way to go wrong, and what it takes to stop."""

    play: Callable[[Inputs], NoReturn]
    repaired: Callable[[dict[str, str]], bool] = lambda _: False


def main() -> None:
    """Play VASP."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--reference", type=Path, help="recorded inputs to compare with, and outputs to play")
    parser.add_argument("--record", type=Path, help="keep inputs and outputs there as a reference")
    parser.add_argument("--fail", choices=sorted(FAILURES), help="go wrong in this way until INCAR repairs it")
    parser.add_argument("--step-s", type=float, default=0.0, help="time of an electronic step, s")
    options = parser.parse_args()
    number = _count()
    if options.reference:
        _play(options.reference / str(number))
    if options.record:
        _record(options.record / str(number))
    inputs = Inputs.read(Path())
    print(f" running on    1 total cores\n distrk: stand-in, {len(inputs.atoms)} ions", flush=True)
    failure = FAILURES[options.fail] if options.fail else None
    if failure and not failure.repaired(inputs.incar):
        failure.play(inputs)
    _succeed(inputs, options.step_s)


def _count() -> int:
    path = Path(_COUNTER)
    number = int(path.read_text()) + 1 if path.is_file() else 1
    path.write_text(str(number))
    return number


def _play(reference: Path) -> NoReturn:
    if not reference.is_dir():
        _stop(f"stand-in: {reference.name} runs were not recorded")
    if differing := _differences(reference):
        _stop(f"stand-in: inputs differ from the recorded ones: {'; '.join(differing)}")
    for name in _OUTPUTS:
        if (reference / name).is_file():
            shutil.copy(reference / name, name)
    sys.stdout.write((reference / _SAID).read_text())
    sys.stderr.write((reference / _COMPLAINED).read_text())
    _end(int((reference / _CODE).read_text()))


def _differences(reference: Path) -> list[str]:
    old, new = (incar_of((folder / "INCAR").read_text()) for folder in (reference, Path()))
    found = [f"{k} = {new.get(k)}, not {old.get(k)}" for k in sorted({*old, *new}) if old.get(k) != new.get(k)]
    if _words(reference / "KPOINTS") != _words(Path("KPOINTS")):
        found.append("KPOINTS")
    was, now = (read_poscar(folder / "POSCAR") for folder in (reference, Path()))
    same = was.get_chemical_symbols() == now.get_chemical_symbols() and np.allclose(was.cell, now.cell, atol=1e-6)
    if not same or not np.allclose(was.positions, now.positions, atol=1e-6):
        found.append("POSCAR")
    if (reference / "POTCAR.symbols").read_text().split("\n") != [*Inputs.read(Path()).titels, ""]:
        found.append("POTCAR")
    return found


def _words(path: Path) -> list[str]:
    return path.read_text().split()[1:]


def _record(folder: Path) -> NoReturn:
    """Run this stand-in once more, without ``--record``, and keep what went in and came out."""
    arguments = [a for k, a in enumerate(sys.argv[1:]) if "--record" not in (a, sys.argv[k])]
    done = subprocess.run(
        [sys.executable, "-m", "mlip_fw.testing.vasp", *arguments], capture_output=True, text=True, check=False
    )
    Path(_COUNTER).write_text(folder.name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "POTCAR.symbols").write_text("".join(f"{titel}\n" for titel in Inputs.read(Path()).titels))
    (folder / _SAID).write_text(done.stdout)
    (folder / _COMPLAINED).write_text(done.stderr)
    (folder / _CODE).write_text(f"{done.returncode}\n")
    for name in (*_INPUTS[:3], *_OUTPUTS):
        if Path(name).is_file():
            shutil.copy(name, folder / name)
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    _end(done.returncode)


def _end(code: int) -> NoReturn:
    """End as the recorded run did, by a signal if need be."""
    sys.stdout.flush()
    if code < 0:
        os.kill(os.getpid(), -code)
    sys.exit(code)


def _succeed(inputs: Inputs, step_s: float) -> None:
    answer = Answer.of(inputs.atoms)
    done = _STEPS if Path("WAVECAR").is_file() else 0
    with Path("OSZICAR").open("w") as handle:
        for k in range(1, _STEPS - done + 2):
            time.sleep(step_s)
            handle.write(scf_line(k, answer.energy_ev))
            handle.flush()
            if Path("STOPCAR").is_file():
                _be_stopped(inputs, answer, k)
        handle.write(last_line(answer.energy_ev))
    _write(inputs, answer, _STEPS, "reached")


def _be_stopped(inputs: Inputs, answer: Answer, steps: int) -> NoReturn:
    _write(inputs, answer, steps, "stopped")
    if incar_of(Path("INCAR").read_text())["LWAVE"].upper().strip(".").startswith("T"):
        Path("WAVECAR").write_text("orbitals of the stand-in\n")
    sys.exit(0)


def _write(inputs: Inputs, answer: Answer, steps: int, ended: str) -> None:
    Path("vasprun.xml").write_text(vasprun(inputs, answer, steps))
    Path("OUTCAR").write_text(outcar(inputs, answer, steps, ended))
    Path("OSZICAR").write_text(oszicar(answer.energy_ev, steps))
    shutil.copy("POSCAR", "CONTCAR")


def _stop(complaint: str, code: int = 1) -> NoReturn:
    print(complaint, file=sys.stderr)
    sys.exit(code)


def _begin(inputs: Inputs, steps: int = 2) -> None:
    """Leave what a run that breaks off leaves: outputs without an end."""
    answer = Answer.none(inputs.atoms)
    _write(inputs, answer, steps, "reached")
    for name, mark in (("OUTCAR", "aborting loop"), ("vasprun.xml", "<structure>"), ("OSZICAR", "   1 F=")):
        text = Path(name).read_text()
        Path(name).write_text(text[: text.index(mark)])
    Path("CONTCAR").write_text("")


def _say(message: str, code: int = 1) -> Callable[[Inputs], NoReturn]:
    def play(inputs: Inputs) -> NoReturn:
        _begin(inputs)
        print(message)
        sys.exit(code)

    return play


def _complain(message: str) -> Callable[[Inputs], NoReturn]:
    def play(inputs: Inputs) -> NoReturn:
        _begin(inputs)
        _stop(message)

    return play


def _not_converge(inputs: Inputs) -> NoReturn:
    _write(inputs, Answer.none(inputs.atoms), int(inputs.incar["NELM"]), "not reached")
    sys.exit(0)


def _stop_early(inputs: Inputs) -> NoReturn:
    """Be stopped by somebody's STOPCAR: fewer than NELM steps, and not converged."""
    _write(inputs, Answer.none(inputs.atoms), 4, "stopped")
    sys.exit(0)


def _write_nan(inputs: Inputs) -> NoReturn:
    answer = Answer.none(inputs.atoms)
    _write(inputs, Answer(answer.energy_ev, answer.forces_ev_a * np.nan, answer.stress_kb), _STEPS, "reached")
    sys.exit(0)


def _answer_another(inputs: Inputs) -> NoReturn:
    """Leave the outputs of another structure, as of an earlier run in this folder."""
    inputs.atoms.positions[0] += 0.1
    _write(inputs, Answer.none(inputs.atoms), _STEPS, "reached")
    sys.exit(0)


def _be_killed(inputs: Inputs) -> NoReturn:
    _begin(inputs)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def _crash(inputs: Inputs) -> NoReturn:
    _begin(inputs)
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


def _hang(inputs: Inputs) -> NoReturn:
    """Hang with a rank that knows nothing of it."""
    _begin(inputs)
    rank = subprocess.Popen(["sleep", str(_FOR_EVER_S)])
    Path("rank.pid").write_text(str(rank.pid))
    time.sleep(_FOR_EVER_S)
    sys.exit(0)


def _say_nothing(inputs: Inputs) -> NoReturn:
    sys.exit(0)


def _only_close(inputs: Inputs) -> NoReturn:
    Path("OUTCAR").write_text(CLOSING)
    sys.exit(0)


def _algo(*letters: str) -> Callable[[dict[str, str]], bool]:
    return lambda incar: incar.get("ALGO", "N")[0].upper() in letters


FAILURES = {
    "unconverged": FakeFailure(_not_converge, _algo("N")),
    "never-converges": FakeFailure(_not_converge),
    "stopped": FakeFailure(_stop_early),
    "brmix": FakeFailure(
        _say(" BRMIX: very serious problems\n the old and the new charge density differ"),
        lambda incar: incar.get("IMIX") == "1",
    ),
    "edddav": FakeFailure(_say(" Error EDDDAV: Call to ZHEGV failed. Returncode =   7 1 8"), _algo("A")),
    "eddrmm": FakeFailure(_say(" WARNING in EDDRMM: call to ZHEGV failed, returncode =   6  3     16"), _algo("N")),
    "zhegv": FakeFailure(
        _say(" ERROR in EDDIAG: call to ZHEEV/ZHEEVX/DSYEV/DSYEVX failed! error code was   5"), _algo("N")
    ),
    "subspace": FakeFailure(_say(" WARNING: Sub-Space-Matrix is not hermitian in DAV            1")),
    "too-few-bands": FakeFailure(_say(" TOO FEW BANDS"), lambda incar: "NBANDS" in incar),
    "real-optlay": FakeFailure(
        _say(" REAL_OPTLAY: internal error (1)            1"), lambda incar: "F" in incar["LREAL"].upper()[:2]
    ),
    "zpotrf": FakeFailure(_say(" LAPACK: Routine ZPOTRF failed!           1")),
    "bad-incar": FakeFailure(_say(" Error reading item 'ENCUT' from file INCAR.\n Error code was IERR= 5 ... ")),
    "memory": FakeFailure(_complain("forrtl: severe (41): insufficient virtual memory")),
    "disk-full": FakeFailure(_complain("forrtl: No space left on device")),
    "no-library": FakeFailure(lambda _: _stop("vasp_std: error while loading shared libraries: libmkl.so", 127)),
    "killed": FakeFailure(_be_killed),
    "segfault": FakeFailure(_crash),
    "hang": FakeFailure(_hang),
    "silent": FakeFailure(_say_nothing),
    "empty": FakeFailure(_only_close),
    "nan": FakeFailure(_write_nan),
    "another": FakeFailure(_answer_another),
}


if __name__ == "__main__":
    main()
