"""One MD run of a campaign, from hand-off to result."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlip_fw.cores import cores_of
from mlip_fw.engines.md.canary import CanaryRecord, sing
from mlip_fw.engines.md.closer import FOLDER, trace_back, went_too_far
from mlip_fw.engines.md.fixed import FixedAtoms, draw_velocities, temperature_of
from mlip_fw.engines.md.outcome import Ending, frame_before_crash
from mlip_fw.engines.md.run import Engine, choose_engine, run_md
from mlip_fw.engines.md.script import DUMP, LAST_RESTART, LOG, NEAR_RESTARTS, RunPlan, start_temperature_k
from mlip_fw.engines.rehearsal import is_rehearsal, kept_from_file, start_of_run
from mlip_fw.errors import MDError
from mlip_fw.generations import Generations
from mlip_fw.io.files import read_model, write_json
from mlip_fw.io.lammps import temperatures_in_log, write_data
from mlip_fw.io.structures import write_frames
from mlip_fw.layout import CampaignDirectory
from mlip_fw.models.handoff import MDHandoff
from mlip_fw.models.md import MDOutcome, MDResult
from mlip_fw.models.worker import Worker
from mlip_fw.seeds import derived_seed

logger = logging.getLogger("mlip_fw")


def run_cycle(handoff: MDHandoff, worker: Worker) -> MDResult:
    """Run LAMMPS from the hand-off's start with the newest potential and keep its last frame and restart.

    Raises
    ------
    MDError
        If the campaign has no potential yet.
    WorkerError
        If this machine can't run it, or its LAMMPS does not say what pyace says.
    """
    directory, campaign = CampaignDirectory(handoff.directory), handoff.campaign
    folder = directory.cycle(handoff.walker, handoff.cycle)
    generations = Generations(directory.root)
    generation = generations.fit_for_md()
    if generation is None:
        raise MDError(f"there is no potential in {directory.root / 'potentials'}; run the campaign's Bootstrap first")
    engine, why = choose_engine(campaign.md.engine, worker)
    _hear_canary(handoff, engine, worker, generations.potential(generation))
    started = time.perf_counter()
    plan = _plan(handoff, folder, generations.potential(generation), worker)
    directory.log_event(
        "md_started",
        walker=handoff.walker,
        cycle=handoff.cycle,
        stage=handoff.stage,
        step=handoff.first_step,
        generation=generation,
        engine=engine,
        why=why,
        rehearsal=is_rehearsal(campaign, handoff.walker),
    )
    ending = run_md(plan, folder, engine, worker)
    if ending.outcome is MDOutcome.CRASHED and ending.is_physics:
        learnable = frame_before_crash(folder, campaign.uncertainty.gamma_select, plan)
        ending = ending if learnable is None else replace(learnable, reason=ending.reason)
    ending, source = _not_too_far(ending, plan, handoff, engine, worker)
    kept = _keep(ending, source, folder, generation)
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
        temperature_k=_target_temperature(plan, ending.step),
        measured_temperature_k=temperatures_in_log(source / LOG).get(ending.step),
        reason=ending.reason,
        seconds=time.perf_counter() - started,
        cores=cores_of(worker.lmp_cmd or "lmp" if engine == "lammps" else None),
        **kept,
    )
    _tell(directory, result)
    return result


def _not_too_far(
    ending: Ending, plan: RunPlan, handoff: MDHandoff, engine: Engine, worker: Worker
) -> tuple[Ending, Path]:
    """Return a halt that is worth labels, and the folder of its files."""
    campaign, directory = handoff.campaign, CampaignDirectory(handoff.directory)
    folder = directory.cycle(handoff.walker, handoff.cycle)
    if not went_too_far(ending, plan, campaign.candidates.too_far):
        return ending, folder
    earlier = trace_back(ending, plan, folder, campaign.uncertainty.gamma_select, engine, worker)
    if earlier is None:
        return ending, folder
    facts = {"walker": handoff.walker, "cycle": handoff.cycle, "step": ending.step, "gamma_max": ending.gamma_max}
    directory.log_event("went_too_far", **facts, to_step=earlier.step)
    logger.info(
        "walker %d cycle %d: gamma %.3g at step %d is too far: back to step %d",
        handoff.walker,
        handoff.cycle,
        ending.gamma_max or 0.0,
        ending.step,
        earlier.step,
    )
    return earlier, folder / FOLDER


def _hear_canary(handoff: MDHandoff, engine: Engine, worker: Worker, potential: Path) -> None:
    """See once for each engine of a campaign that it says what pyace says, before core-hours are spent."""
    directory, campaign = CampaignDirectory(handoff.directory), handoff.campaign
    folder = directory.root / "canary" / engine
    # walkers that start side by side share its folder
    with directory.turn_locked(f"canary-{engine}"):
        known = read_model(folder / "canary.json", CanaryRecord)
        if known is None or known.lmp_cmd != worker.lmp_cmd:
            atoms, _ = start_of_run(campaign, 0)
            write_json(folder / "canary.json", sing(engine, worker, potential, atoms, tuple(campaign.elements), folder))


def _tell(directory: CampaignDirectory, result: MDResult) -> None:
    """Write the one line of the journal, and of the log, that this run is worth."""
    facts: dict[str, Any] = {"walker": result.walker, "cycle": result.cycle, "step": result.step}
    facts["seconds"] = round(result.seconds, 3)
    if result.outcome is MDOutcome.FINISHED:
        directory.log_event("md_finished", **facts)
    elif result.outcome is MDOutcome.WALLTIME:
        directory.log_event("md_out_of_time", **facts)
    elif result.outcome is MDOutcome.HALTED:
        directory.log_event("halted", **facts, gamma_max=result.gamma_max)
    elif result.frame is not None:
        directory.log_event("crashed", **facts, gamma_max=result.gamma_max, reason=result.reason)
    gamma = "" if result.gamma_max is None else f", gamma_max {result.gamma_max:.3g} at atom {result.atom}"
    logger.info(
        "walker %d cycle %d: %s at step %d%s, generation %d, %.1f s",
        result.walker,
        result.cycle,
        result.outcome.value,
        result.step,
        gamma,
        result.generation,
        result.seconds,
    )


def _keep(ending: Ending, source: Path, folder: Path, generation: int) -> dict[str, str | None]:
    """Give the last frame and restart of the run in ``source`` their names in ``folder``, and return where they are."""
    for name in NEAR_RESTARTS:
        (folder / name).unlink(missing_ok=True)
        (source / name).unlink(missing_ok=True)
    if source != folder:
        (source / DUMP).unlink(missing_ok=True)
    if ending.frame is None:
        return {"restart": None, "frame": None}
    name = {MDOutcome.HALTED: "halt", MDOutcome.CRASHED: "crash"}.get(ending.outcome, "end")
    frame, restart = ending.frame, None
    frame.info = {"step": ending.step, "generation": generation}
    if ending.atom is not None:
        frame.info["center"] = ending.atom
    write_frames(folder / f"{name}.extxyz", [frame])
    if ending.outcome is not MDOutcome.CRASHED:
        (source / LAST_RESTART).replace(folder / f"{name}.restart")
        restart = str(folder / f"{name}.restart")
    return {"restart": restart, "frame": str(folder / f"{name}.extxyz")}


def _plan(handoff: MDHandoff, folder: Path, potential: Path, worker: Worker) -> RunPlan:
    campaign, md = handoff.campaign, handoff.campaign.md
    stage = md.stages[handoff.stage]
    temperature = None
    start, is_restart, seed = handoff.start, True, None
    fixed, masses = kept_from_file(campaign, handoff.walker)
    if start is None:
        atoms, is_taken = start_of_run(campaign, handoff.walker)
        start, is_restart = str(folder / "start.data"), False
        moves = bool(atoms.get_momenta().any())
        if moves and stage.temperature_k is None:
            temperature = temperature_of(atoms, fixed) if fixed is not None else float(atoms.get_temperature())
        if not moves or is_taken:
            seed = derived_seed(campaign.seed, "velocities", handoff.walker)
        if fixed is not None and seed is not None:
            draw_velocities(atoms, fixed, start_temperature_k(stage, temperature), seed)
            seed = None
        write_data(Path(start), atoms, tuple(campaign.elements))
    return RunPlan(
        title=f"{campaign.campaign}, walker {handoff.walker}, cycle {handoff.cycle}, stage {handoff.stage}",
        elements=tuple(campaign.elements),
        cutoff_a=campaign.potential.cutoff_a,
        potential=potential,
        start=Path(start),
        is_restart=is_restart,
        velocity_seed=seed,
        velocity_temperature_k=temperature,
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


def _target_temperature(plan: RunPlan, step: int) -> float | None:
    if plan.stage.temperature_k is None:
        return None
    first, last = plan.stage.temperature_k
    done = (step - plan.stage_first_step) / (plan.stage_last_step - plan.stage_first_step)
    return first + (last - first) * min(max(done, 0.0), 1.0)
