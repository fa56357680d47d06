"""A burst is short, hot, watched and reproducible; one that explodes gives nothing."""

import numpy as np
import pytest
from ase import units
from ase.build import bulk

from mlip_fw.engines.ace.potential import Evaluation
from mlip_fw.engines.sampling import md_burst
from mlip_fw.engines.sampling.md_burst import burst, timestep_fs
from tests.helpers.potentials import copper_potential


class Field:
    """Springs of stiffness ``k`` to the sites; gamma of every atom is the number of evaluations so far."""

    def __init__(self, atoms, k=2.0):
        self.sites, self.k, self.calls = atoms.positions.copy(), k, 0

    def neighbours(self, atoms, skin_a=0.0):
        return None

    def evaluate_moving(self, neighbours, positions, cell, *, gamma):
        self.calls += 1
        grades = np.full(len(positions), float(self.calls))
        return Evaluation(0.0, -self.k * (positions - self.sites), np.zeros(6), grades)


@pytest.fixture(scope="module")
def potential(tmp_path_factory):
    return copper_potential(tmp_path_factory.mktemp("p"))


@pytest.fixture
def crystal():
    return bulk("Cu", cubic=True) * (3, 3, 3)


def run(atoms, field, temperature_k=300.0, lower=0.0, upper=np.inf, seed=1):
    limits = {"lower": np.full(len(atoms), lower), "upper": np.broadcast_to(upper, len(atoms))}
    return burst(atoms, field, temperature_k=temperature_k, rng=np.random.default_rng(seed), **limits)


def test_a_burst_of_a_real_potential_is_sound(potential):
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms.rattle(0.05, seed=2)
    before = atoms.positions.copy()
    frames = run(atoms, potential, temperature_k=400.0)
    assert len(frames) == 10
    assert (atoms.positions == before).all()
    moved = [np.abs(f.positions - before).max() for f in frames]
    assert 0.01 < moved[0] < moved[-1] < 1.5
    assert all(f.calc is None and f.pbc.all() for f in frames)


def test_same_seed_same_burst(potential):
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    first, again, other = (run(atoms, potential, seed=seed)[-1].positions for seed in (4, 4, 5))
    assert (first == again).all()
    assert not np.allclose(first, other)


def test_a_burst_is_hotter_than_the_md(crystal):
    """Free atoms in a bath of 1.2 times the temperature: how far they have come after 20 fs."""
    bursts = (run(crystal, Field(crystal, k=0.0), 500.0, upper=11.0, seed=seed) for seed in range(4))
    moves = np.concatenate([frames[0].positions - crystal.positions for frames in bursts])
    damped = 0.01 * 20
    slowed = 2 * (damped - 1 + np.exp(-damped)) / damped**2
    expected = slowed * units.kB * 1.2 * 500 / 63.546 * (20 * units.fs) ** 2
    assert np.mean(moves**2) == pytest.approx(expected, rel=0.1)


def test_a_burst_ends_where_gamma_is_too_large(crystal):
    field = Field(crystal)
    assert len(run(crystal, field, upper=36.0)) == 3
    assert field.calls == 37


def test_a_burst_is_watched_atom_by_atom(crystal):
    upper = np.full(len(crystal), np.inf)
    assert len(run(crystal, Field(crystal), upper=upper)) == 10
    upper[17] = 36.0
    assert len(run(crystal, Field(crystal), upper=upper)) == 3


def test_frames_that_do_not_extrapolate_are_left_out(crystal):
    assert len(run(crystal, Field(crystal), lower=55.0)) == 5
    assert run(crystal, Field(crystal), lower=np.inf) == []


def test_an_explosion_gives_nothing(crystal, monkeypatch):
    monkeypatch.setattr(md_burst, "too_close", lambda atoms: None)
    assert len(run(crystal, Field(crystal))) == 10
    assert run(crystal, Field(crystal, k=-30.0)) == []


def test_numbers_that_are_not_finite_give_nothing(crystal):
    class Broken(Field):
        def evaluate_moving(self, neighbours, positions, cell, *, gamma):
            answer = super().evaluate_moving(neighbours, positions, cell, gamma=gamma)
            if self.calls > 50:
                answer.forces_ev_a[3, 1] = np.nan
            return answer

    assert run(crystal, Broken(crystal)) == []


def test_atoms_too_close_give_nothing(crystal, monkeypatch):
    answers = iter([None, None, "atoms 1 and 2 are 0.30 Å apart"])
    monkeypatch.setattr(md_burst, "too_close", lambda atoms: next(answers))
    assert run(crystal, Field(crystal)) == []


def test_light_atoms_take_short_steps():
    copper = bulk("Cu")
    assert timestep_fs(copper) == 2.0
    copper.symbols[:] = "H"
    assert timestep_fs(copper) == pytest.approx(0.3, rel=0.01)
