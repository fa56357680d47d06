"""Comparison of the kernel with pyace, once for each form of a potential, on a structure of the campaign."""

from __future__ import annotations

import contextlib
import logging

import numpy as np
from pyace import ACEBBasisSet
from pyace.calculator import ACECalculator
from pyace.catomicenvironment import ACEAtomicEnvironment
from pyace.evaluator import ACEBEvaluator

from mlip_fw.engines.ace.kernel.cache import folder
from mlip_fw.engines.ace.kernel.kernel import Kernel
from mlip_fw.engines.ace.pairs import Pairs, TooCloseError

logger = logging.getLogger("mlip_fw")
_MAX_ATOMS = 64
_TOLERANCE = 1e-7
_SPACING, _DISPLACED = 0.5, 0.1
"""Of :func:`_crowd`: spacing of atoms in units of the cutoff, and largest displacement in units of the spacing."""
_compared: set[str] = set()


def difference_from_pyace(basis: ACEBBasisSet, identity: str, positions: np.ndarray, species: np.ndarray) -> str | None:
    """Compare the kernel with pyace for random coefficients: return how they differ, or None if they agree.

    Agreement is recorded beside the compiled code, so that other processes need not compare again.

    Parameters
    ----------
    basis
        The potential.
    identity
        Name of its form, :func:`mlip_fw.engines.ace.kernel.identity.identity_of`.
    positions, species
        Atoms, (n, 3) in Å, and the indices of their elements. At most 64 atoms next to the first are compared, and a
        synthetic cluster of all elements.
    """
    place = folder()
    mark = None if place is None else place / f"same-{identity}"
    if identity in _compared or (mark is not None and mark.is_file()):
        return None
    copy, complaint = _with_random_coefficients(basis), None
    for atoms in ((positions, species), _crowd(basis)):
        # pyace evaluates structures that are too close for the kernel: nothing to compare
        with contextlib.suppress(TooCloseError):
            complaint = complaint or _compare(copy, *atoms)
    if complaint is not None:
        logger.warning("the compiled kernel gives %s; pyace evaluates this potential", complaint)
        return f"the kernel gives {complaint}"
    _compared.add(identity)
    if mark is not None:
        with contextlib.suppress(OSError):
            mark.touch()
    return None


def _with_random_coefficients(basis: ACEBBasisSet) -> ACEBBasisSet:
    copy = ACEBBasisSet(basis.to_BBasisConfiguration())
    copy.basis_coeffs = np.random.default_rng(1).normal(size=len(basis.basis_coeffs)) / 10
    return copy


def _crowd(basis: ACEBBasisSet) -> tuple[np.ndarray, np.ndarray]:
    """Return 27 displaced atoms of alternating elements: those of a campaign may be few, or far apart."""
    places = np.stack(np.meshgrid(*[np.arange(3.0)] * 3), axis=-1).reshape(-1, 3)
    places += np.random.default_rng(1).uniform(-_DISPLACED, _DISPLACED, size=places.shape)
    return _SPACING * float(basis.cutoffmax) * places, np.arange(len(places)) % len(basis.elements_name)


def _compare(basis: ACEBBasisSet, positions: np.ndarray, species: np.ndarray) -> str | None:
    nearest = np.argsort(np.linalg.norm(positions - positions[0], axis=1), kind="stable")[:_MAX_ATOMS]
    pairs = _cluster(positions[nearest], species[nearest], float(basis.cutoffmax))
    evaluator = ACEBEvaluator(basis)  # ACECalculator holds a bare pointer to it
    found, known = Kernel(basis).evaluate(pairs, projections=True), ACECalculator(evaluator)
    known.compute(_environment(pairs), compute_projections=True)
    assert found.projections is not None
    rows, order = np.concatenate([f.ravel() for f in found.projections]), np.argsort(pairs.species, kind="stable")
    compared = {
        "an energy": (found.energies_ev.sum(), known.energy),
        "forces": (found.forces_ev_a, known.forces),
        "a virial": (found.virial_ev, -np.array(known.virial)),
        "basis functions": (rows, np.concatenate([np.array(known.projections[k]) for k in order])),
    }
    for what, (ours, theirs) in compared.items():
        difference = np.abs(np.asarray(ours) - np.asarray(theirs)).max()
        if not difference <= _TOLERANCE * max(1.0, np.abs(np.asarray(theirs)).max()):
            return f"{what} that differ from pyace's by {difference:.3g}"
    return None


def _cluster(positions: np.ndarray, species: np.ndarray, cutoff_a: float) -> Pairs:
    """Return the pairs within the cutoff of a cluster that is not periodic."""
    distances = np.linalg.norm(positions[:, None] - positions[None, :], axis=-1)
    near = (distances < cutoff_a) & ~np.eye(len(positions), dtype=bool)
    start = np.concatenate([[0], np.cumsum(near.sum(axis=1))]).astype(np.int64)
    index, owner = np.nonzero(near)[1].astype(np.int64), np.arange(len(positions))
    return Pairs(start, index, owner, species, np.ascontiguousarray(positions, dtype=float))


def _environment(pairs: Pairs) -> ACEAtomicEnvironment:
    environment = ACEAtomicEnvironment()
    environment.x = pairs.positions
    environment.species_type = pairs.species
    environment.neighbour_list = [part.tolist() for part in np.split(pairs.others, pairs.start[1:-1])]
    environment.origins = pairs.owner
    return environment
