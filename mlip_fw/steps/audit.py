"""The step audit: how large the error is, and what is done about it if it is too large."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mlip_fw.campaign.accuracy import is_undecided, worst
from mlip_fw.campaign.dataset import Dataset, label_name
from mlip_fw.campaign.events import Event
from mlip_fw.campaign.seeds import derived_seed
from mlip_fw.campaign.summary import md_results
from mlip_fw.engines.ace.error_estimate import ErrorEstimator
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.sampling.small_cell_prerun import is_prerun
from mlip_fw.engines.train.diagnosis import diagnose
from mlip_fw.io.files import read_model, write_json
from mlip_fw.io.structures import write_frames
from mlip_fw.models.accuracy import AuditedFrame, AuditFrame, AuditRecord, AuditRound, Coverage
from mlip_fw.models.handoff import AuditHandoff, Handoff, LabelHandoff, MDHandoff
from mlip_fw.models.md import MDOutcome, MDResult
from mlip_fw.models.summary import StopReason
from mlip_fw.models.worker import Worker
from mlip_fw.steps.step import Step
from mlip_fw.validation.audit_errors import audit_record, failing_stage
from mlip_fw.validation.audit_evidence import evidence_of
from mlip_fw.validation.audit_frames import (
    Stratum,
    draw_place,
    eligible_places,
    frames_by_stratum,
    places_in,
    read_drawn,
    store_frame,
    strata_of,
)
from mlip_fw.validation.expected_error import uncertain_frames
from mlip_fw.validation.holdout import structure_file
from mlip_fw.validation.parity import Pair, rms
from mlip_fw.validation.sources import PotentialSource

logger = logging.getLogger("mlip_fw")
_LOCK = "audit-frames"
_MAX_TIMES = 3
"""How often a label is asked for, and how many frames of one part of the MD may fail; then it goes unaudited."""
_MAX_MULTIPLE = 4
"""At most so many times ``min_audit_frames``, if fewer leave it open whether the target is met."""
_MORE_LABELS = 0.5
"""Labels of one round, as a fraction of those before it."""
_MIN_PROGRESS = 0.05
"""A campaign stops if its error falls by less than this fraction in two rounds."""
_SPENT = (
    "The budget was spent while a stage was repeated to make the error smaller: its MD has halted and does not go on. "
    "Raise budget.max_labels and budget.max_cycles."
)
SELECTED, ROUND = "selected.extxyz", "round.json"


@dataclass(frozen=True)
class Audited:
    """The result of the step: labels to make first, or a stage to repeat, or why the campaign stops, or nothing."""

    missing: list[LabelHandoff] = field(default_factory=list)
    repeat: AuditRound | None = None
    labels: list[LabelHandoff] = field(default_factory=list)
    """What is labelled before a stage is repeated."""
    stop: StopReason | None = None


def draw_after_run(step: Step[MDHandoff], result: MDResult) -> None:
    """Draw a frame of an MD run for the audit, by a chance that makes them ``accuracy.audit_share`` of the labels.

    Of a run whose chemistry changed a frame is drawn in any case, if its stage has none yet. Nothing is drawn twice
    from one run, so a run that is done again after a crash gives the same.

    Files: reads the trajectory; writes ``audit/structures/<hash>.extxyz`` and ``audit/frames.json``.
    """
    campaign, walker, cycle = step.campaign, result.walker, result.cycle
    crashed = result.outcome is MDOutcome.CRASHED
    if not campaign.is_audited or not campaign.accuracy.audit_share or is_prerun(campaign, walker) or crashed:
        return
    with step.directory.work_locked(_LOCK):
        drawn = read_drawn(step.directory)
        if any((frame.walker, frame.cycle) == (walker, cycle) for frame in drawn):
            return
        spent = step.dataset.n_computed()
        wanted = campaign.accuracy.audit_share * spent - len(drawn)
        seed = derived_seed(campaign.seed, "audit", walker, cycle)
        is_first = bool(result.chemistry) and not any(
            (frame.walker, frame.stage) == (walker, result.stage) for frame in drawn
        )
        by_chance = np.random.default_rng(seed).random() < wanted
        if spent >= campaign.budget.max_labels or not (is_first or by_chance):
            return
        places = [place for place in places_in(result, step.directory, campaign) if place.is_apart]
        place = draw_place(places, [], seed)
        if place is not None:
            potential = AcePotential.from_files(step.generations.potential(result.generation))
            store_frame(place, seed, step.directory, campaign, potential, step.level_of_theory(Worker()))


def frames_to_label(step: Step[Handoff], walker: int, cycle: int) -> list[LabelHandoff]:
    """Return the hand-offs of frames of a run that were drawn for the audit and have no label yet."""
    frames = [frame for frame in read_drawn(step.directory) if (frame.walker, frame.cycle) == (walker, cycle)]
    return [_to_label(step, frame) for frame in frames if not _is_settled(step, frame)]


def audit_potential(step: Step[AuditHandoff], worker: Worker) -> Audited:
    """Compare the newest generation with frames that were drawn at random; if it is not good enough, say what is next.

    What was decided once is decided again, as long as a stage was repeated for it; a campaign that stopped is judged
    anew, by the target and the budget of now.

    Files: reads ``potentials/``, trajectories and ``audit/labels/``; writes ``audit/frames.json``,
    ``audit/audit_NNNN.json``, and for a stage that is repeated ``audit/round_NNNN/`` and labels that join ``labels/``.
    """
    directory, campaign = step.directory, step.campaign
    if not campaign.is_audited:
        return Audited()
    known = read_model(directory.audit_round(step.handoff.round) / ROUND, AuditRound)
    if known is not None:
        return _carried_out(step, known)
    started = time.perf_counter()
    # a campaign that stops for another reason spends no more labels: its error is known if frames have theirs
    ends_here, spends = step.stop is not None, step.stop in (None, StopReason.ACCURACY)
    missing, record = _audit(step, worker, spends=spends, may_grow=not ends_here)
    seconds = round(time.perf_counter() - started, 3)
    if missing:
        step.record(Event.AUDITING, labels=len(missing), seconds=seconds)
        return Audited(missing)
    if record is None:
        if spends:
            logger.warning("no frame of the MD could be labelled for an audit: the error is not known")
        return Audited(stop=StopReason.ACCURACY if spends else None)
    _record_audit(step, record, seconds)
    if not spends or (record.met and not ends_here):
        write_json(directory.audit_record(record.generation), record)
        return Audited()
    next_round = None if ends_here else _next_round(step, record, worker)
    if next_round is None:
        said = _SPENT if record.met else diagnose(evidence_of(directory, campaign, record))
        said = f"{_SPENT} {said}" if ends_here and not record.met else said
        write_json(directory.audit_record(record.generation), record.model_copy(update={"diagnosis": said}))
        return Audited(stop=StopReason.ACCURACY)
    write_json(directory.audit_record(record.generation), record)
    return _carried_out(step, next_round)


def _audit(
    step: Step[AuditHandoff], worker: Worker, *, spends: bool, may_grow: bool
) -> tuple[list[LabelHandoff], AuditRecord | None]:
    """Return the labels that are missing, and what is known with those that are there.

    ``spends`` says whether labels may be made, ``may_grow`` whether more than the fewest frames are audited where these
    leave it open whether the target is met.
    """
    settings, n, record = step.campaign.accuracy, step.campaign.accuracy.min_audit_frames, None
    places = eligible_places(step.directory, step.campaign)
    while True:
        strata = strata_of(places, step.campaign, n)
        is_more = n > settings.min_audit_frames
        missing = _missing(step, strata, worker, is_more=is_more) if spends else []
        if missing is None:
            return [], record
        if missing:
            return missing, None
        record = _compared(step, strata)
        if record is None or record.met or not is_undecided(record.errors, record.target) or not may_grow:
            return [], record
        n *= 2
        if n > _MAX_MULTIPLE * settings.min_audit_frames:
            return [], record


def _missing(
    step: Step[AuditHandoff], strata: list[Stratum], worker: Worker, *, is_more: bool
) -> list[LabelHandoff] | None:
    """Draw frames of strata that have none, and return the labels that are to be made.

    ``is_more`` says that these are beyond the fewest frames, and have to fit into the budget; None if they don't.
    """
    directory, campaign, wanted = step.directory, step.campaign, []
    level, generation = step.level_of_theory(worker), step.generations.fit_for_md()
    assert generation is not None
    potential = AcePotential.from_files(step.generations.potential(generation))
    with directory.work_locked(_LOCK):
        drawn = read_drawn(directory)
        trained = set(step.dataset.hashes())
        found = frames_by_stratum(strata, drawn, trained)
        failed = [sum(_has_failed(step, frame) for frame in frames) for frames in found]
        empty = [k for k, frames in enumerate(found) if len(frames) == failed[k] < _MAX_TIMES]
        if is_more and len(empty) > campaign.budget.max_labels - step.dataset.n_computed():
            return None
        for k in empty:
            for _ in range(_MAX_TIMES):
                seed = derived_seed(campaign.seed, "audit", "stratum", len(drawn), k)
                place = draw_place(strata[k].places, drawn, seed)
                if place is None:
                    break
                frame = store_frame(place, seed, directory, campaign, potential, level)
                if frame is not None:
                    drawn, found[k] = [*drawn, frame], [*found[k], frame]
                    break
        for frames in found:
            wanted += [_to_label(step, frame) for frame in frames if not _is_settled(step, frame)]
    return [label for label in wanted if step.handoff.asked.get(label.hash, 0) < _MAX_TIMES]


def _compared(step: Step[AuditHandoff], strata: list[Stratum]) -> AuditRecord | None:
    """Compare the newest generation with the frames of each stratum that have labels; None without any."""
    generation, settings = step.generations.fit_for_md(), step.campaign.accuracy
    training = None if generation is None else step.generations.record(generation)
    if generation is None or training is None:
        return None
    potential = AcePotential.from_files(step.generations.potential(generation))
    mine, audited = PotentialSource(potential, training.reference_energy_ev), Dataset(step.directory.audit)
    trained = {*step.dataset.hashes(), *training.labels}
    estimator = ErrorEstimator.of_file(step.generations.potential(generation))
    frames: list[AuditedFrame] = []
    pairs: list[Pair] = []
    for stratum, found in zip(strata, frames_by_stratum(strata, read_drawn(step.directory), trained), strict=True):
        labelled = [frame for frame in found if audited.has(frame.hash)]
        for frame in labelled:
            label = audited.read(frame.hash)
            pairs.append(Pair(mine.label([label])[0], label, frame.temperature_k))
            audit = _audited(frame, pairs[-1], stratum.weight / len(labelled))
            frames.append(audit.model_copy(update={"coverage": _coverage(pairs[-1], estimator)}))
    if not frames:
        return None
    return audit_record(
        frames,
        _by_element(pairs),
        settings.target,
        settings.min_audit_frames,
        generation=generation,
        round_number=step.handoff.round,
        labels=len(training.labels),
    )


def _audited(frame: AuditFrame, pair: Pair, weight: float) -> AuditedFrame:
    stress = pair.stress_errors_gpa
    return AuditedFrame(
        hash=frame.hash,
        walker=frame.walker,
        stage=frame.stage,
        temperature_k=frame.temperature_k,
        weight=weight,
        force_rmse_ev_a=rms(pair.force_errors_ev_a),
        force_rms_ev_a=rms(pair.oracle.get_forces()[pair.compared]),
        energy_error_ev_atom=pair.energy_error_ev_atom,
        stress_rmse_gpa=rms(stress) if len(stress) else None,
    )


def _coverage(pair: Pair, estimator: ErrorEstimator | None) -> Coverage | None:
    """Return which shares of the oracle's force components lie within the stated intervals."""
    if estimator is None or not pair.compared.any():
        return None
    widths = estimator.half_widths_ev_a(pair.potential, pair.potential.get_forces())[pair.compared]
    inside = np.abs(pair.force_errors_ev_a)[:, :, None] <= widths[:, None, :]
    return Coverage(within_68=float(inside[..., 0].mean()), within_95=float(inside[..., 1].mean()))


