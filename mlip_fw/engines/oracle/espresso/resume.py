"""Going on in a later Firework: what a calculation leaves when its walltime is over, and when that is believed."""

from __future__ import annotations

import hashlib
import json

from pydantic import Field

from mlip_fw.engines.oracle.espresso.job import PwRun
from mlip_fw.engines.oracle.espresso.settings import PREFIX, level_of_theory
from mlip_fw.io.espresso import Namelists
from mlip_fw.io.files import read_model, write_json
from mlip_fw.runtime.supervised_run import Progress

_FILE = "unfinished.json"
_SAVE = (f"{PREFIX}.save/charge-density", f"{PREFIX}.save/data-file-schema.xml")
_HALFWAY = f"{PREFIX}.restart_scf"
"""pw.x saves it when it stops between two steps, and not when it has just converged."""


class PwProgress(Progress):
    """Where a calculation stood when its walltime was over."""

    identity: str
    """Digest of structure and level of theory."""
    command: str
    changes: Namelists = Field(default_factory=dict)
    converged: bool = Field(False, description="only forces and stress are missing, and a few steps bring it back")


def take_up(run: PwRun) -> None:
    """Go on from where an earlier Firework stopped, from scratch if its save can't be trusted.

    The repairs found so far and the time spent are kept in either case. The stored progress is removed first:
    if this run is killed, what it has saved must not be used.
    """
    path = run.folder / _FILE
    left = read_model(path, PwProgress)
    path.unlink(missing_ok=True)
    if left is None or left.identity != _identity(run):
        return
    run.continue_from(left)
    run.changes = {name: dict(values) for name, values in left.changes.items()}
    # wave functions are laid out for one number of processes
    run.resume = left.command == run.command and _save_is_sound(run, left.converged)


def leave_off(run: PwRun) -> None:
    """Store the progress from which the next Firework goes on."""
    progress = PwProgress(
        seconds=run.seconds,
        corrections=run.corrections,
        identity=_identity(run),
        command=run.command,
        changes=run.changes,
        converged=run.output is not None and run.output.scf_steps is not None,
    )
    write_json(run.folder / _FILE, progress)


def _identity(run: PwRun) -> str:
    atoms = run.atoms
    digest = hashlib.sha256()
    for array in (atoms.numbers, atoms.positions, atoms.cell.array):
        digest.update(array.tobytes())
    digest.update(json.dumps(level_of_theory(run.oracle, run.pseudopotentials), sort_keys=True).encode())
    return digest.hexdigest()


def _save_is_sound(run: PwRun, converged: bool) -> bool:
    for name in _SAVE if converged else (_HALFWAY, *_SAVE):
        found = [path for path in run.scratch.glob(f"{name}*") if path.stat().st_size]
        if not found:
            return False
    schema = (run.scratch / _SAVE[-1]).read_text(errors="replace")
    return schema.rstrip().endswith(":espresso>")
