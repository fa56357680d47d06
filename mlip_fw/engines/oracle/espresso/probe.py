"""A dry run of pw.x: all files read, nothing computed."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from ase import Atoms

from mlip_fw.engines.oracle.espresso.command import environment
from mlip_fw.engines.oracle.espresso.job import CRASH, ERRORS, INPUT, OUTPUT
from mlip_fw.engines.oracle.espresso.pseudo import Pseudopotential
from mlip_fw.engines.oracle.espresso.settings import OUTDIR, PSEUDO_DIR, first_namelists
from mlip_fw.engines.oracle.espresso.trouble import FAULTS_OF_THE_MACHINE, Traces, Trouble, diagnose
from mlip_fw.engines.process import Ended, run_command
from mlip_fw.errors import CampaignError, WorkerError
from mlip_fw.io.espresso import read_pw_output, write_pw_input
from mlip_fw.models.oracle import EspressoOracle

_LONGEST_S = 300.0
_APART_A = 5.0
_OF_THE_TOY = {Trouble.NOT_CONVERGED, Trouble.NEEDS_SMEARING, Trouble.TOO_FEW_BANDS, Trouble.DIAGONALISATION}
"""Troubles of the few atoms in the box: older versions make the SCF step that ``nstep = 0`` should spare."""


def dry_run(command: str, oracle: EspressoOracle, pseudopotentials: Mapping[str, Pseudopotential]) -> str:
    """Let pw.x read the settings and the pseudopotentials, and return its version.

    Raises
    ------
    CampaignError
        If pw.x refuses the settings.
    WorkerError
        If pw.x does not start or does not read a pseudopotential.
    """
    with tempfile.TemporaryDirectory(prefix="mlip-fw-pw-") as name:
        traces = _run(command, oracle, pseudopotentials, Path(name))
    found, version = diagnose(traces), read_pw_output(traces.out).version
    if version and (found is None or found.trouble in _OF_THE_TOY):
        return version
    said = f"{found.trouble}: {found.said}" if found else f"exit code {traces.ended.exit_code}"
    at_fault = found is None or found.trouble in FAULTS_OF_THE_MACHINE | {Trouble.KILLED, Trouble.HUNG, Trouble.CRASHED}
    if at_fault:
        raise WorkerError(f"pw_cmd {command!r} does not run here: {said}")
    raise CampaignError(f"pw.x refuses the oracle's settings: {said}; see oracle.namelists")


def version_of(command: str) -> str:
    """Return the version that pw.x says it is, whatever it makes of an empty input.

    Raises
    ------
    WorkerError
        If it does not start or is not pw.x.
    """
    with tempfile.TemporaryDirectory(prefix="mlip-fw-pw-") as name:
        folder = Path(name)
        (folder / INPUT).write_text("")
        ended, out = _start(command, folder)
        version = read_pw_output(out.read_text(errors="replace")).version
    if not version:
        raise WorkerError(
            f"pw_cmd {command!r} did not say that it is pw.x (exit code {ended.exit_code}); correct env.pw_cmd"
        )
    return version


def _run(command: str, oracle: EspressoOracle, pseudopotentials: Mapping[str, Pseudopotential], folder: Path) -> Traces:
    elements = list(pseudopotentials)
    spots = [[_APART_A * k, 0.0, 0.0] for k in range(len(elements))]
    atoms = Atoms(elements, spots, cell=[_APART_A * len(elements), _APART_A, _APART_A], pbc=True)
    namelists = first_namelists(atoms, oracle, pseudopotentials)
    namelists["control"]["nstep"] = 0
    namelists["electrons"]["electron_maxstep"] = 1
    (folder / OUTDIR).mkdir()
    (folder / PSEUDO_DIR).mkdir()
    for pseudo in pseudopotentials.values():
        (folder / PSEUDO_DIR / pseudo.path.name).symlink_to(pseudo.path)
    write_pw_input(folder / INPUT, atoms, namelists, {e: p.path.name for e, p in pseudopotentials.items()}, None)
    ended, out = _start(command, folder)
    err = folder / ERRORS
    crash = (folder / CRASH).read_text(errors="replace") if (folder / CRASH).is_file() else ""
    return Traces(ended, out.read_text(errors="replace"), err.read_text(errors="replace"), crash)


def _start(command: str, folder: Path) -> tuple[Ended, Path]:
    out = folder / OUTPUT
    ended = run_command(
        "pw_cmd",
        command,
        folder,
        arguments=("-in", INPUT),
        stdout=out,
        stderr=folder / ERRORS,
        timeout_s=_LONGEST_S,
        environment=environment(),
    )
    return ended, out
