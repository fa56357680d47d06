"""custodian's Job for VASP: refuses outputs of an earlier run, and inputs of another level of theory."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from custodian.vasp.jobs import VASP_OUTPUT_FILES, VaspJob
from pymatgen.io.vasp.inputs import Incar, Kpoints, Poscar

from mlip_fw.engines.oracle.vasp.inputs import deciding_tags
from mlip_fw.errors import LabelError, WorkerError
from mlip_fw.io.vasp import same_structure, without_warnings
from mlip_fw.runtime.subprocesses import start_group, terminate_group

STDOUT, STDERR = "vasp.out", "std_err.txt"
CONTINUED_FROM = "WAVECAR"
INPUTS = ("INCAR", "KPOINTS", "POSCAR", "POTCAR")
_STALE = {*VASP_OUTPUT_FILES, "PCDAT", "XDATCAR", "REPORT", "STOPCAR", "vaspout.h5", STDOUT, STDERR} - {*INPUTS}
PLANNED = "planned"
"""Folder of the inputs as they were before any correction."""


class LevelOfTheoryChangedError(LabelError):
    """A correction would have made a label of another level of theory."""


class LabelJob(VaspJob):
    """One VASP calculation in a process group of its own."""

    def __init__(self, vasp_cmd: tuple[str, ...]) -> None:
        super().__init__(vasp_cmd, output_file=STDOUT, stderr_file=STDERR, auto_gamma=False, backup=False)
        self._vasp_process: subprocess.Popen[bytes] | None = None
        self.was_ended = False
        """Whether VASP was still running when this process ended it."""

    @classmethod
    def of(cls, command: str) -> LabelJob:
        """Return the job that runs a worker's command."""
        return cls(tuple(shlex.split(command)))

    def setup(self, directory: str = "./") -> None:
        """Nothing is to be done: the inputs are as planned, or as corrected before the walltime was over."""

    def run(self, directory: str = "./") -> subprocess.Popen[bytes]:
        """Start VASP, if its inputs still are at the campaign's level of theory.

        Raises
        ------
        LevelOfTheoryChangedError
            If a correction changed what decides the value of the label.
        WorkerError
            If VASP can't be started here.
        """
        folder = Path(directory)
        self.end()
        if changes := changes_of_level(folder):
            raise LevelOfTheoryChangedError(
                f"custodian's answer would be another level of theory ({'; '.join(changes)}), which must not mix"
            )
        remove_stale(folder, keep_orbitals=True)
        try:
            with (folder / STDOUT).open("wb") as out, (folder / STDERR).open("wb") as err:
                self._vasp_process = start_group(self.vasp_cmd, folder, stdout=out, stderr=err)
        except (OSError, ValueError) as error:
            raise WorkerError(
                f"can't run vasp_cmd {shlex.join(self.vasp_cmd)!r}: {error}; correct env.vasp_cmd in my_fworker.yaml"
            ) from error
        return self._vasp_process

    def postprocess(self, directory: str = "./") -> None:
        """Nothing is left to do."""

    def terminate(self, directory: str = "./") -> None:
        """End VASP, as a monitor asks for it."""
        self.end()

    def end(self) -> None:
        """End what is left of the process group."""
        if self._vasp_process is not None:
            self.was_ended = self.was_ended or self._vasp_process.poll() is None
            terminate_group(self._vasp_process)

    @property
    def exit_code(self) -> int | None:
        """Exit code of the last attempt; negative is a signal, None is none."""
        return None if self._vasp_process is None else self._vasp_process.returncode


def remove_stale(folder: Path, *, keep_orbitals: bool) -> None:
    """Remove the outputs of an earlier run; its orbitals (WAVECAR) may be kept to continue it."""
    for name in _STALE - ({CONTINUED_FROM} if keep_orbitals else set()):
        (folder / name).unlink(missing_ok=True)


def changes_of_level(folder: Path) -> list[str]:
    """Return the differences between the inputs and the planned ones that change the value of a label."""
    folders = (folder / PLANNED, folder)
    with without_warnings():
        planned, found = (deciding_tags(dict(Incar.from_file(place / "INCAR"))) for place in folders)
        tags = [key for key in sorted({*planned, *found}) if planned.get(key) != found.get(key)]
        changes = [f"{key} from {planned.get(key, 'default')} to {found.get(key, 'default')}" for key in tags]
        before, after = (Kpoints.from_file(place / "KPOINTS") for place in folders)
        old, new = (Poscar.from_file(place / "POSCAR", check_for_potcar=False) for place in folders)
    if (before.style, before.kpts, before.kpts_shift) != (after.style, after.kpts, after.kpts_shift):
        changes.append(f"KPOINTS from {_grid(before)} to {_grid(after)}")
    if not same_structure(old.structure, new.structure):
        changes.append("another structure in POSCAR")
    if (folder / PLANNED / "POTCAR").read_bytes() != (folder / "POTCAR").read_bytes():
        changes.append("another POTCAR")
    return changes


def _grid(kpoints: Kpoints) -> str:
    return f"{kpoints.style} {'×'.join(map(str, kpoints.kpts[0]))}"
