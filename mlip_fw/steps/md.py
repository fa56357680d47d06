"""The step MD: one run of LAMMPS, until it finishes, halts or is cut."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mlip_fw.campaign.events import Event
from mlip_fw.campaign.seeds import derived_seed
from mlip_fw.engines.ace.kernel.choice import PYACE
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.md.backtrack import FOLDER, backtrack, exceeds_ceiling
from mlip_fw.engines.md.engine_check import EngineCheckRecord, run_engine_check
from mlip_fw.engines.md.outcome import Ending, frame_before_crash, keep_last_frame
from mlip_fw.engines.md.run import Engine, choose_engine, run_md
from mlip_fw.engines.md.script import LOG, RunPlan, start_temperature_k
from mlip_fw.engines.sampling.small_cell_prerun import fixed_and_masses, is_prerun, start_of_run
from mlip_fw.engines.structures.coordination import changes_since
from mlip_fw.engines.structures.fixed_atoms import FixedAtoms, draw_velocities, temperature_of
from mlip_fw.errors import MDError
from mlip_fw.io.files import read_model, read_or_create, write_json
from mlip_fw.io.lammps import temperatures_in_log, write_data
from mlip_fw.models.handoff import MDHandoff
from mlip_fw.models.md import MDOutcome, MDResult
from mlip_fw.models.worker import Worker
from mlip_fw.runtime.cores import cores_of
from mlip_fw.steps.audit import draw_after_run
from mlip_fw.steps.step import Step

logger = logging.getLogger("mlip_fw")
_EVENTS = {
    MDOutcome.FINISHED: Event.MD_FINISHED,
    MDOutcome.WALLTIME: Event.MD_OUT_OF_TIME,
    MDOutcome.HALTED: Event.HALTED,
    MDOutcome.CRASHED: Event.CRASHED,
}


def run_dynamics(step: Step[MDHandoff], worker: Worker) -> MDResult:
    """Run MD from the hand-off's start with the newest potential that is fit for it.

    Done once: later calls return the stored result.

    Files: reads ``potentials/``; writes ``in.lammps``, ``log.lammps``, the trajectory, the last frame and restart
    file of the run, and ``result.json``.

    Raises
    ------
    MDError
        If the campaign has no potential yet, or MD crashed and left no frame to learn from.
    WorkerError
        If this machine can't run it, or its LAMMPS gives other numbers than pyace.
    """
    result = read_or_create(step.files.result, MDResult, lambda: _run(step, worker))
    if result.outcome is MDOutcome.CRASHED and result.frame is None:
        step.files.result.unlink()
        raise MDError(f"MD crashed in {step.files.folder}: {result.reason}; see log.lammps and lmp.out there")
    return result


def _run(step: Step[MDHandoff], worker: Worker) -> MDResult:
    handoff, campaign, folder = step.handoff, step.campaign, step.files.folder
    generation = step.generations.fit_for_md()
    if generation is None:
        raise MDError(
            f"there is no potential in {step.directory.root / 'potentials'}; run the campaign's Bootstrap first"
        )
    potential = step.generations.potential(generation)
    engine, why = choose_engine(campaign.md.engine, worker)
    _check_engine_once(step, engine, worker, potential)
    started = time.perf_counter()
    plan = _plan(step, potential, worker)
    step.record(
        Event.MD_STARTED,
        walker=handoff.walker,
        cycle=handoff.cycle,
        stage=handoff.stage,
        step=handoff.first_step,
        generation=generation,
        engine=engine,
        why=why,
        rehearsal=is_prerun(campaign, handoff.walker),
    )
    ending = run_md(plan, folder, engine, worker)
    if ending.outcome is MDOutcome.CRASHED and ending.is_physics:
        learnable = frame_before_crash(folder, campaign.uncertainty.gamma_select, plan)
        ending = ending if learnable is None else replace(learnable, reason=ending.reason)
    ending, source = _not_too_far(step, ending, plan, engine, worker)
    restart, frame = keep_last_frame(ending, source, folder, generation)
    result = MDResult(
        outcome=ending.outcome,
        engine=engine,
        walker=handoff.walker,
        cycle=handoff.cycle,
        stage=handoff.stage,
        generation=generation,
        first_step=handoff.first_step,
        step=ending.step,
        start=str(plan.start),
        gamma_max=ending.gamma_max,
        atom=ending.atom,
        temperature_k=plan.target_temperature_k(ending.step),
        measured_temperature_k=temperatures_in_log(source / LOG).get(ending.step),
        restart=None if restart is None else str(restart),
        frame=None if frame is None else str(frame),
        reason=ending.reason,
        chemistry=_changes(step, ending),
        seconds=time.perf_counter() - started,
        cores=cores_of(worker.lmp_cmd or "lmp" if engine == "lammps" else None),
    )
    draw_after_run(step, result)
    _record_outcome(step, result)
    return result


def _check_engine_once(step: Step[MDHandoff], engine: Engine, worker: Worker, potential: Path) -> None:
    """Compare each engine of a campaign with pyace once, before core-hours are spent."""
    folder = step.directory.engine_check(engine)
    # walkers that start side by side share its folder
    with step.directory.work_locked(f"canary-{engine}"):
        known = read_model(folder / "canary.json", EngineCheckRecord)
        if known is None or known.lmp_cmd != worker.lmp_cmd:
            atoms, _ = start_of_run(step.campaign, 0)
            elements = tuple(step.campaign.elements)
            write_json(folder / "canary.json", run_engine_check(engine, worker, potential, atoms, elements, folder))


def _plan(step: Step[MDHandoff], potential: Path, worker: Worker) -> RunPlan:
    handoff, campaign, md = step.handoff, step.campaign, step.campaign.md
    stage = md.stages[handoff.stage]
    fixed, masses = fixed_and_masses(campaign, handoff.walker)
    seed: int | None = None
    temperature_k: float | None = None
    if handoff.start is None:
        seed, temperature_k = _write_start(step, fixed)
    return RunPlan(
        title=f"{campaign.campaign}, walker {handoff.walker}, cycle {handoff.cycle}, stage {handoff.stage}",
        elements=tuple(campaign.elements),
        cutoff_a=AcePotential.from_files(potential, PYACE).cutoff_a,
        potential=potential,
        start=step.files.start if handoff.start is None else Path(handoff.start),
        is_restart=handoff.start is not None,
        velocity_seed=seed,
        velocity_temperature_k=temperature_k,
        stage=stage,
        stage_first_step=md.first_step(handoff.stage),
        stage_last_step=md.last_step(handoff.stage),
        first_step=handoff.first_step,
        timestep_fs=md.timestep_fs,
        gamma_halt=campaign.uncertainty.gamma_halt,
        check_interval=campaign.uncertainty.check_interval,
        walltime_s=worker.md_walltime_s,
        fixed=None if fixed is None else FixedAtoms.of(fixed),
        masses_u=masses,
    )


def _write_start(step: Step[MDHandoff], fixed: np.ndarray | None) -> tuple[int | None, float | None]:
    """Write the data file that a walker starts from; return seed and temperature (K) of velocities to be drawn.

    Without a seed the velocities of the file are kept. With ``fixed`` (n, 3) atoms they are drawn here, since
    LAMMPS would count degrees of freedom that these don't have.
    """
    campaign, walker = step.campaign, step.handoff.walker
    atoms, is_taken = start_of_run(campaign, walker)
    stage = campaign.md.stages[step.handoff.stage]
    moves = bool(atoms.get_momenta().any())
    seed: int | None = None
    temperature_k: float | None = None
    if moves and stage.temperature_k is None:
        temperature_k = temperature_of(atoms, fixed) if fixed is not None else float(atoms.get_temperature())
    if not moves or is_taken:
        again = ("again", step.handoff.repetition) if step.handoff.repetition else ()
        seed = derived_seed(campaign.seed, "velocities", walker, *again)
    if fixed is not None and seed is not None:
        draw_velocities(atoms, fixed, start_temperature_k(stage, temperature_k), seed)
        seed = None
    write_data(step.files.start, atoms, tuple(campaign.elements))
    return seed, temperature_k


def _not_too_far(
    step: Step[MDHandoff], ending: Ending, plan: RunPlan, engine: Engine, worker: Worker
) -> tuple[Ending, Path]:
    """Return a halt whose frame is worth labels, the run's own or an earlier one, and the folder of its files."""
    folder, settings = step.files.folder, step.campaign
    if not exceeds_ceiling(ending, plan, settings.candidates.too_far):
        return ending, folder
    earlier = backtrack(ending, plan, folder, settings.uncertainty.gamma_select, engine, worker)
    if earlier is None:
        return ending, folder
    walker, cycle = step.handoff.walker_and_cycle
    step.record(
        Event.WENT_TOO_FAR,
        f"walker {walker} cycle {cycle}: gamma {ending.gamma_max or 0.0:.3g} at step {ending.step} is too far: back "
        f"to step {earlier.step}",
        walker=walker,
        cycle=cycle,
        step=ending.step,
        gamma_max=ending.gamma_max,
        to_step=earlier.step,
    )
    return earlier, folder / FOLDER


