"""Staging: the files that a Firework fetches before its work, and those that it publishes after it."""

from __future__ import annotations

from dataclasses import dataclass

GENERATION_PREFIX = "potentials/gen_"
_TO_RUN = ("training.json", "potential.yaml", "potential.asi", "potential.errors.npz")


@dataclass(frozen=True)
class FileSet:
    """The published files whose paths begin with ``below``."""

    below: str
    only: tuple[str, ...] = ("*",)
    """Patterns of file names; of the files published with one marker, only these are fetched."""
    newest: bool = False
    """Only the last of them."""
    limit: int = 0
    """Maximum number of markers; 0: all."""


@dataclass(frozen=True)
class StagingSpec:
    """What a Firework fetches and publishes; paths are relative to the campaign directory."""

    file_sets: tuple[FileSet, ...] = ()
    outputs: tuple[str, ...] = ()
    """Paths or patterns of the markers that it publishes."""
    all_label_names: bool = False
    """Whether it needs the names of all labels, without their contents."""


LEVEL_OF_THEORY = "level_of_theory.json"
POTENTIAL_TO_RUN = FileSet(GENERATION_PREFIX, only=_TO_RUN, newest=True)
ALL_POTENTIALS = FileSet(GENERATION_PREFIX, only=_TO_RUN)
"""All generations, since the newest may be unfit for MD."""
NEWEST_GENERATION = FileSet(GENERATION_PREFIX, newest=True)
QUARANTINE_RECORDS = FileSet("quarantine/", only=("*.json",))
IMPORTED_DATASET = FileSet("bootstrap/imported/")
INPUT_FILES = FileSet("inputs/")
LABEL_FILES = FileSet("labels/")
PARTS = {
    "result.json": (*("halt.*", "end.*", "crash.*", "start.data"), "in.lammps", "log.lammps", "lmp.out", "gamma.dat"),
    "selection.json": ("selected.extxyz", "candidates.extxyz"),
    "training.json": ("potential.*", "fit.npz"),
}
"""Patterns of the files that are published with a marker, by the name of the marker."""
ALL = (
    *("labels/[!.]*.extxyz", "quarantine/[!.]*.json", "potentials/gen_*/training.json", LEVEL_OF_THEORY),
    *("bootstrap/[a-z]*.json", "bootstrap/imported/[!.]*", "walkers/*/*/[a-z]*.json", "summary.json"),
)
"""All markers of a campaign directory; labels before the potentials that were trained on them."""
REPLACED = ("labels.json", "summary.json", "quarantine/*.json")
"""Markers that are replaced when they are published again; of all others the first version stays."""
