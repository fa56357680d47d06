"""Candidates are plausible; the choice among them is D-optimal and says why."""

import numpy as np
import pytest
from ase.build import bulk

from mlip_fw.engines.bootstrap import bootstrap_structures
from mlip_fw.engines.candidates.generate import Candidate, HaltedFrame, generate, rattled
from mlip_fw.engines.geometry import closest_pair, heights_a, too_close
from mlip_fw.engines.maxvol import ActiveSet, exchange
from mlip_fw.engines.select import choose
from mlip_fw.models.campaign import BootstrapSettings
from tests.unit.test_generation import teach


@pytest.fixture(scope="module")
def potential(tmp_path_factory):
    from mlip_fw.engines.ace import AcePotential
    from mlip_fw.io.campaign_file import parse_campaign
    from tests.conftest import SMALL

    generations, _, _ = teach(tmp_path_factory.mktemp("p"), range(4), parse_campaign(SMALL, "test"))
    return AcePotential.from_files(generations.potential(0))


@pytest.fixture
def frame():
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms.rattle(0.12, seed=8)
    return HaltedFrame(atoms, center=7, temperature_k=900.0, gamma_halt=5.0)


def test_displacements_are_thermal_and_local():
    atoms = bulk("Cu", cubic=True) * (5, 5, 5)
    frame, rng = HaltedFrame(atoms, 0, 900.0, 5.0), np.random.default_rng(1)
    moves = np.array([rattled(frame, 5.0, rng)[0].positions - atoms.positions for _ in range(50)])
    sizes = np.sqrt((moves**2).mean(axis=(0, 2)))
    distances = atoms.get_distances(0, range(len(atoms)), mic=True)
    assert 0.02 < sizes[0] < 0.1
    assert sizes[distances > 8].max() < 0.1 * sizes[0]
    colder = HaltedFrame(atoms, 0, 90.0, 5.0)
    cold = rattled(colder, 5.0, np.random.default_rng(1))[0].positions - atoms.positions
    assert np.abs(cold).max() < 0.5 * np.abs(moves[0]).max()


def test_halted_frame_comes_first_and_numbers_fit(frame, potential):
    candidates, rejected = generate(frame, potential, ["halt_frame", "rattle"], 12, np.random.default_rng(1))
    assert candidates[0].strategy == "halt_frame"
    assert np.allclose(candidates[0].atoms.get_distance(0, 1, mic=True), frame.atoms.get_distance(0, 1, mic=True))
    assert len(candidates) + sum(rejected.values()) == 12
    assert {c.strategy for c in candidates[1:]} <= {"rattle"}


def test_same_seed_same_candidates(frame, potential):
    made = [generate(frame, potential, ["rattle"], 4, np.random.default_rng(3))[0] for _ in range(2)]
    assert all((a.atoms.positions == b.atoms.positions).all() for a, b in zip(*made, strict=True))


def test_atoms_too_close_are_never_candidates(frame, potential):
    frame.atoms.positions[1] = frame.atoms.positions[0] + [0.5, 0, 0]
    candidates, rejected = generate(frame, potential, ["halt_frame", "rattle"], 6, np.random.default_rng(1))
    assert candidates == []
    assert rejected == {"atoms too close": 6}


def test_hot_nonsense_is_refused(frame, potential):
    cold = HaltedFrame(frame.atoms, 7, 1e-6, 5.0)
    candidates, rejected = generate(cold, potential, ["halt_frame", "rattle"], 5, np.random.default_rng(1))
    assert [c.strategy for c in candidates] == ["halt_frame"]
    assert sum(rejected.values()) == 4


def made(rows, strategy="rattle"):
    return Candidate(bulk("Cu"), strategy, {"Cu": np.atleast_2d(np.array(rows, dtype=float))}, 0.0)


@pytest.fixture
def active():
    return {"Cu": exchange(ActiveSet.empty(np.eye(3), 3), np.eye(3)).active}


def test_choice_adds_most_volume(active):
    candidates = [made([[20, 0, 0]]), made([[30, 0, 0], [0, 40, 0]]), made([[0, 0, 2]])]
    chosen = choose(candidates, ["a", "b", "c"], active, limit=3, gamma_worth=5.0)
    assert [(k, c.hash) for k, c in chosen] == [(1, "b")]
    assert chosen[0][1].log_volume_gain == pytest.approx(np.log(30 * 40))
    assert chosen[0][1].gamma_max == pytest.approx(40)


def test_what_is_chosen_counts_for_the_next_choice(active):
    candidates = [made([[20, 0, 0]]), made([[21, 0, 0]]), made([[0, 20, 0]])]
    chosen = choose(candidates, ["a", "b", "c"], active, limit=3, gamma_worth=5.0)
    assert [c.hash for _, c in chosen] == ["b", "c"]


def test_halted_frame_is_chosen_first_even_if_it_adds_less(active):
    candidates = [made([[50, 0, 0]]), made([[6, 0, 0]], "halt_frame")]
    chosen = choose(candidates, ["a", "frame"], active, limit=4, gamma_worth=5.0)
    assert [c.hash for _, c in chosen] == ["frame", "a"]
    assert chosen[0][1].reason == "the halted frame itself"


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_limit_is_kept(active, limit):
    candidates = [made(20 * np.eye(3)[k]) for k in range(3)]
    assert len(choose(candidates, list("abc"), active, limit=limit, gamma_worth=5.0)) == limit


def test_nothing_worthwhile_is_nothing_chosen(active):
    assert choose([made([[2, 0, 0]])], ["a"], active, limit=4, gamma_worth=5.0) == []
    assert choose([], [], active, limit=4, gamma_worth=5.0) == []


def test_bootstrap_structures_differ_and_are_sound():
    start = bulk("Cu", cubic=True) * (2, 2, 2)
    settings = BootstrapSettings(n_structures=4, rattle_a=0.4, strain=0.1)
    frames = bootstrap_structures(start, settings, np.random.default_rng(2))
    assert len(frames) == 4
    assert not any(too_close(f) for f in frames)
    volumes = {round(f.get_volume(), 6) for f in frames}
    assert len(volumes) == 4


def test_geometry():
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    assert too_close(atoms) is None
    assert closest_pair(atoms)[0] == pytest.approx(3.61 / np.sqrt(2) / 2.64, rel=1e-3)
    sheared = np.array([[10.0, 0, 0], [5, 5, 0], [0, 0, 7]])
    assert heights_a(sheared) == pytest.approx([10 / np.sqrt(2), 5, 7])
    squeezed = bulk("Cu", cubic=True)
    squeezed.set_cell([1.0, 3.6, 3.6], scale_atoms=False)
    assert "Å apart" in too_close(squeezed)
