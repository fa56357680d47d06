"""Names of energies, forces, stresses and virials in files of various codes, and which of them a structure has.

A naming convention is a common prefix (``REF_energy``, ``REF_forces``), or none. Case is ignored, ``-`` is ``_``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mlip_fw.io.labelled.raw import Raw
from mlip_fw.io.labelled.units import SUFFIXES

CONVENTIONS = ("ref", "dft", "qm", "vasp", "target")
"""Prefixes of naming conventions."""
ENERGY = ("energy", "total_energy", "potential_energy", "toten", "etot", "totenergy", "energy_total")
FREE_ENERGY = ("free_energy", "energy_free", "force_consistent_energy", "energy_force_consistent", "e_fr_energy")
PER_ATOM = ("energy_per_atom", "energy_peratom", "energy_per_at", "free_energy_per_atom")
FORCES = ("forces", "force", "atomic_forces")
STRESS = ("stress", "cauchy_stress", "stress_tensor")
VIRIAL = ("virial", "virials", "virial_tensor")
_COMPONENTS = tuple("xyz")
_LIKE_LABELS = ("energ", "force", "stress", "virial", "toten", "grad", "e_0", "e0")


@dataclass(frozen=True)
class NamedValue:
    """One quantity of a structure under one of its names."""

    role: str
    """energy, free_energy, forces, stress or virial."""
    name: str
    """As in the file."""
    convention: str
    """Prefix of its naming convention; may be empty."""
    value: Any
    unit: str | None = None
    """Unit in the name; None if there is none."""
    is_per_atom: bool = False


def found_in(raw: Raw) -> list[NamedValue]:
    """Return all values of a structure with known names."""
    found = [one for name, value in raw.facts.items() if (one := _fact(name, value)) is not None]
    found += [one for name, value in raw.columns.items() if (one := _column(name, value)) is not None]
    return found + _from_components(raw.columns)


def called(raw: Raw, name: str, role: str) -> NamedValue | None:
    """Return the value of a structure under a name given by the user; None if there is none."""
    value = raw.columns.get(name) if role == "forces" else raw.facts.get(name)
    if value is None:
        return None
    known = _fact(name, value) if role != "forces" else _column(name, value)
    convention = known.convention if known is not None else _split(name)[0]
    is_per_atom = role == "energy" and "per_atom" in _split(name)[1]
    return NamedValue(role, name, convention, value, known.unit if known is not None else None, is_per_atom)


def like_labels(raw: Raw) -> list[str]:
    """Return the names in a structure that look like energies, forces, stresses or virials."""
    names = [*raw.facts, *raw.columns]
    like = [name for name in names if any(part in name.lower() for part in _LIKE_LABELS)]
    return [name for name in like if not any(part in name.lower() for part in ("unit", "weight", "unknown"))]


def _fact(name: str, value: Any) -> NamedValue | None:
    convention, plain = _split(name)
    if plain in PER_ATOM:
        role = "free_energy" if plain.startswith("free") else "energy"
        return NamedValue(role, name, convention, value, is_per_atom=True)
    for role, kind, names in (
        ("free_energy", "energy", FREE_ENERGY),
        ("energy", "energy", ENERGY),
        ("stress", "stress", STRESS),
        ("virial", "virial", VIRIAL),
    ):
        is_known, unit = _is_one_of(plain, names, kind)
        if is_known:
            return NamedValue(role, name, convention, value, unit)
    return None


def _column(name: str, value: np.ndarray) -> NamedValue | None:
    convention, plain = _split(name)
    is_known, unit = _is_one_of(plain, FORCES, "force")
    return NamedValue("forces", name, convention, value, unit) if is_known else None


def _from_components(columns: dict[str, np.ndarray]) -> list[NamedValue]:
    """Return forces stored in three separate columns: fx, fy and fz."""
    lower = {name.lower(): name for name in columns}
    for pattern in ("f{}", "f_{}", "force_{}", "forces_{}"):
        names = [lower.get(pattern.format(axis), "") for axis in _COMPONENTS]
        if all(names):
            return [NamedValue("forces", ", ".join(names), "", np.column_stack([columns[name] for name in names]))]
    return []


def _split(name: str) -> tuple[str, str]:
    """Split a name into the prefix of its convention and the rest, in lower case."""
    plain = name.lower().replace("-", "_").replace(".", "_")
    first, _, rest = plain.partition("_")
    if first in CONVENTIONS and rest:
        return first, rest
    rest, _, last = plain.rpartition("_")
    return (last, rest) if last in CONVENTIONS and rest else ("", plain)


def _is_one_of(plain: str, names: tuple[str, ...], kind: str) -> tuple[bool, str | None]:
    if plain in names:
        return True, None
    for suffix, unit in SUFFIXES[kind].items():
        if plain.endswith(f"_{suffix}") and plain.removesuffix(f"_{suffix}") in names:
            return True, unit
    return False, None
