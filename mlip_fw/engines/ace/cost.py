"""Estimate of what a step of MD costs, from the functions of a basis: no timing, so it is the same on all machines."""

from __future__ import annotations

from pyace import ACEBBasisSet

_PER_NEIGHBOUR_US = 0.045
"""For radial functions and spherical harmonics of a neighbour, with their derivatives."""
_PER_SUM_US = 0.0003
"""For a neighbour's part in one atomic base sum, and its force from it."""
_PER_TERM_US = 0.0015
"""For each product of atomic base sums."""


def md_cost_us_atom(basis: ACEBBasisSet, neighbours: float) -> float:
    """Return the estimated cost of MD with the compiled kernel on one core, µs per atom and step.

    Parameters
    ----------
    basis
        The basis functions.
    neighbours
        Mean number of atoms within the cutoff.

    Notes
    -----
    Each neighbour contributes to all atomic base sums A(n, l, m) of its element; each function is a sum of products of
    these. The three constants give about 7 µs for copper with 200 functions and 6 Å.
    """
    elements = range(len(basis.elements_name))
    sums, terms = 0, 0
    for element in elements:
        functions = basis.basis[element]
        used = {factor for f in functions for factor in zip(f.mus, f.ns, f.ls, strict=True)}
        sums += sum(2 * ell + 1 for _, _, ell in used) / len(elements)
        terms += sum(len(f.ms_combs) for f in functions)
    n = len(elements)
    return neighbours * (_PER_NEIGHBOUR_US + sums / n * _PER_SUM_US) + terms / n * _PER_TERM_US
