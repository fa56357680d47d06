"""The one place where the loop closes: what follows each result.

::

    MD halted   ->  detour  Candidates -> Train -> MD(resumed)  -> (old children of MD)
    Candidates  ->  detours Label 1 … n                          -> Train
    Train       ->  detour  Polish, if a refinement is due        -> (old children of Train)
    Audit       ->  detour  Label 1 … n -> Audit                  -> (Validate) -> Summary
                ->  detour  Label 1 … n -> Train -> MD of the stage that failed -> Audit, if its error is too large
    Validate    ->  detour  Label 1 … n -> Validate              -> Summary

Each ``after_…`` takes the Step that was done and its result. Specs in the database name these functions
(:mod:`mlip_fw.firetasks.continuations`): they are never renamed.
"""

from __future__ import annotations

import logging
import math

from fireworks import Firework, FWAction, Workflow

from mlip_fw.campaign.cycle_files import CycleFiles
from mlip_fw.campaign.events import Event
from mlip_fw.engines.sampling.small_cell_prerun import prerun_cells
from mlip_fw.engines.train.schedule import is_due
from mlip_fw.errors import MDError
from mlip_fw.firetasks.base import STOPPED, logger
from mlip_fw.firetasks.continuations import continuation
from mlip_fw.io.files import read_model
from mlip_fw.models.accuracy import AuditRound
from mlip_fw.models.handoff import (
    AuditHandoff,
    CandidatesHandoff,
    Handoff,
    LabelHandoff,
    MDHandoff,
    RefineHandoff,
    SelectedStructure,
    StageCarryOver,
    TrainHandoff,
    ValidateHandoff,
    carry_over_key,
)
from mlip_fw.models.label import LabelState
from mlip_fw.models.md import MDOutcome, MDResult
from mlip_fw.models.selection import Selection
from mlip_fw.models.summary import StopReason
from mlip_fw.steps.audit import Audited, frames_to_label
from mlip_fw.steps.label import LastLabel
from mlip_fw.steps.step import Step
from mlip_fw.steps.train import Trained
from mlip_fw.workflows.build import (
    audit_firework,
    candidates_firework,
    label_firework,
    md_firework,
    refine_firework,
    train_firework,
    validate_firework,
    walker_fireworks,
)
from mlip_fw.workflows.campaign import is_refined_at_the_end

_MAX_REPEATS = 3
_SPENT = (StopReason.MAX_LABELS, StopReason.MAX_CYCLES)
_WIDEST_FAN = 256
"""Most Label Fireworks of one halt: each pays for the width of the fan (docs/explanation/scale.md)."""


@continuation
def after_bootstrap(step: Step[Handoff], selection: Selection) -> FWAction:
    """Label the first structures, train generation 0, and run MD in small cells before the large ones start."""
    train = train_firework(TrainHandoff(campaign=step.campaign, directory=step.handoff.directory))
    labels = _label_fireworks(step.handoff, selection, step.files)
    links = {label: [train] for label in labels}
    prerun = [md for walker in prerun_cells(step.campaign) for md in walker_fireworks(step.handoff, walker, train)]
    return FWAction(detours=_workflow(step, "bootstrap", [*labels, train, *prerun], links))


@continuation
def after_md(step: Step[MDHandoff], result: MDResult) -> FWAction:
    """Hand a finished stage on, go on after a time limit, retrain or stop after a halt.

    A crash that left a frame to learn from is treated like a halt, but the MD starts this run again.
    """
    handoff = step.handoff
    stored = {"outcome": result.outcome.value, "step": result.step, "gamma_max": result.gamma_max}
    if result.outcome is MDOutcome.FINISHED:
        carried = StageCarryOver(start=_restart(result), cycle=handoff.cycle + 1, turns=handoff.turns)
        key = carry_over_key(handoff.walker, handoff.stage + 1)
        return FWAction(stored_data=stored, update_spec={key: carried.plain()})
    if result.outcome is MDOutcome.WALLTIME:
        return FWAction(stored_data=stored, detours=md_firework(_continued(handoff, result)))
    resumed = _after_halt(step, result)
    if isinstance(resumed, MDHandoff):
        return FWAction(stored_data=stored, detours=_retraining(step, resumed))
    walker, cycle = handoff.walker_and_cycle
    if handoff.repetition and resumed in _SPENT:
        # the walkers have been through all stages: what is missing is a small error, and the audit says why
        resumed = StopReason.ACCURACY
    step.record(Event.STOPPED, walker=walker, cycle=cycle, step=result.step, reason=resumed.value)
    return FWAction(stored_data=stored, update_spec={STOPPED: resumed.value})


