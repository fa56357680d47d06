"""Files of labels, without the arrays that only a fit needs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ase.formula import Formula

from mlip_fw.errors import DirectoryError
from mlip_fw.io.structures import MASK, facts_of

_TRUE = ("T", "True", "true", "TRUE")


@dataclass(frozen=True)
class LabelFile:
    """What a label's file says, but for its arrays."""

    n_atoms: int
    n_trained: int
    formula: str
    seconds: float
    """Time that it took, over all attempts."""
    corrections: int
    """How many times an attempt was repaired."""
    code: str
    """Program that made it."""
    cores: int | None
    """Cores that it had; None if that was not recorded."""


def read_label_file(path: Path) -> LabelFile:
    """Read a label's file.

    Raises
    ------
    DirectoryError
        If it is not whole.
    """
    lines = path.read_text().splitlines()
    n_atoms = int(lines[0])
    facts, rows = facts_of(lines[1]), lines[2 : 2 + n_atoms]
    species, mask, width = columns_of(facts["Properties"])
    if len(rows) < n_atoms or (rows and len(rows[-1].split()) < width):
        raise DirectoryError(f"it ends before its {n_atoms} atoms")
    return LabelFile(
        n_atoms=n_atoms,
        n_trained=n_atoms if mask is None else sum(row.split()[mask] in _TRUE for row in rows),
        formula=Formula.from_dict(Counter(row.split(maxsplit=species + 1)[species] for row in rows)).format("hill"),
        seconds=float(facts.get("label_seconds", 0.0)),
        corrections=int(facts.get("corrections", 0)),
        code=facts.get("code", ""),
        cores=int(facts["cores"]) if "cores" in facts else None,
    )


def columns_of(properties: str) -> tuple[int, int | None, int]:
    """Return the columns of the chemical symbol and of the mask, and how many there are."""
    fields, column, found = properties.split(":"), 0, {}
    for name, width in zip(fields[::3], fields[2::3], strict=True):
        found[name] = column
        column += int(width)
    return found["species"], found.get(MASK), column
