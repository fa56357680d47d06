"""Read what a label's file says about the label, without the arrays that only training needs."""

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
    """Facts about one labelled structure; positions, forces and stress are left out."""

    n_atoms: int
    n_trained: int
    """Atoms within the mask: those that are trained on."""
    formula: str
    seconds: float
    """Duration of the reference calculation over all attempts, s."""
    corrections: int
    """Repairs of settings that the calculation needed."""
    code: str
    """Program that computed it, as ``ase emt``."""
    cores: int | None
    """Cores that the calculation used; None if that was not recorded."""


def read_label_file(path: Path) -> LabelFile:
    """Read the extended XYZ file of a label.

    Raises
    ------
    DirectoryError
        If the file ends before its last atom.
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
    """Return the column of the chemical symbol, that of the mask if there is one, and the number of columns.

    ``properties`` is the value of ``Properties`` in an extended XYZ file, as ``species:S:1:pos:R:3``.
    """
    fields, column, found = properties.split(":"), 0, {}
    for name, width in zip(fields[::3], fields[2::3], strict=True):
        found[name] = column
        column += int(width)
    return found["species"], found.get(MASK), column
