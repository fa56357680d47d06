"""The model card: facts about a potential, from the campaign directory."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from ase import Atoms, units
from pydantic import ValidationError

from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.records import CampaignRecords
from mlip_fw.campaign.summary import error_summary, md_results
from mlip_fw.engines.md.script import LOG
from mlip_fw.engines.oracle.level import read_level
from mlip_fw.errors import DirectoryError
from mlip_fw.export.history import recipe
from mlip_fw.io.lammps import temperatures_in_log
from mlip_fw.io.structures import mask_of
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.card import Domain, ModelCard
from mlip_fw.models.training import Errors, TrainingRecord

_PROGRAMS = (
    "mlip-fw",
    "python-ace",
    "numpy",
    "scipy",
    "ase",
    "lammps",
    "FireWorks",
    "custodian",
    "pymatgen",
    "phonopy",
)
_PERCENTILES = (1, 99)
_G_CM3 = units.m**3 / units.kg / 1000
CARD = "model.json"
HASHED = ("potential.yaml", "potential.asi", "potential.yace", "dataset.extxyz")
"""What the card has the sha256 of."""


def model_card(
    directory: CampaignDirectory, records: list[TrainingRecord], frames: list[Atoms], folder: Path, cutoff_a: float
) -> ModelCard:
    """Return the facts about the last of ``records``, whose files are in ``folder`` already.

    Parameters
    ----------
    records
        The generation's lineage.
    frames
        Its labels.
    """
    campaign, last = directory.read_campaign(), records[-1]
    return ModelCard(
        campaign=campaign.campaign,
        generation=last.generation,
        trainer=last.trainer,
        seed=campaign.seed,
        elements=campaign.elements,
        cutoff_a=cutoff_a,
        functions_per_element=last.functions_per_element,
        reference_energy_ev=last.reference_energy_ev,
        level_of_theory=read_level(directory.level_file) or {},
        oracle_codes=sorted({_code(atoms) for atoms in frames}),
        labels=len(frames),
        atoms=sum(map(len, frames)),
        atoms_masked=sum(int((~mask_of(atoms)).sum()) for atoms in frames),
        error=error_summary(CampaignRecords(directory), last.generation),
        training_errors=last.dataset,
        unseen_errors=_unseen(records),
        domain=_domain(directory, campaign, frames),
        versions=_versions() | _plug_ins(campaign) | last.versions,
        sha256={name: sha256(folder / name) for name in HASHED},
        recipe=recipe(records),
    )


def read_card(folder: Path) -> ModelCard:
    """Return the model card of an export.

    Raises
    ------
    DirectoryError
        If there is none.
    """
    path = folder / CARD
    try:
        if path.is_file():
            return ModelCard.model_validate_json(path.read_bytes())
        why = "there is none"
    except OSError as error:
        why = error.strerror or str(error)
    except ValidationError as error:
        first = error.errors()[0]
        why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ")
    raise DirectoryError(
        f"{folder} is no exported potential of this version of mlip_fw: it has no whole {CARD} ({why}); see "
        "`mlip-fw export`"
    )


def sha256(path: Path) -> str:
    """Return the sha256 of a file's content."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _versions() -> dict[str, str]:
    return {"Python": platform.python_version(), **{name: importlib.metadata.version(name) for name in _PROGRAMS}}


def _plug_ins(campaign: Campaign) -> dict[str, str]:
    """Return the versions of the distributions whose plug-ins the campaign names."""
    origins = [registry.origin(name) for registry, name in campaign.kinds() if not registry.is_built_in(name)]
    return {distribution: version for distribution, _, version in (origin.rpartition(" ") for origin in origins)}


def _code(atoms: Atoms) -> str:
    code, version = str(atoms.info.get("code", "unknown")), str(atoms.info.get("version", ""))
    return f"{code} {version.removeprefix('v')}".strip()


def _unseen(records: list[TrainingRecord]) -> Errors | None:
    tried = [(r.new_before, len(r.new_labels)) for r in records if r.new_before is not None and r.new_labels]
    if not tried:
        return None

    def joint(values: Iterable[float]) -> float:
        return float(np.sqrt(np.average(np.square(list(values)), weights=[n for _, n in tried])))

    return Errors(
        force_rmse_ev_a=joint(errors.force_rmse_ev_a for errors, _ in tried),
        energy_rmse_ev_atom=joint(errors.energy_rmse_ev_atom for errors, _ in tried),
    )


def _domain(directory: CampaignDirectory, campaign: Campaign, frames: list[Atoms]) -> Domain:
    temperatures: list[float] = []
    pressures: list[float] = []
    for result in md_results(directory):
        stage, first = campaign.md.stages[result.stage], campaign.md.first_step(result.stage)
        for step in (result.first_step, result.step):
            done = (step - first) / stage.n_steps
            temperatures += [_ramp(stage.temperature_k, done)] if stage.temperature_k else []
            pressures += [_ramp(stage.pressure_bar, done)] if stage.pressure_bar else []
    densities = [float(atoms.get_masses().sum() / atoms.get_volume() * _G_CM3) for atoms in frames] or [0.0]
    return Domain(
        temperature_k=[min(temperatures), max(temperatures)] if temperatures else None,
        measured_temperature_k=_measured(directory),
        pressure_bar=[min(pressures), max(pressures)] if pressures else None,
        density_g_cm3=[min(densities), max(densities)],
        compositions=sorted({atoms.symbols.formula.reduce()[0].format("metal") for atoms in frames}),
    )


def _measured(directory: CampaignDirectory) -> list[float] | None:
    """Return nearly the lowest and the highest temperature that LAMMPS measured: small cells fluctuate."""
    kelvin = [value for folder in directory.cycles() for value in temperatures_in_log(folder / LOG).values()]
    return [round(float(value), 1) for value in np.percentile(kelvin, _PERCENTILES)] if kelvin else None


def _ramp(ends: list[float], done: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * min(max(done, 0.0), 1.0)
