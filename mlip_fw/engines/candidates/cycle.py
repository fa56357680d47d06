"""From the halted frame of a cycle to the structures that are worth a label."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from threadpoolctl import threadpool_limits

from mlip_fw.cores import cores_of
from mlip_fw.dataset import Dataset, label_name
from mlip_fw.engines.ace import AcePotential
from mlip_fw.engines.candidates.generate import HaltedFrame, generate
from mlip_fw.engines.candidates.local_cell import local_cell
from mlip_fw.engines.maxvol import ActiveSet
from mlip_fw.engines.oracle.cost import label_cost
from mlip_fw.engines.oracle.level import campaign_level
from mlip_fw.engines.select import choose
from mlip_fw.errors import MDError
from mlip_fw.generations import Generations
from mlip_fw.io.files import read_model
from mlip_fw.io.structures import read_frame, write_frames
from mlip_fw.layout import CampaignDirectory
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.handoff import CandidatesHandoff
from mlip_fw.models.md import MDResult
from mlip_fw.models.selection import Selection
from mlip_fw.models.worker import Worker
from mlip_fw.seeds import derived_seed

logger = logging.getLogger("mlip_fw")


@threadpool_limits.wrap(limits=1, user_api="blas")
def select_in_cycle(handoff: CandidatesHandoff, worker: Worker) -> Selection:
    """Make candidates around the worst atom of the halted frame and choose what to label.

    Raises
    ------
    MDError
        If the cycle holds no halted run.
    """
    started = time.perf_counter()
    campaign, directory = handoff.campaign, CampaignDirectory(handoff.directory)
    folder = directory.cycle(handoff.walker, handoff.cycle)
    generations, dataset = Generations(directory.root), Dataset(directory.root)
    generation = generations.newest_to_select_with()
    assert generation is not None
    potential = AcePotential.from_files(generations.potential(generation))
    assert potential.inverses is not None
    rng = np.random.default_rng(derived_seed(campaign.seed, "candidates", handoff.walker, handoff.cycle))
    settings = campaign.candidates
    halted = _halted_frame(handoff)
    frame, cut = local_cell(halted, potential, campaign)
    candidates, rejected = generate(frame, potential, list(settings.strategies), settings.n_candidates, rng)
    write_frames(folder / "candidates.extxyz", [c.structure() for c in candidates] or [frame.atoms])
    level = campaign_level(directory, campaign, worker)
    names = [label_name(c.atoms, level) for c in candidates]
    known = [dataset.has_anywhere(name) or dataset.is_quarantined(name) for name in names]
    if any(known):
        rejected["labelled before"] = sum(known)
    fresh = [k for k, old in enumerate(known) if not old]
    picked = choose(
        [candidates[k] for k in fresh],
        [names[k] for k in fresh],
        {name: ActiveSet.from_inverse(inverse) for name, inverse in potential.inverses.items()},
        limit=max(0, min(settings.max_labels_per_halt, campaign.budget.max_labels - dataset.n_computed())),
        worth=_worth(handoff),
        costs=_costs(campaign, [candidates[k].atoms for k in fresh]),
    )
    if picked:
        write_frames(folder / "selected.extxyz", [candidates[fresh[k]].structure() for k, _ in picked])
    seconds = time.perf_counter() - started
    logger.info(
        "walker %d cycle %d: %d candidates, %d selected, %.1f s",
        handoff.walker,
        handoff.cycle,
        len(candidates),
        len(picked),
        seconds,
    )
    directory.log_event(
        "selected", walker=handoff.walker, cycle=handoff.cycle, labels=len(picked), seconds=round(seconds, 3)
    )
    return Selection(
        walker=handoff.walker,
        cycle=handoff.cycle,
        generation=generation,
        center=halted.center,
        n_candidates=len(candidates),
        rejected=rejected,
        cutout=cut.facts() if cut is not None else None,
        chosen=[choice for _, choice in picked],
        seconds=seconds,
        cores=cores_of(),
    )


def _worth(handoff: CandidatesHandoff) -> dict[str, float]:
    """Return the gamma by element above which a candidate beside the halted frame is worth a label."""
    campaign = handoff.campaign
    if handoff.repeats:
        return dict.fromkeys(campaign.elements, campaign.uncertainty.gamma_select)
    if campaign.candidates.gamma_worth is not None:
        return dict.fromkeys(campaign.elements, campaign.candidates.gamma_worth)
    return campaign.uncertainty.thresholds(campaign.elements)


def _costs(campaign: Campaign, structures: list[Atoms]) -> list[float] | None:
    if campaign.candidates.selection == "volume":
        return None
    return [label_cost(atoms, campaign.oracle) for atoms in structures]


def _halted_frame(handoff: CandidatesHandoff) -> HaltedFrame:
    folder = CampaignDirectory(handoff.directory).cycle(handoff.walker, handoff.cycle)
    result = read_model(folder / "result.json", MDResult)
    if result is None or result.atom is None or result.frame is None:
        raise MDError(f"{folder} has no whole result.json of a halted run; run that MD Firework again")
    atoms = read_frame(Path(result.frame))
    temperature = result.temperature_k if result.temperature_k is not None else float(atoms.get_temperature())
    uncertainty = handoff.campaign.uncertainty
    return HaltedFrame(
        atoms, result.atom, temperature, uncertainty.thresholds(handoff.campaign.elements), uncertainty.gamma_select
    )
