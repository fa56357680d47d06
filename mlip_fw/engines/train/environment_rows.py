"""Cache on disk of the basis functions of all labelled atoms, from which active sets are chosen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.engines.ace.potential import AcePotential, rows_within
from mlip_fw.io.files import map_array, read_arrays, write_array, write_arrays
from mlip_fw.io.structures import mask_of

_PACK = "packed-"
_MIN_TO_PACK = 100
RowsByElement = dict[str, np.ndarray]


@dataclass(frozen=True)
class Block:
    """Rows of one element, from one or many labels."""

    places: np.ndarray
    """(n_environments,) index, in the requested names, of the label that each row belongs to."""
    rows: np.ndarray
    """(n_environments, n_functions)"""


@dataclass(frozen=True)
class _Pack:
    """Rows of many labels in one file, because opening thousands of files takes seconds."""

    names: list[str]
    counts: np.ndarray
    """(n_labels, n_elements) environments."""
    rows: RowsByElement


class EnvironmentRows:
    """Cache of the rows, one file per label; a hundred labels are merged into one immutable file (pack).

    The rows do not change while the basis stays the same. Files that are missing, damaged or of an older version are
    computed again. Several trainings may use the same folder at once.
    """

    def __init__(self, folder: Path, dataset: Dataset, shape: AcePotential) -> None:
        self._folder, self._dataset, self._shape = folder, dataset, shape
        self._added: dict[str, RowsByElement] = {}
        self._held: dict[str, RowsByElement] = {}

    def add(self, name: str, rows: RowsByElement) -> None:
        """Store the rows of a new label."""
        self._added[name] = rows
        self._keep(name, rows)

    def added(self) -> RowsByElement:
        """Return the (n_environments, n_functions) rows of each element of all labels added by :meth:`add`."""
        widths = self._shape.n_functions()
        return {e: np.concatenate([np.zeros((0, n)), *(r[e] for r in self._added.values())]) for e, n in widths.items()}

    def blocks(self, element: str, names: list[str]) -> Iterator[Block]:
        """Yield the rows of one element of all labels in ``names``, each label once, in any order."""
        column, left = self._shape.elements.index(element), {name: k for k, name in enumerate(names)}
        for pack in self._packs:
            places = np.repeat([left.pop(name, -1) for name in pack.names], pack.counts[:, column])
            asked = places >= 0
            rows = pack.rows[element]
            yield Block(places, rows) if asked.all() else Block(places[asked], rows[asked])
        for name, place in left.items():
            rows = self._loose(name)[element]
            yield Block(np.full(len(rows), place), rows)

    def counts(self, names: list[str]) -> dict[str, int]:
        """Return the number of environments of each element in the labels ``names``."""
        return {e: sum(len(block.rows) for block in self.blocks(e, names)) for e in self._shape.elements}

    def pack(self, names: list[str]) -> None:
        """Merge the files of labels in ``names`` into a pack, once there are a hundred of them."""
        own = {path.stem for path in self._folder.glob("*.npz")}
        loose = [name for name in names if name in own]
        if len(loose) < _MIN_TO_PACK:
            return
        target = self._folder / (_PACK + hashlib.sha256("\n".join(loose).encode()).hexdigest()[:12])
        found = [self._loose(name) for name in loose]
        parts = [part[element] for element in self._shape.elements for part in found]
        # the table of contents is written last: an interrupted write leaves no pack without its rows
        write_array(target.with_suffix(".npy"), np.concatenate([part.ravel() for part in parts]))
        counts = np.array([len(part) for part in parts]).reshape(-1, len(loose)).T
        write_arrays(target.with_suffix(".npz"), {"names": np.array(loose), "counts": counts})
        for name in loose:
            self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.npz"

    def _loose(self, name: str) -> RowsByElement:
        if name not in self._held:
            kept = read_arrays(self._path(name))
            if kept is not None and set(self._shape.elements) <= set(kept):
                self._held[name] = kept
            else:
                atoms = self._dataset.read(name)
                self._keep(name, rows_within(mask_of(atoms), self._shape.evaluate_with_projections(atoms)[1], atoms))
        return self._held[name]

    def _keep(self, name: str, rows: RowsByElement) -> None:
        self._held[name] = rows
        write_arrays(self._path(name), rows)

    @cached_property
    def _packs(self) -> list[_Pack]:
        found = []
        for path in sorted(self._folder.glob("packed*.npz")):
            pack = self._packed(path)
            if pack is None:
                path.unlink(missing_ok=True)
                path.with_suffix(".npy").unlink(missing_ok=True)
            else:
                found.append(pack)
        return found

    def _packed(self, path: Path) -> _Pack | None:
        """Return a pack; None if it is damaged or of an older version."""
        contents, rows = read_arrays(path), map_array(path.with_suffix(".npy"))
        if contents is None or rows is None:
            return None
        widths = self._shape.n_functions()
        totals = contents["counts"].sum(axis=0)
        sizes = [int(total) * widths[e] for e, total in zip(self._shape.elements, totals, strict=True)]
        if sum(sizes) != len(rows):
            return None
        parts = np.split(rows, np.cumsum(sizes)[:-1])
        shaped = {e: part.reshape(-1, widths[e]) for e, part in zip(self._shape.elements, parts, strict=True)}
        return _Pack([str(name) for name in contents["names"]], contents["counts"], shaped)
