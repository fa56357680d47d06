"""The cell that candidates of a halted frame are made from: the whole one, or the cut-out that teaches most."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
from ase import Atoms

from mlip_fw.engines.ace.potential import AcePotential, rows_within
from mlip_fw.engines.oracle.cost import label_cost
from mlip_fw.engines.sampling.cutout.cut import Cutout, cut_out, mask_of_cutout
from mlip_fw.engines.sampling.generate import HaltedFrame
from mlip_fw.engines.sampling.maxvol import ActiveSet, exchange
from mlip_fw.errors import CampaignError
from mlip_fw.models.campaign import Campaign

logger = logging.getLogger("mlip_fw")
_WIDER = 1.25


def local_cell(frame: HaltedFrame, potential: AcePotential, campaign: Campaign) -> tuple[HaltedFrame, Cutout | None]:
    """Return the frame, or a small cell that was cut out of it if it is larger than what may be labelled.

    Raises
    ------
    CampaignError
        If no cell of at most ``max_atoms`` holds the surroundings of the centre.
    """
    settings = campaign.candidates.cutout
    if settings.mode == "never" or len(frame.atoms) <= settings.max_atoms:
        return frame, None
    cut = cut_out(frame.atoms, frame.center, potential, settings, frame.gamma_halt)
    if campaign.candidates.selection == "volume_per_cost":
        cut = _most_informative([cut, *_wider(frame, potential, campaign)], potential, campaign)

    def mask_of(atoms: Atoms, gamma: np.ndarray) -> np.ndarray:
        return mask_of_cutout(atoms, cut.center, gamma, settings.core_a, frame.gamma_halt)

    logger.info(
        "cut %d of %d atoms out around atom %d, %d of them to be trained on",
        len(cut.atoms),
        len(frame.atoms),
        frame.center,
        int(cut.mask.sum()),
    )
    return replace(frame, atoms=cut.atoms, center=cut.center, mask=cut.mask, mask_of=mask_of), cut


def _wider(frame: HaltedFrame, potential: AcePotential, campaign: Campaign) -> list[Cutout]:
    """Return a larger cut-out if ``max_atoms`` allows one: it has more environments, and maybe fewer k-points."""
    settings = campaign.candidates.cutout
    try:
        return [cut_out(frame.atoms, frame.center, potential, settings, frame.gamma_halt, wider=_WIDER)]
    except CampaignError:
        return []


def _most_informative(cuts: list[Cutout], potential: AcePotential, campaign: Campaign) -> Cutout:
    """Return the cell that adds most volume to the active set for its estimated cost."""
    return max(cuts, key=lambda cut: _gain(cut, potential) / label_cost(cut.atoms, campaign.oracle))


def _gain(cut: Cutout, potential: AcePotential) -> float:
    assert potential.inverses is not None
    rows = rows_within(cut.mask, potential.evaluate_with_projections(cut.atoms)[1], cut.atoms)
    return sum(exchange(ActiveSet.from_inverse(potential.inverses[e]), rows[e]).log_gain for e in rows)
