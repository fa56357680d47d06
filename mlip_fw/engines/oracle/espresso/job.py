"""One label by pw.x: the state that its attempts share, and what one attempt does."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units

from mlip_fw.engines.oracle.espresso.command import environment
from mlip_fw.engines.oracle.espresso.pseudo import Pseudopotential
from mlip_fw.engines.oracle.espresso.settings import (
    CRASH,
    ERRORS,
    INPUT,
    OUTDIR,
    OUTPUT,
    PSEUDO_DIR,
    first_namelists,
)
from mlip_fw.engines.oracle.espresso.trouble import PwTrouble, Traces, diagnose, wrong_bands
from mlip_fw.io.espresso import Namelists, PwOutput, Value, read_pw_output, write_pw_input
from mlip_fw.io.kpoints import kpoint_grid
from mlip_fw.models.oracle import EspressoOracle
from mlip_fw.models.worker import Worker
from mlip_fw.runtime.subprocesses import run_command
from mlip_fw.runtime.supervised_run import AttemptedRun, Failure

_STOP_EARLY = 0.9
"""pw.x looks at max_seconds once per k-point: it is told to stop after this fraction of the walltime."""
_SHORTEST_S = 5.0
_GRACE_S = 10.0
"""pw.x is ended when it has not stopped this long after the walltime."""
_RESTART_TROUBLES = {
    PwTrouble.OTHER,
    PwTrouble.CRASHED,
    PwTrouble.DIAGONALISATION,
    PwTrouble.INPUT,
    PwTrouble.INCOMPLETE,
}
"""Failures of a continued run that a run from scratch may not have."""
_AS_BEFORE = "from scratch, as before"


@dataclass(kw_only=True)
class PwRun(AttemptedRun):
    """One label in the making: what is given, and what the attempts found and changed so far."""

    atoms: Atoms
    oracle: EspressoOracle
    worker: Worker
    command: str
    scratch: Path
    """Where pw.x keeps its wave functions."""
    pseudopotentials: Mapping[str, Pseudopotential]
    """Of the elements of the structure, in the order of the species."""
    changes: Namelists = field(default_factory=dict)
    """Namelist keys that repairs have set."""
    resume: bool = False
    """Whether the next attempt continues the saved one."""
    output: PwOutput | None = None
    """What the last attempt wrote."""

    @property
    def is_out_of_time(self) -> bool:
        """Whether the last attempt stopped because the walltime of the worker was over."""
        return self.failure is not None and self.failure.trouble is PwTrouble.OUT_OF_TIME

    def namelists(self) -> Namelists:
        """Return the namelists of the next attempt."""
        first = first_namelists(self.atoms, self.oracle, self.pseudopotentials)
        now: dict[str, Value] = {"restart_mode": "restart" if self.resume else "from_scratch"}
        if self.worker.label_walltime_s is not None:
            now["max_seconds"] = round(_STOP_EARLY * (self.worker.label_walltime_s - self.seconds_here), 1)
        given = {name: {**values, **self.changes.get(name, {})} for name, values in first.items()}
        return {**given, "control": {**given["control"], **now}}

    def setting(self, namelist: str, key: str) -> Value | None:
        """Return the value of a key in the next attempt."""
        return self.namelists()[namelist].get(key)

    def change(self, changes: Namelists) -> list[Any]:
        """Have the next attempt begin from scratch with other namelist keys; return that as it is recorded."""
        for namelist, values in changes.items():
            self.changes.setdefault(namelist, {}).update(values)
        self.resume = False
        return [{namelist: dict(values)} for namelist, values in changes.items()] or [_AS_BEFORE]

    def prepare(self) -> None:
        """Link the pseudopotentials into the folder."""
        links = self.folder / PSEUDO_DIR
        shutil.rmtree(links, ignore_errors=True)
        links.mkdir(parents=True)
        for pseudo in self.pseudopotentials.values():
            (links / pseudo.path.name).symlink_to(pseudo.path)

    def attempt(self) -> Failure | None:
        """Run pw.x once and return what went wrong, or None."""
        self.output = None
        failure = self._no_time() or self._run_pw()
        if self.resume and failure and failure.trouble in _RESTART_TROUBLES:
            return Failure(PwTrouble.RESTART, f"{failure.trouble}: {failure.message}")
        return failure

    def examine(self) -> Failure | None:
        """Return why the label in the output file can't be believed, or None."""
        text = (self.folder / OUTPUT).read_text(errors="replace")
        self.output = read_pw_output(text)
        return self.failure or self._incomplete(0, text)

    def _no_time(self) -> Failure | None:
        """Return which time was over before the attempt began, if one was."""
        if self.seconds >= self.oracle.timeout_s:
            return Failure(PwTrouble.HUNG, "no time left")
        walltime_s = self.worker.label_walltime_s
        if walltime_s is not None and walltime_s - self.seconds_here < _SHORTEST_S:
            return Failure(PwTrouble.OUT_OF_TIME, "no walltime left for another attempt")
        return None

    def _run_pw(self) -> Failure | None:
        folder = self.folder
        self._put_away_outputs()
        _empty_outdir(folder / OUTDIR, self.scratch, keep=self.resume)
        grid = kpoint_grid(self.atoms.cell.array, self.oracle.kpoint_spacing_1_a)
        files = {element: pseudo.path.name for element, pseudo in self.pseudopotentials.items()}
        write_pw_input(folder / INPUT, self.atoms, self.namelists(), files, grid)
        ended = run_command(
            "pw_cmd",
            self.command,
            folder,
            arguments=("-in", INPUT),
            stdout=folder / OUTPUT,
            stderr=folder / ERRORS,
            timeout_s=self._longest_s(),
            environment=environment(),
        )
        traces = Traces(ended, *(_text(folder / name) for name in (OUTPUT, ERRORS, CRASH)))
        self.output = read_pw_output(traces.out)
        return diagnose(traces) or self._incomplete(ended.exit_code, traces.out) or self._wrong_bands(traces.out)

    def _longest_s(self) -> float:
        """Return the time after which pw.x is ended from outside, s."""
        longest = self.oracle.timeout_s - self.seconds
        if self.worker.label_walltime_s is None:
            return longest
        return min(longest, self.worker.label_walltime_s - self.seconds_here + _GRACE_S)

    def _wrong_bands(self, out: str) -> Failure | None:
        system = self.namelists()["system"]
        smeared = str(system["smearing"]) if system["occupations"] == "smearing" else None
        return wrong_bands(out, smeared, float(system.get("degauss", 0.0)) * units.Ry)

    def _put_away_outputs(self) -> None:
        """Keep what earlier attempts wrote under other names, so that nothing stale is believed."""
        (self.folder / CRASH).unlink(missing_ok=True)
        for name in (OUTPUT, ERRORS):
            if (self.folder / name).exists():
                number = 1 + len(list(self.folder.glob(f"attempt_*_{name}")))
                (self.folder / name).rename(self.folder / f"attempt_{number}_{name}")

    def _incomplete(self, exit_code: int, out: str) -> Failure | None:
        """Return what is missing in the output of an attempt that did not complain, or None."""
        output = self.output
        if output is None or exit_code != 0 or output.scf_steps is None:
            return Failure(PwTrouble.INCOMPLETE, f"exit code {exit_code}, but no convergence was reported")
        if output.n_atoms != len(self.atoms):
            return Failure(
                PwTrouble.INCOMPLETE, f"{output.n_atoms} atoms in the output, {len(self.atoms)} in the structure"
            )
        if output.energy_ev is None or output.forces_ev_a is None or output.stress_ev_a3 is None:
            return Failure(PwTrouble.INCOMPLETE, "energy, forces or stress are missing")
        if output.forces_ev_a.shape != (len(self.atoms), 3):
            return Failure(PwTrouble.INCOMPLETE, f"forces of {len(output.forces_ev_a)} of {len(self.atoms)} atoms")
        if not all(np.isfinite(x).all() for x in (output.energy_ev, output.forces_ev_a, output.stress_ev_a3)):
            return Failure(PwTrouble.INCOMPLETE, "energy, forces or stress are not finite numbers")
        ours = {pseudo.md5 for pseudo in self.pseudopotentials.values()}
        if foreign := set(re.findall(r"MD5 check sum: (\w+)", out)) - ours:
            return Failure(
                PwTrouble.PSEUDOPOTENTIAL, f"pw.x read other files than it was given (MD5 {', '.join(foreign)})"
            )
        return None


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


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""
