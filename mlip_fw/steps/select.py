"""The step select: from the halted frame of a cycle to the structures that are worth a label."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from ase import Atoms
from threadpoolctl import threadpool_limits

from mlip_fw.campaign.dataset import label_name
from mlip_fw.campaign.events import Event
from mlip_fw.campaign.seeds import derived_seed
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.oracle.cost import label_cost
from mlip_fw.engines.sampling.generate import Candidate, HaltedFrame, generate
from mlip_fw.engines.sampling.local_cell import local_cell
from mlip_fw.engines.sampling.maxvol import ActiveSet
from mlip_fw.engines.sampling.selection import choose
from mlip_fw.errors import MDError
from mlip_fw.io.files import read_model, read_or_create
from mlip_fw.io.structures import read_frame, write_frames
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.handoff import CandidatesHandoff
from mlip_fw.models.md import MDResult
from mlip_fw.models.selection import Choice, Selection
from mlip_fw.models.worker import Worker
from mlip_fw.runtime.cores import cores_of
from mlip_fw.steps.step import Step


def select_candidates(step: Step[CandidatesHandoff], worker: Worker) -> Selection:
    """Make candidates around the worst atom of the halted frame and choose what to label.

    Done once: later calls return the stored selection.

    Files: reads ``result.json``, the halted frame and ``potentials/``; writes ``candidates.extxyz``,
    ``selected.extxyz`` and ``selection.json``.

    Raises
    ------
    MDError
        If the cycle holds no halted run.
    """
    return read_or_create(step.files.selection, Selection, lambda: _select(step, worker))


# the matrices are small: more threads of BLAS cost time
@threadpool_limits.wrap(limits=1, user_api="blas")
def _select(step: Step[CandidatesHandoff], worker: Worker) -> Selection:
    started = time.perf_counter()
    campaign, settings, (walker, cycle) = step.campaign, step.campaign.candidates, step.handoff.walker_and_cycle
    generation = step.generations.newest_to_select_with()
    assert generation is not None
    potential = AcePotential.from_files(step.generations.potential(generation))
    rng = np.random.default_rng(derived_seed(campaign.seed, "candidates", walker, cycle))
    halted = _halted_frame(step)
    frame, cut = local_cell(halted, potential, campaign)
    candidates, rejected = generate(frame, potential, list(settings.strategies), settings.n_candidates, rng)
    write_frames(step.files.candidates, [c.structure() for c in candidates] or [frame.atoms])
    fresh = _without_labelled(step, worker, candidates)
    if n_known := len(candidates) - len(fresh):
        rejected["labelled before"] = n_known
    chosen = _choose(step, fresh, potential)
    if chosen:
        write_frames(step.files.selected, [candidate.structure() for candidate, _ in chosen])
    seconds = time.perf_counter() - started
    step.record(
        Event.SELECTED,
        f"walker {walker} cycle {cycle}: {len(candidates)} candidates, {len(chosen)} selected, {seconds:.1f} s",
        walker=walker,
        cycle=cycle,
        labels=len(chosen),
        seconds=round(seconds, 3),
    )
    return Selection(
        walker=walker,
        cycle=cycle,
        generation=generation,
        center=halted.center,
        n_candidates=len(candidates),
        rejected=rejected,
        cutout=cut.facts() if cut is not None else None,
        chosen=[choice for _, choice in chosen],
        seconds=seconds,
        cores=cores_of(),
    )


def _halted_frame(step: Step[CandidatesHandoff]) -> HaltedFrame:
    result = read_model(step.files.result, MDResult)
    if result is None or result.atom is None or result.frame is None:
        raise MDError(f"{step.files.folder} has no whole result.json of a halted run; run that MD Firework again")
    atoms = read_frame(Path(result.frame))
    temperature = result.temperature_k if result.temperature_k is not None else float(atoms.get_temperature())
    uncertainty = step.campaign.uncertainty
    return HaltedFrame(
        atoms, result.atom, temperature, uncertainty.thresholds(step.campaign.elements), uncertainty.gamma_select
    )


def _without_labelled(
    step: Step[CandidatesHandoff], worker: Worker, candidates: list[Candidate]
) -> list[tuple[str, Candidate]]:
    """Return the candidates that have no label yet and have not failed, each with the name of its label."""
    level = step.level_of_theory(worker)
    named = [(label_name(candidate.atoms, level), candidate) for candidate in candidates]
    dataset = step.dataset
    return [(n, c) for n, c in named if not (dataset.has_anywhere(n) or dataset.is_quarantined(n))]


def _choose(
    step: Step[CandidatesHandoff], fresh: list[tuple[str, Candidate]], potential: AcePotential
) -> list[tuple[Candidate, Choice]]:
    """Return the candidates that are worth a label, as many as the budget allows, each with why it is chosen."""
    campaign, candidates = step.campaign, [candidate for _, candidate in fresh]
    assert potential.inverses is not None
    picked = choose(
        candidates,
        [name for name, _ in fresh],
        {element: ActiveSet.from_inverse(inverse) for element, inverse in potential.inverses.items()},
        limit=max(
            0,
            min(
                campaign.candidates.max_labels_per_halt,
                campaign.budget.max_labels - step.dataset.n_computed(),
            ),
        ),
        worth=_worth(step),
        costs=_costs(campaign, [candidate.atoms for candidate in candidates]),
    )
    return [(candidates[index], choice) for index, choice in picked]


def _worth(step: Step[CandidatesHandoff]) -> dict[str, float]:
    """Return the gamma by element above which a candidate beside the halted frame is worth a label."""
    campaign = step.campaign
    if step.handoff.repeats:
        # MD halted at this step before: the labels that were made then were not enough
        return dict.fromkeys(campaign.elements, campaign.uncertainty.gamma_select)
    if campaign.candidates.gamma_worth is not None:
        return dict.fromkeys(campaign.elements, campaign.candidates.gamma_worth)
    return campaign.uncertainty.thresholds(campaign.elements)


def _costs(campaign: Campaign, structures: list[Atoms]) -> list[float] | None:
    """Return the estimated cost of each label; None if labels are chosen without looking at it."""
    if campaign.candidates.selection == "volume":
        return None
    return [label_cost(atoms, campaign.oracle) for atoms in structures]
