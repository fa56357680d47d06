"""The LAMMPS input: the same script for both engines, but for the lines of the force field."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from mlip_fw.engines.structures.fixed_atoms import TEMPERATURE, TRUE_FORCE, FixedAtoms
from mlip_fw.errors import CampaignError
from mlip_fw.models.md import Stage

SCRIPT, LOG = "in.lammps", "log.lammps"
DUMP, GAMMA_LOG = "dump.lammpstrj", "gamma.dat"
LAST_RESTART, LAST_DUMP = "last.restart", "last.dump"
NEAR_RESTARTS = ("near.restart.a", "near.restart.b")
NEAR_EVERY = 5
"""Restart files to backtrack from are written every so many checks of gamma, to the two names in turn."""
HALTED_AT_START = "mlip_fw: gamma is above gamma_halt where the run starts"
EXTERNAL_FIX = "ace"
_NO_TEMPERATURE_K = 300.0


@dataclass(frozen=True)
class RunPlan:
    """All that decides one LAMMPS run, by either engine."""

    title: str
    elements: tuple[str, ...]
    cutoff_a: float
    potential: Path
    """B-basis ``.yaml``; its ``.asi`` beside it."""
    start: Path
    """A data file, or a restart file of the same set-up."""
    is_restart: bool
    velocity_seed: int | None
    """Seed of new velocities; None keeps those of ``start``."""
    stage: Stage
    stage_first_step: int
    stage_last_step: int
    first_step: int
    timestep_fs: float
    gamma_halt: float | dict[str, float]
    """One threshold for all atoms, or one for each element."""
    check_interval: int
    walltime_s: float | None = None
    last_step: int | None = None
    """Last step of a run that stops before the end of the stage."""
    velocity_temperature_k: float | None = None
    """Temperature of new velocities, K; None takes the stage's, or 300 K."""
    fixed: FixedAtoms | None = None
    """Atoms that don't move; with them ``start`` has velocities, and the script draws none."""
    masses_u: tuple[float, ...] | None = None
    """Mass of each element, u; None if all are the usual ones."""

    @property
    def watched(self) -> tuple[str, float]:
        """The LAMMPS variable that halts the run, and its limit."""
        if isinstance(self.gamma_halt, dict):
            return "max_relative", 1.0
        return "max_gamma", self.gamma_halt

    @property
    def thresholds(self) -> dict[str, float]:
        """The threshold of each element."""
        return self.gamma_halt if isinstance(self.gamma_halt, dict) else dict.fromkeys(self.elements, self.gamma_halt)

    def target_temperature_k(self, step: int) -> float | None:
        """Return what the thermostat aims at, K; None without one."""
        if self.stage.temperature_k is None:
            return None
        first, last = self.stage.temperature_k
        done = (step - self.stage_first_step) / (self.stage_last_step - self.stage_first_step)
        return first + (last - first) * min(max(done, 0.0), 1.0)

    def relative(self, atoms: Atoms, gamma: np.ndarray) -> np.ndarray:
        """Return ``gamma`` (n,) in units of each atom's threshold."""
        return np.asarray(gamma / np.array([self.thresholds[symbol] for symbol in atoms.get_chemical_symbols()]))

    def with_masses(self, frame: Atoms) -> Atoms:
        """Set the masses that MD used in a frame of it, whose file has elements only; return it with its velocities."""
        if self.masses_u is not None:
            masses, velocities = dict(zip(self.elements, self.masses_u, strict=True)), frame.get_velocities()
            frame.set_masses([masses[symbol] for symbol in frame.get_chemical_symbols()])
            if frame.has("momenta"):
                frame.set_velocities(velocities)
        return frame


@dataclass(frozen=True)
class ForceField:
    """The lines of the script that differ between the engines."""

    commands: tuple[str, ...]
    gamma_of_atom: str
    """How a dump names the gamma of an atom."""


