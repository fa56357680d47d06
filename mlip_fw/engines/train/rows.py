"""The basis functions of all labelled atoms, kept on disk: they don't change while the basis doesn't."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlip_fw.dataset import Dataset
from mlip_fw.engines.ace import AcePotential, rows_within
from mlip_fw.io.files import read_arrays, write_arrays
from mlip_fw.io.structures import mask_of

_PACKED = "packed.npz"
_FEWEST_TO_PACK = 100
_SHARE_TO_PACK = 0.25
RowsByElement = dict[str, np.ndarray]


class Rows:
    """One file for each label; the older ones are packed in one, because opening thousands takes seconds.

    Whatever is missing or damaged is made again. Several trainings may use the same folder.
    """

    def __init__(self, folder: Path, dataset: Dataset, shape: AcePotential) -> None:
        self._folder, self._dataset, self._shape = folder, dataset, shape

    def add(self, name: str, rows: RowsByElement) -> None:
        """Keep the rows of a label."""
        write_arrays(self._path(name), rows)

    def of(self, names: list[str]) -> RowsByElement:
        """Return the (n_environments, n_functions) rows by element of all labels in ``names``, in their order."""
        packed = self._packed()
        loose = [name for name in names if name not in packed]
        found = {**packed, **{name: self._loose(name) for name in loose}}
        if len(loose) >= max(_FEWEST_TO_PACK, _SHARE_TO_PACK * len(packed)):
            self._pack(names, found)
        widths = self._shape.n_functions()
        return {e: np.concatenate([np.zeros((0, n)), *(found[name][e] for name in names)]) for e, n in widths.items()}

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.npz"

    def _loose(self, name: str) -> RowsByElement:
        kept = read_arrays(self._path(name))
        if kept is not None and set(self._shape.elements) <= set(kept):
            return kept
        atoms = self._dataset.read(name)
        rows = rows_within(mask_of(atoms), self._shape.evaluate_with_projections(atoms)[1], atoms)
        self.add(name, rows)
        return rows

    def _packed(self) -> dict[str, RowsByElement]:
        """Return the rows of each label in the packed file."""
        kept = read_arrays(self._folder / _PACKED)
        if kept is None or not {"names", *self._ends(), *self._shape.elements} <= set(kept):
            return {}
        parts = {
            e: np.split(kept[e], kept[end][:-1]) for e, end in zip(self._shape.elements, self._ends(), strict=True)
        }
        return {str(name): {e: part[k] for e, part in parts.items()} for k, name in enumerate(kept["names"])}

    def _pack(self, names: list[str], found: dict[str, RowsByElement]) -> None:
        arrays: dict[str, np.ndarray] = {"names": np.array(names)}
        for element, end in zip(self._shape.elements, self._ends(), strict=True):
            rows = [found[name][element] for name in names]
            arrays[element], arrays[end] = np.concatenate(rows), np.cumsum([len(part) for part in rows])
        write_arrays(self._folder / _PACKED, arrays)
        for name in names:
            self._path(name).unlink(missing_ok=True)

    def _ends(self) -> list[str]:
        """Return the names of the arrays that say where the rows of each label end, one for each element."""
        return [f"ends_of_{element}" for element in self._shape.elements]
