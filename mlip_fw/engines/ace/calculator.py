"""ASE calculator for an ACE potential."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes

from mlip_fw.engines.ace.error_estimate import ErrorEstimator
from mlip_fw.engines.ace.neighbours import Neighbours
from mlip_fw.engines.ace.potential import AcePotential

_SKIN_A = 1.0


class AceCalculator(Calculator):
    """ASE calculator of an ACE potential: energy, forces, stress and extrapolation grades.

    Parameters
    ----------
    potential
        Path of the ``.yaml``, with its active set (``.asi``) in the same folder, or a potential that is already loaded.
    gamma
        Whether to compute extrapolation grades as well, which is slower.
    errors
        Whether to state force errors as well, in five times the time; the potential is then given by its path.

    Notes
    -----
    Grades are in ``results["gamma"]`` and ``gamma``, (n,). Neighbour lists are reused while atoms move little. Energies
    are relative to the reference energies in ``training.json`` of the generation. A structure whose forces are not
    finite raises FloatingPointError.

    With ``errors``, ``results["force_error_68"]`` and ``results["force_error_95"]``, (n,), are half widths of the 68 %
    and 95 % intervals of each force component, eV/Å. They are missing if there is no ``potential.errors.npz`` beside
    the potential.

    Examples
    --------
    >>> from mlip_fw import AceCalculator
    >>> atoms.calc = AceCalculator("cu-melt/potentials/gen_003.yaml")  # doctest: +SKIP
    >>> atoms.get_potential_energy(), atoms.calc.gamma.max()  # doctest: +SKIP
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, potential: AcePotential | str | Path, *, gamma: bool = True, errors: bool = False) -> None:
        super().__init__()
        self._estimator: ErrorEstimator | None = None
        if errors and not isinstance(potential, AcePotential):
            self._estimator = ErrorEstimator.of_file(Path(potential))
        self._potential = AcePotential.from_files(Path(potential)) if isinstance(potential, str | Path) else potential
        self._graded, self._symbols = gamma, ""
        self._neighbours: Neighbours

    @property
    def gamma(self) -> np.ndarray:
        """The (n,) extrapolation grades of the last evaluation; empty with ``gamma=False``."""
        return np.asarray(self.results.get("gamma", ()), dtype=float)

    def calculate(self, atoms: Atoms | None = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        """Compute energy, forces, stress and extrapolation grades (interface of ASE).

        Raises
        ------
        PropertyNotImplementedError
            If a stress is asked for, but the atoms are not periodic in all directions.
        FloatingPointError
            If positions, cell or forces are not finite.
        """
        super().calculate(atoms, properties, system_changes)
        whole = self.atoms.pbc.all()
        if "stress" in (properties or ()) and not whole:
            raise PropertyNotImplementedError("only atoms that are periodic in all directions have a stress")
        if self._symbols != (symbols := str(self.atoms.symbols)):
            self._neighbours, self._symbols = self._potential.neighbours(self.atoms, _SKIN_A), symbols
        seen = self.atoms if whole else _alone(self.atoms, self._potential.cutoff_a + _SKIN_A)
        answer = self._potential.evaluate_moving(self._neighbours, seen.positions, seen.cell.array, gamma=self._graded)
        self.results = {"energy": answer.energy_ev, "free_energy": answer.energy_ev, "forces": answer.forces_ev_a}
        if whole:
            self.results["stress"] = answer.stress_ev_a3(self.atoms.get_volume())
        if self._estimator is not None:
            where = self._neighbours, seen.positions, seen.cell.array
            widths = self._estimator.half_widths_moving(*where, answer.forces_ev_a)
            self.results |= {"force_error_68": widths[:, 0], "force_error_95": widths[:, 1]}
        if answer.gamma is not None:
            self.results["gamma"] = answer.gamma
        if not (np.isfinite(answer.forces_ev_a).all() and np.isfinite(self.gamma).all()):
            self.results = {}
            raise FloatingPointError("forces are not finite")


def _alone(atoms: Atoms, reach_a: float) -> Atoms:
    """Return the atoms with enough vacuum along directions without periodicity that no image is within ``reach_a``."""
    copy = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    copy.center(vacuum=reach_a / 2 + 0.5, axis=tuple(np.flatnonzero(~atoms.pbc).tolist()))
    return copy
