"""Neighbour lists as arrays: atoms, their periodic images and pairs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Pairs(NamedTuple):
    """Atoms, periodic images of them, and the pairs that may be within the cutoff."""

    start: np.ndarray
    """(n + 1,) where the pairs of each atom begin; the last entry is their number."""
    others: np.ndarray
    """(n_pairs,) index of the second atom or image of each pair."""
    owner: np.ndarray
    """(n + n_images,) index of the original of each image; atoms are their own."""
    species: np.ndarray
    """(n + n_images,) index of the element."""
    positions: np.ndarray
    """(n + n_images, 3), Å."""


class TooCloseError(Exception):
    """Atoms are closer to each other than the tables of the kernel reach."""