def _by_element(pairs: list[Pair]) -> dict[str, tuple[float, float]]:
    """Return the root mean square of error and force on each element, eV/Å."""
    symbols = np.concatenate([np.array(pair.oracle.get_chemical_symbols())[pair.compared] for pair in pairs])
    errors = np.concatenate([pair.force_errors_ev_a for pair in pairs])
    forces = np.concatenate([pair.oracle.get_forces()[pair.compared] for pair in pairs])
    return {str(name): (rms(errors[symbols == name]), rms(forces[symbols == name])) for name in sorted(set(symbols))}


def _next_round(step: Step[AuditHandoff], record: AuditRecord, worker: Worker) -> AuditRound | None:
    """Choose what is labelled and repeated; None if the budget is spent or the error does not fall any more."""
    campaign, directory, number = step.campaign, step.directory, step.handoff.round
    left = campaign.budget.max_labels - step.dataset.n_computed()
    stage = failing_stage(record)
    walkers = _restarts(step, stage)
    if left <= 0 or walkers is None or _no_progress(step, record):
        return None
    joined = [frame.hash for frame in record.frames if frame.stage == stage]
    wanted = math.ceil(_MORE_LABELS * record.labels) - len(joined)
    n_chosen = min(left, max(campaign.candidates.max_labels_per_halt, wanted))
    places = [place for place in eligible_places(directory, campaign) if place.stage == stage]
    drawn = {(frame.walker, frame.cycle, frame.step) for frame in read_drawn(directory)}
    rng = np.random.default_rng(derived_seed(campaign.seed, "round", number))
    structures = uncertain_frames(
        [place for place in places if place.key not in drawn], n_chosen, directory, campaign, rng
    )
    level = step.level_of_theory(worker)
    named = {label_name(atoms, level): atoms for atoms in structures}
    known = {name for name in named if step.dataset.has(name) or step.dataset.is_quarantined(name)}
    chosen = {name: atoms for name, atoms in named.items() if name not in known}
    folder = directory.audit_round(number)
    if chosen:
        write_frames(folder / SELECTED, list(chosen.values()))
    made = AuditRound(
        round=number,
        generation=record.generation,
        stage=stage,
        labels=record.labels,
        force_rmse_ev_a=record.errors.force_rmse_ev_a,
        worst=max(worst(record.errors, record.target).estimate, 1e-12),
        joined=joined,
        chosen=list(chosen),
        **walkers,
    )
    write_json(folder / ROUND, made)
    step.record(
        Event.STAGE_REPEATED,
        f"the error is {made.worst:.3g} times the target: {len(joined)} audited frames join the training set, "
        f"{len(chosen)} more are labelled, and stage {stage} goes again",
        at=logging.WARNING,
        stage=stage,
        generation=record.generation,
        joined=len(joined),
        labels=len(chosen),
    )
    return made


