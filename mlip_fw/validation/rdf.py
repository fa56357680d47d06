"""Radial distribution functions of the potential's MD and of the oracle's."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.geometry.rdf import get_rdf
from ase.io import read

from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.seeds import derived_seed
from mlip_fw.engines.md.script import DUMP
from mlip_fw.engines.oracle.backend import CalculatorSpec, backend_of
from mlip_fw.engines.structures.geometry import heights_a
from mlip_fw.errors import ChildError
from mlip_fw.io.lammps import read_dumped_step
from mlip_fw.io.structures import read_any, write_frames
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.validation import RDF
from mlip_fw.runtime.fork_server import fork_server
from mlip_fw.validation.holdout import eligible
from mlip_fw.validation.sources import UnmeasurableError

_BIN_A = 0.05
_FARTHEST_A = 8.0
_MAX_FRAMES = 100
_HALF = 0.499
_LAST_SHARE = 0.25
_FRICTION_1_FS = 0.02


@dataclass(frozen=True)
class Distribution:
    """A radial distribution function."""

    r_a: np.ndarray
    g: np.ndarray
    frames: list[Atoms]
    """What it is of."""

    @property
    def peak(self) -> tuple[float, float]:
        """Distance, Å, and height of the highest point."""
        top = int(self.g.argmax())
        return float(self.r_a[top]), float(self.g[top])


def distribution(frames: list[Atoms], farthest_a: float) -> Distribution:
    """Return g(r) of ``frames``, averaged, up to ``farthest_a``."""
    bins = int(farthest_a / _BIN_A)
    curves = [get_rdf(atoms, farthest_a, bins, no_dists=True) for atoms in frames]
    values = [curve[0] if isinstance(curve, tuple) else curve for curve in curves]
    return Distribution((np.arange(bins) + 0.5) * farthest_a / bins, np.mean(values, axis=0), frames)


def needs_oracle_md(campaign: Campaign) -> bool:
    """Return whether the oracle's own MD has to be run."""
    settings = campaign.validation
    ours = settings.reference_trajectory is None and _calculator_of(campaign) is not None
    return ours and RDF in settings.properties


def _calculator_of(campaign: Campaign) -> CalculatorSpec | None:
    return backend_of(campaign.oracle).md_calculator(campaign.oracle)


def distributions(
    directory: CampaignDirectory, campaign: Campaign, potential: Path
) -> tuple[Distribution, Distribution]:
    """Return g(r) by the potential and by the oracle.

    With ``validation.reference_trajectory`` the last quarter of the frames of the campaign's MD is compared with
    that file. Without it, an oracle ``ase`` and the potential run the same short MD at the last temperature, from
    the last frame.

    Raises
    ------
    UnmeasurableError
        If there is neither.
    """
    settings = campaign.validation
    if settings.reference_trajectory is not None:
        theirs = read_any(Path(settings.reference_trajectory), "validation.reference_trajectory")
        _require_fitting(theirs, campaign)
        mine = _last_frames(directory, campaign)
    elif (own := _calculator_of(campaign)) is not None:
        start, temperature = _last_frames(directory, campaign)[-1], eligible(directory, campaign)[-1].temperature_k
        plan = {
            "temperature_k": temperature or 300.0,
            "timestep_fs": campaign.md.timestep_fs,
            "n_steps": settings.oracle_md_steps,
            "seed": derived_seed(campaign.seed, "rdf"),
        }
        calculators = (
            {"calculator": "pyace:PyACECalculator", "parameters": {"basis_set": str(potential)}},
            {"calculator": own.calculator, "parameters": own.parameters},
        )
        folder, limit = directory.validation / "md", campaign.oracle.timeout_s
        mine, theirs = (_run(start, {**plan, **calculator}, folder, limit) for calculator in calculators)
    else:
        raise UnmeasurableError(
            "MD with DFT is too expensive; give a trajectory file in validation.reference_trajectory"
        )
    farthest = min(_FARTHEST_A, *(_HALF * float(heights_a(atoms.cell.array).min()) for atoms in [*mine, *theirs]))
    return distribution(mine[:_MAX_FRAMES], farthest), distribution(theirs[-_MAX_FRAMES:], farthest)


