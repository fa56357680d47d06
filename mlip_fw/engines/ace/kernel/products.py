"""From atomic base sums to basis functions and back to derivatives by the sums, eight atoms at a time (compiled)."""

from __future__ import annotations

from typing import Any

from mlip_fw.engines.ace.kernel.cache import compiled
from mlip_fw.engines.ace.kernel.layout import Element, Space
from mlip_fw.engines.ace.kernel.memory import Memory
from mlip_fw.engines.ace.kernel.vector import WIDTH, load, muladd, read, read_int, spread, store, write


@compiled
def fill_leaves(b: int, e: int, element: Element, s: Memory) -> None:
    """Copy the base sums over neighbours of element ``e`` to the leaves of atom ``b``."""
    for t in range(read_int(element.leaf_range, e), read_int(element.leaf_range, e + 1)):
        k = read_int(element.leaf_place, t)
        write(s.real, t * WIDTH + b, read(s.sums, k))
        write(s.imaginary, t * WIDTH + b, read(element.leaf_phase, t) * read(s.sums, k + 1))


@compiled
def clear_leaves(element: Element, s: Memory) -> None:
    """Set all leaves to zero."""
    for t in range(0, element.n_leaves * WIDTH, WIDTH):
        store(s.real, t, spread(0.0))
        store(s.imaginary, t, spread(0.0))


@compiled
def multiply(element: Element, s: Memory) -> None:
    """Compute the mirrored nodes and the products."""
    re, im = s.real, s.imaginary
    for t in range(0, 3 * element.n_mirrored, 3):
        node, leaf = read_int(element.mirrored, t) * WIDTH, read_int(element.mirrored, t + 1) * WIDTH
        sign = float(read_int(element.mirrored, t + 2))
        store(re, node, spread(sign) * load(re, leaf))
        store(im, node, spread(-sign) * load(im, leaf))
    node = (element.n_leaves + element.n_mirrored) * WIDTH
    for t in range(0, 2 * element.n_products, 2):
        a, b = read_int(element.products, t) * WIDTH, read_int(element.products, t + 1) * WIDTH
        ar, ai, br, bi = load(re, a), load(im, a), load(re, b), load(im, b)
        store(re, node, ar * br - ai * bi)
        store(im, node, ar * bi + ai * br)
        node += WIDTH


@compiled
def add_up_functions(first: int, element: Element, s: Memory) -> None:
    """Compute the basis functions of rank two and more, which follow the ``first`` rank-one functions."""
    for f in range(first * WIDTH, (first + element.n_functions) * WIDTH, WIDTH):
        store(s.functions, f, spread(0.0))
    for t in range(element.n_terms):
        a, b = read_int(element.terms, 3 * t) * WIDTH, read_int(element.terms, 3 * t + 1) * WIDTH
        f = (first + read_int(element.terms, 3 * t + 2)) * WIDTH
        store(s.functions, f, muladd(spread(read(element.weights, t)), real_part(a, b, s), load(s.functions, f)))


@compiled
def real_part(a: int, b: int, s: Memory) -> Any:
    """Return Re(node a · node b)."""
    return load(s.real, a) * load(s.real, b) - load(s.imaginary, a) * load(s.imaginary, b)


@compiled
def add_term(a: int, b: int, weight: float, s: Memory) -> Any:
    """As :func:`add_weighted_term`, with the same weight for all atoms."""
    return add_weighted_term(a, b, spread(weight), s)


@compiled
def add_weighted_term(a: int, b: int, w: Any, s: Memory) -> Any:
    """Add the derivatives of w · Re(node a · node b) with respect to both nodes; return its value."""
    ar, ai = w * load(s.real, a), w * load(s.imaginary, a)
    br, bi = load(s.real, b), load(s.imaginary, b)
    store(s.by_real, a, muladd(w, br, load(s.by_real, a)))
    store(s.by_imaginary, a, load(s.by_imaginary, a) - w * bi)
    store(s.by_real, b, load(s.by_real, b) + ar)
    store(s.by_imaginary, b, load(s.by_imaginary, b) - ai)
    return ar * br - ai * bi


@compiled
def through_product(a: int, b: int, node: int, s: Memory) -> None:
    """Propagate the derivatives with respect to a product to its two factors."""
    ar, ai, br, bi = load(s.real, a), load(s.imaginary, a), load(s.real, b), load(s.imaginary, b)
    wr, wi = load(s.by_real, node), load(s.by_imaginary, node)
    store(s.by_real, a, muladd(wr, br, muladd(wi, bi, load(s.by_real, a))))
    store(s.by_imaginary, a, muladd(wi, br, load(s.by_imaginary, a) - wr * bi))
    store(s.by_real, b, muladd(wr, ar, muladd(wi, ai, load(s.by_real, b))))
    store(s.by_imaginary, b, muladd(wi, ar, load(s.by_imaginary, b) - wr * ai))


@compiled
def through_mirror(t: int, element: Element, s: Memory) -> None:
    """Propagate the derivatives with respect to a mirrored node to its leaf."""
    node, leaf = read_int(element.mirrored, 3 * t) * WIDTH, read_int(element.mirrored, 3 * t + 1) * WIDTH
    sign = spread(float(read_int(element.mirrored, 3 * t + 2)))
    store(s.by_real, leaf, muladd(sign, load(s.by_real, node), load(s.by_real, leaf)))
    store(s.by_imaginary, leaf, load(s.by_imaginary, leaf) - sign * load(s.by_imaginary, node))


@compiled
def clear_derivatives(element: Element, s: Memory) -> None:
    """Set the derivatives with respect to all nodes to zero."""
    for t in range(0, (element.n_leaves + element.n_mirrored + element.n_products) * WIDTH, WIDTH):
        store(s.by_real, t, spread(0.0))
        store(s.by_imaginary, t, spread(0.0))


@compiled
def add_energies(element: Element, s: Memory) -> None:
    """Add the energy of rank two and more to ``energy``, and its derivatives with respect to the nodes of its terms."""
    energies = load(s.energy, 0)
    for t in range(element.n_merged):
        a, b = read_int(element.merged, 2 * t) * WIDTH, read_int(element.merged, 2 * t + 1) * WIDTH
        energies = energies + add_term(a, b, read(element.merged_weights, t), s)
    store(s.energy, 0, energies)


@compiled
def hand_down(element: Element, s: Memory) -> None:
    """Propagate the derivatives with respect to products and mirrored nodes down to the leaves."""
    first = element.n_leaves + element.n_mirrored
    for t in range(element.n_products - 1, -1, -1):
        a, b = read_int(element.products, 2 * t) * WIDTH, read_int(element.products, 2 * t + 1) * WIDTH
        through_product(a, b, (first + t) * WIDTH, s)
    for t in range(element.n_mirrored):
        through_mirror(t, element, s)


@compiled
def take_derivatives(b: int, e: int, space: Space, element: Element, s: Memory) -> None:
    """Replace the base sums by the derivatives of atom ``b`` with respect to its leaves of element ``e``."""
    for k in range(space.n_n * space.n_k):
        write(s.sums, k, 0.0)
    for t in range(read_int(element.leaf_range, e), read_int(element.leaf_range, e + 1)):
        k = read_int(element.leaf_place, t)
        write(s.sums, k, read(s.by_real, t * WIDTH + b))
        if read(element.leaf_phase, t) != 0.0:
            write(s.sums, k + 1, read(s.by_imaginary, t * WIDTH + b))
