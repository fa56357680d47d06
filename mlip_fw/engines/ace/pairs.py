"""Atoms, their periodic images and the pairs of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Pairs(NamedTuple):
    """Atoms, their images and the pairs of them that may be within the cutoff."""

    start: np.ndarray
    """(n + 1,) where an atom's pairs begin."""
    others: np.ndarray
    """(n_pairs,) the other atom or image of each."""
    owner: np.ndarray
    """(n + n_images,) the atom that an image is of."""
    species: np.ndarray
    """(n + n_images,) element."""
    positions: np.ndarray
    """(n + n_images, 3), Å."""


class TooCloseError(Exception):
    """Atoms are closer to each other than the distances that the kernel has tables for."""
