"""Cut-outs: a small periodic cell around one atom of a large one, with the surroundings of that atom unchanged.

Everything within the cutoff of the centre is where it was, so its basis functions, and with them its
extrapolation grade, are those of the MD. The box vectors are translations that map the surroundings
onto themselves, so that in a crystal the new boundary hardly shows. What it does to the atoms near it
is judged atom by atom: those that the potential doesn't know, and that are not around the centre,
are masked out of training and of the active set.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.sampling.cutout.box import FilledBox, filled_boxes, formula_unit
from mlip_fw.engines.sampling.cutout.cloud import Frame, cloud_around, frame_to_cut, uncut
from mlip_fw.engines.structures.geometry import distances_from, heights_a, too_close
from mlip_fw.errors import CampaignError
from mlip_fw.io.structures import canonical
from mlip_fw.models.campaign import CutoutSettings

_UNCHANGED = 1e-6
_WIDER = (1.0, 1.1, 1.2)
"""Least distances between images of the centre that are tried, in units of twice the cutoff."""
_RELAX_STEPS, _LONGEST_MOVE_A, _FARTHEST_A = 20, 0.05, 0.5
"""Number of steps downhill, and how far an atom moves in one step and in all, Å."""
_MOBILITY_A2_EV = 0.02
"""Move per force in such a step, Å²/eV."""


@dataclass(frozen=True)
class Cutout:
    """A small cell, and what may be learnt from it."""

    atoms: Atoms
    """Fully periodic; as a file would hold it."""
    center: int
    origin: np.ndarray
    """(n,) index of each atom in the MD cell."""
    mask: np.ndarray
    """(n,) of bool: atoms that are trained on."""
    md_composition: str
    mismatch: float
    """Share of atoms without a partner across the new boundary: 0 for a crystal cut at its own period."""
    n_removed: int
    """Atoms that overlapped others across the new boundary, or exceeded whole formula units."""
    n_tried: int
    """Boxes that were filled and compared."""
    relaxed: bool
    gamma_before: float
    """Extrapolation grade of the centre in the MD cell."""
    gamma: np.ndarray
    """(n,) extrapolation grades in the small cell."""

    def facts(self) -> dict[str, Any]:
        """Return what is recorded of it, as plain JSON values."""
        return {
            "n_atoms": len(self.atoms),
            "n_trained": int(self.mask.sum()),
            "lengths_a": [round(float(x), 4) for x in self.atoms.cell.lengths()],
            "heights_a": [round(float(x), 4) for x in heights_a(self.atoms.cell.array)],
            "composition": self.atoms.get_chemical_formula(),
            "md_composition": self.md_composition,
            "mismatch": round(self.mismatch, 4),
            "n_removed": self.n_removed,
            "n_tried": self.n_tried,
            "relaxed": self.relaxed,
            "gamma_before": self.gamma_before,
            "gamma_after": float(self.gamma[self.center]),
        }


def cut_out(
    atoms: Atoms,
    center: int,
    potential: AcePotential,
    settings: CutoutSettings,
    gamma_halt: dict[str, float],
    *,
    wider: float = 1.0,
) -> Cutout:
    """Return the best small cell around one atom of ``atoms``.

    Parameters
    ----------
    atoms
        The MD cell: crystal, liquid or slab, of any shape.
    center
        The atom whose surroundings are kept.
    potential
        The current potential, with its active set.
    settings
        Largest size, core, neutrality, relaxation.
    gamma_halt
        Threshold of each element: atoms up to it are known to the potential.
    wider
        Least distance between images of the centre, in units of twice the cutoff.

    Raises
    ------
    CampaignError
        If every cell that holds the surroundings of the centre has more than ``max_atoms`` atoms.

    Notes
    -----
    Of several boxes that fit, the one is taken whose atoms are best known to the potential. Then the
    centre's gamma is compared with that in the MD cell: a box that changed it by more than 1e-6 is
    rejected, and wider ones are tried.
    """
    before = _gamma_in(atoms, center, potential)
    formula = formula_unit(atoms.numbers) if settings.neutral else None
    for frame, shortest_a in _ways(atoms, wider * potential.cutoff_a):
        made = filled_boxes(frame, center, potential.cutoff_a, shortest_a, settings.max_atoms, formula)
        gammas = [_gamma(box.atoms, potential) for box in made]
        sound = [k for k, gamma in enumerate(gammas) if abs(gamma[0] - before) <= _UNCHANGED * max(1.0, before)]
        if sound:
            best = min(sound, key=lambda k: _strangeness(made[k], gammas[k], gamma_halt))
            return _cutout(atoms, made[best], potential, settings, gamma_halt, before=before, n_tried=len(made))
    raise _too_large(atoms, center, potential.cutoff_a, settings)


def _ways(atoms: Atoms, cutoff_a: float) -> Iterator[tuple[Frame, float]]:
    """Yield how to cut: with whole slabs first; each way first with images as near as may be, then farther."""
    frames = [frame_to_cut(atoms, cutoff_a, keep_vacuum=keep) for keep in (True, False)]
    for frame in frames if frames[0].vacuum_axes else frames[:1]:
        for wider in _WIDER:
            yield frame, 2 * cutoff_a * wider


def require_room(atoms: Atoms, center: int, cutoff_a: float, settings: CutoutSettings) -> None:
    """Check that the surroundings of an atom fit into a cut-out, before there is a potential to judge it by.

    Raises
    ------
    CampaignError
        If every cell that holds them has more than ``max_atoms`` atoms.
    """
    formula = formula_unit(atoms.numbers) if settings.neutral else None
    for frame, shortest_a in _ways(atoms, cutoff_a):
        if filled_boxes(frame, center, cutoff_a, shortest_a, settings.max_atoms, formula):
            return
    raise _too_large(atoms, center, cutoff_a, settings)


def _too_large(atoms: Atoms, center: int, cutoff_a: float, settings: CutoutSettings) -> CampaignError:
    frame = frame_to_cut(atoms, cutoff_a, keep_vacuum=False)
    formula = formula_unit(atoms.numbers) if settings.neutral else None
    for wider in _WIDER:
        made = filled_boxes(frame, center, cutoff_a, 2 * cutoff_a * wider, len(atoms), formula)
        smallest = min((len(box.atoms) for box in made if len(box.atoms) > settings.max_atoms), default=len(atoms))
        if smallest < len(atoms):
            break
    return CampaignError(
        f"candidates.cutout.max_atoms is {settings.max_atoms}, but a small cell with all that is within {cutoff_a:g} "
        f"Å of atom {center}{', in whole formula units,' if settings.neutral else ''} has about {smallest} atoms; set "
        "candidates.cutout.max_atoms to that or more, or shorten potential.cutoff_a"
    )


def _cutout(
    atoms: Atoms,
    box: FilledBox,
    potential: AcePotential,
    settings: CutoutSettings,
    gamma_halt: dict[str, float],
    *,
    before: float,
    n_tried: int,
) -> Cutout:
    cell, relaxed = box.atoms, False
    if settings.relax_shell:
        cell, relaxed = relaxed_shell(box.atoms, 0, potential.cutoff_a, potential)
    gamma = _gamma(cell, potential)
    return Cutout(
        atoms=cell,
        center=0,
        origin=box.origin,
        mask=mask_of_cutout(cell, 0, gamma, settings.core_a, gamma_halt),
        md_composition=atoms.get_chemical_formula(),
        mismatch=box.mismatch,
        n_removed=box.n_removed,
        n_tried=n_tried,
        relaxed=relaxed,
        gamma_before=before,
        gamma=gamma,
    )


def relaxed_shell(atoms: Atoms, center: int, cutoff_a: float, potential: AcePotential) -> tuple[Atoms, bool]:
    """Return a copy in which the atoms beyond the cutoff have moved along their forces, and whether any has.

    This takes strain out of the new boundary; the surroundings of the centre stay as they are in MD. An atom moves by
    at most 0.05 Å a step and 0.5 Å in all, and never into the sphere around the centre. If atoms come too close, the
    structure is returned as it was.
    """
    reach = np.clip(distances_from(atoms, center) - cutoff_a, 0.0, _FARTHEST_A)[:, None]
    moved, neighbours = atoms.copy(), potential.neighbours(atoms, skin_a=2 * _FARTHEST_A)
    for _ in range(_RELAX_STEPS):
        answer = potential.evaluate_moving(neighbours, moved.positions, atoms.cell.array, gamma=False)
        forces = np.where(reach > 0, answer.forces_ev_a, 0.0)
        sizes = np.linalg.norm(forces, axis=1, keepdims=True)
        if sizes.max() == 0:
            break
        steps = np.minimum(_MOBILITY_A2_EV * sizes, _LONGEST_MOVE_A)
        change = moved.positions - atoms.positions + steps * forces / np.maximum(sizes, 1e-12)
        lengths = np.linalg.norm(change, axis=1, keepdims=True)
        moved.positions = atoms.positions + change * np.minimum(1.0, reach / np.maximum(lengths, 1e-12))
    changed = bool(np.any(moved.positions != atoms.positions)) and not too_close(moved)
    return (canonical(moved), True) if changed else (atoms, False)


def mask_of_cutout(
    atoms: Atoms, center: int, gamma: np.ndarray, core_a: float, gamma_halt: dict[str, float]
) -> np.ndarray:
    """Return which atoms (n,) of a small cell are trained on: those around its centre, and those that are known.

    Far from the centre an atom may have surroundings that no MD will meet. A large gamma tells: trained
    on, such an atom would enlarge the active set, and gamma would no longer warn where it should.
    """
    return np.asarray((distances_from(atoms, center) <= core_a) | (gamma <= _thresholds(atoms, gamma_halt)))


def _thresholds(atoms: Atoms, gamma_halt: dict[str, float]) -> np.ndarray:
    return np.array([gamma_halt[symbol] for symbol in atoms.get_chemical_symbols()])


def _strangeness(box: FilledBox, gamma: np.ndarray, gamma_halt: dict[str, float]) -> tuple[int, float]:
    """Return how many atoms of a box the potential doesn't know, and how far from known they are on average."""
    relative = gamma / _thresholds(box.atoms, gamma_halt)
    return int((relative > 1).sum()), float(relative.mean())


def _gamma(atoms: Atoms, potential: AcePotential) -> np.ndarray:
    gamma = potential.evaluate(atoms).gamma
    assert gamma is not None
    return gamma


def _gamma_in(atoms: Atoms, center: int, potential: AcePotential) -> float:
    """Return the gamma of one atom of a large cell, from nothing but the atoms within its cutoff."""
    near = cloud_around(uncut(atoms), center, potential.cutoff_a)
    cluster = Atoms(near.numbers, near.vectors, pbc=True)
    cluster.center(vacuum=potential.cutoff_a)
    return float(_gamma(cluster, potential)[0])
