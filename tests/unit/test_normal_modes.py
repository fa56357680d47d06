"""Vibrations around the centre are the potential's; displacements along the soft ones are thermal and bounded."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.vibrations import Vibrations

from mlip_fw.engines.ace.potential import AcePotential, Evaluation
from mlip_fw.engines.sampling.normal_modes import LocalModes
from tests.helpers.potentials import copper_potential

THZ = 1e3 * units.fs / (2 * np.pi)


class Springs:
    """Every atom bound to its own site with stiffness ``k`` (n, 3), eV/Å²."""

    cutoff_a = 5.0

    def __init__(self, atoms, k):
        self.sites, self.k = atoms.positions.copy(), np.broadcast_to(k, atoms.positions.shape)
        self.calls = 0

    def neighbours(self, atoms, skin_a=0.0):
        return None

    def energy(self, positions):
        return float(0.5 * (self.k * (positions - self.sites) ** 2).sum())

    def evaluate_moving(self, neighbours, positions, cell, *, gamma):
        self.calls += 1
        forces = -self.k * (positions - self.sites)
        return Evaluation(self.energy(positions), forces, np.zeros(6), None)


class Bond(Springs):
    """Two atoms joined by one spring."""

    def evaluate_moving(self, neighbours, positions, cell, *, gamma):
        apart = positions[1] - positions[0]
        distance = np.linalg.norm(apart)
        pull = 5.0 * (distance - 2.0) * apart / distance
        return Evaluation(0.0, np.array([pull, -pull]), np.zeros(6), None)


class Ace(Calculator):
    """ASE's view of a potential, independent of the package's own."""

    implemented_properties = ("energy", "forces")

    def __init__(self, ace):
        super().__init__()
        self.ace = ace

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        answer = self.ace.evaluate(atoms, gamma=False)
        self.results = {"energy": answer.energy_ev, "forces": answer.forces_ev_a}


@pytest.fixture(scope="module")
def potential(tmp_path_factory):
    return copper_potential(tmp_path_factory.mktemp("p"))


@pytest.fixture
def crystal():
    return bulk("Cu", cubic=True) * (3, 3, 3)


@pytest.mark.slow
def test_frequencies_of_a_real_potential_are_those_that_ase_finds(potential, tmp_path):
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms.rattle(0.1, seed=3)
    modes = LocalModes.around(atoms, 5, potential)
    assert isinstance(potential, AcePotential)
    atoms.calc = Ace(potential)
    reference = Vibrations(atoms, indices=modes.local, name=str(tmp_path / "vib"), delta=0.01)
    reference.run()
    found = reference.get_frequencies() * 0.0299792458  # THz in one 1/cm
    expected = np.sort(found.real - found.imag)  # those of unstable modes are imaginary
    assert np.abs(modes.frequencies_thz() - expected).max() < 2e-3
    assert 3 < modes.frequencies_thz().max() < 15


def test_frequency_of_an_atom_on_a_spring(crystal):
    modes = LocalModes.around(crystal, 0, Springs(crystal, 3.0))
    assert modes.frequencies_thz() == pytest.approx(np.full(3 * len(modes.local), THZ * np.sqrt(3.0 / 63.546)))


def test_two_atoms_have_one_vibration():
    molecule = Atoms("HCl", [[0, 0, 0], [1, np.sqrt(2), 1]], cell=[20] * 3, pbc=True)
    frequencies = LocalModes.around(molecule, 0, Bond(molecule, 0.0)).frequencies_thz()
    masses = molecule.get_masses()
    assert frequencies[-1] == pytest.approx(THZ * np.sqrt(5.0 * masses.sum() / masses.prod()), rel=1e-3)
    assert np.abs(frequencies[:-1]).max() < 0.05 * frequencies[-1]


def test_amplitudes_are_thermal(crystal):
    rng, stiff = np.random.default_rng(1), np.linspace(2, 4, 3 * len(crystal)).reshape(-1, 3)
    springs = Springs(crystal, stiff)
    modes = LocalModes.around(crystal, 0, springs)
    copies = (modes.displaced(crystal, 300.0, rng) for _ in range(400))
    energies = [springs.energy(copy.positions) for copy in copies]
    assert np.mean(energies) == pytest.approx(0.5 * modes.n_soft * units.kB * 300, rel=0.05)


def test_only_the_softest_third_moves():
    atoms = bulk("Cu", cubic=True) * (3, 3, 3)
    stiff = np.tile([1.0, 8.0, 9.0], (len(atoms), 1))
    modes = LocalModes.around(atoms, 0, Springs(atoms, stiff))
    moves = modes.displacements(600.0, np.random.default_rng(1))
    assert modes.n_soft == len(modes.local)
    assert (np.abs(moves[:, 0]) > 1e-6).all()
    assert moves[:, 1:] == pytest.approx(0, abs=1e-9)


def test_only_near_atoms_move_and_effort_is_bounded(crystal):
    springs = Springs(crystal, 3.0)
    modes = LocalModes.around(crystal, 7, springs)
    assert len(modes.local) == 40
    assert modes.local[0] == 7
    assert springs.calls == 240
    moves = modes.displaced(crystal, 500.0, np.random.default_rng(2)).positions - crystal.positions
    assert set(np.flatnonzero(moves.any(axis=1))) <= set(modes.local)
    assert moves.any()
    distances = crystal.get_distances(7, range(len(crystal)), mic=True)
    assert distances[modes.local].max() <= distances[np.setdiff1d(np.arange(108), modes.local)].min() + 1e-9
    small = Springs(crystal, 3.0)
    small.cutoff_a = 3.0
    assert len(LocalModes.around(crystal, 7, small).local) == 13


@pytest.mark.parametrize("soft", [0.0, 1e-12, -1e-9, -2.0, -50.0])
def test_unstable_and_very_soft_modes_are_bounded_and_go_both_ways(crystal, soft):
    stiff = np.full((len(crystal), 3), 3.0)
    stiff[4, 1] = soft
    modes = LocalModes.around(crystal, 4, Springs(crystal, stiff))
    rng = np.random.default_rng(3)
    along = np.array([modes.displacements(900.0, rng)[0, 1] for _ in range(200)])
    assert 0.3 < (along > 0).mean() < 0.7
    assert np.abs(along).max() <= 0.15 * 3.61 / np.sqrt(2) + 1e-9
    assert np.abs(along).mean() > 0.01


def test_an_unstable_mode_gains_half_kt():
    atoms = bulk("Cu", cubic=True) * (3, 3, 3)
    stiff = np.full((len(atoms), 3), 3.0)
    stiff[0, 0] = -3.0
    modes, rng = LocalModes.around(atoms, 0, Springs(atoms, stiff)), np.random.default_rng(5)
    along = np.array([modes.displacements(100.0, rng)[0, 0] for _ in range(1000)])
    assert 0.5 * 3.0 * np.mean(along**2) == pytest.approx(0.5 * units.kB * 100, rel=0.15)


def test_nothing_moves_without_temperature_or_stiffness(crystal):
    for springs, temperature in ((Springs(crystal, 3.0), 0.0), (Springs(crystal, 0.0), 300.0)):
        moves = LocalModes.around(crystal, 0, springs).displacements(temperature, np.random.default_rng(1))
        assert np.isfinite(moves).all()
        assert np.abs(moves).max() <= 0.15 * 3.61 / np.sqrt(2) + 1e-9


def test_same_seed_same_displacements(crystal):
    modes = LocalModes.around(crystal, 0, Springs(crystal, 3.0))
    first, again, other = (modes.displacements(300.0, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (first == again).all()
    assert not np.allclose(first, other)


def test_a_single_atom_has_modes():
    atom = Atoms("Cu", cell=[4] * 3, pbc=True)
    modes = LocalModes.around(atom, 0, Springs(atom, 3.0))
    assert modes.frequencies_thz() == pytest.approx(np.full(3, THZ * np.sqrt(3.0 / 63.546)))
