"""ASE calculator for an ACE potential."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from mlip_fw.engines.ace.potential import AcePotential

_SKIN_A = 1.0


class AceCalculator(Calculator):
    """Energy and forces of an ACE potential for a fixed list of atoms; neighbour lists are reused as they move.

    Parameters
    ----------
    potential
        The potential.
    atoms
        The atoms it will be used for; their number, order and elements must not change.
    gamma
        Whether to compute extrapolation grades as well, which is slower.

    Notes
    -----
    A structure whose forces are not finite raises FloatingPointError.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def __init__(self, potential: AcePotential, atoms: Atoms, *, gamma: bool) -> None:
        super().__init__()
        self._potential, self._neighbours, self._graded = potential, potential.neighbours(atoms, _SKIN_A), gamma
        self.gamma = np.zeros(len(atoms))
        """(n,) extrapolation grades of the last evaluation."""

    def calculate(self, atoms: Atoms | None = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        """Compute energy and forces (interface of ASE)."""
        super().calculate(atoms, properties, system_changes)
        answer = self._potential.evaluate_moving(
            self._neighbours, self.atoms.positions, self.atoms.cell.array, gamma=self._graded
        )
        if answer.gamma is not None:
            self.gamma = answer.gamma
        if not (np.isfinite(answer.forces_ev_a).all() and np.isfinite(self.gamma).all()):
            raise FloatingPointError("forces are not finite")
        self.results = {"energy": answer.energy_ev, "forces": answer.forces_ev_a}
