"""Cheap ASE calculators as oracles: an ionic crystal, a molecular one, and ones whose labels are at fault."""

import hashlib
from typing import ClassVar

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.neighborlist import neighbor_list
from ase.stress import full_3x3_to_voigt_6_stress
from scipy.special import erfc

_COULOMB_EV_A = 14.399645
_DAMPING_1_A = 0.25
_CUTOFF_A = 7.0


class _Charges(Calculator):
    """Point charges with damped Coulomb forces shifted to zero at a cutoff, and a short-ranged potential of pairs.

    Coulomb sum: Fennell and Gezelter, J. Chem. Phys. 124, 234104 (2006).
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]
    charges: ClassVar[dict[str, float]]

    def short_ranged(self, pair, r):
        """Return energy and slope, eV and eV/Å, of a pair of elements (sorted) at distances ``r``."""
        raise NotImplementedError

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        first, second, r, apart = neighbor_list("ijdD", self.atoms, _CUTOFF_A)
        symbols = np.array(self.atoms.get_chemical_symbols())
        charges = np.array([self.charges[symbol] for symbol in symbols])
        strength = _COULOMB_EV_A * charges[first] * charges[second]
        (energy_at, slope_at), (end, end_slope) = _screened(r), _screened(np.array(_CUTOFF_A))
        energies = strength * (energy_at - end - end_slope * (r - _CUTOFF_A))
        slopes = strength * (slope_at - end_slope)
        names = np.sort([symbols[first], symbols[second]], axis=0)
        for pair in {tuple(map(str, name)) for name in np.unique(names, axis=1).T}:
            is_pair = (names == np.array(pair)[:, None]).all(axis=0)
            energy, slope = self.short_ranged(pair, r[is_pair])
            energies[is_pair] += energy
            slopes[is_pair] += slope
        pulls = slopes[:, None] * apart / r[:, None]
        forces = np.zeros((len(symbols), 3))
        np.add.at(forces, first, pulls)
        stress = 0.5 * np.einsum("ni,nj->ij", apart, pulls) / self.atoms.get_volume()
        self.results = {
            "energy": 0.5 * float(energies.sum()),
            "forces": forces,
            "stress": full_3x3_to_voigt_6_stress(stress),
        }


def _screened(r):
    """Return erfc(αr)/r and its derivative."""
    gauss = 2 * _DAMPING_1_A / np.sqrt(np.pi) * np.exp(-((_DAMPING_1_A * r) ** 2))
    value = erfc(_DAMPING_1_A * r) / r
    return value, -(value + gauss) / r


class RigidIons(_Charges):
    """MgO of rigid ions with Born-Mayer repulsion: Lewis and Catlow, J. Phys. C 18, 1149 (1985)."""

    charges: ClassVar[dict[str, float]] = {"Mg": 2.0, "O": -2.0}
    _repulsion: ClassVar[dict[tuple[str, str], tuple[float, float]]] = {
        ("Mg", "O"): (821.6, 0.3242),
        ("O", "O"): (22764.0, 0.149),
    }

    def short_ranged(self, pair, r):
        height, range_a = self._repulsion.get(pair, (0.0, 1.0))
        energy = height * np.exp(-r / range_a)
        return energy, -energy / range_a


class Diatomic(_Charges):
    """N2 with springs as bonds, and Lennard-Jones between atoms of different molecules."""

    charges: ClassVar[dict[str, float]] = {"N": 0.0}

    def short_ranged(self, pair, r):
        sixth, depth = (3.31 / r) ** 6, 4 * 0.0032
        is_bond, stretch = r < 1.8, r - 1.1
        energy = np.where(is_bond, 30.0 * stretch**2, depth * (sixth**2 - sixth))
        return energy, np.where(is_bond, 60.0 * stretch, -6 * depth * (2 * sixth**2 - sixth) / r)


class Unconverged(EMT):
    """EMT whose forces have a random part, as of an unconverged calculation: the same for the same structure.

    ``element`` (atomic number) and ``above_ev_a`` (root mean square of all forces) say where only; 0: everywhere.
    """

    def __init__(self, noise_ev_a=0.2, element=0, above_ev_a=0.0):
        super().__init__()
        self._noise_ev_a, self._element, self._above_ev_a = noise_ev_a, element, above_ev_a

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        forces = np.array(self.results["forces"])
        if np.sqrt(np.mean(forces**2)) < self._above_ev_a:
            return
        digest = hashlib.sha256(np.round(self.atoms.positions, 6).tobytes()).digest()
        noise = np.random.default_rng(list(digest)).normal(0, self._noise_ev_a, forces.shape)
        if self._element:
            noise[self.atoms.numbers != self._element] = 0.0
        self.results["forces"] = forces + noise
