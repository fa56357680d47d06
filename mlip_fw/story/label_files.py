"""Files of labels, without the arrays that only a fit needs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase.formula import Formula
from ase.io.extxyz import key_val_str_to_dict

from mlip_fw.errors import DirectoryError
from mlip_fw.io.structures import MASK

_TRUE = ("T", "True", "true", "TRUE")


@dataclass(frozen=True)
class LabelFile:
    """What a label's file says, but for its arrays."""

    n_atoms: int
    n_trained: int
    formula: str
    info: dict[str, Any]

    @property
    def seconds(self) -> float:
        """Time that it took."""
        return float(self.info.get("label_seconds", 0.0))

    @property
    def corrections(self) -> int:
        """How many times an attempt was repaired."""
        return int(self.info.get("corrections", 0))

    @property
    def code(self) -> str:
        """Program that made it."""
        return str(self.info.get("code", ""))


def read_label_file(path: Path) -> LabelFile:
    """Read a label's file.

    Raises
    ------
    DirectoryError
        If it is not whole.
    """
    lines = path.read_text().splitlines()
    n_atoms = int(lines[0])
    info, rows = key_val_str_to_dict(lines[1]), [line.split() for line in lines[2 : 2 + n_atoms]]
    species, mask = _columns(str(info["Properties"]))
    if len(rows) < n_atoms or any(len(row) <= max(species, mask or 0) for row in rows):
        raise DirectoryError(f"it ends before its {n_atoms} atoms")
    return LabelFile(
        n_atoms=n_atoms,
        n_trained=n_atoms if mask is None else sum(row[mask] in _TRUE for row in rows),
        formula=Formula.from_dict(Counter(row[species] for row in rows)).format("hill"),
        info=info,
    )


def _columns(properties: str) -> tuple[int, int | None]:
    """Return the columns of the chemical symbol and of the mask."""
    fields, column, found = properties.split(":"), 0, {}
    for name, width in zip(fields[::3], fields[2::3], strict=True):
        found[name] = column
        column += int(width)
    return found["species"], found.get(MASK)
