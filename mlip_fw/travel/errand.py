"""What a Firework fetches before its work, and what it publishes after it."""

from __future__ import annotations

from dataclasses import dataclass

NEWEST = "potentials/gen_"
_TO_RUN = ("training.json", "potential.yaml", "potential.asi")


@dataclass(frozen=True)
class Want:
    """What is published under paths that begin with ``below``."""

    below: str
    only: tuple[str, ...] = ("*",)
    """Patterns of the names of files; of what was published together, the others stay away."""
    newest: bool = False
    most: int = 0
    """No more than so many; 0: all."""


@dataclass(frozen=True)
class Errand:
    """What a Firework fetches and publishes, as paths in the campaign directory."""

    wants: tuple[Want, ...] = ()
    makes: tuple[str, ...] = ()
    """Markers, or patterns of them."""
    label_names: bool = False
    """Whether to know the names of all labels."""


LEVEL = "level_of_theory.json"
TO_RUN = Want(NEWEST, only=_TO_RUN, newest=True)
EARLIER = Want(NEWEST, only=_TO_RUN)
"""All generations: the newest may be unfit for MD."""
TO_TRAIN = Want(NEWEST, newest=True)
FAILURES = Want("quarantine/", only=("*.json",))
IMPORTED = Want("bootstrap/imported/")
INPUTS = Want("inputs/")
LABELS = Want("labels/")
PARTS = {
    "result.json": (*("halt.*", "end.*", "crash.*", "start.data"), "in.lammps", "log.lammps", "lmp.out", "gamma.dat"),
    "selection.json": ("selected.extxyz", "candidates.extxyz"),
    "training.json": ("potential.*", "fit.npz"),
}
"""What is published with a marker, by its name."""
ALL = (
    *("labels/[!.]*.extxyz", "quarantine/[!.]*.json", "potentials/gen_*/training.json", LEVEL),
    *("bootstrap/[a-z]*.json", "bootstrap/imported/[!.]*", "walkers/*/*/[a-z]*.json", "summary.json"),
)
"""All markers of a campaign directory; labels before the potentials that have learnt from them."""
REPLACED = ("labels.json", "summary.json", "quarantine/*.json")
"""Files that the last to publish decides; of all others it is the first."""
