"""One look at a potential: what is there is compared, what is missing is named.

A validation is looked at again and again, with the missing labels made in between, until nothing is
missing: where the oracle's own minimum lies is known only after the equation of state.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms

from mlip_fw.campaign.dataset import Dataset, level_id
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.train.calibration import unseen_atoms
from mlip_fw.errors import DirectoryError
from mlip_fw.io.files import read_model
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.training import TrainingRecord
from mlip_fw.models.validation import Quantity, ValidationReport
from mlip_fw.validation.compare import Both, compare
from mlip_fw.validation.holdout import hold_out
from mlip_fw.validation.measure import Bands, StateEquation
from mlip_fw.validation.parity import (
    Pair,
    calibration,
    errors_by_element,
    errors_by_temperature,
    frame_errors,
    gamma_and_errors,
)
from mlip_fw.validation.rdf import Distribution
from mlip_fw.validation.sources import NotYetError, OracleSource, PotentialSource, UnmeasurableError

_MAX_LABELS = 200


@dataclass
class Findings:
    """Results of one run of a validation, and the structures still to be labelled."""

    missing: dict[str, Atoms] = field(default_factory=dict)
    """Structures to label before all is there, by name."""
    pairs: list[Pair] = field(default_factory=list)
    unseen: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    """(n, 2) gamma and force error, eV/Å, of atoms before they were trained on."""
    quantities: list[Quantity] = field(default_factory=list)
    unmeasured: dict[str, str] = field(default_factory=dict)
    gamma_max: dict[str, float] = field(default_factory=dict)
    states: dict[str, StateEquation] = field(default_factory=dict)
    bands: dict[str, Bands] = field(default_factory=dict)
    distributions: dict[str, Distribution] = field(default_factory=dict)
    report: ValidationReport | None = None
    """Only if nothing is missing."""


def last_report(directory: CampaignDirectory) -> ValidationReport | None:
    """Return what the last validation found, whichever generation it was of."""
    return read_model(directory.validation_report, ValidationReport)


def diagnose(
    directory: CampaignDirectory, campaign: Campaign, level: dict[str, Any], given_up: Container[str] = ()
) -> Findings:
    """Compare the newest generation fit for MD with the labels that ``campaign.validation`` needs, if they are there.

    Labels that are ``given_up`` are not waited for.

    Raises
    ------
    DirectoryError
        If there is no potential yet.
    """
    generations, training = Generations(directory.root), Dataset(directory.root)
    newest = generations.fit_for_md()
    record = generations.record(newest) if newest is not None else None
    if newest is None or record is None:
        raise DirectoryError(f"{directory.root} has no potential to validate yet; `mlip-fw run` makes one")
    settings, apart = campaign.validation, Dataset(directory.validation)
    potential = AcePotential.from_files(generations.potential(newest))
    learnt = _sample(training, record.labels)
    mine = PotentialSource(potential, record.reference_energy_ev or _free_energies(potential, list(learnt)))
    oracle = OracleSource(apart, level, given_up)
    found = Findings()
    held_out = hold_out(directory, campaign, settings.n_frames, potential, level)
    if len(held_out) < settings.n_frames:
        found.unmeasured["frames"] = (
            f"the trajectories have only {len(held_out)} of {settings.n_frames} frames to hold out"
        )
    for held, frame in held_out:
        if held.hash in record.labels:
            found.unmeasured[held.hash] = "this frame has been trained on since it was held out"
            continue
        try:
            (label,) = oracle.label([frame])
        except NotYetError:
            continue
        except UnmeasurableError as error:
            found.unmeasured[held.hash] = str(error)
            continue
        found.pairs.append(Pair(mine.label([label])[0], label, held.measured_temperature_k))
    both = Both(mine, oracle, directory, campaign, generations.potential(newest))
    compare(both, found.quantities, found.unmeasured, found.gamma_max)
    found.states, found.bands, found.distributions = both.states, both.bands, both.distributions
    found.missing = oracle.missing
    if not found.missing:
        found.unseen = unseen_atoms(generations, training, with_spread=False).gamma_and_error
        found.report = _report(campaign, record, found, level, apart, mine, _sample(training, record.labels))
    return found


def _report(
    campaign: Campaign,
    record: TrainingRecord,
    found: Findings,
    level: dict[str, Any],
    apart: Dataset,
    mine: PotentialSource,
    learnt: Iterator[Atoms],
) -> ValidationReport:
    pairs = found.pairs
    unseen = np.concatenate([gamma_and_errors(pairs), found.unseen])
    seen = gamma_and_errors([Pair(mine.label([label])[0], label) for label in learnt])
    return ValidationReport(
        campaign=campaign.campaign,
        generation=record.generation,
        level_of_theory=level_id(level),
        settings=campaign.validation,
        holdout=frame_errors(pairs) if pairs else None,
        by_element=errors_by_element(pairs) if pairs else {},
        by_temperature=errors_by_temperature(pairs),
        calibration=calibration(unseen, seen),
        quantities=found.quantities,
        unmeasured=found.unmeasured,
        gamma_max=found.gamma_max,
        labels=len(apart.hashes()),
        labels_failed=len(apart.quarantined()),
    )


def _sample(training: Dataset, names: list[str]) -> Iterator[Atoms]:
    """Give labels of the training set, spread over all of them if there are many."""
    chosen = np.unique(np.linspace(0, len(names) - 1, min(len(names), _MAX_LABELS)).astype(int))
    return (training.read(names[k]) for k in chosen)


def _free_energies(potential: AcePotential, labels: list[Atoms]) -> dict[str, float]:
    """Fit what a given potential leaves out of the energies of ``labels``; nothing if there are none."""
    if not labels:
        return {}
    counts = np.array([[float(np.sum(a.symbols == e)) for e in potential.elements] for a in labels])
    left = [a.get_potential_energy() - potential.evaluate(a, gamma=False).energy_ev for a in labels]
    solution = np.linalg.lstsq(counts, np.array(left), rcond=None)[0]
    return {name: float(value) for name, value in zip(potential.elements, solution, strict=True)}
