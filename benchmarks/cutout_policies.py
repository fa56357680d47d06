"""Policies: what to label of a halted cell, and what to learn of the label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.sampling.cutout.box import contacts_a, fill
from mlip_fw.engines.sampling.cutout.cloud import Cloud, cloud_around, uncut
from mlip_fw.engines.sampling.cutout.cut import cut_out
from mlip_fw.engines.sampling.cutout.lattice import LatticeBox
from mlip_fw.engines.sampling.generate import Candidate, HaltedFrame, generate
from mlip_fw.engines.sampling.local_cell import local_cell
from mlip_fw.engines.sampling.maxvol import ActiveSet
from mlip_fw.engines.sampling.selection import choose
from mlip_fw.engines.structures.geometry import distances_from
from mlip_fw.io.structures import canonical
from mlip_fw.models.campaign import Campaign, CutoutSettings


@dataclass(frozen=True)
class Example:
    """A structure to be labelled, and what is learnt from it."""

    atoms: Atoms
    mask: np.ndarray
    """(n,) of bool: atoms that enter the active set."""
    weights: np.ndarray
    """(n,) weights of the forces in the fit."""


Thresholds = dict[str, float]
Policy = Callable[[Atoms, int, AcePotential, Thresholds], list[Example]]
_GAMMA_SELECT = 2.0


def settings(elements: list[str], **changes: dict) -> Campaign:
    """Return a campaign of these elements for the parts of the package that want one."""
    md = {"stages": [{"ensemble": "nvt", "temperature_k": 300, "n_steps": 600}]}
    oracle = {"kind": "ase", "calculator": "emt"}
    needed = {"campaign": "cut-outs", "elements": elements, "structure": {"file": "none"}, "md": md, "oracle": oracle}
    return Campaign.model_validate(needed | changes)


def whole(atoms: Atoms, center: int, potential: AcePotential, halts: Thresholds) -> list[Example]:
    """Label the halted cell as it is."""
    return [hard(canonical(atoms), np.ones(len(atoms), dtype=bool))]


def never_cut(atoms: Atoms, center: int, potential: AcePotential, halts: Thresholds) -> list[Example]:
    """Label the halted cell as it is; the first labels are copies of the whole start too."""
    return whole(atoms, center, potential, halts)


def fitted(trained: str = "core or known", *, relax: bool = False, core_a: float = 4.0) -> Policy:
    """Label a cut-out as the package makes it."""

    def cut(atoms: Atoms, center: int, potential: AcePotential, halts: Thresholds) -> list[Example]:
        found = cut_out(atoms, center, potential, CutoutSettings(relax_shell=relax, core_a=core_a), halts)
        return [_lesson(found.atoms, found.gamma, halts, trained, core_a)]

    return cut


rehearsed = fitted()
"""The same; but first a small cell goes through the whole ramp, and is labelled whole where it halts."""


def with_candidates(strategies: list[str], gamma_worth: float) -> Policy:
    """Label the cut-out and what the package chooses of the candidates beside it, one at most."""

    def cut(atoms: Atoms, center: int, potential: AcePotential, halts: Thresholds) -> list[Example]:
        assert potential.inverses is not None
        candidates = {"strategies": ["halt_frame", *strategies]}
        campaign = settings(sorted(halts), candidates=candidates)
        halted = HaltedFrame(canonical(atoms), center, float(atoms.get_temperature()), halts, _GAMMA_SELECT)
        frame, _ = local_cell(halted, potential, campaign)
        rng = np.random.default_rng(center)
        found, _ = generate(frame, potential, campaign.candidates.strategies, campaign.candidates.n_candidates, rng)
        active = {name: ActiveSet.from_inverse(inverse) for name, inverse in potential.inverses.items()}
        worth = dict.fromkeys(halts, gamma_worth)
        chosen = choose(found, [str(k) for k in range(len(found))], active, limit=2, worth=worth)
        return [hard(found[k].atoms, _mask(found[k])) for k, _ in chosen]

    return cut


def _mask(candidate: Candidate) -> np.ndarray:
    return np.ones(len(candidate.atoms), dtype=bool) if candidate.mask is None else candidate.mask


def cube(edge_a: float, trained: str = "core or known", core_a: float = 4.0) -> Policy:
    """Label a cube around the centre, whatever the crystal, without overlaps."""

    def cut(atoms: Atoms, center: int, potential: AcePotential, halts: Thresholds) -> list[Example]:
        frame = uncut(atoms)
        near = cloud_around(frame, center, edge_a)
        inside = (np.abs(near.vectors) <= edge_a / 2).all(axis=1)
        cloud = Cloud(*(part[inside] for part in (near.vectors, near.distances, near.origin, near.numbers)))
        edges = np.eye(3) * edge_a
        filling = fill(cloud, LatticeBox(edges, edges, 0.0), frame, 1.0, contacts_a(near))
        assert filling is not None
        kept = filling.chosen
        small = canonical(Atoms(cloud.numbers[kept], cloud.vectors[kept], cell=edges, pbc=True))
        gamma = potential.evaluate(small).gamma
        assert gamma is not None
        return [_lesson(small, gamma, halts, trained, core_a)]

    return cut


def _lesson(atoms: Atoms, gamma: np.ndarray, halts: Thresholds, trained: str, core_a: float) -> Example:
    relative = gamma / np.array([halts[s] for s in atoms.get_chemical_symbols()])
    core = distances_from(atoms, 0) <= core_a
    known = core | (relative <= 1)
    if trained == "all forces":
        return Example(atoms, known, np.ones(len(atoms)))
    if trained == "weighted":
        return Example(atoms, known, np.where(known, 1.0, 1 / relative))
    return hard(atoms, {"all": np.ones_like(core), "core": core, "core or known": known}[trained])


def hard(atoms: Atoms, mask: np.ndarray) -> Example:
    """Return a example that counts the forces of the atoms in ``mask`` and no others."""
    return Example(atoms, mask, mask.astype(float))


POLICIES: dict[str, Policy] = {
    "whole cells, the first too": never_cut,
    "whole cell": whole,
    "cube of 13 Å, all atoms": cube(13.0, "all"),
    "cube of 13 Å, core or known": cube(13.0),
    "fitted box, all atoms": fitted("all"),
    "fitted box, core": fitted("core"),
    "fitted box, core or known": fitted(),
    "same, unknown weighted": fitted("weighted"),
    "same, unknown in the fit only": fitted("all forces"),
    "same, shell relaxed": fitted(relax=True),
    "same, rehearsed": rehearsed,
    "same, and a burst": with_candidates(["md_burst"], _GAMMA_SELECT),
}
