"""The new labels of one training, with a cache of their design-matrix rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ase import Atoms

from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.train.design_rows import DesignRows, design_rows_of
from mlip_fw.engines.train.linear_fit import LinearFit
from mlip_fw.models.campaign import Campaign

_MAX_BYTES = 500_000_000
"""Size of the cache; labels beyond it are evaluated again at each use."""
Weights = Mapping[str, tuple[float, float]]
"""Weights of down-weighted labels by name: of the energy, and of forces and stress."""


class Batch:
    """New labels, each evaluated once as far as memory allows.

    Parameters
    ----------
    frames
        The labels by name.
    energies_ev
        Energies of free atoms by element.
    shape
        A potential with the basis of the fit and all coefficients zero.
    """

    def __init__(
        self, frames: Mapping[str, Atoms], energies_ev: dict[str, float], shape: AcePotential, campaign: Campaign
    ) -> None:
        self.frames, self.energies_ev = dict(frames), energies_ev
        self.with_imported_stress = True
        self.shape, self._campaign = shape, campaign
        self._held: dict[str, DesignRows] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self.frames)

    def design_rows(self) -> Iterator[tuple[str, DesignRows]]:
        """Yield (name, design-matrix rows) of each label, in order."""
        return ((name, self.rows_of(name)) for name in self.frames)

    def rows_of(self, name: str) -> DesignRows:
        """Return the design-matrix rows and targets of a label."""
        if (held := self._held.get(name)) is not None:
            return held
        atoms, with_stress = self.frames[name], self.with_imported_stress
        made = design_rows_of(atoms, self.energies_ev, self.shape, self._campaign, with_imported_stress=with_stress)
        if self._bytes < _MAX_BYTES:
            self._held[name] = made
            self._bytes += made.design.forces.nbytes
        return made

    def relative_to(self, energies_ev: dict[str, float]) -> None:
        """Set other reference energies of free atoms."""
        self.energies_ev = energies_ev
        self._held = {name: one.relative_to(energies_ev, self.frames[name]) for name, one in self._held.items()}

    def leave_out_imported_stress(self) -> None:
        """Ignore the stresses of imported labels (``bootstrap.dataset``)."""
        self.with_imported_stress, self._held, self._bytes = False, {}, 0

    def added_to(self, fit: LinearFit, weights: Weights) -> LinearFit:
        """Return the fit updated with all labels."""
        for name, label in self.design_rows():
            fit = label.added_to(fit, weights.get(name))
        return fit
