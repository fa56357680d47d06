"""Scratch buffers of compiled code, and named tuples packed by address."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mlip_fw.engines.ace.kernel.layout import LANES, Element, Space, aligned


class Memory(NamedTuple):
    """Addresses of the scratch buffers of one thread for :data:`LANES` atoms; rows hold ``capacity`` numbers."""

    capacity: int
    counts: int
    """Number of neighbours at each place (atom of the block and neighbour element)."""
    neighbour: int
    """Row of each place: indices of its neighbours."""
    directions: int
    """5 rows of each place: unit vectors, distances and their inverses."""
    by_neighbour: int
    """Eight radial functions and their derivatives, neighbour after neighbour, before they are transposed."""
    values: int
    """``width`` rows of each place: radial functions."""
    slopes: int
    """Their derivatives."""
    single_values: int
    """``single_width`` rows: radial functions of rank-one basis functions at the current place."""
    single_slopes: int
    harmonics: int
    """Row of each k = (l, m): real and imaginary parts of harmonics at the current place."""
    sums: int
    """(n, k) atomic base sums over neighbours, and later derivatives with respect to them."""
    real: int
    """(node, atom) values of nodes."""
    imaginary: int
    by_real: int
    """(node, atom) derivatives with respect to nodes."""
    by_imaginary: int
    functions: int
    """(function, atom) basis functions; rank-one ones come first, for each neighbour element."""
    weighted: int
    """(k, neighbour of eight) Σ_n of radial functions times derivatives with respect to the base sums."""
    weighted_slopes: int
    """The same with derivatives of radial functions."""
    gradient: int
    """3 rows: derivatives with respect to the positions of neighbours."""
    energy: int
    """(atom,)"""
    grades: int
    """(atom,)"""
    densities: int
    """(density, atom) values of densities, and later their energies."""
    by_density: int
    """(density, atom) derivatives of the energy with respect to densities."""
    slopes_of_harmonics: int
    """(k, 3) rows: gradients of harmonics; this and what follows only for design rows."""
    leaf_real: int
    """(leaf, 3) rows: gradients of leaves."""
    leaf_imaginary: int
    use_real: int
    """(used leaf, atom) derivatives of functions with respect to the leaves that they use."""
    use_imaginary: int


def by_address(parts: tuple[Any, ...]) -> np.ndarray:
    """Return a named tuple as integers, with arrays replaced by their addresses; the caller keeps the arrays alive."""
    for name, part in zip(type(parts)._fields, parts, strict=True):  # type: ignore[attr-defined]
        if isinstance(part, np.ndarray):
            assert part.flags.c_contiguous and part.dtype in (np.int64, np.float64), name
    return np.array([part.ctypes.data if isinstance(part, np.ndarray) else part for part in parts], dtype=np.int64)


def memory_for(longest: int, space: Space, element: Element, *, with_rows: bool) -> tuple[Memory, np.ndarray]:
    """Return scratch buffers for atoms with at most ``longest`` pairs, and the array that owns them."""
    # one more than pairs, as each is written before the cutoff is tested; an odd number of cache lines avoids conflicts
    capacity = (-(-(longest + 1) // LANES) | 1) * LANES
    places, n_k = LANES * space.n_elements, space.n_k
    nodes = (element.n_leaves + element.n_mirrored + element.n_products) * LANES
    leaves, used = (element.n_leaves, len(element.used_leaves) + 1) if with_rows else (0, 0)
    sizes = {
        "counts": places,
        "neighbour": places * capacity,
        "directions": places * 5 * capacity,
        "by_neighbour": 2 * LANES * capacity,
        "values": places * space.width * capacity,
        "slopes": places * space.width * capacity,
        "single_values": space.single_width * capacity,
        "single_slopes": space.single_width * capacity,
        "harmonics": n_k * capacity,
        "sums": space.n_n * n_k + 1,
        **dict.fromkeys(("real", "imaginary", "by_real", "by_imaginary"), nodes),
        "functions": (space.n_elements * space.n_single + element.n_functions) * LANES,
        "weighted": n_k * LANES,
        "weighted_slopes": n_k * LANES,
        "gradient": 3 * capacity,
        "energy": LANES,
        "grades": LANES,
        "densities": element.n_densities * LANES,
        "by_density": element.n_densities * LANES,
        "slopes_of_harmonics": 3 * n_k * capacity if with_rows else 0,
        "leaf_real": 3 * leaves * capacity,
        "leaf_imaginary": 3 * leaves * capacity,
        "use_real": used * LANES,
        "use_imaginary": used * LANES,
    }
    whole = {name: -(-size // LANES) * LANES for name, size in sizes.items()}
    held = aligned(sum(whole.values()))
    ends = held.ctypes.data + held.itemsize * np.cumsum(list(whole.values()))
    starts = ends - held.itemsize * np.array(list(whole.values()))
    return Memory(capacity, *(int(start) for start in starts)), held
