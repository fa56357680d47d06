"""The model card of an exported potential, as written to ``model.json``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from mlip_fw.models.accuracy import ErrorSummary
from mlip_fw.models.base import Count, Frozen, NotNegative, Real
from mlip_fw.models.training import Errors

_LabelName = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
"""It becomes the name of a file."""


class Domain(Frozen):
    """Temperatures, pressures, densities and compositions that the potential was trained at."""

    temperature_k: list[NotNegative] | None = Field(
        None, description="lowest and highest target temperature of the MD, K; null: of nve runs alone"
    )
    measured_temperature_k: list[NotNegative] | None = Field(
        None, description="temperatures in LAMMPS' logs, K: 1st and 99th percentile; null: there are no logs"
    )
    pressure_bar: list[Real] | None = Field(None, description="lowest and highest pressure of npt stages, bar")
    density_g_cm3: list[NotNegative] = Field(description="lowest and highest density of a labelled cell, g/cm³")
    compositions: list[str] = Field(description="compositions of the labelled cells, in lowest terms")


class Recipe(Frozen):
    """Order in which labels were trained on; with the dataset it reproduces the coefficients."""

    imported: bool = Field(description="whether it all began with a potential that was given; it is in initial/")
    steps: list[list[_LabelName]] = Field(
        description="labels that were new to each training, in the order of dataset.extxyz"
    )


class ModelCard(Frozen):
    """A published potential in facts."""

    campaign: str
    generation: Count
    trainer: str = "linear"
    seed: Count
    elements: list[str]
    cutoff_a: NotNegative
    functions_per_element: dict[str, Count]
    reference_energy_ev: dict[str, Real] = Field(
        description="by element, to be added for each atom to get the oracle's total energy, eV"
    )
    level_of_theory: dict[str, Any]
    oracle_codes: list[str] = Field(description="programs that made the labels, with their versions")
    labels: Count
    atoms: Count
    atoms_masked: Count = Field(description="labelled atoms that were not trained on")
    error: ErrorSummary = Field(ErrorSummary(), description="of the generation, on frames that it was not trained on")
    training_errors: Errors | None
    unseen_errors: Errors | None = Field(
        description="of each generation on the labels that the next one was trained on, joint"
    )
    domain: Domain
    versions: dict[str, str]
    sha256: dict[str, str] = Field(description="of potential.yaml, potential.asi, potential.yace and dataset.extxyz")
    recipe: Recipe