@continuation
def after_selection(step: Step[CandidatesHandoff], selection: Selection) -> FWAction:
    """Label what is selected, and a frame for the audit, side by side; of very many, several in one Firework."""
    labels = _label_fireworks(step.handoff, selection, step.files)
    labels += [label_firework(one) for one in frames_to_label(step, *step.handoff.walker_and_cycle)]
    stored = {"selected": len(selection.chosen), "candidates": selection.n_candidates}
    return FWAction(stored_data=stored, detours=labels) if labels else FWAction(stored_data=stored)


@continuation
def after_label(step: Step[LabelHandoff], last: LastLabel) -> FWAction:
    """Go on with a calculation that the walltime cut; else Train sees the label, or that there is none."""
    stored = {"label": last.handoff.hash, "state": last.state.value}
    if last.state is not LabelState.UNFINISHED:
        return FWAction(stored_data=stored)
    again = label_firework(last.handoff.model_copy(update={"turns": last.handoff.turns + 1}))
    if step.fworker is not None:
        again.spec["_fworker"] = step.fworker
    return FWAction(stored_data=stored, detours=again)


@continuation
def after_training(step: Step[TrainHandoff], trained: Trained) -> FWAction:
    """Stop if there is no potential or too many labels failed; else the MD goes on, maybe after a refinement."""
    labels = trained.labels
    if trained.generation is None or labels.too_many_failed:
        logger.warning("%d of %d labels failed; see quarantine/", labels.failed, labels.failed + labels.done)
        return FWAction(update_spec={STOPPED: StopReason.LABEL_FAILURES.value})
    stored = {"generation": trained.generation}
    if is_due(step.generations, step.campaign):
        refine = RefineHandoff(campaign=step.campaign, directory=step.handoff.directory)
        return FWAction(stored_data=stored, detours=refine_firework(refine))
    return FWAction(stored_data=stored)


@continuation
def after_polish(step: Step[RefineHandoff], *, cut: bool) -> FWAction:
    """Go on with a fit that the walltime cut; else hand on why the campaign stops, if it does."""
    stop = {} if step.stop is None else {STOPPED: step.stop}
    if cut:
        again = refine_firework(step.handoff.model_copy(update={"turns": step.handoff.turns + 1}))
        again.spec.update(stop)
        return FWAction(detours=again)
    return FWAction(update_spec=stop)


@continuation
def after_audit(step: Step[AuditHandoff], audited: Audited) -> FWAction:
    """Make the labels that it needs and audit again; or teach the potential more and repeat a stage; else go on."""
    if audited.missing:
        again = audit_firework(step.handoff.waiting_for(audited.missing))
        if step.stop is not None:
            again.spec[STOPPED] = step.stop
        labels = [label_firework(one) for one in audited.missing]
        return FWAction(detours=_workflow(step, "audit", [*labels, again], {label: [again] for label in labels}))
    if audited.repeat is not None:
        return FWAction(detours=_repetition(step, audited.repeat, audited.labels))
    stop = audited.stop or step.stop
    return FWAction(update_spec={} if stop is None else {STOPPED: str(stop)})


@continuation
def after_validation(step: Step[ValidateHandoff], missing: list[LabelHandoff]) -> FWAction:
    """Make the labels that it needs, not too many at once, and validate again; else the campaign ends."""
    if not missing:
        return FWAction()
    wanted = missing[:_WIDEST_FAN]
    again, labels = validate_firework(step.handoff.waiting_for(wanted)), [label_firework(one) for one in wanted]
    links = {label: [again] for label in labels}
    return FWAction(detours=_workflow(step, "validation", [*labels, again], links))


def _after_halt(step: Step[MDHandoff], result: MDResult) -> MDHandoff | StopReason:
    """Return the hand-off of the MD that goes on after retraining, or why the campaign stops."""
    handoff, budget = step.handoff, step.campaign.budget
    if handoff.turns >= budget.max_cycles:
        return StopReason.MAX_CYCLES
    # what was selected before a restart of this Firework is labelled, whatever has been spent meanwhile
    if not step.files.selection.is_file() and step.dataset.n_computed() >= budget.max_labels:
        return StopReason.MAX_LABELS
    repeats = handoff.repeats + 1 if result.step == handoff.last_halt_step else 1
    if repeats < _MAX_REPEATS:
        update = {"turns": handoff.turns + 1, "last_halt_step": result.step, "repeats": repeats}
        return _continued(handoff, result).model_copy(update=update)
    if handoff.rewound_from == result.step:
        return StopReason.NO_PROGRESS
    return _rewind(step, result) or StopReason.NO_PROGRESS


