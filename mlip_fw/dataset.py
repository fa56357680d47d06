"""The labels of a campaign: a directory of immutable files, safe with any number of writers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ase import Atoms

from mlip_fw.io.files import read_model, write_json, write_text
from mlip_fw.io.structures import read_frames, structure_hash, write_frames
from mlip_fw.models.label import Label, QuarantineRecord


class Dataset:
    """Labelled structures and the quarantine of those that could not be labelled.

    A label is named by a hash of structure and level of theory, written to a temporary name and
    renamed: a rerun finds its own result and nothing is computed twice.
    """

    def __init__(self, root: Path) -> None:
        self._labels, self._quarantine = root / "labels", root / "quarantine"
        self._imported = root / "bootstrap" / "imported"

    def path(self, name: str) -> Path:
        """Return where the label ``name`` lies or would lie."""
        return self._labels / f"{name}.extxyz"

    def hashes(self) -> list[str]:
        """Return the names of all labels, sorted."""
        return sorted(p.stem for p in self._labels.glob("*.extxyz") if not p.name.startswith("."))

    def quarantined(self) -> list[QuarantineRecord]:
        """Return why structures could not be labelled."""
        found = (read_model(p, QuarantineRecord) for p in sorted(self._quarantine.glob("[!.]*.json")))
        return [record for record in found if record is not None]

    def n_computed(self) -> int:
        """Return how many reference calculations were made: labels that were not imported, and failures."""
        imported = sum(1 for _ in self._imported.glob("[!.]*"))
        return len(self.hashes()) - imported + len(self.quarantined())

    def mark_imported(self, name: str) -> None:
        """Remember that a label came with the campaign and cost nothing."""
        write_text(self._imported / name, "")

    def is_quarantined(self, name: str) -> bool:
        """Return whether labelling ``name`` has failed."""
        return (self._quarantine / f"{name}.json").is_file()

    def has(self, name: str) -> bool:
        """Return whether the label ``name`` is there."""
        return self.path(name).is_file()

    def read(self, name: str) -> Atoms:
        """Return a labelled structure with its energy, forces and stress."""
        return read_frames(self.path(name))[0]

    def info(self, name: str) -> Label:
        """Return what is known of a label without its arrays."""
        atoms = self.read(name)
        seconds = float(atoms.info.get("label_seconds", 0.0))
        return Label(hash=name, path=str(self.path(name)), n_atoms=len(atoms), seconds=seconds)

    def add(self, name: str, labelled: Atoms, facts: dict[str, Any]) -> None:
        """Store a labelled structure with ``facts`` about how it was made."""
        copy = labelled.copy()
        copy.calc = labelled.calc
        copy.info = {"label_hash": name, **facts}
        write_frames(self.path(name), [copy])

    def add_to_quarantine(self, atoms: Atoms, record: QuarantineRecord) -> None:
        """Store a structure that could not be labelled, and why."""
        write_frames(self._quarantine / f"{record.hash}.extxyz", [atoms])
        write_json(self._quarantine / f"{record.hash}.json", record)


def label_name(atoms: Atoms, level_of_theory: dict[str, Any]) -> str:
    """Return the name that a label of ``atoms`` has."""
    return structure_hash(atoms, level_of_theory)
