"""Going on across Fireworks: what a calculation leaves when its walltime is over, and when that is believed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import Field

from mlip_fw.engines.oracle.espresso.job import Calculation
from mlip_fw.engines.oracle.espresso.settings import PREFIX, level_of_theory
from mlip_fw.engines.oracle.espresso.trouble import Trouble
from mlip_fw.io.espresso import Namelists
from mlip_fw.io.files import read_model, write_json
from mlip_fw.models.base import Frozen, NotNegative

_FILE = "unfinished.json"
_SAVE = (f"{PREFIX}.save/charge-density", f"{PREFIX}.save/data-file-schema.xml")
_HALFWAY = f"{PREFIX}.restart_scf"
"""pw.x saves it when it stops between two steps, and not when it has just converged."""


class Unfinished(Frozen):
    """Where a calculation stood when its walltime was over."""

    identity: str
    command: str
    seconds: NotNegative
    changes: Namelists = Field(default_factory=dict)
    corrections: list[dict[str, Any]] = Field(default_factory=list)
    converged: bool = Field(False, description="only forces and stress are missing, and a few steps bring it back")


def take_up(calculation: Calculation) -> None:
    """Go on from where an earlier Firework stopped, from scratch if its save can't be trusted.

    The repairs found so far and the time spent are kept in either case. The note of it is removed first:
    a run that is killed leaves a save that nobody may use.
    """
    path = calculation.folder / _FILE
    left = read_model(path, Unfinished)
    path.unlink(missing_ok=True)
    if left is None or left.identity != _identity(calculation):
        return
    calculation.earlier_s = left.seconds
    calculation.changes = {name: dict(values) for name, values in left.changes.items()}
    calculation.corrections = list(left.corrections)
    # wave functions are laid out for one number of processes
    calculation.resume = left.command == calculation.command and _save_is_sound(calculation, left.converged)


def is_to_be_continued(calculation: Calculation) -> bool:
    """Write the note if the calculation stopped itself for want of walltime; say if it did."""
    if calculation.found is None or calculation.found.trouble is not Trouble.OUT_OF_TIME:
        return False
    note = Unfinished(
        identity=_identity(calculation),
        command=calculation.command,
        seconds=calculation.seconds,
        changes=calculation.changes,
        corrections=calculation.corrections,
        converged=calculation.output is not None and calculation.output.scf_steps is not None,
    )
    write_json(calculation.folder / _FILE, note)
    return True


def _identity(calculation: Calculation) -> str:
    atoms = calculation.atoms
    digest = hashlib.sha256()
    for array in (atoms.numbers, atoms.positions, atoms.cell.array):
        digest.update(array.tobytes())
    digest.update(
        json.dumps(level_of_theory(calculation.oracle, calculation.pseudopotentials), sort_keys=True).encode()
    )
    return digest.hexdigest()


def _save_is_sound(calculation: Calculation, converged: bool) -> bool:
    for name in _SAVE if converged else (_HALFWAY, *_SAVE):
        found = [path for path in calculation.scratch.glob(f"{name}*") if path.stat().st_size]
        if not found:
            return False
    schema = (calculation.scratch / _SAVE[-1]).read_text(errors="replace")
    return schema.rstrip().endswith(":espresso>")
