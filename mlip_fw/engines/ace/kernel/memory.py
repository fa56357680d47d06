"""What compiled code gets by address, and its scratch memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mlip_fw.engines.ace.kernel.layout import LANES, Element, Space, aligned


class Memory(NamedTuple):
    """Scratch memory of one thread, in rows of ``capacity``; made for :data:`LANES` atoms at a time."""

    capacity: int
    counts: int
    """Neighbours at a place."""
    neighbour: int
    """Place: their numbers."""
    directions: int
    """Place: unit vectors, distances and their inverses, 5 rows."""
    by_neighbour: int
    """Some radial functions, neighbour after neighbour."""
    values: int
    """Place: radial functions, ``width`` rows."""
    slopes: int
    single_values: int
    """Functions of single neighbours, ``single_width`` rows."""
    single_slopes: int
    harmonics: int
    """Real and imaginary parts k = (l, m) of all harmonics."""
    sums: int
    """(n, k) sums over neighbours, and later derivatives by them."""
    real: int
    """(node, atom)"""
    imaginary: int
    by_real: int
    """(node, atom) derivatives."""
    by_imaginary: int
    functions: int
    """(function, atom); those of single neighbours come first, for each element of the neighbours."""
    weighted: int
    """(k, neighbour of eight) radial functions times derivatives by the sums."""
    weighted_slopes: int
    gradient: int
    """3 rows."""
    energy: int
    """(atom,)"""
    grades: int
    """(atom,)"""
    densities: int
    """(density, atom), and later their energies."""
    by_density: int
    """(density, atom) derivatives of the energy."""
    slopes_of_harmonics: int
    """(k, 3) rows; for design rows only, as what follows."""
    leaf_real: int
    """(leaf, 3) rows."""
    leaf_imaginary: int
    use_real: int
    """(used leaf, atom)"""
    use_imaginary: int


def by_address(parts: tuple[Any, ...]) -> np.ndarray:
    """Return a named tuple as whole numbers, with addresses in place of arrays, whose owner has to keep them."""
    for name, part in zip(type(parts)._fields, parts, strict=True):  # type: ignore[attr-defined]
        if isinstance(part, np.ndarray):
            assert part.flags.c_contiguous and part.dtype in (np.int64, np.float64), name
    return np.array([part.ctypes.data if isinstance(part, np.ndarray) else part for part in parts], dtype=np.int64)


def memory_for(longest: int, space: Space, element: Element, *, with_rows: bool) -> tuple[Memory, np.ndarray]:
    """Return scratch memory for atoms with at most ``longest`` pairs, and the array that holds it."""
    # one more than the pairs, since each is written before it is known to count; and an odd number of cache lines
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
