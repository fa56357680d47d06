"""Label efficiency: labels that a campaign takes, and how good its potential is on MD of the oracle.

::

    python benchmarks/labels.py                         all rows, one seed, the whole ramp: 15 minutes
    python benchmarks/labels.py --steps 2000 --seeds 3  a shorter ramp, mean and spread of three seeds
    python benchmarks/labels.py --rows halt_frame       one row, and random frames beside it

Every row has the same basis, the same trainer and the same test set: frames of the oracle's own MD at
three temperatures, which no row has seen. The row "random frames" is given as many labels as the
default took, bootstrap included, drawn at random from a ramp that the oracle itself drives; each of
the ramp's steps costs a reference calculation, which is what active learning saves.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.emt import EMT
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from label_count import TEMPERATURES_K, force_rmse, oracle_md
from training_speed import teach
from workflow_loop import run_workflow

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.seeds import derived_seed
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.structures.start import start_structures
from mlip_fw.io.campaign_file import read_campaign
from mlip_fw.io.structures import canonical, with_labels
from mlip_fw.models.campaign import Campaign, CandidateSettings

_EXAMPLE = Path(__file__).with_name("cu-ramp.yaml")
_SPACING = 10
_FRICTION = 0.02
STRATEGIES: dict[str, dict[str, Any]] = {
    "halt_frame": {"strategies": ["halt_frame"]},
    "rattle": {"strategies": ["halt_frame", "rattle"]},
    "normal_modes": {"strategies": ["halt_frame", "normal_modes"]},
    "md_burst": {"strategies": ["halt_frame", "md_burst"]},
    "all": {"strategies": ["halt_frame", "rattle", "normal_modes", "md_burst"]},
    "rattle, worth 2": {"strategies": ["halt_frame", "rattle"], "gamma_worth": 2.0},
    "md_burst, worth 2": {"strategies": ["halt_frame", "md_burst"], "gamma_worth": 2.0},
}
RANDOM = "random frames"


@dataclass(frozen=True)
class Taught:
    """What one run took and gave."""

    halts: int
    labels: int
    labelled_atoms: int
    oracle_calls: int
    """Reference calculations: the labels, and for random frames every step of the oracle's MD."""
    seconds: float
    force_rmse_mev_a: dict[int, float]
    """By temperature of the oracle's MD, K."""

    @property
    def mean_error(self) -> float:
        """Geometric mean of the errors: each temperature counts alike, though forces grow with it."""
        return statistics.geometric_mean(self.force_rmse_mev_a.values())


@functools.cache
def test_set() -> dict[int, list[Atoms]]:
    """Return the frames that every row is tested on, by temperature."""
    return {t: oracle_md(t) for t in TEMPERATURES_K}


def errors_of(potential: AcePotential) -> dict[int, float]:
    """Return the force errors on the test set, meV/Å."""
    return {t: 1000 * force_rmse(potential, frames) for t, frames in test_set().items()}


def learnt_on_the_fly(campaign: Campaign) -> Taught:
    """Run the campaign by `mlip-fw run`."""
    with tempfile.TemporaryDirectory(prefix="labels-") as folder:
        ours = run_workflow(campaign, Path(folder))
        summary, dataset = ours.summary, Dataset(Path(folder) / "run")
        if summary["outcome"] != "CONVERGED":
            print(f"  stopped: {summary['reason']}", file=sys.stderr)
        return Taught(
            halts=summary["halts"],
            labels=summary["labels"],
            labelled_atoms=sum(dataset.info(name).n_atoms for name in dataset.hashes()),
            oracle_calls=summary["labels"],
            seconds=ours.wall_s,
            force_rmse_mev_a=errors_of(AcePotential.from_files(Path(summary["potential"]))),
        )


def learnt_from_random_frames(campaign: Campaign, n_labels: int) -> Taught:
    """Train on frames drawn from the same ramp, driven by the oracle."""
    frames, rng = _ramp_of_oracle(campaign), np.random.default_rng(derived_seed(campaign.seed, "random frames"))
    drawn = [frames[k] for k in sorted(rng.choice(len(frames), size=n_labels, replace=False))]
    with tempfile.TemporaryDirectory(prefix="labels-") as folder:
        generations = teach(Path(folder), campaign, drawn)
        errors = errors_of(AcePotential.from_files(generations.potential(0)))
    n_steps = campaign.md.stages[0].n_steps
    return Taught(0, n_labels, sum(map(len, drawn)), n_steps, 0.0, errors)


