"""Labelled structures given by the user: their section in the campaign file, and the report of how they were read."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, field_validator

from mlip_fw.models.base import Count, Frozen, NotNegative, Real

EnergyUnit = Literal["eV", "meV", "Hartree", "Rydberg", "kcal/mol", "kJ/mol"]
LengthUnit = Literal["Å", "Bohr", "nm"]
ForceUnit = Literal["eV/Å", "meV/Å", "Hartree/Bohr", "Rydberg/Bohr", "Hartree/Å", "kcal/mol/Å", "kJ/mol/Å", "kJ/mol/nm"]
StressUnit = Literal["eV/Å³", "meV/Å³", "GPa", "kbar", "bar", "Hartree/Bohr³", "Rydberg/Bohr³", "kcal/mol/Å³"]
_SPELLINGS = {
    "ha": "hartree",
    "a.u.": "hartree",
    "ry": "rydberg",
    "a": "å",
    "ang": "å",
    "angstrom": "å",
    "ångström": "å",
    "å": "å",
    "a0": "bohr",
    "a3": "å³",
    "ang3": "å³",
    "angstrom3": "å³",
    "bohr3": "bohr³",
    "å3": "å³",
    "kb": "kbar",
}


def unit_in_words(unit: str, known: tuple[str, ...]) -> str:
    """Return a unit as ``known`` has it, if it is a spelling of one (``eV/A^3``, ``Ha/bohr``); else as it is."""
    parts = unit.strip().lower().replace("^", "").replace("**", "").replace("³", "3").split("/")
    plain = "/".join(_SPELLINGS.get(part.strip(), part.strip()) for part in parts)
    return {name.lower(): name for name in known}.get(plain, unit)


class DatasetSettings(Frozen):
    """Labelled structures, with the names and units of what is in their file.

    Names that are not given are recognised. Units are for extended XYZ and ASE trajectories; a file of VASP or Quantum
    ESPRESSO has its own.
    """

    file: str = Field(
        description="file of labelled structures: extended XYZ, traj, vasprun.xml, OUTCAR or output of pw.x"
    )
    energy: str | None = Field(
        None, min_length=1, description="its name for the total energy that the forces are the derivative of"
    )
    forces: str | None = Field(None, min_length=1, description="its name for the forces")
    stress: str | None = Field(None, min_length=1, description="its name for the stress, positive under tension")
    virial: str | None = Field(
        None, min_length=1, description="its name for the virial, -volume x stress, in energy_unit"
    )
    energy_unit: EnergyUnit | None = Field(
        None, description="unit of energies and virials; null: eV, or what the file says"
    )
    length_unit: LengthUnit | None = Field(
        None, description="unit of positions and cells; null: Å, or what the file says"
    )
    force_unit: ForceUnit | None = Field(
        None, description="unit of forces; null: eV/Å, or what the file says; required with energy_unit or length_unit"
    )
    stress_unit: StressUnit | None = Field(
        None,
        description="unit of stresses; null: eV/Å³, or what the file says; required with energy_unit or length_unit",
    )
    stress_factor: Real = Field(
        1.0,
        description="number to multiply stresses by, also those from virials: -1 if they are positive under pressure",
    )

    @field_validator("energy_unit", "length_unit", "force_unit", "stress_unit", mode="before")
    @classmethod
    def _spelled_as_known(cls, unit: Any, info: Any) -> Any:
        known = cls.model_fields[info.field_name].annotation
        return unit_in_words(unit, literals(known)) if isinstance(unit, str) else unit

    @field_validator("stress_factor")
    @classmethod
    def _is_not_zero(cls, factor: float) -> float:
        if not factor:
            raise ValueError("0 would make all stresses zero; say potential.stress_weight: 0 to train on none")
        return factor


def literals(annotation: Any) -> tuple[str, ...]:
    """Return the words that an annotation allows."""
    words: list[str] = []
    for part in getattr(annotation, "__args__", ()):
        words += [part] if isinstance(part, str) else literals(part)
    return tuple(words)


def _plain_path(choice: str | DatasetSettings) -> str | DatasetSettings:
    """Return a section that has nothing but the file as its path: both mean the same."""
    is_plain = isinstance(choice, DatasetSettings) and choice == DatasetSettings(file=choice.file)
    return choice.file if isinstance(choice, DatasetSettings) and is_plain else choice


DatasetChoice = Annotated[
    Annotated[str, Tag("path")] | Annotated[DatasetSettings, Tag("mapping")],
    Discriminator(lambda value: "mapping" if isinstance(value, dict | DatasetSettings) else "path"),
    AfterValidator(_plain_path),
]
"""A path, or a section with a path and more."""


class LeftOut(Frozen):
    """A structure that is in the file and is not trained on."""

    frame: Count = Field(description="its number in the file, from 0")
    reason: str = Field(description="why")


class DatasetAudit(Frozen):
    """Report of how a file of labelled structures was read: names, units, counts, structures left out."""

    file: str = Field(description="path of the file")
    format: str = Field(description="its format")
    frames: Count = Field(description="structures in it")
    labels: Count = Field(description="structures that become labels: without copies and without what is left out")
    elements: dict[str, Count] = Field(description="atoms of each element in the labels")
    energy_from: dict[str, Count] = Field(description="name in the file that the energy was taken from, and how many")
    forces_from: dict[str, Count] = Field(description="name in the file that the forces were taken from, and how many")
    stress_from: dict[str, Count] = Field(description="name in the file that the stress was taken from, and how many")
    units: list[str] = Field(description="units other than eV and Å, and factors, that were applied")
    with_stress: Count = Field(description="labels with a stress that can be trained on")
    free_atoms_ev: dict[str, Real] = Field(
        description="energy of each element of which the file has a free atom (no neighbour within the cutoff), eV"
    )
    free_atoms: Count = Field(description="labels of such atoms")
    in_vacuum: Count = Field(description="labels that were put in a periodic cell with vacuum")
    energy_range_ev_atom: list[Real] | None = Field(description="lowest and highest energy per atom, eV/atom")
    largest_force_ev_a: NotNegative = Field(description="length of the largest force, eV/Å")
    largest_stress_gpa: NotNegative | None = Field(description="largest component of a stress, GPa; null without any")
    closest_pairs_a: dict[str, NotNegative] = Field(description="shortest distance of each pair of elements, Å")
    fixed_atoms: Count = Field(description="atoms that the file fixes, over all labels")
    forces_unknown: Count = Field(description="atoms whose force is not trained on, because a constraint made it zero")
    masked_atoms: Count = Field(description="atoms of cut-outs that are not trained on")
    copies: Count = Field(description="structures that are there once more, with the same labels")
    left_out: list[LeftOut] = Field(description="structures that are not trained on, and why")
    notes: list[str] = Field(description="what else was seen")
