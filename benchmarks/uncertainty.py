"""Whether stated force errors hold: intervals of several estimators against the true errors on fresh frames.

::

    python benchmarks/uncertainty.py --results before                      all campaigns of materials.py there
    python benchmarks/uncertainty.py --results before --materials cu mgo   some of them

All labels of each campaign are learnt at once with the defaults of now, in a folder below ``--refitted``, and the
potential is tested on frames of MD that nobody has trained on: those of the oracle's MD that the campaign was tested
on, or new ones of MD by this potential, labelled by the oracle.

Every estimator gives each atom a scale. What the errors are as multiples of it is taken from cross-validation, by
element: its 68 % and 95 % quantiles make intervals. A cell of the table says which shares of the true force components
lie within them, and the rank correlation (Spearman) of scale and length of the error among atoms at one temperature.

- gamma: the extrapolation grade
- misfit: the same scale for all atoms
- posterior: the spread of the Bayesian posterior; also as it is, without calibration
- POPS: the spread over pointwise optimal parameter sets, exactly; its cost forbids it in MD
- stated: what a generation states, a sample of four of these with the force (``potential.errors.npz``)
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from material_list import MATERIALS, Material
from material_test import Oracle, test_frames
from scipy.stats import spearmanr

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.basis import copy_of, fingerprint
from mlip_fw.engines.ace.error_estimate import LEVELS, ErrorEstimator, error_scales
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.sampling.maxvol import ActiveSet
from mlip_fw.engines.train.active_set import update_active_sets
from mlip_fw.engines.train.environment_rows import EnvironmentRows
from mlip_fw.engines.train.error_calibration import LabelRows, ensemble_of, sample_of
from mlip_fw.engines.train.fit_io import read_fit
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.engines.train.linear_fit import N_FOLDS
from mlip_fw.engines.train.qr_update import leave_one_out, merge
from mlip_fw.engines.train.ridge_cv import ScaledProblem
from mlip_fw.engines.train.ridge_fit import FitTerms
from mlip_fw.io.files import write_json
from mlip_fw.models.campaign import Campaign

ESTIMATORS = ("gamma", "misfit", "posterior", "POPS", "stated")
_CHECK_INTERVAL = 10
Scales = dict[str, np.ndarray]


@dataclass(frozen=True)
class Fit:
    """A fit with what the estimators take from it."""

    coefficients: np.ndarray
    root: np.ndarray
    """(n_functions, k) square root of the inverse Hessian."""
    noise: float
    pops: np.ndarray
    """(n_functions, k) square root of the covariance of POPS."""
    changes: np.ndarray
    """(n_functions, 4) of the ensemble."""
    force_rms: float
    active: dict[str, ActiveSet]

    @classmethod
    def of(cls, terms: Problem, r_factor: np.ndarray, labels: list[LabelRows], active: dict[str, ActiveSet]) -> Fit:
        """Fit the rows of ``r_factor``, which are those of ``labels``."""
        problem, prior, ridge = terms.problem, terms.prior, terms.ridge
        spectrum = problem.spectrum(r_factor, prior)
        coefficients = prior + spectrum.solve(ridge) / problem.scale
        root = spectrum.inverse_hessian_root(ridge) / problem.scale[:, None]
        rows = np.concatenate([label.forces[label.known] for label in labels])
        forces = np.concatenate([label.targets_ev_a[label.known] for label in labels])
        misses = forces - rows @ coefficients
        used = float(np.sum(spectrum.values**2 / (spectrum.values**2 + ridge**2)))
        whitened = rows @ root
        pulls = whitened * (misses / np.maximum((whitened**2).sum(axis=1), 1e-12))[:, None] / np.sqrt(len(rows))
        values, vectors = np.linalg.eigh(pulls.T @ pulls)
        return cls(
            coefficients=coefficients,
            root=root,
            noise=float(np.sqrt(np.sum(misses**2) / max(len(misses) - used, 1.0))),
            pops=root @ (vectors * np.sqrt(np.maximum(values, 0.0))),
            changes=ensemble_of(labels, coefficients, root, np.random.default_rng(1)),
            force_rms=terms.force_rms,
            active=active,
        )

    def scales(self, rows: LabelRows, projections: dict[str, np.ndarray], coefficients: np.ndarray) -> Scales:
        """Return the (n_atoms,) scale of each estimator."""
        gamma = np.zeros(len(rows.species))
        for index, name in enumerate(projections):
            gamma[rows.species == index] = self.active[name].gamma(projections[name])
        forces = rows.forces @ coefficients + rows.cores_ev_a
        return {
            "gamma": gamma,
            "misfit": np.ones(len(gamma)),
            "posterior": self.noise * _lengths(rows.forces @ self.root),
            "POPS": _lengths(rows.forces @ self.pops),
            "stated": error_scales(rows.forces @ self.changes, forces, self.force_rms),
        }


@dataclass(frozen=True)
class Problem:
    """What all fits to parts of the labels have in common."""

    problem: ScaledProblem
    prior: np.ndarray
    ridge: float
    force_rms: float


def _lengths(deviations: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt((deviations**2).sum(axis=2).mean(axis=1)))


def refitted(results: Path, folder: Path) -> tuple[Campaign, Dataset, Generations]:
    """Learn all labels of a campaign at once in ``folder``, unless that was done."""
    campaign = CampaignDirectory(results / "run").read_campaign()
    defaults = type(campaign.potential)(basis="auto", cutoff_a="auto", functions_per_element="auto")
    campaign = campaign.model_copy(update={"potential": defaults})
    dataset, generations = Dataset(folder), Generations(folder)
    if generations.newest() is None:
        (folder / "labels").mkdir(parents=True, exist_ok=True)
        for path in (results / "run" / "labels").glob("*.extxyz"):
            shutil.copy(path, folder / "labels")
        train_generation(generations, dataset, campaign)
    return campaign, dataset, generations


def measure(material: Material, results: Path, folder: Path) -> dict[str, Any]:
    """Return coverage and rank correlation of all estimators for one campaign."""
    campaign, dataset, generations = refitted(results, folder)
    path, record = generations.potential(0), generations.record(0)
    assert record is not None and record.fold_order is not None and record.ridge is not None
    potential = AcePotential.from_files(path)
    shape = AcePotential(copy_of(potential.basis, np.zeros(len(potential.basis.basis_coeffs))))
    fit, prior = read_fit(generations.folder(0), record.n_folded)
    labels = sample_of(dict(enumerate(record.fold_order)), dataset, shape, np.random.default_rng(1))
    environments = EnvironmentRows(generations.rows(fingerprint(shape.basis)), dataset, shape)
    known = np.concatenate([one.targets_ev_a[one.known.all(axis=1)] for one in labels.values()])
    problem = Problem(
        FitTerms.of(fit, shape, prior, campaign).problem(fit),
        prior,
        record.ridge,
        float(np.sqrt((known**2).sum(axis=1).mean())),
    )
    by_element = calibrated(problem, labels, record.fold_order, environments, shape)
    whole = Fit.of(
        problem, problem.problem.whole, list(labels.values()), _active(environments, record.fold_order, shape)
    )
    own = material.tested_on == "potential"
    frames = test_frames(material, Oracle.of(campaign), path, folder if own else results.parent)
    scales, errors, species, temperatures, stated = [], [], [], [], []
    estimator = ErrorEstimator.of_file(path)
    assert estimator is not None
    coefficients = np.array(potential.basis.basis_coeffs)
    for atoms in frames:
        rows = _rows(atoms, shape)
        design = shape.design(atoms)
        scales.append(whole.scales(rows, design.projections, coefficients))
        forces = rows.forces @ coefficients + rows.cores_ev_a
        errors.append(forces - atoms.get_forces())
        species.append(rows.species)
        temperatures.append(np.full(len(atoms), atoms.info["temperature_k"]))
        stated.append(estimator.half_widths_ev_a(atoms, forces))
    found = Test(*(np.concatenate(part) for part in (errors, species, temperatures)))
    joined = {name: np.concatenate([one[name] for one in scales]) for name in ESTIMATORS}
    answers = {name: found.judged(joined[name][:, None] * by_element[name][found.species]) for name in ESTIMATORS}
    answers["stated"] = found.judged(np.concatenate(stated))
    return {
        "material": material.name,
        "used_to": material.used_to,
        "labels": len(record.labels),
        "frames": len(frames),
        "force_rmse_ev_a": float(np.sqrt(np.mean(found.errors**2))),
        "cv_force_rmse_ev_a": record.cv_force_rmse_ev_a,
        "uncalibrated posterior": found.judged(joined["posterior"][:, None] * np.array([1.0, 2.0])),
        "md_cost": md_cost(potential, estimator, frames[0]),
        **answers,
    }


@dataclass(frozen=True)
class Test:
    """Atoms of the frames that are tested on."""

    errors: np.ndarray
    species: np.ndarray
    temperatures: np.ndarray

    def judged(self, half_widths: np.ndarray) -> dict[str, float]:
        """Return the coverage of intervals (n_atoms, 2) of half widths, and the rank correlation with the error."""
        lengths, widths = np.linalg.norm(self.errors, axis=1), half_widths[:, 0]
        each = [self.temperatures == kelvin for kelvin in np.unique(self.temperatures)]
        varies = [some for some in each if np.ptp(widths[some]) > 0]
        ranks = [float(spearmanr(widths[some], lengths[some]).statistic) for some in varies]
        within = np.abs(self.errors)[:, :, None] <= half_widths[:, None, :]
        return {
            "within_68": float(within[..., 0].mean()),
            "within_95": float(within[..., 1].mean()),
            "rank": float(np.mean(ranks)) if ranks else 0.0,
        }


def calibrated(
    terms: Problem, labels: dict[int, LabelRows], order: list[str], rows: EnvironmentRows, shape: AcePotential
) -> dict[str, np.ndarray]:
    """Return, for each estimator, the (n_elements, 2) quantiles of errors over scales, by cross-validation."""
    problem, ratios, species = terms.problem, {name: list[np.ndarray]() for name in ESTIMATORS}, list[np.ndarray]()
    always = [] if problem.down_weighted is None else [problem.down_weighted]
    for fold, rest in enumerate(leave_one_out(problem.folds)):
        outside = [label for place, label in labels.items() if place % N_FOLDS != fold]
        names = [name for place, name in enumerate(order) if place % N_FOLDS != fold]
        fit = Fit.of(terms, reduce(merge, always, rest), outside, _active(rows, names, shape))
        for place, label in labels.items():
            if place % N_FOLDS == fold:
                projections = {name: _projections(rows, name, order[place]) for name in shape.elements}
                misses = np.abs(label.forces @ fit.coefficients - label.targets_ev_a)
                for name, scales in fit.scales(label, projections, fit.coefficients).items():
                    ratios[name].append(misses / np.maximum(scales, 1e-12)[:, None])
                species.append(label.species)
    elements = np.concatenate(species)
    return {
        name: np.array(
            [np.quantile(np.concatenate(found)[elements == index], LEVELS) for index in range(len(shape.elements))]
        )
        for name, found in ratios.items()
    }


def _active(rows: EnvironmentRows, names: list[str], shape: AcePotential) -> dict[str, ActiveSet]:
    added = {element: np.concatenate([b.rows for b in rows.blocks(element, names)]) for element in shape.elements}
    return update_active_sets(None, 0.0, added, rows, names).active


def _projections(rows: EnvironmentRows, element: str, name: str) -> np.ndarray:
    return np.concatenate([block.rows for block in rows.blocks(element, [name])])


def _rows(atoms: Atoms, shape: AcePotential) -> LabelRows:
    cores = shape.evaluate(atoms, gamma=False).forces_ev_a
    forces, known = atoms.get_forces() - cores, np.ones((len(atoms), 3), dtype=bool)
    return LabelRows(shape.design(atoms).forces, forces, cores, known, shape.species(atoms))


def md_cost(potential: AcePotential, estimator: ErrorEstimator, atoms: Atoms) -> float:
    """Return how much longer MD takes if each check of gamma, every 10 steps, gives the stated errors too."""
    neighbours, positions, cell = potential.neighbours(atoms, 1.0), atoms.positions, atoms.cell.array
    forces = potential.evaluate(atoms, gamma=False).forces_ev_a
    plain = _seconds(lambda: potential.evaluate_moving(neighbours, positions, cell, gamma=False))
    graded = _seconds(lambda: potential.evaluate_moving(neighbours, positions, cell, gamma=True))
    stated = _seconds(lambda: estimator.half_widths_moving(neighbours, positions, cell, forces))
    usual = (_CHECK_INTERVAL - 1) * plain + graded
    return (usual + stated) / usual


def _seconds(evaluate: Callable[[], object]) -> float:
    """Return the least time of twenty tries, s."""
    times = []
    for _ in range(20):
        started = time.perf_counter()
        evaluate()
        times.append(time.perf_counter() - started)
    return min(times)


def table(found: list[dict[str, Any]]) -> str:
    """Return the Markdown table: one line for each campaign."""
    columns = ("uncalibrated posterior", *ESTIMATORS)
    heads = ["material", "set", "seed", "labels", "error, meV/Å", "CV", *columns, "MD cost"]
    lines = [" | ".join(heads), " | ".join("---" for _ in heads)]
    for one in found:
        cells = [one["material"], one["used_to"], one["seed"], one["labels"]]
        cells += [f"{1000 * one[key]:.3g}" for key in ("force_rmse_ev_a", "cv_force_rmse_ev_a")]
        cells += [_cell(one[name]) for name in columns]
        lines.append(" | ".join(map(str, [*cells, f"{one['md_cost']:.2f}"])))
    return "\n".join(f"| {line} |" for line in lines)


def _cell(one: dict[str, float]) -> str:
    return f"{100 * one['within_68']:.0f}, {100 * one['within_95']:.0f}; {one['rank']:.2f}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("materials"), help="folder of benchmarks/materials.py")
    parser.add_argument("--refitted", type=Path, default=Path("uncertainty"), help="folder of the potentials")
    parser.add_argument("--materials", nargs="+", choices=MATERIALS, default=list(MATERIALS), help="which materials")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="seeds of the campaigns")
    parser.add_argument("--json", action="store_true", help="print all numbers instead of the table")
    return parser.parse_args()


def main() -> None:
    """Test all campaigns that ended, and print what was found."""
    arguments = _arguments()
    found: list[dict[str, Any]] = []
    for material in (MATERIALS[name] for name in arguments.materials):
        for seed in arguments.seeds:
            place = Path(material.name) / f"seed-{seed}"
            if material.missing is not None or not (arguments.results / place / "result.json").is_file():
                print(f"{place}: left out, the campaign or its oracle is not there", file=sys.stderr)
                continue
            kept = arguments.refitted / place / "uncertainty.json"
            if not kept.is_file():
                write_json(
                    kept, measure(material, arguments.results / place, arguments.refitted / place) | {"seed": seed}
                )
            found.append(json.loads(kept.read_text()))
    print(json.dumps(found, indent=1) if arguments.json else table(found))


if __name__ == "__main__":
    main()
