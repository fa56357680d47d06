"""The basis functions of one element as sums over products of atomic base sums, with shared factors computed once.

A basis function is B = Σ c Re Π A(element, n, l, m), summed over combinations of m that add up to zero (Drautz, Phys.
Rev. B 99, 014104 (2019)). Partial products occur in many of them. Each distinct one is a node of a directed acyclic
graph, the product of two earlier nodes; atomic base sums A are its leaves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Factor = tuple[int, int, int, int]
"""Element, n (from 0), l and m of one atomic base sum."""


@dataclass(frozen=True)
class Program:
    """The graph of products of one element, and the sums over them that are its basis functions."""

    leaves: np.ndarray
    """(n_leaves, 4) element, n, l and m ≥ 0 of the base sums that are needed."""
    mirrored: np.ndarray
    """(n_mirrored, 3) node, leaf and sign: the node of -m is sign · conj(leaf)."""
    products: np.ndarray
    """(n_products, 2) factors of each product; products are numbered after the mirrored nodes."""
    terms: np.ndarray
    """(n_terms, 3) two nodes, and the function to which the real part of their product is added."""
    weights: np.ndarray
    """(n_terms,) factor of each term."""
    n_functions: int

    @property
    def n_nodes(self) -> int:
        """Number of leaves, mirrored nodes and products."""
        return len(self.leaves) + len(self.mirrored) + len(self.products)


def program_of(functions: list[Any]) -> Program:
    """Return the program of pyace's basis functions of rank two and more."""
    combinations = [
        (index, float(weight), tuple(zip(f.mus, [n - 1 for n in f.ns], f.ls, ms, strict=True)))
        for index, f in enumerate(functions)
        for ms, weight in zip(f.ms_combs, f.gen_cgs, strict=True)
    ]
    leaves = sorted({(mu, n, ell, abs(m)) for *_, factors in combinations for mu, n, ell, m in factors})
    number: dict[tuple[Factor, ...], int] = {(leaf,): k for k, leaf in enumerate(leaves)}
    mirrored: list[tuple[int, int, int]] = []
    for leaf in sorted({f for *_, factors in combinations for f in factors if f[3] < 0}):
        positive = (*leaf[:3], -leaf[3])
        number[(leaf,)] = len(leaves) + len(mirrored)
        mirrored.append((number[(leaf,)], number[(positive,)], -1 if leaf[3] % 2 else 1))
    products: list[tuple[int, int]] = []

    def node(factors: tuple[Factor, ...]) -> int:
        if factors not in number:
            parts = node(factors[:-1]), node(factors[-1:])
            number[factors] = len(leaves) + len(mirrored) + len(products)
            products.append(parts)
        return number[factors]

    terms, weights = [], []
    for index, weight, factors in combinations:
        ordered = tuple(sorted(factors))
        half = (len(ordered) + 1) // 2
        terms.append((node(ordered[:half]), node(ordered[half:]), index))
        weights.append(weight)
    return Program(
        leaves=np.array(leaves, dtype=np.int64).reshape(-1, 4),
        mirrored=np.array(mirrored, dtype=np.int64).reshape(-1, 3),
        products=np.array(products, dtype=np.int64).reshape(-1, 2),
        terms=np.array(terms, dtype=np.int64).reshape(-1, 3),
        weights=np.array(weights),
        n_functions=len(functions),
    )


@dataclass(frozen=True)
class Uses:
    """Which nodes of a program each function depends on."""

    ranges: np.ndarray
    """(n_functions + 1, 4) where a function's terms, products, mirrored nodes and leaves begin."""
    products: np.ndarray
    """Products of each function in descending order: the order of back-propagation."""
    mirrored: np.ndarray
    leaves: np.ndarray


def uses_of(program: Program) -> Uses:
    """Return the nodes that each function depends on; terms must be sorted by function."""
    n_leaves, first = len(program.leaves), len(program.leaves) + len(program.mirrored)
    ranges, products, mirrored, leaves = [(0, 0, 0, 0)], [], [], []
    n_terms = 0
    for f in range(program.n_functions):
        here = program.terms[program.terms[:, 2] == f]
        nodes = set(here[:, :2].ravel().tolist())
        for node in range(program.n_nodes - 1, first - 1, -1):
            if node in nodes:
                nodes |= set(program.products[node - first].tolist())
        n_terms += len(here)
        products += sorted((node - first for node in nodes if node >= first), reverse=True)
        reflected = sorted(node - n_leaves for node in nodes if n_leaves <= node < first)
        mirrored += reflected
        leaves += sorted({n for n in nodes if n < n_leaves} | {int(program.mirrored[k, 1]) for k in reflected})
        ranges.append((n_terms, len(products), len(mirrored), len(leaves)))
    kinds = (np.array(found, dtype=np.int64) for found in (ranges, products, mirrored, leaves))
    return Uses(*kinds)
