"""The one place where the loop closes: what follows each result.

::

    MD halted   ->  detour  Candidates -> Train -> MD(resumed)  -> (old children of MD)
    Candidates  ->  detours Label 1 … n                          -> Train
    Train       ->  detour  Polish, when it is pacemaker's turn   -> (old children of Train)
    Validate    ->  detour  Label 1 … n -> Validate              -> Summary
"""

from __future__ import annotations

import math
from typing import Any

from fireworks import FWAction, Workflow

from mlip_fw.dataset import Dataset
from mlip_fw.engines.rehearsal import rehearsals
from mlip_fw.engines.train.pacemaker.schedule import is_due
from mlip_fw.errors import MDError
from mlip_fw.firetasks.base import STOPPED, logger
from mlip_fw.fireworks.build import (
    candidates_firework,
    label_firework,
    md_firework,
    polish_firework,
    train_firework,
    validate_firework,
    walker_fireworks,
)
from mlip_fw.generations import Generations
from mlip_fw.io.files import once, read_model, write_json
from mlip_fw.layout import CampaignDirectory
from mlip_fw.models.handoff import (
    Baton,
    CandidatesHandoff,
    Handoff,
    LabelHandoff,
    MDHandoff,
    PolishHandoff,
    Structure,
    TrainHandoff,
    ValidateHandoff,
    baton_key,
)
from mlip_fw.models.label import LabelBalance, LabelState
from mlip_fw.models.md import MDOutcome, MDResult
from mlip_fw.models.selection import Selection
from mlip_fw.models.summary import StopReason

_MOST_REPEATS = 3
_WIDEST_FAN = 256
"""Most Label Fireworks of one halt: each pays for the width of the fan (docs/explanation/scale.md)."""


def after_bootstrap(handoff: Handoff, selection: Selection) -> FWAction:
    """Label the first structures, train generation 0, and let small cells rehearse what large ones will do."""
    train = train_firework(TrainHandoff(campaign=handoff.campaign, directory=handoff.directory))
    structures = str(CampaignDirectory(handoff.directory).bootstrap / "selected.extxyz")
    labels = [label_firework(h) for h in _label_handoffs(handoff, selection, structures)]
    links = {label: [train] for label in labels}
    rehearsal = [md for walker in rehearsals(handoff.campaign) for md in walker_fireworks(handoff, walker, train)]
    name = f"{handoff.campaign.campaign} bootstrap"
    return FWAction(detours=Workflow([*labels, train, *rehearsal], links, name=name))


def after_md(handoff: MDHandoff, result: MDResult) -> FWAction:
    """Hand a finished stage on, go on after a time limit, mend or stop after a halt.

    A crash that left a frame to learn from is mended like a halt, but the MD starts this run again.
    """
    stored = {"outcome": result.outcome.value, "step": result.step, "gamma_max": result.gamma_max}
    directory = CampaignDirectory(handoff.directory)
    facts = {"walker": handoff.walker, "cycle": handoff.cycle, "step": result.step}
    if result.outcome is MDOutcome.FINISHED:
        baton = Baton(start=_restart(result), cycle=handoff.cycle + 1, turns=handoff.turns)
        key = baton_key(handoff.walker, handoff.stage + 1)
        return FWAction(stored_data=stored, update_spec={key: baton.plain()})
    if result.outcome is MDOutcome.WALLTIME:
        return FWAction(stored_data=stored, detours=md_firework(_continued(handoff, result, turns=handoff.turns)))
    resumed = _after_halt(handoff, result)
    if isinstance(resumed, StopReason):
        directory.log_event("stopped", **facts, reason=resumed.value)
        return FWAction(stored_data=stored, update_spec={STOPPED: resumed.value})
    return FWAction(stored_data=stored, detours=_mending(handoff, resumed))


def after_selection(handoff: CandidatesHandoff, selection: Selection) -> FWAction:
    """Label every selected structure, side by side; of very many, several in one Firework."""
    directory = CampaignDirectory(handoff.directory)
    structures = str(directory.cycle(handoff.walker, handoff.cycle) / "selected.extxyz")
    labels = [label_firework(h) for h in _label_handoffs(handoff, selection, structures)]
    stored = {"selected": len(selection.chosen), "candidates": selection.n_candidates}
    return FWAction(stored_data=stored, detours=labels) if labels else FWAction(stored_data=stored)


def after_label(handoff: LabelHandoff, state: LabelState) -> FWAction:
    """Go on with a calculation that the walltime cut; else Train sees the label, or that there is none."""
    stored = {"label": handoff.hash, "state": state.value}
    if state is LabelState.UNFINISHED:
        again = handoff.model_copy(update={"turns": handoff.turns + 1})
        return FWAction(stored_data=stored, detours=label_firework(again))
    return FWAction(stored_data=stored)


def after_training(handoff: TrainHandoff, generation: int | None) -> FWAction:
    """Stop if there is no potential or too many labels failed; else the MD goes on by itself, maybe after pacemaker."""
    balance = _label_balance(handoff)
    if generation is None or balance.too_many_failed:
        logger.warning("%d of %d labels failed; see quarantine/", balance.failed, balance.failed + balance.done)
        return FWAction(update_spec={STOPPED: StopReason.LABEL_FAILURES.value})
    stored = {"generation": generation}
    if is_due(Generations(CampaignDirectory(handoff.directory).root), handoff.campaign):
        return FWAction(stored_data=stored, detours=polish_firework(_polish_handoff(handoff)))
    return FWAction(stored_data=stored)


