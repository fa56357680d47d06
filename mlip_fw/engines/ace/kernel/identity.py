"""Which potentials the kernel can evaluate, and the key by which their forms are cached: all but the coefficients."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from pyace import ACEBBasisSet

_SHARES = (0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97, 0.999)
"""Fractions of the cutoff at which radial functions are evaluated for the key."""
_EMBEDDINGS = ("FinnisSinclair", "FinnisSinclairShiftedScaled")
"""See :mod:`mlip_fw.engines.ace.kernel.embedding`, which needs numba."""


def why_not(basis: ACEBBasisSet) -> str | None:
    """Return why the kernel can't evaluate a potential; None if it can."""
    for embedding in basis.map_embedding_specifications.values():
        parameters = [float(x) for x in embedding.FS_parameters]
        if embedding.npoti not in _EMBEDDINGS:
            return f"its embedding is of type {embedding.npoti}"
        exponents = parameters[1 : 2 * embedding.ndensity : 2]
        if len(exponents) < embedding.ndensity or not all(exponent > 0 for exponent in exponents):
            return f"its embedding has ndensity {embedding.ndensity} and fs_parameters {parameters}"
    for bond in basis.map_bond_specifications.values():
        if bond.inner_cutoff_type != "distance":
            return f"its inner cutoff is of type {bond.inner_cutoff_type}"
    if any(len(getattr(basis.auxdata, kind)) for kind in dir(basis.auxdata) if kind.endswith("_data")):
        return "it has auxiliary data"
    return None


def identity_of(basis: ACEBBasisSet) -> str:
    """Return a hash of :func:`key_of` (16 hexadecimal digits)."""
    return hashlib.sha256(repr(key_of(basis)).encode()).hexdigest()[:16]


class Key(NamedTuple):
    """All of a potential but its coefficients."""

    bonds: tuple[Any, ...]
    functions: tuple[Any, ...]
    embeddings: tuple[Any, ...]
    bins_a: float
    values: bytes


def key_of(basis: ACEBBasisSet) -> Key:
    """Return all of a potential but its coefficients, to be compared and hashed."""
    bonds = tuple(
        (
            pair,
            *(b.radbasename, tuple(b.radparameters), b.rcut, b.dcut, b.rcut_in, b.dcut_in, b.prehc, b.lambdahc),
            *(b.nradmax, b.lmax, b.nradbasemax, np.array(b.radcoefficients, dtype=float).tobytes()),
        )
        for pair, b in sorted(basis.map_bond_specifications.items())
    )
    functions = tuple(
        tuple(
            (tuple(f.mus), tuple(f.ns), tuple(f.ls), tuple(f.LS), tuple(map(tuple, f.ms_combs)), tuple(f.gen_cgs))
            for part in (basis.basis_rank1, basis.basis)
            for f in part[mu]
        )
        for mu in range(len(basis.elements_name))
    )
    embeddings = tuple(
        (x.npoti, x.ndensity, tuple(x.FS_parameters), x.rho_core_cutoff, x.drho_core_cutoff)
        for _, x in sorted(basis.map_embedding_specifications.items())
    )
    return Key(bonds, functions, embeddings, basis.radial_functions.deltaSplineBins, _values(basis))


def _values(basis: ACEBBasisSet) -> bytes:
    """Return some values of the radial functions, which the parameters of bonds may not determine completely."""
    radial, found = basis.radial_functions, b""
    for (i, j), bond in sorted(basis.map_bond_specifications.items()):
        radial.evaluate_range(bond.rcut * np.array(_SHARES), basis.nradbase, basis.nradmax, i, j)
        found += np.array(radial.gr_vec, dtype=float).tobytes() + np.array(radial.fr_vec, dtype=float).tobytes()
    return found
