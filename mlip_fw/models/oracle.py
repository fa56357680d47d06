"""Settings of what makes labels: an ASE calculator, Quantum ESPRESSO, VASP or a plug-in, each with its own keys."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from ase.data import chemical_symbols
from pydantic import Field, field_validator, model_validator

from mlip_fw.models.base import Frozen, NotNegative, Positive, PositiveCount, Real
from mlip_fw.models.kinds import SettingsByKind
from mlip_fw.plugins import ORACLES

Functional = Literal["LDA", "PBE", "PBEsol"]
Smearing = Literal["none", "gaussian", "methfessel-paxton", "marzari-vanderbilt", "fermi-dirac"]


class LabelLimits(Frozen):
    """Limits of every oracle: a label beyond one of them is refused."""

    timeout_s: Positive = Field(3600.0, description="longest time for one label, over all attempts, s")
    max_force_ev_a: Positive = Field(100.0, description="a label with a larger force is refused, eV/Å")
    max_stress_gpa: Positive = Field(500.0, description="a label with a larger stress component is refused, GPa")
    max_energy_outlier_ev_atom: Positive = Field(
        5.0, description="a label whose energy per atom is further from all others of its composition is refused, eV"
    )


class OracleSettings(LabelLimits):
    """Section ``oracle`` of a campaign file; each oracle has a subclass with its own keys."""

    has_pulay_stress: ClassVar[bool] = False
    """Whether stresses have a constant pressure that is not in the energies, as with a plane-wave cutoff."""
    free_to_change: ClassVar[frozenset[str]] = frozenset(LabelLimits.model_fields)
    """Keys that decide whether there is a label, not its value: they may change in a running campaign."""
    path_keys: ClassVar[tuple[str, ...]] = ()
    """Keys that name a file or folder: relative to the campaign file, and refused with ``files: filepad``."""
    kind: str = Field(description="name of the oracle")

    @property
    def shown(self) -> str:
        """What ``mlip-fw check`` calls the oracle."""
        return self.kind


class AseOracle(OracleSettings):
    """Labels from a calculator of the Atomic Simulation Environment."""

    kind: Literal["ase"] = Field(description="labels from an ASE calculator")
    calculator: str = Field(
        min_length=1, description="name of the calculator (emt, lj, tblite, …) or module:Class", pattern=r"^[\w.:]+$"
    )
    parameters: dict[str, Any] = Field(default_factory=dict, description="keyword arguments of the calculator")

    @property
    def shown(self) -> str:
        """The name of the calculator."""
        return self.calculator


class DftOracle(OracleSettings):
    """Keys that all density-functional codes share."""

    has_pulay_stress: ClassVar[bool] = True
    free_to_change: ClassVar[frozenset[str]] = OracleSettings.free_to_change | {"ignore_file_moments"}
    timeout_s: Positive = Field(86_400.0, description="longest time for one label, over all attempts, s")
    kpoint_spacing_1_a: Positive | None = Field(
        None,
        ge=0.01,
        le=5.0,
        description="largest distance between k-points, 1/Å, with 2π (VASP's KSPACING); null: the Γ point alone",
    )
    starting_moments_mub: dict[str, Real] = Field(
        default_factory=dict, description="starting magnetic moment by element, μB per atom; makes it spin-polarised"
    )
    ignore_file_moments: bool = Field(
        False, description="label from starting_moments_mub although the start's file has another magnetic order"
    )

    @field_validator("starting_moments_mub")
    @classmethod
    def _elements_exist(cls, moments: dict[str, float]) -> dict[str, float]:
        _require_elements(moments)
        return moments


class EspressoOracle(DftOracle):
    """Labels from pw.x of Quantum ESPRESSO."""

    free_to_change: ClassVar[frozenset[str]] = DftOracle.free_to_change | {"max_scf_steps", "mixing_beta", "pseudo_dir"}
    path_keys: ClassVar[tuple[str, ...]] = ("pseudo_dir",)
    kind: Literal["espresso"] = Field(description="labels from Quantum ESPRESSO's pw.x")
    ecutwfc_ry: Positive = Field(le=1000.0, description="plane-wave cutoff of wave functions, Ry")
    ecutrho_ry: Positive | None = Field(
        None, le=10_000.0, description="cutoff of density and potential, Ry; null: 4 × ecutwfc_ry"
    )
    smearing: Smearing = Field("marzari-vanderbilt", description="smearing of the occupations; none: fixed occupations")
    smearing_width_ev: Positive = Field(0.2, description="width of the smearing, eV")
    scf_accuracy_ev_atom: Positive = Field(1e-7, description="estimated SCF accuracy (conv_thr), eV per atom")
    max_scf_steps: PositiveCount = Field(100, le=10_000, description="SCF steps of the first attempt")
    mixing_beta: Positive = Field(0.7, le=1.0, description="mixing factor of the first attempt")
    functional: Functional | None = Field(
        None, description="functional of the pseudopotentials: chooses among several files, and is checked; null: any"
    )
    pseudopotentials: dict[str, str] = Field(
        default_factory=dict, description="file of each element's pseudopotential; default: the one in the directory"
    )
    pseudo_dir: str | None = Field(
        None, description="directory of the pseudopotentials; default: the worker's pseudo_dir"
    )
    namelists: dict[Literal["control", "system", "electrons"], dict[str, bool | int | Real | str]] = Field(
        default_factory=dict, description="further keys of pw.x by namelist, such as {system: {nosym: true}}"
    )

    @field_validator("namelists")
    @classmethod
    def _one_line_each(cls, namelists: dict[Any, dict[str, Any]]) -> dict[Any, dict[str, Any]]:
        for name, values in namelists.items():
            for key, value in values.items():
                if not re.fullmatch(r"[A-Za-z]\w*(\(\d+(,\d+)*\))?", key, re.ASCII):
                    raise ValueError(f"{name}: {key[:60]!r} can't be a key of pw.x")
                _require_one_line(f"{name}.{key}", value)
        return namelists

    @field_validator("pseudopotentials")
    @classmethod
    def _plain_file_names(cls, files: dict[str, str]) -> dict[str, str]:
        _require_elements(files)
        for element, name in files.items():
            if not re.fullmatch(r"[A-Za-z0-9][\w.+-]*", name, re.ASCII):
                raise ValueError(
                    f"{element}: {name[:60]!r} must be the name of a file in pseudo_dir, of letters, digits and _.+-"
                )
        return files

    @model_validator(mode="after")
    def _cutoffs_fit(self) -> EspressoOracle:
        if self.ecutrho_ry is not None and self.ecutrho_ry < self.ecutwfc_ry:
            raise ValueError(f"ecutrho_ry ({self.ecutrho_ry:g}) is less than ecutwfc_ry ({self.ecutwfc_ry:g})")
        return self


class VaspOracle(DftOracle):
    """Labels from VASP, with pymatgen's input sets."""

    kind: Literal["vasp"] = Field(description="labels from VASP")
    input_set: Literal["MPStaticSet", "MPScanStaticSet", "MatPESStaticSet"] = Field(
        "MPStaticSet", description="pymatgen's input set that the settings start from"
    )
    potcar_functional: str = Field("PBE_54", pattern=r"^[\w.]+$", description="pymatgen's name of the POTCAR library")
    potcars: dict[str, str] = Field(
        default_factory=dict, description="POTCAR symbol by element, such as Cu_pv; default: the input set's"
    )
    encut_ev: Positive | None = Field(None, description="plane-wave cutoff ENCUT, eV; null: the input set's")
    smearing_width_ev: NotNegative | None = Field(None, description="SIGMA of the Gaussian smearing, eV; null: 0.05")
    hubbard_u_ev: dict[str, NotNegative] = Field(
        default_factory=dict, description="Dudarev's U − J by element, eV; replaces the input set's, which vary by cell"
    )
    incar: dict[str, bool | int | float | str | list[int | float]] = Field(
        default_factory=dict, description="further INCAR tags, which win over the input set's"
    )

    @field_validator("incar")
    @classmethod
    def _one_line_each(cls, tags: dict[str, Any]) -> dict[str, Any]:
        for tag, value in tags.items():
            if not re.fullmatch(r"[A-Za-z]\w*", tag, re.ASCII):
                raise ValueError(f"{tag[:60]!r} can't be an INCAR tag")
            _require_one_line(tag, value, without=';"{}#!')
        return tags

    @field_validator("potcars")
    @classmethod
    def _plain_symbols(cls, symbols: dict[str, str]) -> dict[str, str]:
        for element, symbol in symbols.items():
            if not re.fullmatch(r"[A-Z][\w.]*", symbol, re.ASCII) or ".." in symbol:
                raise ValueError(f"{element}: {symbol[:60]!r} must be a POTCAR's symbol, such as {element}_pv")
        return symbols

    @field_validator("potcars", "hubbard_u_ev")
    @classmethod
    def _elements_exist_too(cls, by_element: dict[str, Any]) -> dict[str, Any]:
        _require_elements(by_element)
        return by_element


Oracle = Annotated[
    OracleSettings,
    SettingsByKind(ORACLES, OracleSettings),
    Field(description="what makes labels: an ASE calculator, Quantum ESPRESSO, VASP or an oracle of a plug-in"),
]
"""The settings of an oracle, by its ``kind``."""


def _require_one_line(key: str, value: object, without: str = "") -> None:
    """Refuse a text that would say more in a code's input than the value of its key."""
    if isinstance(value, str) and (not value.isprintable() or any(mark in value for mark in without)):
        marks = f", without any of {without}" if without else ""
        raise ValueError(f"{key}: {value[:60]!r} must be one line of plain text{marks}")


def _require_elements(by_element: dict[str, Any]) -> None:
    if unknown := [name for name in by_element if name not in chemical_symbols[1:]]:
        raise ValueError(f"not a chemical element: {', '.join(map(repr, unknown))}")