def _restarts(step: Step[AuditHandoff], stage: int) -> dict[str, dict[int, int] | dict[int, str | None]] | None:
    """Return where each walker goes again, from which cycle on and after how many turns; None if one can't."""
    campaign, results = step.campaign, md_results(step.directory)
    start: dict[int, str | None] = {}
    cycle, turns = {}, {}
    for walker in range(campaign.md.walkers):
        mine = sorted((r for r in results if r.walker == walker), key=lambda one: one.cycle)
        before = [r for r in mine if r.stage == stage - 1 and r.outcome is MDOutcome.FINISHED]
        turns[walker] = sum(r.outcome in (MDOutcome.HALTED, MDOutcome.CRASHED) for r in mine)
        if not mine or (stage and (not before or before[-1].restart is None)):
            return None
        if turns[walker] >= campaign.budget.max_cycles:
            return None
        start[walker] = before[-1].restart if stage else None
        cycle[walker] = mine[-1].cycle + 1
    return {"start": start, "cycle": cycle, "turns": turns}


def _no_progress(step: Step[AuditHandoff], record: AuditRecord) -> bool:
    """Return whether the error has hardly fallen in the last two rounds."""
    if step.handoff.round < 2:
        return False
    earlier = read_model(step.directory.audit_round(step.handoff.round - 2) / ROUND, AuditRound)
    now = worst(record.errors, record.target).estimate
    return earlier is not None and now > (1 - _MIN_PROGRESS) * earlier.worst


