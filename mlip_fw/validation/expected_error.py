"""Frames of which the potential knows least, chosen one after the other so that they tell different things."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.md.script import DUMP
from mlip_fw.engines.train.committee import Committee
from mlip_fw.errors import TrainingError
from mlip_fw.io.lammps import read_dumped_step
from mlip_fw.io.structures import mask_of
from mlip_fw.models.campaign import Campaign
from mlip_fw.validation.audit_frames import AuditPlace
from mlip_fw.validation.holdout import part_to_label

MAX_CANDIDATES = 24
"""Frames that are looked at: each costs its design matrix."""


def uncertain_frames(
    places: Sequence[AuditPlace],
    n: int,
    directory: CampaignDirectory,
    campaign: Campaign,
    rng: np.random.Generator,
) -> list[Atoms]:
    """Return up to ``n`` structures to label, of frames at ``places``.

    A frame that is too large is cut around its atom of largest gamma. The spread of the forces over the posterior of
    the newest linear generation ranks the structures; where there is no posterior, gamma does.
    """
    generations = Generations(directory.root)
    number, linear = generations.newest_to_select_with(), generations.newest_of("linear")
    if number is None or not n:
        return []
    potential = AcePotential.from_files(generations.potential(number))
    apart = [place for place in places if place.is_apart] or list(places)
    some = rng.permutation(len(apart))[: max(MAX_CANDIDATES, 2 * n)]
    found = [_structure(apart[k], directory, campaign, potential) for k in sorted(some)]
    structures = [(atoms, gamma) for atoms, gamma in filter(None, found)]
    try:
        if linear is None:
            raise TrainingError("there is no linear generation")
        committee = Committee.of_generation(generations, linear)
    except TrainingError:
        order = np.argsort([-gamma for _, gamma in structures])[:n]
        return [structures[k][0] for k in order]
    spreads = [_spread_rows(committee, atoms) for atoms, _ in structures]
    return [structures[k][0] for k in choose_informative(spreads, n, committee.noise)]


def choose_informative(spreads: Sequence[np.ndarray], n: int, noise: float) -> list[int]:
    """Return the indices of the structures whose forces are most uncertain, each given the ones before it.

    After a choice the posterior is that of a fit with its forces known, so that a second structure like it counts for
    little.

    Parameters
    ----------
    spreads
        Of each structure the force rows times a square root of the posterior covariance, (n_components, n_functions).
    n
        How many are wanted.
    noise
        Standard deviation of a force component that the fit leaves, in the unit of the rows.
    """
    left = dict(enumerate(spreads))
    chosen: list[int] = []
    while left and len(chosen) < n:
        best = max(left, key=lambda k: float(np.mean(left[k] ** 2)))
        rows = left.pop(best)
        chosen.append(best)
        # covariance L Lᵀ becomes L (1 + VᵀV/σ²)⁻¹ Lᵀ, with V the rows of the known forces times L
        known = np.eye(rows.shape[1]) + rows.T @ rows / max(noise, 1e-12) ** 2
        root = np.linalg.inv(np.linalg.cholesky(known)).T
        left = {k: one @ root for k, one in left.items()}
    return chosen


def _spread_rows(committee: Committee, atoms: Atoms) -> np.ndarray:
    forces = committee.potential.design(atoms).forces[mask_of(atoms)]
    return np.asarray(forces.reshape(-1, forces.shape[-1]) @ committee.factor)


def _structure(
    place: AuditPlace, directory: CampaignDirectory, campaign: Campaign, potential: AcePotential
) -> tuple[Atoms, float] | None:
    """Return what is labelled of a frame, and its largest gamma; None if that can't be."""
    dumped = read_dumped_step(directory.cycle(place.walker, place.cycle) / DUMP, place.step)
    if dumped is None:
        return None
    whole = Atoms(dumped.numbers, dumped.positions, cell=dumped.cell, pbc=True)
    gamma = dumped.arrays.get("gamma")
    if gamma is None:
        gamma = potential.evaluate(whole).gamma
        assert gamma is not None
    atoms = part_to_label(whole, int(np.argmax(gamma)), place.temperature_k, potential, campaign)
    return None if atoms is None else (atoms, float(np.max(gamma)))
