"""The labels of a campaign: a directory of immutable files, safe with any number of writers."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ase import Atoms

from mlip_fw.io.files import read_model, write_json, write_text
from mlip_fw.io.structures import read_frame, structure_hash, write_frames
from mlip_fw.models.label import QuarantineRecord

_MEGABYTE = 1_000_000


class Dataset:
    """Labelled structures and the quarantine of those that could not be labelled.

    A label is named by a hash of structure and level of theory, written to a temporary name and
    renamed: a rerun finds its own result and nothing is computed twice.
    """

    def __init__(self, root: Path) -> None:
        self._labels, self._quarantine = root / "labels", root / "quarantine"
        self._imported = root / "bootstrap" / "imported"
        self._audit = root / "audit"
        self._elsewhere = self._labels / ".elsewhere"

    def path(self, name: str) -> Path:
        """Return the path of the file of the label ``name``, whether it exists or not."""
        return self._labels / f"{name}.extxyz"

    def hashes(self) -> list[str]:
        """Return the names of all labels, sorted."""
        return _names_in(self._labels)

    def quarantined(self) -> list[QuarantineRecord]:
        """Return why structures could not be labelled."""
        found = (read_model(p, QuarantineRecord) for p in sorted(self._quarantine.glob("[!.]*.json")))
        return [record for record in found if record is not None]

    def n_computed(self) -> int:
        """Return how many reference calculations were made: labels that were not imported, and failures.

        Audited frames count, whether they have joined the training set or not.
        """
        imported = sum(1 for _ in self._imported.glob("[!.]*"))
        audited, failed = _names_in(self._audit / "labels"), sum(1 for _ in self._audit.glob("quarantine/[!.]*.json"))
        labels = {*self.hashes(), *self._known_elsewhere(), *audited}
        return len(labels) - imported + len(self.quarantined()) + failed

    def note_elsewhere(self, names: Sequence[str]) -> None:
        """Remember which labels there are on other machines, which this one need not have."""
        write_text(self._elsewhere, "\n".join(names))

    def mark_imported(self, name: str) -> None:
        """Remember that a label came with the campaign and cost nothing."""
        write_text(self._imported / name, "")

    def is_quarantined(self, name: str) -> bool:
        """Return whether labelling ``name`` has failed."""
        return (self._quarantine / f"{name}.json").is_file()

    def has(self, name: str) -> bool:
        """Return whether the label ``name`` is there."""
        return self.path(name).is_file()

    def has_anywhere(self, name: str) -> bool:
        """Return whether the label ``name`` is there, or on another machine."""
        return self.has(name) or name in self._known_elsewhere()

    def read(self, name: str) -> Atoms:
        """Return a labelled structure with its energy, forces and stress."""
        return read_frame(self.path(name))

    def sample(self, limit: int) -> Iterator[Atoms]:
        """Yield up to ``limit`` labelled structures, one after the other."""
        return (self.read(name) for name in self.hashes()[:limit])

    def sample_own(self, limit: int) -> Iterator[Atoms]:
        """Yield up to ``limit`` labels of the campaign's own oracle, one after the other."""
        imported = {path.name for path in self._imported.glob("[!.]*")}
        names = [name for name in self.hashes() if name not in imported]
        return (self.read(name) for name in names[:limit])

    def add(self, name: str, labelled: Atoms, facts: dict[str, Any]) -> None:
        """Store a labelled structure with ``facts`` about how it was made."""
        copy = labelled.copy()
        copy.calc = labelled.calc
        copy.info = {"label_hash": name, **facts}
        write_frames(self.path(name), [copy])

    def adopt(self, name: str, other: Dataset) -> None:
        """Take over a label of another dataset, as it is."""
        if not self.has(name):
            write_text(self.path(name), other.path(name).read_text())

    def quarantined_structure(self, name: str) -> Atoms:
        """Return a structure that could not be labelled."""
        return read_frame(self.quarantined_path(name))

    def quarantined_path(self, name: str) -> Path:
        """Return the file of a structure that could not be labelled."""
        return self._quarantine / f"{name}.extxyz"

    def add_to_quarantine(self, atoms: Atoms, record: QuarantineRecord, files: Sequence[Path] = ()) -> None:
        """Store a structure that could not be labelled, why, and copies of the ``files`` that show what went wrong."""
        folder = self._quarantine / record.hash
        shutil.rmtree(folder, ignore_errors=True)
        present = [path for path in files if path.is_file()]
        for path in present:
            folder.mkdir(parents=True, exist_ok=True)
            _copy_ends(path, folder / path.name)
        record = record.model_copy(update={"files": sorted(f"{record.hash}/{path.name}" for path in present)})
        write_frames(self._quarantine / f"{record.hash}.extxyz", [atoms])
        write_json(self._quarantine / f"{record.hash}.json", record)

    def release(self, name: str) -> None:
        """Take a structure that has a label by now out of the quarantine."""
        for path in (self._quarantine / f"{name}.json", self._quarantine / f"{name}.extxyz"):
            path.unlink(missing_ok=True)
        shutil.rmtree(self._quarantine / name, ignore_errors=True)

    def _known_elsewhere(self) -> list[str]:
        return self._elsewhere.read_text().split() if self._elsewhere.is_file() else []


def _names_in(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    # names alone: thousands of paths take long
    with os.scandir(folder) as found:
        names = [entry.name for entry in found]
    return sorted(name.removesuffix(".extxyz") for name in names if name.endswith(".extxyz") and name[0] != ".")


def _copy_ends(source: Path, target: Path) -> None:
    """Copy a file; of a huge one the first and the last megabyte."""
    size = source.stat().st_size
    with source.open("rb") as old, target.open("wb") as new:
        if size <= 2 * _MEGABYTE:
            new.write(old.read())
            return
        new.write(old.read(_MEGABYTE))
        new.write(b"\n[...]\n")
        old.seek(size - _MEGABYTE)
        new.write(old.read())


def is_imported(atoms: Atoms) -> bool:
    """Return whether a label came with the campaign, as its file says wherever it goes."""
    return str(atoms.info.get("code", "")).startswith("imported from ")


def level_id(level_of_theory: dict[str, Any]) -> str:
    """Return the short name of a level of theory that every label carries."""
    # extended XYZ reads digits back as a number
    return "level-" + hashlib.sha256(json.dumps(level_of_theory, sort_keys=True).encode()).hexdigest()[:12]


def label_name(atoms: Atoms, level_of_theory: dict[str, Any]) -> str:
    """Return the name that a label of ``atoms`` has."""
    return structure_hash(atoms, level_of_theory)