def _carried_out(step: Step[AuditHandoff], decided: AuditRound) -> Audited:
    """Let the audited frames of a round join the training set, and return the round with what is to be labelled."""
    audited = Dataset(step.directory.audit)
    for name in decided.joined:
        if audited.has(name):
            step.dataset.adopt(name, audited)
    structures = str(step.directory.audit_round(decided.round) / SELECTED)
    common = {"campaign": step.campaign, "directory": step.handoff.directory, "structures": structures}
    labels = [LabelHandoff(**common, hash=name, index=k) for k, name in enumerate(decided.chosen)]
    return Audited(repeat=decided, labels=labels)


def _record_audit(step: Step[AuditHandoff], record: AuditRecord, seconds: float) -> None:
    errors, known = record.errors, read_model(step.directory.audit_record(record.generation), AuditRecord)
    if known is not None and known.errors == errors and known.target == record.target:
        return
    interval = errors.force_rmse_interval_ev_a
    step.record(
        Event.AUDITED,
        f"generation {record.generation}: force error {1000 * errors.force_rmse_ev_a:.1f} meV/Å on {errors.n_frames} "
        f"audited frames; the target is {'met' if record.met else 'not met'}",
        generation=record.generation,
        frames=errors.n_frames,
        force_rmse_ev_a=errors.force_rmse_ev_a,
        interval_ev_a=None if interval is None else list(interval),
        met=record.met,
        seconds=seconds,
    )


def _to_label(step: Step[Handoff], frame: AuditFrame) -> LabelHandoff:
    return LabelHandoff(
        campaign=step.campaign,
        directory=step.handoff.directory,
        hash=frame.hash,
        structures=str(structure_file(Path(step.directory.audit), frame.hash)),
        index=0,
        audit=True,
    )


def _is_settled(step: Step[Handoff], frame: AuditFrame) -> bool:
    """Return whether a frame has its label, or failed, or is in the training set."""
    return Dataset(step.directory.audit).has(frame.hash) or _has_failed(step, frame) or step.dataset.has(frame.hash)


def _has_failed(step: Step[Handoff], frame: AuditFrame) -> bool:
    audited = Dataset(step.directory.audit)
    given_up = isinstance(step.handoff, AuditHandoff) and step.handoff.asked.get(frame.hash, 0) >= _MAX_TIMES
    return not audited.has(frame.hash) and (audited.is_quarantined(frame.hash) or given_up)
