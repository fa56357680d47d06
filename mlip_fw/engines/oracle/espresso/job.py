"""custodian's Job for pw.x, and what its attempts share."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from custodian.custodian import Job

from mlip_fw.engines.oracle.espresso.bands import wrong_bands
from mlip_fw.engines.oracle.espresso.command import environment
from mlip_fw.engines.oracle.espresso.pseudo import Pseudopotential
from mlip_fw.engines.oracle.espresso.settings import OUTDIR, PSEUDO_DIR, first_namelists
from mlip_fw.engines.oracle.espresso.trouble import Found, Traces, Trouble, diagnose
from mlip_fw.engines.process import run_command
from mlip_fw.io.espresso import Namelists, PwOutput, Value, read_pw_output, write_pw_input
from mlip_fw.io.kpoints import kpoint_grid
from mlip_fw.models.oracle import EspressoOracle
from mlip_fw.models.worker import Worker

INPUT, OUTPUT, ERRORS, CRASH = "pw.in", "pw.out", "pw.err", "CRASH"
_STOP_EARLY = 0.9
"""pw.x looks at max_seconds once per k-point: it is told to stop after this fraction of the walltime."""
_SHORTEST_S = 5.0
_GRACE_S = 10.0
"""pw.x is ended when it has not stopped this long after the walltime."""
_BLAMES_THE_RESTART = {Trouble.OTHER, Trouble.CRASHED, Trouble.DIAGONALISATION, Trouble.INPUT, Trouble.INCOMPLETE}
"""Failures of a continued run that a run from scratch may not have."""


@dataclass
class Calculation:
    """One label in the making: what is given, and what the attempts found and changed so far."""

    atoms: Atoms
    oracle: EspressoOracle
    worker: Worker
    command: str
    folder: Path
    scratch: Path
    pseudopotentials: Mapping[str, Pseudopotential]
    """Of the elements of the structure, in the order of the species."""
    changes: Namelists = field(default_factory=dict)
    corrections: list[dict[str, Any]] = field(default_factory=list)
    earlier_s: float = 0.0
    """Wall time of earlier Fireworks, s."""
    started: float = field(default_factory=time.perf_counter)
    resume: bool = False
    attempts: int = 0
    found: Found | None = None
    output: PwOutput | None = None

    @property
    def seconds_here(self) -> float:
        """Wall time in this Firework, s."""
        return time.perf_counter() - self.started

    @property
    def seconds(self) -> float:
        """Wall time over all Fireworks, s."""
        return self.earlier_s + self.seconds_here

    def namelists(self) -> Namelists:
        """Return the namelists of the next attempt."""
        first = first_namelists(self.atoms, self.oracle, self.pseudopotentials)
        now: dict[str, Value] = {"restart_mode": "restart" if self.resume else "from_scratch"}
        if self.worker.label_walltime_s is not None:
            now["max_seconds"] = round(_STOP_EARLY * (self.worker.label_walltime_s - self.seconds_here), 1)
        given = {name: {**values, **self.changes.get(name, {})} for name, values in first.items()}
        return {**given, "control": {**given["control"], **now}}

    def setting(self, namelist: str, key: str) -> Value | None:
        """Return what a key of the next attempt is."""
        return self.namelists()[namelist].get(key)


class PwJob(Job):
    """Run pw.x once; custodian's handlers change the calculation between two runs."""

    def __init__(self, calculation: Calculation) -> None:
        self._calculation = calculation

    def as_dict(self) -> dict[str, Any]:
        """Return what custodian's log shows of the job."""
        return {"@module": type(self).__module__, "@class": type(self).__name__, "command": self._calculation.command}

    def setup(self, directory: str = "./") -> None:
        """Lay out the pseudopotentials and the place of the wave functions."""
        calculation = self._calculation
        links = calculation.folder / PSEUDO_DIR
        shutil.rmtree(links, ignore_errors=True)
        links.mkdir(parents=True)
        for pseudo in calculation.pseudopotentials.values():
            (links / pseudo.path.name).symlink_to(pseudo.path)

    def run(self, directory: str = "./") -> None:
        """Run pw.x to its end and find out what came of it; custodian sees a process that has ended."""
        calculation = self._calculation
        calculation.attempts += 1
        calculation.output = None
        calculation.found = self._no_time() or self._attempt()
        if calculation.resume and calculation.found and calculation.found.trouble in _BLAMES_THE_RESTART:
            calculation.found = Found(Trouble.RESTART, f"{calculation.found.trouble}: {calculation.found.said}")

    def postprocess(self, directory: str = "./") -> None:
        """Nothing is left to do."""

    def _no_time(self) -> Found | None:
        """Return which time is over before the attempt has begun, if one is."""
        calculation = self._calculation
        if calculation.seconds >= calculation.oracle.timeout_s:
            return Found(Trouble.HUNG, "no time left")
        walltime_s = calculation.worker.label_walltime_s
        if walltime_s is not None and walltime_s - calculation.seconds_here < _SHORTEST_S:
            return Found(Trouble.OUT_OF_TIME, "no walltime left for another attempt")
        return None

    def _attempt(self) -> Found | None:
        calculation = self._calculation
        folder = calculation.folder
        self._put_away_outputs()
        _empty_outdir(folder / OUTDIR, calculation.scratch, keep=calculation.resume)
        grid = kpoint_grid(calculation.atoms.cell.array, calculation.oracle.kpoint_spacing_1_a)
        files = {element: pseudo.path.name for element, pseudo in calculation.pseudopotentials.items()}
        write_pw_input(folder / INPUT, calculation.atoms, calculation.namelists(), files, grid)
        ended = run_command(
            "pw_cmd",
            calculation.command,
            folder,
            arguments=("-in", INPUT),
            stdout=folder / OUTPUT,
            stderr=folder / ERRORS,
            timeout_s=self._longest_s(),
            environment=environment(),
        )
        traces = Traces(ended, *(_text(folder / name) for name in (OUTPUT, ERRORS, CRASH)))
        calculation.output = read_pw_output(traces.out)
        return diagnose(traces) or incomplete(calculation, ended.exit_code, traces.out) or self._second_look(traces.out)

    def _longest_s(self) -> float:
        calculation = self._calculation
        longest = calculation.oracle.timeout_s - calculation.seconds
        if calculation.worker.label_walltime_s is None:
            return longest
        return min(longest, calculation.worker.label_walltime_s - calculation.seconds_here + _GRACE_S)

    def _second_look(self, out: str) -> Found | None:
        system = self._calculation.namelists()["system"]
        smeared = str(system["smearing"]) if system["occupations"] == "smearing" else None
        return wrong_bands(out, smeared, float(system.get("degauss", 0.0)) * units.Ry)

    def _put_away_outputs(self) -> None:
        """Keep what earlier attempts wrote under other names, so that nothing stale is believed."""
        folder = self._calculation.folder
        (folder / CRASH).unlink(missing_ok=True)
        for name in (OUTPUT, ERRORS):
            if (folder / name).exists():
                number = 1 + len(list(folder.glob(f"attempt_*_{name}")))
                (folder / name).rename(folder / f"attempt_{number}_{name}")