def native_force_field(plan: RunPlan) -> ForceField:
    """Return ML-PACE's own commands (LAMMPS manual, ``pair_style pace/extrapolation``)."""
    active_set = plan.potential.with_suffix(".asi")
    relative: tuple[str, ...] = ()
    if isinstance(plan.gamma_halt, dict):
        shares = [f"(type=={k + 1})/{plan.gamma_halt[name]:.10g}" for k, name in enumerate(plan.elements)]
        relative = (
            f'variable relative atom "f_gamma*({" + ".join(shares)})"',
            "compute max_relative all reduce max v_relative",
            "variable max_relative equal c_max_relative",
        )
    return ForceField(
        commands=(
            "pair_style pace/extrapolation",
            f"pair_coeff * * {_quoted(plan.potential)} {_quoted(active_set)} {' '.join(plan.elements)}",
            f"fix gamma all pair {plan.check_interval} pace/extrapolation gamma 1",
            "compute max_gamma all reduce max f_gamma",
            "variable max_gamma equal c_max_gamma",
            *relative,
        ),
        gamma_of_atom="f_gamma",
    )


def embedded_force_field(plan: RunPlan) -> ForceField:
    """Return the hooks through which pyace gives forces, energy, virial and gamma."""
    return ForceField(
        commands=(
            "atom_modify sort 0 0.0",
            f"pair_style zero {plan.cutoff_a}",
            "pair_coeff * *",
            "fix gamma all property/atom d_gamma",
            f"fix {EXTERNAL_FIX} all external pf/callback 1 1",
            f"fix_modify {EXTERNAL_FIX} energy yes virial yes",
            f"variable max_gamma equal f_{EXTERNAL_FIX}[1]",
            f"variable max_relative equal f_{EXTERNAL_FIX}[2]",
        ),
        gamma_of_atom="d_gamma",
    )