def after_polish(handoff: PolishHandoff, spec: dict[str, Any], *, cut: bool) -> FWAction:
    """Go on with a fit that the walltime cut; else hand on why the campaign stops, if it does."""
    stop = {STOPPED: spec[STOPPED]} if STOPPED in spec else {}
    if cut:
        again = polish_firework(handoff.model_copy(update={"turns": handoff.turns + 1}))
        again.spec.update(stop)
        return FWAction(detours=again)
    return FWAction(update_spec=stop)


def after_validation(handoff: ValidateHandoff, missing: list[LabelHandoff]) -> FWAction:
    """Make the labels that it needs, not too many at once, and validate again; else the campaign ends."""
    if not missing:
        return FWAction()
    wanted = missing[:_WIDEST_FAN]
    again, labels = validate_firework(handoff.waiting_for(wanted)), [label_firework(one) for one in wanted]
    links = {label: [again] for label in labels}
    return FWAction(detours=Workflow([*labels, again], links, name=f"{handoff.campaign.campaign} validation"))


def _label_balance(handoff: TrainHandoff) -> LabelBalance:
    """Return the balance at the first run of this Firework; a changed limit is taken over, later failures are not."""
    directory = CampaignDirectory(handoff.directory)
    dataset, limit = Dataset(directory.root), handoff.campaign.budget.max_failed_label_fraction
    folder = directory.bootstrap
    if handoff.walker is not None and handoff.cycle is not None:
        folder = directory.cycle(handoff.walker, handoff.cycle)

    def count() -> LabelBalance:
        return LabelBalance(done=len(dataset.hashes()), failed=len(dataset.quarantined()), max_failed_fraction=limit)

    found = once(folder / "labels.json", LabelBalance, count)
    if found.too_many_failed:
        found = count()
        write_json(folder / "labels.json", found)
    return found.model_copy(update={"max_failed_fraction": limit})


def _after_halt(handoff: MDHandoff, result: MDResult) -> MDHandoff | StopReason:
    budget = handoff.campaign.budget
    if handoff.turns >= budget.max_cycles:
        return StopReason.MAX_CYCLES
    directory = CampaignDirectory(handoff.directory)
    decided = (directory.cycle(handoff.walker, handoff.cycle) / "selection.json").is_file()
    if not decided and Dataset(directory.root).n_computed() >= budget.max_labels:
        return StopReason.MAX_LABELS
    repeats = handoff.repeats + 1 if result.step == handoff.last_halt_step else 1
    if repeats < _MOST_REPEATS:
        resumed = _continued(handoff, result, turns=handoff.turns + 1)
        return resumed.model_copy(update={"last_halt_step": result.step, "repeats": repeats})
    if handoff.rewound_from == result.step:
        return StopReason.NO_PROGRESS
    return _rewound(handoff, result) or StopReason.NO_PROGRESS


def _continued(handoff: MDHandoff, result: MDResult, *, turns: int) -> MDHandoff:
    update: dict[str, object] = {"cycle": handoff.cycle + 1, "turns": turns}
    if result.outcome is not MDOutcome.CRASHED:
        update |= {"start": _restart(result), "first_step": result.step}
    return handoff.model_copy(update=update)


def _rewound(handoff: MDHandoff, result: MDResult) -> MDHandoff | None:
    """Return the hand-off of a run from the newest checkpoint of this stage before the halt, if there is one."""
    directory = CampaignDirectory(handoff.directory)
    for folder in reversed(directory.cycles(handoff.walker)):
        earlier = read_model(folder / "result.json", MDResult)
        if earlier is None or earlier.stage != handoff.stage or earlier.first_step >= result.step:
            continue
        start = None if earlier.first_step == 0 else earlier.start
        directory.log_event("rewound", walker=handoff.walker, step=result.step, to_step=earlier.first_step)
        logger.warning("three halts at step %d: rewinding to step %d", result.step, earlier.first_step)
        update = {
            "start": start,
            "first_step": earlier.first_step,
            "cycle": handoff.cycle + 1,
            "turns": handoff.turns + 1,
            "last_halt_step": None,
            "repeats": 0,
            "rewound_from": result.step,
        }
        return handoff.model_copy(update=update)
    return None


def _mending(handoff: MDHandoff, resumed: MDHandoff) -> Workflow:
    common = {
        "campaign": handoff.campaign,
        "directory": handoff.directory,
        "walker": handoff.walker,
        "cycle": handoff.cycle,
    }
    candidates = candidates_firework(CandidatesHandoff(**common, repeats=max(0, resumed.repeats - 1)))
    train = train_firework(TrainHandoff(**common), parents=[candidates])
    md = md_firework(resumed, parents=[train])
    name = f"{handoff.campaign.campaign} w{handoff.walker:02d} c{handoff.cycle:04d}"
    return Workflow([candidates, train, md], name=name)


def _polish_handoff(handoff: Handoff) -> PolishHandoff:
    return PolishHandoff(campaign=handoff.campaign, directory=handoff.directory)


def _label_handoffs(handoff: Handoff, selection: Selection, structures: str) -> list[LabelHandoff]:
    wanted = [Structure(hash=choice.hash, index=index) for index, choice in enumerate(selection.chosen)]
    size = max(1, math.ceil(len(wanted) / _WIDEST_FAN))
    batches = [wanted[first : first + size] for first in range(0, len(wanted), size)]
    return [
        LabelHandoff(
            campaign=handoff.campaign,
            directory=handoff.directory,
            hash=first.hash,
            structures=structures,
            index=first.index,
            more=more,
        )
        for first, *more in batches
    ]


def _restart(result: MDResult) -> str:
    if result.restart is None:
        raise MDError(f"MD of walker {result.walker} cycle {result.cycle} left no restart file")
    return result.restart
