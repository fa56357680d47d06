"""Stability test of a potential before MD: dimer curves, a short NVE run, and a run at twice the temperature."""

from __future__ import annotations

import time

import numpy as np
from ase import Atoms, units
from ase.md.langevin import Langevin
from ase.md.md import MolecularDynamics
from ase.md.verlet import VelocityVerlet

from mlip_fw.campaign.seeds import derived_seed
from mlip_fw.engines.ace.calculator import AceCalculator
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.structures.coordination import changes_since
from mlip_fw.engines.structures.geometry import too_close
from mlip_fw.engines.train.dimers import pairs_of, repulsion_curve
from mlip_fw.io.structures import mask_of
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.training import Stability

_HOTTER = 2.0
"""Temperature of the hot run, as a multiple of the campaign's highest."""
_DEFAULT_TEMPERATURE_K = 300.0
_CALM_ATOM_STEPS, _HOT_ATOM_STEPS = 1000, 2000
"""Cost of the two runs in atoms × steps."""
_MIN_STEPS, _MAX_STEPS = 20, 300
_FLAT_EV_A = 0.01
_FRICTION_1_FS = 0.01
_LOOK_EVERY = 5
_LARGEST_DRIFT = 0.1
"""Largest drift of the total energy in the NVE run, in units of the thermal energy 3/2 kT per atom."""
_MUCH_HOTTER = 2.0
"""A structure has released strain if its kinetic energy exceeds this multiple of the thermal one."""
_OF_SMOOTH_FORCES = 3.0
"""Minimum factor by which the drift of smooth forces falls at half the time step: 4 in theory (Verlet: 2nd order)."""
_EXPLODED = 3.0
"""A run has exploded if its kinetic energy exceeds this multiple of the thermal one."""
_SOFT_EV_A2 = 2.0
"""Force constant k of a soft solid: the energy that a strained structure releases is at most about F² / 2k."""


def check_stability(
    potential: AcePotential, frames: list[Atoms], campaign: Campaign, *, is_given: bool = False
) -> Stability:
    """Test whether ``potential`` is stable enough for MD.

    Parameters
    ----------
    potential
        The potential; its extrapolation grade is not needed.
    frames
        Structures of the campaign; the two runs start from the smallest, and from a cut-out only if all are cut-outs.
    campaign
        Gives temperatures, time step and seed.
    is_given
        Whether the user gave the potential. Dimer curves and the hot run then give warnings only: they lie outside of
        its purpose, MD halts there on gamma, and refusing it would discard the user's knowledge.

    Notes
    -----
    The number of steps follows from a fixed cost: 31 and 62 steps for 32 atoms, 20 for 100 or more. The test is about
    stability until gamma halts the MD, not about accuracy.
    """
    began = time.perf_counter()
    temperature = _temperature_k(campaign)
    start = min(frames, key=lambda atoms: (not mask_of(atoms).all(), len(atoms)))
    rng = np.random.default_rng(derived_seed(campaign.seed, "stability"))
    slope, short = _dimers(potential)
    moved = _moving(start, potential, temperature, rng)
    drift, calm = _constant_energy(moved, campaign.md.timestep_fs, temperature)
    twice = _HOTTER * temperature
    hot = _hot(_moving(start, potential, twice, rng), campaign.md.timestep_fs, twice, rng)
    reasons, warnings = (calm, short + hot) if is_given else (short + calm + hot, [])
    return Stability(
        sound=not reasons,
        reasons=reasons,
        warnings=warnings,
        least_dimer_slope_ev_a=slope if np.isfinite(slope) else None,
        energy_drift_ev_atom=drift,
        temperature_k=temperature,
        seconds=time.perf_counter() - began,
        # where atoms fly apart or collapse that is said, and all else follows from it
        chemistry=[] if calm else changes_since(start, moved),
    )


def _temperature_k(campaign: Campaign) -> float:
    given = [t for stage in campaign.md.stages for t in stage.temperature_k or ()]
    return max(given, default=_DEFAULT_TEMPERATURE_K)


def _dimers(potential: AcePotential) -> tuple[float, list[str]]:
    """Return the smallest slope of any dimer curve, and a sentence about each that falls inwards."""
    lower_limit, faults = np.inf, []
    for pair in pairs_of(potential.elements):
        distances, slopes = repulsion_curve(potential, pair)
        lower_limit = min(lower_limit, float(slopes.min()))
        if not slopes.min() >= -_FLAT_EV_A:  # a slope that is no number is a fault too
            faults.append(f"two atoms {'-'.join(pair)} attract each other at {distances[slopes.argmin()]:.2f} Å")
    return lower_limit, faults


