"""A potential with its active set, evaluated by the kernel: what MD asks of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms

from mlip_fw.engines.ace import AcePotential, Evaluation
from mlip_fw.engines.kernel.form import why_not
from mlip_fw.engines.kernel.kernel import Kernel, TooCloseError
from mlip_fw.engines.neighbours import PairList
from mlip_fw.errors import WorkerError


class KernelPotential:
    """Energies, forces and extrapolation grades of a linear ACE potential, from compiled code.

    Parameters
    ----------
    potential
        The same potential for pyace, which evaluates what the kernel does not know: atoms very close to each other.
    threads
        How many threads share the atoms. A fixed number gives the same bits each time.

    Raises
    ------
    WorkerError
        If the kernel can't evaluate such a potential.
    """

    def __init__(self, potential: AcePotential, threads: int = 1) -> None:
        if reason := why_not(potential.basis):
            raise WorkerError(f"env.md_evaluator: kernel can't evaluate this potential: {reason}; set it to pyace")
        self._potential, self._kernel = potential, Kernel(potential.basis, threads)

    @classmethod
    def from_files(cls, yaml_path: Path, threads: int = 1) -> KernelPotential:
        """Read a potential and the ``.asi`` beside it."""
        return cls(AcePotential.from_files(yaml_path), threads)

    def neighbours(self, atoms: Atoms, skin_a: float = 0.0) -> PairList:
        """Return an empty pair list for the species of ``atoms``."""
        return PairList(self._potential.species(atoms), self._potential.cutoff_a, skin_a)

    def evaluate_moving(self, pairs: PairList, positions: np.ndarray, cell: np.ndarray, *, gamma: bool) -> Evaluation:
        """Evaluate a step of a trajectory, with gamma or without, which is faster.

        Raises
        ------
        FloatingPointError
            If a position or a cell vector is not a finite number.
        """
        if not (np.isfinite(positions).all() and np.isfinite(cell).all()):
            raise FloatingPointError("positions or cell are not finite")
        try:
            found = self._kernel.evaluate(pairs.pairs_at(positions, cell), projections=gamma)
        except TooCloseError:
            neighbours = self._potential.neighbours(self._atoms_of(pairs))
            return self._potential.evaluate_moving(neighbours, positions, cell, gamma=gamma)
        grades = self._grades(found.projections, pairs.species) if found.projections is not None else None
        return Evaluation(float(found.energies_ev.sum()), found.forces_ev_a, found.virial_ev, grades)

    def _grades(self, projections: dict[int, np.ndarray], species: np.ndarray) -> np.ndarray:
        """Return the (n,) extrapolation grades: max |b A⁻¹|, as pyace has them."""
        grades, inverses = np.zeros(len(species)), self._potential.inverses
        for s, name in enumerate(self._potential.elements if inverses is not None else []):
            assert inverses is not None
            grades[species == s] = np.abs(projections[s] @ inverses[name]).max(axis=1, initial=0.0)
        return grades

    def _atoms_of(self, pairs: PairList) -> Atoms:
        return Atoms([self._potential.elements[s] for s in pairs.species])