def _require_fitting(frames: list[Atoms], campaign: Campaign) -> None:
    for index, atoms in enumerate(frames):
        if foreign := sorted(set(atoms.get_chemical_symbols()) - set(campaign.elements)):
            raise UnmeasurableError(
                f"frame {index} of validation.reference_trajectory has {', '.join(foreign)}, which elements lacks"
            )
        if atoms.cell.rank < 3 or not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
            raise UnmeasurableError(
                f"frame {index} of validation.reference_trajectory has no full cell, or positions that are no numbers"
            )


def _last_frames(directory: CampaignDirectory, campaign: Campaign) -> list[Atoms]:
    """Return frames from the last quarter of the trajectories, the last one last."""
    last = campaign.md.last_step(len(campaign.md.stages) - 1)
    places = [place for place in eligible(directory, campaign) if place.step >= (1 - _LAST_SHARE) * last]
    if not places:
        raise UnmeasurableError("no frame in the last quarter of the MD's steps is 100 fs away from all halts")
    chosen = np.unique(np.linspace(0, len(places) - 1, min(len(places), _MAX_FRAMES)).astype(int))
    found = [read_dumped_step(directory.cycle(p.walker, p.cycle) / DUMP, p.step) for p in (places[k] for k in chosen)]
    return [frame for frame in found if frame is not None]


def _run(start: Atoms, plan: dict[str, Any], folder: Path, limit_s: float) -> list[Atoms]:
    """Return frames of an MD that is run in a child process, once for each plan."""
    name = hashlib.sha256(json.dumps([plan, start.positions.tolist()], sort_keys=True).encode()).hexdigest()[:16]
    path = folder / f"{name}.extxyz"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        begin = folder / f"{name}-start.extxyz"
        write_frames(begin, [Atoms(start.numbers, start.positions, cell=start.cell, pbc=True)])
        argument = {**plan, "start": str(begin), "output": str(path)}
        try:
            fork_server().call(
                f"{__name__}:run_md", argument, folder=folder, log=folder / f"{name}.log", timeout_s=limit_s
            )
        except ChildError as error:
            raise UnmeasurableError(f"the MD for g(r) failed: {error}") from error
    frames: list[Atoms] = read(path, index=":", format="extxyz")
    return frames


def run_md(argument: dict[str, Any]) -> None:
    """Run Langevin dynamics and write the frames of its second half.

    Parameters
    ----------
    argument
        ``calculator`` and ``parameters``, ``start`` and ``output`` files, ``temperature_k``, ``timestep_fs``,
        ``n_steps`` and ``seed``.
    """
    from ase.md.langevin import Langevin
    from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

    from mlip_fw.engines.oracle.ase_child import calculator_class

    atoms, rng = read(argument["start"], format="extxyz"), np.random.default_rng(argument["seed"])
    atoms.calc = calculator_class(argument["calculator"])(**argument["parameters"])
    temperature, n_steps = argument["temperature_k"], argument["n_steps"]
    MaxwellBoltzmannDistribution(atoms, temperature_K=temperature, rng=rng)
    dynamics = Langevin(
        atoms,
        argument["timestep_fs"] * units.fs,
        temperature_K=temperature,
        friction=_FRICTION_1_FS / units.fs,
        rng=rng,
    )
    dynamics.run(n_steps // 2)
    frames: list[Atoms] = []
    every = max(1, n_steps // 2 // _MAX_FRAMES)
    dynamics.attach(lambda: frames.append(Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)), every)
    dynamics.run(n_steps - n_steps // 2)
    write_frames(Path(argument["output"]), frames)