def _ramp_of_oracle(campaign: Campaign) -> list[Atoms]:
    atoms, stage = start_structures(campaign)[0], campaign.md.stages[0]
    assert stage.temperature_k is not None
    low, high = stage.temperature_k
    atoms.calc = EMT()
    rng = np.random.default_rng(derived_seed(campaign.seed, "oracle ramp"))
    MaxwellBoltzmannDistribution(atoms, temperature_K=low, rng=rng)
    step = campaign.md.timestep_fs * units.fs
    dynamics = Langevin(atoms, step, temperature_K=low, friction=_FRICTION, rng=rng)
    frames = []
    for done in range(0, stage.n_steps, _SPACING):
        dynamics.set_temperature(temperature_K=low + (high - low) * done / stage.n_steps)
        dynamics.run(_SPACING)
        frames.append(with_labels(canonical(atoms), atoms.get_potential_energy(), atoms.get_forces(), None))
    return frames


def with_changes(campaign: Campaign, seed: int, steps: int | None, candidates: dict[str, Any]) -> Campaign:
    """Return the campaign with another seed, maybe a shorter first stage, and other candidates."""
    data = campaign.model_dump(mode="json")
    data["seed"], data["md"]["engine"] = seed, "embedded"
    data["candidates"].update(candidates)
    data["md"]["stages"][0]["n_steps"] = steps or data["md"]["stages"][0]["n_steps"]
    return Campaign.model_validate(data)


def measure(campaign: Campaign, rows: list[str], seeds: list[int], steps: int | None) -> dict[str, list[Taught]]:
    """Return what every row came to, for each seed."""
    found: dict[str, list[Taught]] = {name: [] for name in [*rows, RANDOM]}

    def take(name: str, taught: Taught) -> None:
        found[name].append(taught)
        line = f"seed {seed}: {name}: {taught.labels} labels, {taught.mean_error:.2f} meV/Å"
        print(line, file=sys.stderr, flush=True)

    for seed in seeds:
        for name in rows:
            take(name, learnt_on_the_fly(with_changes(campaign, seed, steps, STRATEGIES[name])))
        reference = found[default_row() if default_row() in rows else rows[0]][-1]
        same_ramp = with_changes(campaign, seed, steps, STRATEGIES["halt_frame"])
        take(RANDOM, learnt_from_random_frames(same_ramp, reference.labels))
    return found


def default_row() -> str:
    """Return the name of the row that has the default strategies."""
    default = {"strategies": list(CandidateSettings().strategies)}
    return next(name for name, candidates in STRATEGIES.items() if candidates == default)


def dominated(name: str, found: dict[str, list[Taught]]) -> bool:
    """Return whether another row is at least as good in labels, labelled atoms, calls and error, and better in one."""

    def marks(row: str) -> list[float]:
        keys: list[Callable[[Taught], float]] = [
            lambda t: t.labels,
            lambda t: t.labelled_atoms,
            lambda t: t.oracle_calls,
            lambda t: t.mean_error,
        ]
        return [statistics.mean(key(t) for t in found[row]) for key in keys]

    own = marks(name)
    others = (marks(row) for row in found if row != name)
    return any(all(a <= b for a, b in zip(other, own, strict=True)) and other != own for other in others)


def table(found: dict[str, list[Taught]]) -> str:
    """Return the Markdown table, mean and, of several seeds, standard deviation."""
    heads = ["candidates", "halts", "labels", "labelled atoms", "reference calculations"]
    heads += [f"{t} K" for t in TEMPERATURES_K] + ["mean error", "on the front"]
    lines = [" | ".join(heads), " | ".join("---" for _ in heads)]
    for name, runs in found.items():
        cells = [f"**{name}** (default)" if name == default_row() else name]
        cells += [_spread([t.halts for t in runs]) if name != RANDOM else "–"]
        cells += [_spread([getattr(t, key) for t in runs]) for key in ("labels", "labelled_atoms", "oracle_calls")]
        cells += [_spread([t.force_rmse_mev_a[k] for t in runs], 2) for k in TEMPERATURES_K]
        cells += [_spread([t.mean_error for t in runs], 2), "no" if dominated(name, found) else "yes"]
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines)


def _spread(values: list[float], digits: int = 0) -> str:
    mean = f"{statistics.mean(values):.{digits if len(values) == 1 else max(digits, 1)}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{max(digits, 1)}f}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--campaign", type=Path, default=_EXAMPLE, help="campaign file: one NVT stage with EMT labels")
    parser.add_argument("--steps", type=int, help="steps of the ramp instead of the campaign's")
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds, from the campaign's on")
    parser.add_argument("--rows", nargs="+", choices=STRATEGIES, default=list(STRATEGIES), help="which rows")
    parser.add_argument("--json", type=Path, help="file for all numbers")
    return parser.parse_args()


def main() -> None:
    """Run the rows and print the table."""
    arguments = _arguments()
    campaign = read_campaign(arguments.campaign)
    seeds = [campaign.seed + k for k in range(arguments.seeds)]
    found = measure(campaign, arguments.rows, seeds, arguments.steps)
    print(table(found))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({k: [asdict(t) for t in v] for k, v in found.items()}, indent=1))


if __name__ == "__main__":
    main()