def _changes(step: Step[MDHandoff], ending: Ending) -> list[str] | None:
    """Return how the chemistry of the last frame differs from that of the walker's start.

    None without a frame, and in a prerun, whose frames are not audited.
    """
    if ending.frame is None or is_prerun(step.campaign, step.handoff.walker):
        return None
    start, _ = start_of_run(step.campaign, step.handoff.walker)
    return changes_since(start, ending.frame)


def _say_changed_chemistry(step: Step[MDHandoff], result: MDResult) -> None:
    """Record and warn at the end of a stage that molecules or coordination have changed, in one line."""
    if result.outcome is not MDOutcome.FINISHED or not result.chemistry:
        return
    step.record(
        Event.CHEMISTRY_CHANGED,
        f"walker {result.walker}, end of stage {result.stage}: {'; '.join(result.chemistry)}",
        at=logging.WARNING,
        walker=result.walker,
        cycle=result.cycle,
        stage=result.stage,
        step=result.step,
        changes=result.chemistry,
    )


def _record_outcome(step: Step[MDHandoff], result: MDResult) -> None:
    gamma = "" if result.gamma_max is None else f", gamma_max {result.gamma_max:.3g} at atom {result.atom}"
    message = (
        f"walker {result.walker} cycle {result.cycle}: {result.outcome.value} at step {result.step}{gamma}, "
        f"generation {result.generation}, {result.seconds:.1f} s"
    )
    if result.outcome is MDOutcome.CRASHED and result.frame is None:
        # the Firework fizzles: nothing has happened to the campaign
        logger.info("%s", message)
        return
    facts: dict[str, Any] = {"walker": result.walker, "cycle": result.cycle, "step": result.step}
    facts["seconds"] = round(result.seconds, 3)
    if result.outcome in (MDOutcome.HALTED, MDOutcome.CRASHED):
        facts["gamma_max"] = result.gamma_max
    if result.outcome is MDOutcome.CRASHED:
        facts["reason"] = result.reason
    step.record(_EVENTS[result.outcome], message, **facts)
    _say_changed_chemistry(step, result)
