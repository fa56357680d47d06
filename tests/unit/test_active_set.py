"""The active set of a growing dataset: after each step no environment extrapolates, however little was read."""

import numpy as np
import pytest

from mlip_fw.engines.sampling.maxvol import TOLERANCE
from mlip_fw.engines.train import active_set
from mlip_fw.engines.train.active_set import update_active_sets
from mlip_fw.engines.train.environment_rows import Block

N = 8
SCALES = np.logspace(0, -5, N)


class Kept:
    """Rows of labels in memory, given in blocks of so many labels, in any order."""

    def __init__(self, of, rng=None, together=1):
        self.of, self._rng, self._together, self.looks = of, rng, together, 0

    def blocks(self, element, names):
        self.looks += 1
        order = list(range(len(names))) if self._rng is None else self._rng.permutation(len(names)).tolist()
        for first in range(0, len(order), self._together):
            part = order[first : first + self._together]
            rows = [self.of[names[k]][element] for k in part]
            yield Block(np.repeat(part, [len(r) for r in rows]), np.concatenate(rows))


def label(rng):
    """Return rows of a label: like the others, or beyond them, in few directions, or with few environments."""
    size, count = rng.choice([0.5, 1.0, 3.0]), rng.integers(0, 12)
    rows = rng.normal(size=(count, N)) * SCALES * size
    return rows * (rng.random(N) < rng.choice([0.3, 1.0]))


def gamma_of(settled, of, element):
    rows = np.concatenate([parts[element] for parts in of.values()])
    return float(settled.active[element].gamma(rows).max(initial=0.0))


def grow(seed, steps=25, **how):
    """Yield for each step what was settled, the rows of all labels, and how often all were looked at."""
    rng, of, before, gamma = np.random.default_rng(seed), {}, None, 0.0
    for step in range(steps):
        if of and rng.random() < 0.2:
            of.pop(rng.choice(list(of)))
        new = {f"{rng.integers(10**6):06d}": {e: label(rng) for e in "ab"} for _ in range(rng.integers(1, 4))}
        of = dict(sorted({**of, **new}.items()))
        kept = Kept(of, np.random.default_rng(step), **how)
        fresh = {e: np.concatenate([of[name][e] for name in sorted(new)]) for e in "ab"}
        settled = update_active_sets(before, gamma, fresh, kept, list(of))
        yield settled, of, kept.looks
        before, gamma = settled.active, settled.gamma_max


@pytest.mark.parametrize("seed", range(20))
def test_no_environment_extrapolates_after_any_step(seed):
    looked = []
    for settled, of, looks in grow(seed):
        found = max(gamma_of(settled, of, element) for element in "ab")
        assert found <= settled.gamma_max + 1e-12
        assert settled.gamma_max <= TOLERANCE
        looked.append(looks)
    assert 0 in looked
    assert max(looked) > 0


@pytest.mark.parametrize("seed", range(3))
def test_the_same_bits_however_rows_are_stored(seed):
    alone, together = (list(grow(seed, together=n)) for n in (1, 50))
    for (one, _, _), (other, _, _) in zip(alone, together, strict=True):
        assert one.swaps == other.swaps
        assert all(np.array_equal(one.active[e].inverse, other.active[e].inverse) for e in "ab")


def settled_on(of):
    return update_active_sets(
        None, 0.0, {"a": np.concatenate([parts["a"] for parts in of.values()])}, Kept(of), list(of)
    )


@pytest.fixture
def many():
    rng = np.random.default_rng(1)
    return {f"{k}": {"a": rng.normal(size=(30, N)) * SCALES} for k in range(10)}


def test_old_rows_are_not_read_if_no_new_one_extrapolates(many):
    before = settled_on(many)
    new = {"new": {"a": 0.5 * many["3"]["a"]}}
    kept = Kept({**many, **new})
    after = update_active_sets(before.active, before.gamma_max, new["new"], kept, [*many, "new"])
    assert (after.swaps, kept.looks, after.gamma_max) == (0, 0, before.gamma_max)
    assert after.active["a"] is before.active["a"]


def test_old_rows_are_looked_at_if_they_were_not_settled(many):
    few = settled_on(dict(list(many.items())[:2]))
    all_of_them, names = Kept({**many, "new": {"a": np.zeros((1, N))}}), [*many, "new"]
    after = update_active_sets(few.active, gamma_of(few, many, "a"), {"a": np.zeros((1, N))}, all_of_them, names)
    assert after.swaps > 0
    assert gamma_of(after, many, "a") <= TOLERANCE


def test_old_rows_that_exchanges_lift_are_exchanged_too(monkeypatch):
    """A new row shrinks the active set in a direction in which an old one then sticks out."""
    old = {"old": {"a": np.array([[1.0, 0.0], [0.0, 1.0], [0.9, 0.9]])}}
    before = settled_on(old)
    new = {"a": np.array([[1.4, -1.2]])}
    everything = {**old, "new": new}
    with monkeypatch.context() as without:
        without.setattr(active_set, "_settle_all", lambda found, *_: (found, 0.0))
        unseen = update_active_sets(before.active, 1.0, new, Kept(everything), ["new", "old"])
    assert gamma_of(unseen, everything, "a") > TOLERANCE
    assert (
        gamma_of(update_active_sets(before.active, 1.0, new, Kept(everything), ["new", "old"]), everything, "a")
        <= TOLERANCE
    )


def test_between_equals_the_order_of_labels_decides():
    old = {"a": {"a": np.eye(2)}, "b": {"a": np.array([[0.9, 0.9]])}, "c": {"a": np.array([[-0.9, -0.9]])}}
    before, new = settled_on(old), {"a": np.array([[1.4, -1.2]])}
    everything = {**old, "new": new}
    for seed in range(4):
        kept = Kept(everything, np.random.default_rng(seed))
        found = update_active_sets(before.active, 1.0, new, kept, list(everything)).active["a"]
        assert [0.9, 0.9] in found.matrix.tolist()
