"""Energy, forces and stress of one structure, found among all names of its file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mlip_fw.errors import CampaignError
from mlip_fw.io.labelled.names import NamedValue, called, found_in, like_labels
from mlip_fw.io.labelled.raw import Raw
from mlip_fw.io.labelled.units import Units
from mlip_fw.models.dataset import DatasetSettings

_SAME_ENERGY_EV, _SAME_FORCE_EV_A = 1e-5, 1e-4
_SAME_REL, _SAME_STRESS_EV_A3 = 1e-3, 2e-5
_VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
_HOW = "say which is right in the campaign file: `bootstrap: {{dataset: {{file: …, {one}}}}}` or `{other}` there"
_OF_VOLUME = ("cauchy_stress_volume_normalized", "stress_volume_normalized")


@dataclass(frozen=True)
class LabelValues:
    """Reference values of one structure in eV and Å, and their names in the file."""

    energy_ev: float
    forces_ev_a: np.ndarray
    """(n_atoms, 3)"""
    stress_ev_a3: np.ndarray | None
    """(6,) in ASE's order and sign."""
    energy_from: str
    forces_from: str
    stress_from: str | None
    unused: list[str]
    """Names that look like labels but were not used."""


@dataclass(frozen=True)
class _Value:
    found: NamedValue
    value: Any


def label_of(raw: Raw, settings: DatasetSettings, units: Units, where: str) -> LabelValues:
    """Return the label of a structure.

    Of several energies it is the one whose derivative the forces are: the free energy, where there is one.

    Raises
    ------
    CampaignError
        If there is none, if two names disagree, or if a value is not what it should be.
    """
    candidates = found_in(raw)
    energy, forces = _energy_and_forces(raw, candidates, settings, units, where)
    is_mapped = bool(settings.energy or settings.forces)
    taken = {one.name: one.convention for one in candidates}
    conventions = {taken[one.found.name] for one in (energy, forces) if one.found.name in taken}
    stresses = _stresses(raw, candidates, settings, units, where, conventions if is_mapped else None)
    stress = stresses[0] if stresses else None
    for other in stresses[1:]:
        _require_same(stresses[0], other, "stress", where, _SAME_STRESS_EV_A3, _SAME_REL)
    used = set() if is_mapped else {one.name for one in candidates if one.role in ("energy", "free_energy", "forces")}
    used |= {energy.found.name, *forces.found.name.split(", "), *(one.found.name for one in stresses)}
    if stress is not None and settings.stress_factor != 1.0:
        units.applied.add(f"stress times {settings.stress_factor:g}")
    return LabelValues(
        energy_ev=energy.value,
        forces_ev_a=forces.value,
        stress_ev_a3=None if stress is None else stress.value * settings.stress_factor,
        energy_from=energy.found.name,
        forces_from=forces.found.name,
        stress_from=None if stress is None else stress.found.name,
        unused=[name for name in like_labels(raw) if name not in used],
    )


def _energy_and_forces(
    raw: Raw, candidates: list[NamedValue], settings: DatasetSettings, units: Units, where: str
) -> tuple[_Value, _Value]:
    energies = [one for one in candidates if one.role == "energy" and not _has_free_energy(candidates, one.convention)]
    energies = [one for one in candidates if one.role == "free_energy"] + energies
    forces = [one for one in candidates if one.role == "forces"]
    energy, force = _mapped(raw, settings.energy, "energy", where), _mapped(raw, settings.forces, "forces", where)
    if energy is not None:
        energies, forces = [energy], [force] if force is not None else _of(forces, energy.convention)
    elif force is not None:
        energies, forces = _of(energies, force.convention), [force]
    energy_values = [_energy(one, raw, units, where) for one in energies]
    force_values = [_forces(one, raw, units, where) for one in forces]
    if not force_values and len(raw.atoms) == 1:
        force_values = [
            _Value(
                NamedValue("forces", "none (single atom)", energies[0].convention if energies else "", None),
                np.zeros((1, 3)),
            )
        ]
    shared = {one.convention for one in energies} & {one.found.convention for one in force_values}
    if not energy_values or not force_values or not (shared or settings.energy or settings.forces):
        raise CampaignError(f"{where} has no finite energy and forces that belong together; {_what_it_has(raw)}")
    for values, role, lower_limit in (
        (energy_values, "energy", _SAME_ENERGY_EV * len(raw.atoms)),
        (force_values, "forces", _SAME_FORCE_EV_A),
    ):
        values.sort(key=lambda one: one.found.convention not in shared)
        for other in values[1:]:
            _require_same(values[0], other, role, where, lower_limit, 0.0)
    return energy_values[0], force_values[0]


def _has_free_energy(candidates: list[NamedValue], convention: str) -> bool:
    return any(one.role == "free_energy" and one.convention == convention for one in candidates)


def _of(known: list[NamedValue], convention: str) -> list[NamedValue]:
    """Return the values of the same naming convention as a name that the user gave; all if there are none."""
    return [one for one in known if one.convention == convention] or known


def _mapped(raw: Raw, name: str | None, role: str, where: str) -> NamedValue | None:
    if name is None:
        return None
    found = called(raw, name, role)
    if found is None:
        raise CampaignError(f"{where} has no {name}, which bootstrap.dataset.{role} names; {_what_it_has(raw)}")
    return found