def _moving(start: Atoms, potential: AcePotential, temperature_k: float, rng: np.random.Generator) -> Atoms:
    atoms = Atoms(start.numbers, start.positions, cell=start.cell, pbc=True)
    atoms.info["strain_ev"] = float(np.sum(start.get_forces() ** 2)) / (2 * _SOFT_EV_A2)
    atoms.calc = AceCalculator(potential, gamma=False)
    speeds = np.sqrt(units.kB * temperature_k / atoms.get_masses())
    atoms.set_velocities(rng.normal(size=(len(atoms), 3)) * speeds[:, None])
    return atoms


def _constant_energy(atoms: Atoms, timestep_fs: float, temperature_k: float) -> tuple[float | None, list[str]]:
    """Return the largest change of the total energy per atom, and what went wrong.

    A labelled molecule can be strained far beyond ``temperature_k``. A change that comes of its faster motion alone,
    and falls as that of smooth forces when the time step is halved, says nothing against the potential.
    """
    thermal, positions, velocities = _thermal_ev(temperature_k), atoms.positions.copy(), atoms.get_velocities()
    drift, hottest, fault = _conserved(atoms, timestep_fs, temperature_k)
    if fault is not None:
        return None, [f"at {temperature_k:g} K and constant energy {fault}"]
    if drift <= _LARGEST_DRIFT * thermal:
        return drift, []
    if hottest > _MUCH_HOTTER * thermal:
        atoms.set_positions(positions)
        atoms.set_velocities(velocities)
        finer, _, fault = _conserved(atoms, timestep_fs / 2, temperature_k)
        if fault is None and finer * _OF_SMOOTH_FORCES <= drift:
            return drift, []
    return drift, [
        f"at {temperature_k:g} K and constant energy the total energy changes by {1000 * drift:.1f} meV/atom within "
        f"{_n_steps(atoms, _CALM_ATOM_STEPS)} steps of {timestep_fs:g} fs: forces are rough, or the time step is too "
        "long"
    ]


def _conserved(atoms: Atoms, timestep_fs: float, temperature_k: float) -> tuple[float, float, str | None]:
    """Return the largest change of the total energy and the largest kinetic energy, eV per atom, and any fault."""
    dynamics = VelocityVerlet(atoms, timestep_fs * units.fs)
    total: list[float] = []
    kinetic: list[float] = []
    dynamics.attach(lambda: total.append(float(atoms.get_total_energy())), interval=_LOOK_EVERY)
    dynamics.attach(lambda: kinetic.append(float(atoms.get_kinetic_energy())), interval=1)
    fault = _follow(dynamics, atoms, temperature_k, _CALM_ATOM_STEPS)
    if fault is not None:
        return 0.0, 0.0, fault
    return float(np.abs(np.array(total) - total[0]).max()) / len(atoms), max(kinetic) / len(atoms), None


def _hot(atoms: Atoms, timestep_fs: float, temperature_k: float, rng: np.random.Generator) -> list[str]:
    """Return what goes wrong in a hot run."""
    friction = _FRICTION_1_FS / units.fs
    dynamics = Langevin(
        atoms, timestep_fs * units.fs, temperature_K=temperature_k, friction=friction, fixcm=False, rng=rng
    )
    fault = _follow(dynamics, atoms, temperature_k, _HOT_ATOM_STEPS)
    return [] if fault is None else [f"at {temperature_k:g} K {fault}"]


def _follow(dynamics: MolecularDynamics, atoms: Atoms, temperature_k: float, atom_steps: int) -> str | None:
    """Run until something goes wrong, and say what it was."""
    n_steps = _n_steps(atoms, atom_steps)
    heat = _thermal_ev(temperature_k) * len(atoms)
    ceiling = _EXPLODED * heat + atoms.info["strain_ev"]
    try:
        floor = atoms.get_potential_energy() - heat - atoms.info["strain_ev"]
        for step in range(_LOOK_EVERY, n_steps + 1, _LOOK_EVERY):
            dynamics.run(_LOOK_EVERY)
            if atoms.get_kinetic_energy() > ceiling:
                return f"the atoms fly apart ({atoms.get_temperature():.0f} K at step {step})"
            if atoms.get_potential_energy() < floor:
                return f"the atoms collapse (the energy falls without end, step {step})"
            if pair := too_close(atoms):
                return f"the atoms collapse ({pair} at step {step})"
    except FloatingPointError as error:
        return f"{error}"
    return None


def _n_steps(atoms: Atoms, atom_steps: int) -> int:
    return min(max(atom_steps // len(atoms), _MIN_STEPS), _MAX_STEPS)


def _thermal_ev(temperature_k: float) -> float:
    return float(1.5 * units.kB * temperature_k)
