"""Short, hot MD of the halted cell with the current potential, watched at every step."""

from __future__ import annotations

import numpy as np
from ase import Atoms, units
from ase.md.langevin import Langevin

from mlip_fw.engines.ace.calculator import AceCalculator
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.sampling.generate import CandidateTrial, HaltedFrame
from mlip_fw.engines.structures.geometry import too_close

HOTTER = 1.2
"""A burst's temperature in units of the MD's."""
_BURSTS = 3
_STEPS, _SPACING = 100, 10
_FRICTION_1_FS = 0.01
_LONGEST_STEP_FS = 2.0
_EXPLODED = 3.0


def md_burst(frame: HaltedFrame, potential: AcePotential, n: int, rng: np.random.Generator) -> list[CandidateTrial]:
    """Return frames of a few bursts, of each spread evenly in time, as a candidate strategy."""
    upper = np.where(frame.watched(), frame.ceilings(_gamma(potential, frame.atoms)), np.inf)
    lower = np.where(frame.watched(), frame.gamma_select, np.inf)
    trials: list[CandidateTrial] = []
    n_bursts = min(_BURSTS, n)
    for k in range(n_bursts):
        frames = burst(frame.atoms, potential, temperature_k=frame.temperature_k, lower=lower, upper=upper, rng=rng)
        share = min(len(frames), -(-(n - len(trials)) // (n_bursts - k)))
        spread = np.linspace(len(frames) - 1, 0, share).round().astype(int)
        trials += [CandidateTrial(frames[i], HOTTER * len(frame.atoms)) for i in spread]
    return trials


def _gamma(potential: AcePotential, atoms: Atoms) -> np.ndarray:
    gamma = potential.evaluate(atoms).gamma
    assert gamma is not None
    return gamma


def timestep_fs(atoms: Atoms) -> float:
    """Return a time step that suits the lightest atom: 0.3 fs times the root of its mass in u, at most 2 fs."""
    return min(_LONGEST_STEP_FS, 0.3 * float(np.sqrt(atoms.get_masses().min())))


def burst(
    atoms: Atoms,
    potential: AcePotential,
    *,
    temperature_k: float,
    lower: np.ndarray,
    upper: np.ndarray,
    rng: np.random.Generator,
) -> list[Atoms]:
    """Return frames of 100 steps of Langevin dynamics from ``atoms`` with new velocities.

    Parameters
    ----------
    temperature_k
        Temperature of the MD that halted; the burst is 1.2 times as hot.
    lower, upper
        (n_atoms,) extrapolation grades. A frame is returned if any atom has at least ``lower``; the burst
        ends where any atom exceeds ``upper``.

    Notes
    -----
    A burst that explodes (numbers that are not finite, atoms too close, more than three times the
    wanted temperature) has been unphysical for an unknown time and gives no frames at all.
    """
    copy = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
    copy.calc = AceCalculator(potential, copy, gamma=True)
    hot = HOTTER * temperature_k
    speeds = np.sqrt(units.kB * hot / copy.get_masses())
    copy.set_velocities(rng.normal(size=(len(copy), 3)) * speeds[:, None])
    step, friction = timestep_fs(copy) * units.fs, _FRICTION_1_FS / units.fs
    dynamics = Langevin(copy, step, temperature_K=hot, friction=friction, fixcm=False, rng=rng)
    frames = []
    try:
        for done in range(1, _STEPS + 1):
            dynamics.run(1)
            gamma = copy.calc.gamma
            if copy.get_temperature() > _EXPLODED * hot:
                return []
            if (gamma > upper).any():
                break
            if done % _SPACING == 0:
                if too_close(copy):
                    return []
                if (gamma >= lower).any():
                    frames.append(Atoms(copy.numbers, copy.positions, cell=copy.cell, pbc=True))
    except FloatingPointError:
        return []
    return frames