def _empty_outdir(outdir: Path, scratch: Path, *, keep: bool) -> None:
    """Make ``outdir`` stand for the scratch directory, emptied unless the run goes on from it."""
    if not keep:
        shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True, exist_ok=True)
    for stop in [*scratch.glob("*.EXIT"), *outdir.parent.glob("*.EXIT")]:
        stop.unlink()
    if outdir.resolve() != scratch.resolve():
        remove(outdir)
        outdir.symlink_to(scratch)


def remove(path: Path) -> None:
    """Remove a directory with all that is in it, or only the link to one."""
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def incomplete(calculation: Calculation, exit_code: int, out: str) -> Found | None:
    """Return what a calculation lacks that did not complain, or None if energy and forces can be used."""
    output = calculation.output
    if output is None or exit_code != 0 or output.scf_steps is None:
        return Found(Trouble.INCOMPLETE, f"exit code {exit_code}, but no convergence was reported")
    if output.n_atoms != len(calculation.atoms):
        return Found(
            Trouble.INCOMPLETE, f"{output.n_atoms} atoms in the output, {len(calculation.atoms)} in the structure"
        )
    if output.energy_ev is None or output.forces_ev_a is None or output.stress_ev_a3 is None:
        return Found(Trouble.INCOMPLETE, "energy, forces or stress are missing")
    if output.forces_ev_a.shape != (len(calculation.atoms), 3):
        return Found(Trouble.INCOMPLETE, f"forces of {len(output.forces_ev_a)} of {len(calculation.atoms)} atoms")
    if not all(np.isfinite(x).all() for x in (output.energy_ev, output.forces_ev_a, output.stress_ev_a3)):
        return Found(Trouble.INCOMPLETE, "energy, forces or stress are not finite numbers")
    ours = {pseudo.md5 for pseudo in calculation.pseudopotentials.values()}
    if foreign := set(re.findall(r"MD5 check sum: (\w+)", out)) - ours:
        return Found(Trouble.PSEUDOPOTENTIAL, f"pw.x read other files than it was given (MD5 {', '.join(foreign)})")
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""
