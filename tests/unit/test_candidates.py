"""Candidates are plausible; the choice among them is D-optimal and says why."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk

from mlip_fw.engines.sampling import generate as generate_module
from mlip_fw.engines.sampling import md_burst as md_burst_module
from mlip_fw.engines.sampling.bootstrap import bootstrap_structures
from mlip_fw.engines.sampling.generate import Candidate, HaltedFrame, generate, rattled
from mlip_fw.engines.sampling.maxvol import ActiveSet, exchange
from mlip_fw.engines.sampling.normal_modes import LocalModes
from mlip_fw.engines.sampling.selection import choose
from mlip_fw.engines.structures.geometry import closest_pair, heights_a, too_close
from mlip_fw.models.campaign import BootstrapSettings
from tests.helpers.potentials import copper_potential


@pytest.fixture(scope="module")
def potential(tmp_path_factory):
    return copper_potential(tmp_path_factory.mktemp("p"))


@pytest.fixture
def frame():
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms.rattle(0.12, seed=8)
    return HaltedFrame(atoms, center=7, temperature_k=900.0, gamma_halt={"Cu": 5.0})


def test_displacements_are_thermal_and_local():
    atoms = bulk("Cu", cubic=True) * (5, 5, 5)
    frame, rng = HaltedFrame(atoms, 0, 900.0, {"Cu": 5.0}), np.random.default_rng(1)
    moves = np.array([rattled(frame, 5.0, rng)[0].positions - atoms.positions for _ in range(50)])
    sizes = np.sqrt((moves**2).mean(axis=(0, 2)))
    distances = atoms.get_distances(0, range(len(atoms)), mic=True)
    assert 0.02 < sizes[0] < 0.1
    assert sizes[distances > 8].max() < 0.1 * sizes[0]
    colder = HaltedFrame(atoms, 0, 90.0, {"Cu": 5.0})
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
    cold = HaltedFrame(frame.atoms, 7, 1e-6, {"Cu": 5.0})
    candidates, rejected = generate(cold, potential, ["halt_frame", "rattle"], 5, np.random.default_rng(1))
    assert [c.strategy for c in candidates] == ["halt_frame"]
    assert sum(rejected.values()) == 4


def strategies_of(candidates):
    return Counter(c.strategy for c in candidates)


@pytest.mark.slow
def test_strategies_share_fairly(frame, potential):
    every = ["halt_frame", "rattle", "normal_modes", "md_burst"]
    candidates, rejected = generate(frame, potential, every, 16, np.random.default_rng(1))
    assert len(candidates) + sum(rejected.values()) == 16
    assert strategies_of(candidates) == {"halt_frame": 1, "rattle": 5, "normal_modes": 5, "md_burst": 5}
    pair, rejected = generate(frame, potential, ["rattle", "normal_modes"], 5, np.random.default_rng(1))
    assert rejected == {}
    assert strategies_of(pair) == {"normal_modes": 3, "rattle": 2}


def test_what_a_burst_leaves_goes_to_the_others(frame, potential, monkeypatch):
    monkeypatch.setattr(md_burst_module, "burst", lambda *_, **__: [])
    candidates, _ = generate(frame, potential, ["md_burst", "rattle"], 6, np.random.default_rng(1))
    assert strategies_of(candidates) == {"rattle": 6}


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_candidates_are_not_exceeded(frame, potential, n, monkeypatch):
    if n < 3:  # no displacement is wanted, so no Hessian either
        monkeypatch.delattr(LocalModes, "around")
    every = ["halt_frame", "rattle", "normal_modes", "md_burst"]
    candidates, rejected = generate(frame, potential, every, n, np.random.default_rng(1))
    assert len(candidates) + sum(rejected.values()) == n


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["rattle", "normal_modes", "md_burst"])
def test_every_strategy_is_reproducible_and_near_the_frame(frame, potential, strategy):
    first, again = (generate(frame, potential, [strategy], 4, np.random.default_rng(3))[0] for _ in range(2))
    assert len(first) == 4
    assert all((a.atoms.positions == b.atoms.positions).all() for a, b in zip(first, again, strict=True))
    start = frame.atoms.get_distance(7, 3, mic=True)
    for candidate in first:
        assert candidate.gamma_max == pytest.approx(potential.evaluate(candidate.atoms).gamma.max())
        assert abs(candidate.atoms.get_distance(7, 3, mic=True) - start) < 1.5
        assert candidate.mask is None


def test_every_strategy_passes_the_same_sieve(frame, potential, monkeypatch):
    monkeypatch.setattr(generate_module, "_GAMMA_CEILING", 0.5)
    monkeypatch.setattr(md_burst_module, "burst", lambda atoms, *_, **__: [atoms] * 2)
    every = ["rattle", "normal_modes", "md_burst"]
    candidates, rejected = generate(frame, potential, every, 6, np.random.default_rng(1))
    assert candidates == []
    assert rejected == {"gamma above the ceiling": 6}


def test_bursts_are_told_what_extrapolates_and_what_is_too_far(frame, potential, monkeypatch):
    told = []
    monkeypatch.setattr(md_burst_module, "burst", lambda *_, **limits: told.append(limits) or [])
    mask = np.arange(32) != 9
    watched = replace(frame, gamma_select=2.5, mask=mask)
    generate(watched, potential, ["md_burst"], 6, np.random.default_rng(1))
    largest = potential.evaluate(frame.atoms).gamma[mask].max()
    assert len(told) == 3
    assert told[0]["upper"][mask] == pytest.approx(3 * max(5.0, largest))
    assert (told[0]["lower"][mask] == 2.5).all()
    assert told[0]["upper"][9] == told[0]["lower"][9] == np.inf
    assert told[0]["temperature_k"] == 900.0


def test_ceiling_is_relative_to_the_threshold_of_the_element():
    alloy = bulk("Cu", cubic=True)
    alloy.symbols[0] = "Au"
    frame = HaltedFrame(alloy, 0, 900.0, {"Au": 20.0, "Cu": 5.0})
    assert frame.ceilings(np.array([10.0, 1, 1, 1])) == pytest.approx([60, 15, 15, 15])
    assert frame.ceilings(np.array([40.0, 1, 1, 1])) == pytest.approx([120, 30, 30, 30])
    masked = replace(frame, mask=np.array([False, True, True, True]))
    assert masked.ceilings(np.array([80.0, 1, 1, 10])) == pytest.approx([120, 30, 30, 30])


def test_only_atoms_in_the_mask_count(frame, potential):
    gamma = potential.evaluate(frame.atoms).gamma
    mask = gamma < np.median(gamma)
    masked = replace(frame, mask=mask)
    candidates, _ = generate(masked, potential, ["halt_frame", "rattle"], 4, np.random.default_rng(1))
    assert candidates[0].gamma_max == pytest.approx(gamma[mask].max(), rel=1e-5)
    assert [len(c.projections["Cu"]) for c in candidates] == [mask.sum()] * 4
    assert all((c.mask == mask).all() for c in candidates)
    whole = generate(frame, potential, ["halt_frame"], 1, np.random.default_rng(1))[0][0]
    assert candidates[0].projections["Cu"] == pytest.approx(whole.projections["Cu"][mask])


def test_a_rule_makes_the_masks_of_moved_copies(frame, potential):
    given = np.arange(32) < 20
    ruled = replace(frame, mask=given, mask_of=lambda atoms, gamma: gamma <= np.median(gamma))
    first, *others = generate(ruled, potential, ["halt_frame", "rattle"], 4, np.random.default_rng(1))[0]
    assert (first.mask == given).all()
    for candidate in others:
        gamma = potential.evaluate(candidate.atoms).gamma
        assert (candidate.mask == (gamma <= np.median(gamma))).all()
        assert candidate.gamma_max == pytest.approx(gamma[candidate.mask].max())


def made(rows, strategy="rattle", element="Cu"):
    return Candidate(bulk("Cu"), strategy, {element: np.atleast_2d(np.array(rows, dtype=float))}, 0.0)


@pytest.fixture
def active():
    return {"Cu": exchange(ActiveSet.empty(np.eye(3), 3), np.eye(3)).active}


def test_choice_adds_most_volume(active):
    candidates = [made([[20, 0, 0]]), made([[30, 0, 0], [0, 40, 0]]), made([[0, 0, 2]])]
    chosen = choose(candidates, ["a", "b", "c"], active, limit=3, worth={"Cu": 5.0})
    assert [(k, c.hash) for k, c in chosen] == [(1, "b")]
    assert chosen[0][1].log_volume_gain == pytest.approx(np.log(30 * 40))
    assert chosen[0][1].gamma_max == pytest.approx(40)


def test_what_is_chosen_counts_for_the_next_choice(active):
    candidates = [made([[20, 0, 0]]), made([[21, 0, 0]]), made([[0, 20, 0]])]
    chosen = choose(candidates, ["a", "b", "c"], active, limit=3, worth={"Cu": 5.0})
    assert [c.hash for _, c in chosen] == ["b", "c"]


def test_halted_frame_is_chosen_first_even_if_it_adds_less(active):
    candidates = [made([[50, 0, 0]]), made([[6, 0, 0]], "halt_frame")]
    chosen = choose(candidates, ["a", "frame"], active, limit=4, worth={"Cu": 5.0})
    assert [c.hash for _, c in chosen] == ["frame", "a"]
    assert chosen[0][1].reason == "the halted frame itself"


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_limit_is_kept(active, limit):
    candidates = [made(20 * np.eye(3)[k]) for k in range(3)]
    assert len(choose(candidates, list("abc"), active, limit=limit, worth={"Cu": 5.0})) == limit


def test_nothing_worthwhile_is_nothing_chosen(active):
    assert choose([made([[2, 0, 0]])], ["a"], active, limit=4, worth={"Cu": 5.0}) == []
    assert choose([], [], active, limit=4, worth={"Cu": 5.0}) == []


def test_thresholds_of_elements_are_kept_apart(active):
    both = {"Cu": active["Cu"], "O": active["Cu"]}
    candidates = [made([[8, 0, 0]]), made([[7, 0, 0]], element="O")]
    chosen = choose(candidates, ["cu", "o"], both, limit=2, worth={"Cu": 10.0, "O": 5.0})
    assert [c.hash for _, c in chosen] == ["o"]
    assert chosen[0][1].reason == "adds most volume of 1 candidates with gamma above 10 (Cu), 5 (O)"
    assert chosen[0][1].gamma_max == pytest.approx(7)


def test_what_is_dear_must_teach_more(active):
    candidates = [made([[20, 0, 0]]), made([[0, 100, 0]]), made([[0, 0, 30]])]
    chosen = choose(candidates, list("abc"), active, limit=3, worth={"Cu": 5.0}, costs=[1.0, 4.0, 1.0])
    assert [c.hash for _, c in chosen] == ["c", "a", "b"]
    assert chosen[0][1].reason.startswith("adds most volume per cost of 3 candidates")


def test_equal_costs_choose_as_none(active):
    rng = np.random.default_rng(2)
    candidates = [made(rng.normal(size=3) * 20) for _ in range(6)]
    free = choose(candidates, list("abcdef"), active, limit=4, worth={"Cu": 1.1})
    priced = choose(candidates, list("abcdef"), active, limit=4, worth={"Cu": 1.1}, costs=[7.0] * 6)
    assert [(k, c.log_volume_gain) for k, c in free] == [(k, c.log_volume_gain) for k, c in priced]
    assert len(free) > 1


def test_halted_frame_comes_first_at_any_price(active):
    candidates = [made([[50, 0, 0]]), made([[6, 0, 0]], "halt_frame")]
    chosen = choose(candidates, ["a", "frame"], active, limit=1, worth={"Cu": 5.0}, costs=[1.0, 1000.0])
    assert [c.hash for _, c in chosen] == ["frame"]


def test_of_several_halted_frames_the_best_comes_first_and_the_others_must_be_worth_it(active):
    candidates = [made([[k, 0, 0]], "halt_frame") for k in (6, 9, 8)]
    chosen = choose(candidates, list("abc"), active, limit=3, worth={"Cu": 5.0})
    assert [c.hash for _, c in chosen] == ["b"]


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