def _energy(found: NamedValue, raw: Raw, units: Units, where: str) -> _Value:
    number = _numbers(found, where)
    if number.size != 1:
        raise CampaignError(f"{where}: {found.name} must be one number, not {number.size}")
    _require_one_unit(found, "energy", units, where)
    units.energy_unit = units.unit("energy", found.unit)
    energy = float(number.ravel()[0]) * units.factor("energy", found.unit)
    return _Value(found, energy * len(raw.atoms) if found.is_per_atom else energy)


def _forces(found: NamedValue, raw: Raw, units: Units, where: str) -> _Value:
    forces = _numbers(found, where)
    if forces.shape != (len(raw.atoms), 3):
        raise CampaignError(f"{where}: {found.name} must have three numbers for each atom, not {forces.shape}")
    _require_one_unit(found, "force", units, where)
    return _Value(found, forces * units.factor("force", found.unit, where))


def _stresses(
    raw: Raw,
    candidates: list[NamedValue],
    settings: DatasetSettings,
    units: Units,
    where: str,
    conventions: set[str] | None,
) -> list[_Value]:
    """Return the stress under each of its names; only under the user's, if given.

    ``conventions`` are the naming conventions of energy and forces if the user named these: a stress of another
    convention may be of another calculation.
    """
    if settings.stress or settings.virial:
        given = (("stress", settings.stress), ("virial", settings.virial))
        named = [_mapped(raw, name, role, where) for role, name in given if name is not None and name in raw.facts]
        known = [one for one in named if one is not None]
    else:
        known = [
            one
            for one in candidates
            if one.role in ("stress", "virial") and (conventions is None or one.convention in conventions)
        ]
    if not raw.atoms.pbc.all() or raw.atoms.cell.rank < 3:
        return []
    return [_stress(one, raw, units, where) for one in known]


def _stress(found: NamedValue, raw: Raw, units: Units, where: str) -> _Value:
    if any(raw.facts.get(name) is False for name in _OF_VOLUME):
        raise CampaignError(f"{where}: {found.name} is not divided by the volume; give it as bootstrap.dataset.virial")
    kind = found.role
    numbers = _numbers(found, where)
    _require_one_unit(found, kind, units, where)
    values = _voigt(numbers, found.name, where) * units.factor(kind, found.unit, where)
    volume_a3 = raw.atoms.get_volume() * units.factor("length") ** 3
    return _Value(found, -values / volume_a3 if kind == "virial" else values)


def _voigt(numbers: np.ndarray, name: str, where: str) -> np.ndarray:
    """Return the six components (xx yy zz yz xz xy) of a stress with six or nine numbers."""
    if numbers.size == 6:
        return numbers.ravel()
    if numbers.size != 9:
        raise CampaignError(f"{where}: {name} must have six numbers (xx yy zz yz xz xy) or nine, not {numbers.size}")
    full = numbers.reshape(3, 3)
    if np.abs(full - full.T).max() > _SAME_REL * np.abs(full).max():
        raise CampaignError(f"{where}: {name} is not symmetric; write the whole tensor, row by row, or six numbers")
    return np.array([(full[i, j] + full[j, i]) / 2 for i, j in _VOIGT])


def _numbers(found: NamedValue, where: str) -> np.ndarray:
    try:
        numbers = np.asarray(found.value, dtype=float)
    except (TypeError, ValueError):
        raise CampaignError(f"{where}: {found.name}={found.value!s:.40} is no number") from None
    if np.asarray(found.value).dtype == np.bool_:
        raise CampaignError(f"{where}: {found.name}={found.value!s:.40} is no number")
    if not np.isfinite(numbers).all():
        raise CampaignError(f"{where} has no finite {found.name}; remove it")
    return numbers


def _require_one_unit(found: NamedValue, kind: str, units: Units, where: str) -> None:
    given = getattr(units.settings, f"{'energy' if kind == 'virial' else kind}_unit")
    said = {unit for unit in (given, found.unit, units.stated.get(kind)) if unit is not None}
    if len(said) > 1:
        raise CampaignError(f"{where}: {found.name} is said to be in {' and in '.join(sorted(said))}; one is wrong")


def _require_same(one: _Value, other: _Value, role: str, where: str, absolute: float, relative: float) -> None:
    largest = float(np.abs(one.value).max(initial=0.0)) if np.ndim(one.value) else abs(one.value)
    difference = float(np.abs(np.asarray(one.value) - other.value).max())
    if difference <= absolute + relative * largest:
        return
    unit = {"energy": "eV", "forces": "eV/Å", "stress": "eV/Å³"}[role]
    keys = [f"{value.found.role if role == 'stress' else role}: {value.found.name}" for value in (one, other)]
    how = _HOW.format(one=keys[0], other=keys[1])
    raise CampaignError(f"{where}: {one.found.name} and {other.found.name} disagree by {difference:.4g} {unit}; {how}")


def _what_it_has(raw: Raw) -> str:
    names, others = like_labels(raw), [*raw.facts, *raw.columns]
    if not others:
        return "it has nothing but atoms; leave it out"
    has = f"it has {', '.join(names[:12])}" if names else f"it has only {', '.join(others[:12])}"
    return (
        f"{has}; name them in the campaign file, as in `bootstrap: {{dataset: {{file: …, energy: …, forces: …}}}}`, or "
        "call them energy and forces in the file"
    )
