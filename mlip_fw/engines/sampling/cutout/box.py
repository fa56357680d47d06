"""A box filled with the surroundings of one atom, without the overlaps that its periodicity would make."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from math import gcd

import numpy as np
from ase import Atoms
from ase.data import covalent_radii

from mlip_fw.engines.sampling.cutout.cloud import Cloud, Frame, cloud_around
from mlip_fw.engines.sampling.cutout.lattice import LatticeBox, boxes, translations
from mlip_fw.io.structures import canonical

_N_BOXES = 12
"""Boxes that are filled and compared."""
_N_LOOKED_AT = 60
"""Boxes that are looked at in search of them."""
_MARGIN = 1.3
"""Atoms beyond the boundary may fill holes behind it, up to this multiple of its distance."""
_CONTACT_A = 4.0
_N_MET = 600
"""Atoms from whose distances is taken what is too close."""
_UNUSUAL = 0.05
_GATHERED = 1.4
"""Radius of the surroundings that fill a box, in units of the least distance between images of the centre."""


@dataclass(frozen=True)
class Filling:
    """What is in a box."""

    chosen: np.ndarray
    """Indices in the cloud; those of the sphere come first, the centre at the head."""
    n_sphere: int
    n_removed: int
    """Atoms on this side of the boundary that overlapped others, or exceeded whole formula units."""


@dataclass(frozen=True)
class FilledBox:
    """A small cell with the centre as its first atom."""

    atoms: Atoms
    origin: np.ndarray
    """(n,) index of each atom in the large cell."""
    mismatch: float
    n_removed: int


def filled_boxes(
    frame: Frame, center: int, sphere_a: float, shortest_a: float, limit: int, formula: dict[int, int] | None = None
) -> list[FilledBox]:
    """Return small cells of at most ``limit`` atoms: those whose boundary fits the structure, or else any.

    Parameters
    ----------
    frame, center
        The large cell, and the atom around which it is cut.
    sphere_a
        Nothing nearer to the centre than this changes, Å.
    shortest_a
        Least distance between images of the centre, Å: twice the sphere or more.
    limit
        Largest number of atoms.
    formula
        Formula unit of which the box shall hold a whole number; None takes what there is.
    """
    if not frame.n_cut or len(cloud_around(frame, center, sphere_a).origin) > limit:
        return []
    found = translations(frame, center, shortest_a)
    cloud = cloud_around(frame, center, _GATHERED * shortest_a)
    contacts = contacts_a(cloud)
    for fitting in (True, False):
        made: list[FilledBox] = []
        for box in islice(boxes(frame, found, shortest_a, fitting=fitting), _N_LOOKED_AT):
            filling = fill(cloud, box, frame, sphere_a, contacts)
            if filling is not None and formula is not None:
                filling = made_neutral(filling, cloud, formula)
            if filling is not None:
                made.append(_filled_box(cloud, box, frame, filling))
            if len(made) == _N_BOXES:
                break
        if small := [box for box in made if len(box.atoms) <= limit]:
            return small
    return []


def _filled_box(cloud: Cloud, box: LatticeBox, frame: Frame, filling: Filling) -> FilledBox:
    kept = filling.chosen
    atoms = Atoms(cloud.numbers[kept], cloud.vectors[kept], cell=box.cell, pbc=True)
    scaled = atoms.get_scaled_positions(wrap=False)
    for axis in frame.vacuum_axes:
        row = frame.n_cut + frame.kept_axes.index(axis)
        atoms.positions += (0.5 - 0.5 * (scaled[:, row].min() + scaled[:, row].max())) * box.cell[row]
    return FilledBox(
        atoms=canonical(atoms),
        origin=cloud.origin[kept],
        mismatch=box.mismatch,
        n_removed=filling.n_removed,
    )


def contacts_a(cloud: Cloud) -> dict[tuple[int, int], float]:
    """Return the distance for each pair of elements (atomic numbers) below which atoms hardly come in the cloud.

    Of the nearest distances between them, one in twenty is shorter. A pair that is nowhere within 4 Å
    has the sum of its covalent radii.
    """
    vectors, numbers = cloud.vectors[:_N_MET], cloud.numbers[:_N_MET]
    d = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    np.fill_diagonal(d, np.inf)
    kinds = sorted({int(z) for z in cloud.numbers})
    found = {}
    for a in kinds:
        for b in kinds:
            nearest = d[np.ix_(numbers == a, numbers == b)].min(axis=1, initial=np.inf)
            met = nearest[nearest <= _CONTACT_A]
            usual = float(covalent_radii[a] + covalent_radii[b])
            found[a, b] = float(np.quantile(met, _UNUSUAL)) if len(met) else usual
    return found


def fill(
    cloud: Cloud, box: LatticeBox, frame: Frame, sphere_a: float, contacts: dict[tuple[int, int], float]
) -> Filling | None:
    """Fill ``box`` from the centre outwards, passing over what would overlap an atom already there.

    The atoms within ``sphere_a`` of the centre come first and all of them stay. An atom's place in the
    order is its distance from the nearest boundary between the centre and its images, as a fraction;
    those a little beyond it fill the holes that atoms leave which have moved out on both sides. None if
    atoms of the sphere would overlap each other's images.
    """
    images = _images(box, frame)
    depth = (frame.across(cloud.vectors) @ (2 * images / (images**2).sum(axis=1)[:, None]).T).max(axis=1)
    sphere = cloud.distances <= sphere_a + 1e-6
    outside = np.flatnonzero(~sphere & (depth <= _MARGIN))
    outside = outside[_distance_of_images(cloud.vectors[outside], images, frame) > sphere_a]
    order = np.concatenate([np.flatnonzero(sphere), outside[np.argsort(depth[outside], kind="stable")]])
    clash = _overlaps(cloud.vectors[order], cloud.numbers[order], box, contacts)
    n_sphere, taken, n_removed = int(sphere.sum()), np.zeros(len(order), dtype=bool), 0
    if clash[:n_sphere, :n_sphere].any():
        return None
    taken[:n_sphere] = True
    for k in range(n_sphere, len(order)):
        taken[k] = not (clash[k] & taken).any()
        n_removed += bool(depth[order[k]] < 1 - 1e-3 and not taken[k])
    return Filling(order[taken], n_sphere, n_removed)


def made_neutral(filling: Filling, cloud: Cloud, formula: dict[int, int]) -> Filling | None:
    """Return the filling without the outermost atoms that exceed whole formula units; None if those don't suffice."""
    numbers = cloud.numbers[filling.chosen]
    units = min(int((numbers == z).sum()) // count for z, count in formula.items())
    keep = np.zeros(len(numbers), dtype=bool)
    for z, count in formula.items():
        keep[np.flatnonzero(numbers == z)[: units * count]] = True
    if not units or not keep[: filling.n_sphere].all():
        return None
    return Filling(filling.chosen[keep], filling.n_sphere, filling.n_removed + int((~keep).sum()))


def formula_unit(numbers: np.ndarray) -> dict[int, int]:
    """Return the smallest whole numbers of atoms in the ratio of the cell, by atomic number."""
    kinds, counts = np.unique(numbers, return_counts=True)
    divisor = gcd(*map(int, counts))
    return {int(z): int(count) // divisor for z, count in zip(kinds, counts, strict=True)}


def _images(box: LatticeBox, frame: Frame) -> np.ndarray:
    """Return where the nearest images of the centre are (m, 3), at right angles to the directions that stay."""
    steps = np.array(list(np.ndindex(*(5,) * len(box.cut)))) - 2
    return frame.across(steps[np.any(steps, axis=1)] @ box.cut)


def _distance_of_images(vectors: np.ndarray, images: np.ndarray, frame: Frame) -> np.ndarray:
    """Return how close to the centre an image of each atom (n, 3) comes: none may enter the sphere."""
    between = frame.across(vectors)[:, None] - images[None]
    return np.asarray(np.linalg.norm(between, axis=2).min(axis=1))


def _overlaps(
    vectors: np.ndarray, numbers: np.ndarray, box: LatticeBox, contacts: dict[tuple[int, int], float]
) -> np.ndarray:
    """Return which pairs (m, m) would come too close through the new boundary; neighbours in the MD never do."""
    scaled = vectors @ np.linalg.inv(box.cell)
    d = scaled[:, None] - scaled[None]
    steps = np.round(d)
    distances = np.linalg.norm((d - steps) @ box.cell, axis=2)
    kinds, index = np.unique(numbers, return_inverse=True)
    table = np.array([[contacts[int(a), int(b)] for b in kinds] for a in kinds])
    new = np.any(steps[:, :, : len(box.cut)], axis=2)
    return np.asarray(new & (distances < table[np.ix_(index, index)] - 1e-6))