def _continued(handoff: MDHandoff, result: MDResult) -> MDHandoff:
    """Return the hand-off of the next cycle: from where MD ended, or from where it began if it crashed."""
    update: dict[str, object] = {"cycle": handoff.cycle + 1}
    if result.outcome is not MDOutcome.CRASHED:
        update |= {"start": _restart(result), "first_step": result.step}
    return handoff.model_copy(update=update)


def _rewind(step: Step[MDHandoff], result: MDResult) -> MDHandoff | None:
    """Record that MD goes back to the newest checkpoint of this stage before the halt, if there is one.

    Returns
    -------
    MDHandoff | None
        The hand-off of that MD.
    """
    handoff = step.handoff
    for folder in reversed(step.directory.cycles(handoff.walker)):
        earlier = read_model(CycleFiles(folder).result, MDResult)
        if earlier is None or earlier.stage != handoff.stage or earlier.first_step >= result.step:
            continue
        step.record(
            Event.REWOUND,
            f"three halts at step {result.step}: rewinding to step {earlier.first_step}",
            at=logging.WARNING,
            walker=handoff.walker,
            step=result.step,
            to_step=earlier.first_step,
        )
        update = {
            "start": None if earlier.first_step == 0 else earlier.start,
            "first_step": earlier.first_step,
            "cycle": handoff.cycle + 1,
            "turns": handoff.turns + 1,
            "last_halt_step": None,
            "repeats": 0,
            "rewound_from": result.step,
        }
        return handoff.model_copy(update=update)
    return None


def _retraining(step: Step[MDHandoff], resumed: MDHandoff) -> Workflow:
    """Return Candidates → Train → resumed MD; Candidates adds the Label Fireworks when it knows what to label."""
    walker, cycle = step.handoff.walker_and_cycle
    common = {"campaign": step.campaign, "directory": step.handoff.directory, "walker": walker, "cycle": cycle}
    candidates = candidates_firework(CandidatesHandoff(**common, repeats=max(0, resumed.repeats - 1)))
    train = train_firework(TrainHandoff(**common), parents=[candidates])
    md = md_firework(resumed, parents=[train])
    return _workflow(step, f"w{walker:02d} c{cycle:04d}", [candidates, train, md])


def _repetition(step: Step[AuditHandoff], decided: AuditRound, labels: list[LabelHandoff]) -> Workflow:
    """Return Labels → Train → MD of one stage of all walkers → Polish, if asked for → Audit."""
    campaign, directory = step.campaign, step.handoff.directory
    fan = [label_firework(one) for one in labels]
    # the training has the folder of the last run before it, which did not halt and has none
    train = train_firework(
        TrainHandoff(campaign=campaign, directory=directory, walker=0, cycle=decided.cycle[0] - 1), parents=fan
    )
    walkers = [
        md_firework(
            MDHandoff(
                campaign=campaign,
                directory=directory,
                walker=walker,
                cycle=cycle,
                stage=decided.stage,
                turns=decided.turns[walker],
                start=decided.start[walker],
                first_step=campaign.md.first_step(decided.stage),
                repetition=decided.round + 1,
            ),
            parents=[train],
        )
        for walker, cycle in decided.cycle.items()
    ]
    refine = RefineHandoff(campaign=campaign, directory=directory)
    polish = [refine_firework(refine, parents=walkers)] if is_refined_at_the_end(campaign) else []
    again = audit_firework(
        AuditHandoff(campaign=campaign, directory=directory, round=decided.round + 1), parents=polish or walkers
    )
    return _workflow(step, f"round {decided.round + 1}", [*fan, train, *walkers, *polish, again])


def _workflow(
    step: Step[Handoff], name: str, fireworks: list[Firework], links: dict[Firework, list[Firework]] | None = None
) -> Workflow:
    return Workflow(fireworks, links, name=f"{step.campaign.campaign} {name}")


def _label_fireworks(handoff: Handoff, selection: Selection, files: CycleFiles) -> list[Firework]:
    return [label_firework(one) for one in _label_handoffs(handoff, selection, str(files.selected))]


def _label_handoffs(handoff: Handoff, selection: Selection, structures: str) -> list[LabelHandoff]:
    """Return one hand-off for each selected structure; of more than a fan of them, several in one."""
    wanted = [SelectedStructure(hash=choice.hash, index=index) for index, choice in enumerate(selection.chosen)]
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
