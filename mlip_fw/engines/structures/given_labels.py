"""Labelled structures given as ``bootstrap.dataset``: reading and checking them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import units

from mlip_fw.engines.structures.geometry import too_close
from mlip_fw.errors import CampaignError
from mlip_fw.io.labelled.audit import audit_of
from mlip_fw.io.labelled.copies import without_copies
from mlip_fw.io.labelled.reading import LabelledFrame, read_labelled
from mlip_fw.io.pace import read_basis
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.dataset import DatasetAudit

DATASET_KEY = "bootstrap.dataset"


@dataclass(frozen=True)
class GivenLabels:
    """The labels of ``bootstrap.dataset`` without duplicates, and how their file was interpreted."""

    frames: list[LabelledFrame]
    audit: DatasetAudit


def given_labels(campaign: Campaign) -> GivenLabels | None:
    """Read and check ``bootstrap.dataset``; None if the campaign has none.

    Raises
    ------
    CampaignError
        If the file can't be read or interpreted, or a structure has elements that the campaign lacks, atoms too
        close, or forces or stresses above the oracle's limits.
    """
    settings = campaign.bootstrap.dataset_settings
    if settings is None:
        return None
    cutoff_a = _cutoff_a(campaign)
    found = read_labelled(settings, DATASET_KEY, cutoff_a)
    for frame in found.frames:
        _check(frame, campaign)
    frames = without_copies(found.frames, DATASET_KEY)
    return GivenLabels(frames, audit_of(found, frames, cutoff_a))


def _cutoff_a(campaign: Campaign) -> float:
    """Return the larger of the cutoffs of the campaign and of the potential that it starts with, Å."""
    initial = campaign.potential.initial
    given = float(read_basis(Path(initial)).cutoffmax) if initial is not None and Path(initial).is_file() else 0.0
    return max(campaign.potential.largest_cutoff_a, given)


def _check(frame: LabelledFrame, campaign: Campaign) -> None:
    where, atoms = f"{DATASET_KEY}: structure {frame.number}", frame.atoms
    if foreign := sorted(set(atoms.get_chemical_symbols()) - set(campaign.elements)):
        raise CampaignError(
            f"{where} has {', '.join(foreign)}, which elements does not name; add it there, or leave it out"
        )
    if close := too_close(atoms):
        raise CampaignError(f"{where}: {close}; leave it out")
    force = float(np.linalg.norm(frame.label.forces_ev_a, axis=1).max())
    if force > campaign.oracle.max_force_ev_a:
        raise CampaignError(
            f"{where} has a force of {force:.4g} eV/Å, more than oracle.max_force_ev_a = "
            f"{campaign.oracle.max_force_ev_a:g}; the unit is eV/Å. Leave it out, give "
            f"{DATASET_KEY}.force_unit, or allow more"
        )
    stress = frame.label.stress_ev_a3
    largest = 0.0 if stress is None else float(np.abs(stress).max() / units.GPa)
    if campaign.potential.stress_weight and largest > campaign.oracle.max_stress_gpa:
        raise CampaignError(
            f"{where} has a stress of {largest:.4g} GPa, more than oracle.max_stress_gpa = "
            f"{campaign.oracle.max_stress_gpa:g}; the unit is eV/Å³. Leave it out, give "
            f"{DATASET_KEY}.stress_unit, or allow more"
        )
