"""Units of labels, from the campaign file, from keys in the labels' file, or from suffixes of names."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ase import units

from mlip_fw.errors import CampaignError
from mlip_fw.models.dataset import DatasetSettings, unit_in_words

ENERGY_EV: dict[str, float] = {
    "eV": 1.0,
    "meV": 1e-3,
    "Hartree": units.Hartree,
    "Rydberg": units.Rydberg,
    "kcal/mol": units.kcal / units.mol,
    "kJ/mol": units.kJ / units.mol,
}
LENGTH_A: dict[str, float] = {"Å": 1.0, "Bohr": units.Bohr, "nm": 10.0}
FORCE_EV_A: dict[str, float] = {
    "eV/Å": 1.0,
    "meV/Å": 1e-3,
    "Hartree/Bohr": units.Hartree / units.Bohr,
    "Rydberg/Bohr": units.Rydberg / units.Bohr,
    "Hartree/Å": units.Hartree,
    "kcal/mol/Å": units.kcal / units.mol,
    "kJ/mol/Å": units.kJ / units.mol,
    "kJ/mol/nm": units.kJ / units.mol / 10.0,
}
STRESS_EV_A3: dict[str, float] = {
    "eV/Å³": 1.0,
    "meV/Å³": 1e-3,
    "GPa": units.GPa,
    "kbar": 0.1 * units.GPa,
    "bar": 1e-4 * units.GPa,
    "Hartree/Bohr³": units.Hartree / units.Bohr**3,
    "Rydberg/Bohr³": units.Rydberg / units.Bohr**3,
    "kcal/mol/Å³": units.kcal / units.mol,
}
_TABLES = {"energy": ENERGY_EV, "length": LENGTH_A, "force": FORCE_EV_A, "stress": STRESS_EV_A3, "virial": ENERGY_EV}
_STATED = re.compile(
    r"(?:ref_|dft_|qm_)?(energy|energies|forces?|stress|virials?|length|positions?|pos|cell)[_-]units?"
)
_OF = {"energies": "energy", "forces": "force", "virials": "virial", "position": "length", "positions": "length"}
_OF |= {"pos": "length", "cell": "length"}
_ANY = ("unit", "units")
_OURS = ("ev", "metal", "ev/a", "ev/å", "ev, å", "ev_a", "ev/angstrom", "ase")
SUFFIXES: dict[str, dict[str, str]] = {
    "energy": {
        "ev": "eV",
        "mev": "meV",
        "hartree": "Hartree",
        "ha": "Hartree",
        "ry": "Rydberg",
        "rydberg": "Rydberg",
        "kcal_mol": "kcal/mol",
        "kj_mol": "kJ/mol",
    },
    "force": {
        "ev_a": "eV/Å",
        "ev_ang": "eV/Å",
        "ev_angstrom": "eV/Å",
        "mev_a": "meV/Å",
        "hartree_bohr": "Hartree/Bohr",
        "ha_bohr": "Hartree/Bohr",
        "ry_bohr": "Rydberg/Bohr",
        "kcal_mol_a": "kcal/mol/Å",
    },
    "stress": {
        "ev_a3": "eV/Å³",
        "ev_ang3": "eV/Å³",
        "ev_per_a3": "eV/Å³",
        "gpa": "GPa",
        "kbar": "kbar",
        "bar": "bar",
    },
}
SUFFIXES["virial"] = SUFFIXES["energy"]
"""Unit suffixes of names, as in ``stress_GPa``, by kind of quantity."""


@dataclass
class Units:
    """The units of one structure."""

    settings: DatasetSettings
    stated: dict[str, str]
    applied: set[str] = field(default_factory=set)
    """Conversions that were applied, in words."""
    energy_unit: str | None = None
    """Unit in the name of the energy; None if there is none."""

    def unit(self, kind: str, suffix: str | None = None) -> str | None:
        """Return the unit of a kind of quantity (energy, length, force, stress or virial); None if it is not stated."""
        given = getattr(self.settings, f"{'energy' if kind == 'virial' else kind}_unit")
        return given or suffix or self.stated.get(kind)

    def factor(self, kind: str, suffix: str | None = None, where: str = "") -> float:
        """Return the conversion factor of a kind of quantity to eV and Å.

        Raises
        ------
        CampaignError
            If the unit of forces, stresses or virials is not stated, while energies or lengths are not in eV and Å.
        """
        unit = self.unit(kind, suffix)
        if unit is None:
            self._require_ours(kind, where)
            return 1.0
        factor = _TABLES[kind][unit]
        if factor != 1.0:
            self.applied.add(f"{kind} in {unit}")
        return factor

    def _require_ours(self, kind: str, where: str) -> None:
        if kind in ("energy", "length"):
            return
        others = (self.energy_unit or self.unit("energy"), self.unit("length"))
        if foreign := [unit for unit in others if unit not in (None, "eV", "Å")]:
            key = "energy_unit" if kind == "virial" else f"{kind}_unit"
            what = {"force": "forces", "stress": "stress", "virial": "virial"}[kind]
            raise CampaignError(
                f"{where} has values in {foreign[0]}, and nothing says the unit of its {what}; give "
                f"bootstrap.dataset.{key}"
            )


def units_of(facts: dict[str, Any], settings: DatasetSettings, where: str) -> Units:
    """Return the units of a structure; the campaign file takes precedence over statements in the labels' file.

    Raises
    ------
    CampaignError
        If the file states an unknown unit, or one that contradicts the campaign file.
    """
    stated: dict[str, str] = {}
    for key, value in facts.items():
        if key.lower() in _ANY:
            _require_ours(key, value, settings, where)
        elif match := _STATED.fullmatch(key.lower()):
            kind = _OF.get(match[1], match[1])
            stated[kind] = _stated(key, value, kind, settings, where)
    return Units(settings, stated)


def _stated(key: str, value: Any, kind: str, settings: DatasetSettings, where: str) -> str:
    unit = unit_in_words(str(value), tuple(_TABLES[kind]))
    if unit not in _TABLES[kind]:
        raise CampaignError(f"{where} says {key}={value}; known are {', '.join(_TABLES[kind])}")
    given = getattr(settings, f"{'energy' if kind == 'virial' else kind}_unit")
    if given is not None and given != unit:
        raise CampaignError(f"{where} says {key}={value}, and the campaign file {given}; one of them is wrong")
    return unit


def _require_ours(key: str, value: Any, settings: DatasetSettings, where: str) -> None:
    given = (settings.energy_unit, settings.force_unit, settings.length_unit, settings.stress_unit)
    if str(value).strip().lower() not in _OURS and not any(given):
        raise CampaignError(
            f"{where} says {key}={value}; say the units in the campaign file: bootstrap.dataset.energy_unit, "
            "length_unit, force_unit and stress_unit"
        )