def write_script(plan: RunPlan, force_field: ForceField) -> str:
    """Return the LAMMPS script of ``plan``."""
    blocks = [
        [f"# {plan.title}"],
        ["units metal", "atom_style atomic", "atom_modify map yes", "boundary p p p", "box tilt large"],
        [f"{'read_restart' if plan.is_restart else 'read_data'} {_quoted(plan.start)}", *_box(plan)],
        [] if plan.fixed is None else plan.fixed.groups(),
        list(force_field.commands),
        [] if plan.fixed is None else plan.fixed.holds(),
        ["neighbor 1.0 bin", "neigh_modify every 1 delay 0 check yes", f"timestep {plan.timestep_fs / 1000:.10g}"],
        _velocities(plan),
        _integrator(plan),
        _output(plan, force_field),
        _run(plan),
        _last_frame(plan, force_field),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _box(plan: RunPlan) -> list[str]:
    """Give a rectangular cell the tilt factors that the barostat is to move."""
    return ["change_box all triclinic"] if plan.stage.pressure_coupling == "tri" else []


def _velocities(plan: RunPlan) -> list[str]:
    if plan.velocity_seed is None:
        return []
    target = start_temperature_k(plan.stage, plan.velocity_temperature_k)
    return [f"velocity all create {target:.10g} {plan.velocity_seed} mom yes rot no dist gaussian"]


def start_temperature_k(stage: Stage, given_k: float | None) -> float:
    """Return the temperature of new velocities: the one given, else the stage's, else 300 K."""
    staged = stage.temperature_k[0] if stage.temperature_k else _NO_TEMPERATURE_K
    return given_k if given_k is not None else staged


def _integrator(plan: RunPlan) -> list[str]:
    if plan.fixed is None:
        return [f"fix integrate all {_ensemble(plan)}"]
    thermostat = [] if plan.stage.ensemble == "nve" else [f"fix_modify integrate temp {TEMPERATURE}"]
    return [f"fix integrate mobile {_ensemble(plan)}", *thermostat]


def _ensemble(plan: RunPlan) -> str:
    stage = plan.stage
    if stage.ensemble == "nve":
        return "nve"
    assert stage.temperature_k is not None
    first, last = stage.temperature_k
    heat = f"temp {first:.10g} {last:.10g} {stage.damp_fs / 1000:.10g}"
    if stage.ensemble == "nvt":
        return f"nvt {heat}"
    assert stage.pressure_bar is not None
    low, high = stage.pressure_bar
    push = f"{stage.pressure_coupling} {low:.10g} {high:.10g} {stage.pressure_damp_fs / 1000:.10g}"
    return f"npt {heat} {push}"


def _output(plan: RunPlan, force_field: ForceField) -> list[str]:
    every, gamma = plan.check_interval, force_field.gamma_of_atom
    return [
        f"thermo {every}",
        f"dump trajectory all custom {every} {DUMP} id element x y z {gamma}",
        f"dump_modify trajectory sort id element {' '.join(plan.elements)} format float %.10g first no flush yes",
        f"restart {NEAR_EVERY * every} {' '.join(NEAR_RESTARTS)}",
        f'fix gamma_log all print {every} "$(step) ${{max_gamma}}" file {GAMMA_LOG} screen no title "# step max_gamma"',
    ]


def _thermo(plan: RunPlan, extra: str = "") -> list[str]:
    temperature = "" if plan.fixed is None else f" temp {TEMPERATURE}"
    return [
        f"thermo_style custom step temp pe ke etotal press vol{extra}",
        f"thermo_modify flush yes lost error format float %.10g{temperature}",
    ]


def _run(plan: RunPlan) -> list[str]:
    end = plan.stage_last_step if plan.last_step is None else plan.last_step
    whole = f"run {end} upto start {plan.stage_first_step} stop {plan.stage_last_step}"
    timer = [] if plan.walltime_s is None else [f"timer timeout {int(plan.walltime_s)} every {plan.check_interval}"]
    variable, limit = plan.watched
    watchdog = f"fix watchdog all halt {plan.check_interval} v_{variable} > {limit:.10g} error soft message yes"
    start_is_checked = plan.is_restart and plan.first_step % plan.check_interval == 0
    if not start_is_checked or plan.first_step == plan.stage_first_step:
        return [*_thermo(plan), watchdog, *timer, whole]
    return [
        *_thermo(plan, f" v_{variable}"),
        "run 0 post no",
        f"variable gamma_at_start equal $(v_{variable})",
        *_thermo(plan),
        watchdog,
        *timer,
        f'if "${{gamma_at_start}} > {limit:.10g}" then '
        f'"print \'{HALTED_AT_START}: step {plan.first_step} gamma ${{gamma_at_start}}\'" else "{whole}"',
    ]


def _last_frame(plan: RunPlan, force_field: ForceField) -> list[str]:
    held = plan.fixed is not None and plan.fixed.holds_components
    forces = " ".join(f"f_{TRUE_FORCE}[{k}]" for k in (1, 2, 3)) if held else "fx fy fz"
    columns = f"id element x y z vx vy vz {forces}"
    style = f"modify sort id element {' '.join(plan.elements)} format float %.17g"
    dump = f"write_dump all custom {LAST_DUMP} {columns}"
    # away from the check interval LAMMPS has no gamma of this very step to write; the dump comes first, since
    # write_restart moves atoms between the ranks, and their forces stay behind
    return [
        f'if "$(step%{plan.check_interval}) == 0" then "{dump} {force_field.gamma_of_atom} {style}" '
        f'else "{dump} {style}"',
        f"write_restart {LAST_RESTART}",
    ]


def _quoted(path: Path) -> str:
    """Return a path as LAMMPS reads it: within one kind of quotes nothing is special but those."""
    text = str(path)
    if not text.isprintable():
        raise CampaignError(f"LAMMPS can't read a path with a line break or the like: {text!r}; give another --dir")
    if text.isascii() and not any(c in text for c in " \t'\"$&#"):
        return text
    quote = "'" if "'" not in text else '"'
    if quote in text:
        raise CampaignError(f"LAMMPS can't read a path that has both kinds of quotes: {text}; give another --dir")
    return f"{quote}{text}{quote}"
