"""A small periodic cell that resembles a large structure, made without a potential: for the first labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
from ase import Atoms

from mlip_fw.engines.sampling.cutout.box import FilledBox, filled_boxes
from mlip_fw.engines.sampling.cutout.cloud import frame_to_cut
from mlip_fw.engines.structures.geometry import heights_a
from mlip_fw.io.structures import canonical

_SHRINK = 0.85
_MIN_A = 5.0
"""Images of an atom are never closer than this, Å."""
_UNTOUCHED_A = 2.0
"""No surroundings have to stay as they are; an atom of its own is enough."""
_SEAMLESS = 0.05
"""Share of atoms left out at the new boundary: crystals stay below it, however hot, liquids are above."""


def small_cell(start: Atoms, max_atoms: int, cutoff_a: float, around: list[int] | None = None) -> Atoms:
    """Return a small fully periodic cell like ``start``: a supercell of its crystal, a slab of its surface.

    A start of at most ``max_atoms`` is returned whole; so is one of which no small cell with all its
    elements can be cut. The atoms of a liquid are those around one of its atoms, without overlaps.

    Parameters
    ----------
    start
        The structure that MD starts from.
    max_atoms
        Largest number of atoms.
    cutoff_a
        Cutoff of the potential, Å: images of an atom are twice as far apart if ``max_atoms`` allows it.
    around
        Atoms of which one becomes the centre; by default the one of each element nearest to the middle.
    """
    whole = canonical(start)
    if len(start) <= max_atoms:
        return whole
    box = _small_box(whole, max_atoms, cutoff_a, middle_atoms(whole) if around is None else around)
    return whole if box is None else box.atoms


def seamless_cell(start: Atoms, max_atoms: int, cutoff_a: float) -> Atoms | None:
    """Return a small cell of ``start`` that MD can go on in, with the velocities of its atoms; None if none fits.

    It is a piece of a crystal or of its surface, with a natural boundary; no cell of a liquid is one, and none of
    large molecules.
    """
    box = _small_box(canonical(start), max_atoms, cutoff_a, middle_atoms(start))
    if box is None or box.n_removed > _SEAMLESS * len(box.atoms) or heights_a(box.atoms.cell.array).min() < cutoff_a:
        return None
    atoms = box.atoms.copy()
    if start.has("masses"):
        atoms.set_masses(start.get_masses()[box.origin])
    atoms.set_momenta(start.get_momenta()[box.origin])
    return atoms


def _small_box(start: Atoms, max_atoms: int, cutoff_a: float, around: list[int]) -> FilledBox | None:
    share = {symbol: count / len(start) for symbol, count in Counter(start.get_chemical_symbols()).items()}
    for made in _attempts(start, around, max_atoms, cutoff_a):
        complete = [box for box in made if set(box.atoms.get_chemical_symbols()) == set(share)]
        if complete:
            return min(complete, key=lambda box: (_strays(box.atoms, share), box.n_removed, len(box.atoms)))
    return None


def _attempts(start: Atoms, around: list[int], max_atoms: int, cutoff_a: float) -> Iterator[list[FilledBox]]:
    """Yield filled boxes around some atoms, with images as far apart as ``max_atoms`` allows."""
    reach_a = cutoff_a
    while 2 * reach_a >= _MIN_A:
        with_vacuum, without = (frame_to_cut(start, reach_a, keep_vacuum=keep) for keep in (True, False))
        for frame in (with_vacuum, without) if with_vacuum.vacuum_axes else (without,):
            yield [box for atom in around for box in filled_boxes(frame, atom, _UNTOUCHED_A, 2 * reach_a, max_atoms)]
        reach_a *= _SHRINK


def middle_atoms(start: Atoms) -> list[int]:
    """Return the atom of each element that is nearest to the middle of all atoms."""
    distances = np.linalg.norm(start.positions - start.positions.mean(axis=0), axis=1)
    symbols = np.array(start.get_chemical_symbols())
    return [int(min(np.flatnonzero(symbols == name), key=lambda k: distances[k])) for name in sorted(set(symbols))]


def sample_atoms(start: Atoms, rng: np.random.Generator) -> list[int]:
    """Return one atom of each element, drawn at random."""
    symbols = np.array(start.get_chemical_symbols())
    return [int(rng.choice(np.flatnonzero(symbols == name))) for name in sorted(set(symbols))]


def _strays(atoms: Atoms, share: dict[str, float]) -> int:
    """Return by how many atoms the composition is off."""
    counts = Counter(atoms.get_chemical_symbols())
    return round(sum(abs(counts[symbol] - fraction * len(atoms)) for symbol, fraction in share.items()))
