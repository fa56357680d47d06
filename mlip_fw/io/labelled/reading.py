"""Reading of a user's file of labelled structures, of any supported format, names and units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from mlip_fw.errors import CampaignError
from mlip_fw.io.files import require_file
from mlip_fw.io.labelled.ase_files import read_ase
from mlip_fw.io.labelled.extxyz import read_extxyz
from mlip_fw.io.labelled.fixed import unknown_forces
from mlip_fw.io.labelled.label import LabelValues, label_of
from mlip_fw.io.labelled.outcar import read_outcar_steps
from mlip_fw.io.labelled.pw_out import read_pw_out
from mlip_fw.io.labelled.raw import Raw
from mlip_fw.io.labelled.units import Units, units_of
from mlip_fw.io.labelled.vacuum import in_vacuum
from mlip_fw.io.labelled.vasprun import read_vasprun_steps
from mlip_fw.io.structures import FORCE_UNKNOWN, MASK, format_of, with_labels
from mlip_fw.models.dataset import DatasetSettings, LeftOut

_READERS: dict[str, Callable[[Path], list[Raw]]] = {
    "extxyz": read_extxyz,
    "xyz": read_extxyz,
    "traj": lambda path: read_ase(path, "traj"),
    "vasp-xml": read_vasprun_steps,
    "vasp-out": read_outcar_steps,
    "espresso-out": read_pw_out,
}
_WITHOUT_UNITS = ("extxyz", "xyz", "traj")
_MAX_BYTES = 2_000_000_000
_MAX_EV_ATOM, _MAX_A = 1e6, 1e5
_CONVERGED = ("converged", "scf_converged", "is_converged", "electronic_converged", "converged_electronic")


@dataclass(frozen=True)
class LabelledFrame:
    """One valid labelled structure, fully periodic, in eV and Å."""

    atoms: Atoms
    """With energy, forces and stress as a calculator's results, and the arrays ``mask`` and ``force_unknown``."""
    number: int
    """Index in its file, from 0."""
    label: LabelValues
    fixed: np.ndarray
    """(n_atoms, 3) of bool: components that the file fixes."""
    is_in_vacuum: bool
    facts: dict[str, Any]
    """Data of the whole structure, under the file's own names."""


@dataclass(frozen=True)
class LabelledFile:
    """The valid structures of a file, and why the others were left out."""

    path: Path
    format: str
    n_frames: int
    frames: list[LabelledFrame]
    left_out: list[LeftOut]
    units: list[str]
    """Conversions that were applied, in words."""


@dataclass
class _ReadSoFar:
    frames: list[LabelledFrame] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    units: set[str] = field(default_factory=set)


def read_labelled(settings: DatasetSettings, what: str, cutoff_a: float) -> LabelledFile:
    """Read a file of labelled structures.

    Parameters
    ----------
    settings
        The file, and the names and units in it.
    what
        The key of the campaign file that names it.
    cutoff_a
        Cutoff of the potential, Å: what is not periodic is put in a cell in which images are farther apart.

    Raises
    ------
    CampaignError
        If the file is missing or broken, has names that nobody knows or values that contradict each other, or holds
        nothing to train on.
    """
    path = Path(settings.file)
    file_format, raws = read_raw(path, what)
    _require_names_fit(settings, file_format, what)
    reading = _ReadSoFar()
    for number, raw in enumerate(raws):
        where = f"{what}: structure {number} of {path.name}"
        if fault := raw.fault or _unconverged(raw):
            reading.left_out.append(LeftOut(frame=number, reason=fault))
        else:
            reading.frames.append(_frame(raw, number, settings, cutoff_a, where, reading.units))
    if not reading.frames:
        first = reading.left_out[0].reason if reading.left_out else "it is empty"
        raise CampaignError(f"{what}: {path} holds no structure to train on: {first}")
    _require_one_kind_of_energy(reading.frames, f"{what}: {path.name}")
    _require_found(settings, raws, what)
    return LabelledFile(path, file_format, len(raws), reading.frames, reading.left_out, sorted(reading.units))


def read_raw(path: Path, what: str) -> tuple[str, list[Raw]]:
    """Return the format of a file, and its structures with uninterpreted data.

    Raises
    ------
    CampaignError
        If the file is missing, too large, broken, or of a format that has no labels.
    """
    require_file(path, what, _MAX_BYTES)
    if not path.stat().st_size:
        raise CampaignError(f"{what}: {path} is empty; give a file with labelled structures")
    file_format = format_of(path, what)
    if file_format not in _READERS:
        raise CampaignError(
            f"{what}: {path} is of format {file_format}, which has no energies and forces; give one of "
            f"{', '.join(name for name in _READERS if name != 'xyz')}"
        )
    try:
        raws = _READERS[file_format](path)
    except CampaignError as error:
        raise CampaignError(f"{what}: {path}: {error}") from error
    except Exception as error:
        raise CampaignError(
            f"{what}: can't read {path} as {file_format} ({type(error).__name__}: {error}); is it whole?"
        ) from error
    if not raws:
        raise CampaignError(f"{what}: {path} holds no atoms; give a file with labelled structures")
    return file_format, raws


def _require_names_fit(settings: DatasetSettings, file_format: str, what: str) -> None:
    if file_format in _WITHOUT_UNITS:
        return
    fields = ("energy", "forces", "stress", "virial", "energy_unit", "length_unit", "force_unit", "stress_unit")
    if given := [name for name in fields if getattr(settings, name) is not None]:
        raise CampaignError(
            f"{what}.{given[0]} is not for files of format {file_format}, which have names and units; leave it out"
        )


def _unconverged(raw: Raw) -> str | None:
    """Return why a structure is left out if its file marks the calculation as not converged; else None."""
    for name, value in raw.facts.items():
        if name.lower() in _CONVERGED and not _is_true(value):
            return f"the file says {name}={value}"
    return None


def _is_true(value: Any) -> bool:
    return str(value).strip().lower() not in ("false", "f", "0", "0.0", "no", ".false.")


def _frame(
    raw: Raw, number: int, settings: DatasetSettings, cutoff_a: float, where: str, applied: set[str]
) -> LabelledFrame:
    units = units_of(raw.facts, settings, where)
    atoms, is_in_vacuum = _structure(raw, units, cutoff_a, where)
    label = label_of(raw, settings, units, where)
    if abs(label.energy_ev) > _MAX_EV_ATOM * len(atoms):
        raise CampaignError(f"{where} has an energy of {label.energy_ev:.3g} eV; is the unit eV?")
    labelled = with_labels(atoms, label.energy_ev, label.forces_ev_a, label.stress_ev_a3)
    unknown = unknown_forces(label.forces_ev_a, raw.fixed) | _known_before(raw)
    if unknown.any():
        labelled.arrays[FORCE_UNKNOWN] = unknown
    if (mask := raw.columns.get(MASK)) is not None:
        if mask.shape != (len(atoms),) or mask.dtype.kind not in "bi":
            raise CampaignError(f"{where}: mask must have one truth value for each atom; give it another name")
        labelled.arrays[MASK] = mask.astype(bool)
    applied |= units.applied
    return LabelledFrame(labelled, number, label, raw.fixed, is_in_vacuum, _plain_facts(raw))


def _plain_facts(raw: Raw) -> dict[str, Any]:
    return {name: value for name, value in raw.facts.items() if isinstance(value, str | int | float | bool)}


def _known_before(raw: Raw) -> np.ndarray:
    """Return (n_atoms, 3) of bool: unknown forces as marked in labels that a campaign wrote."""
    found = raw.columns.get(FORCE_UNKNOWN)
    if found is None or found.shape != (len(raw.atoms), 3):
        return np.zeros((len(raw.atoms), 3), dtype=bool)
    return found.astype(bool)


def _structure(raw: Raw, units: Units, cutoff_a: float, where: str) -> tuple[Atoms, bool]:
    atoms, factor = raw.atoms.copy(), units.factor("length")
    atoms.set_cell(atoms.cell.array * factor)
    atoms.positions *= factor
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        raise CampaignError(f"{where} has a position or a cell that is no finite number; remove it")
    if max(np.abs(atoms.positions).max(), np.abs(atoms.cell.array).max()) > _MAX_A:
        raise CampaignError(f"{where} has a position or a cell beyond {_MAX_A:g} Å; is the unit Å?")
    if not atoms.pbc.all():
        return in_vacuum(atoms, cutoff_a, where), True
    if atoms.cell.rank < 3 or atoms.get_volume() < 1e-3:
        raise CampaignError(
            f'{where} is periodic and has no full cell; give its Lattice, or pbc="F F F" for a molecule'
        )
    return atoms, False


def _require_one_kind_of_energy(frames: list[LabelledFrame], where: str) -> None:
    """Refuse a file in which some structures have a free energy that differs from the energy, and others have none."""
    kinds = {frame.number: _kind(frame) for frame in frames}
    both = [number for number, kind in kinds.items() if kind == "free"]
    one = [number for number, kind in kinds.items() if kind == "one"]
    if both and one:
        raise CampaignError(
            f"{where}: structure {both[0]} has a free energy that differs from its energy, and structure {one[0]} has "
            "no free energy: they can't be compared; name one that all have as bootstrap.dataset.energy"
        )


def _kind(frame: LabelledFrame) -> str:
    """Return ``free`` if the free energy of a structure differs from its energy, ``same`` if not, ``one`` if none."""
    others = [float(value) for name, value in frame.facts.items() if name.lower() == "energy" and _is_number(value)]
    if "free" not in frame.label.energy_from.lower():
        return "one" if others else "same"
    return "free" if others and abs(others[0] - frame.label.energy_ev) > 1e-6 * len(frame.atoms) else "same"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _require_found(settings: DatasetSettings, raws: list[Raw], what: str) -> None:
    for role in ("stress", "virial"):
        name = getattr(settings, role)
        if name is not None and not any(name in raw.facts for raw in raws):
            raise CampaignError(f"{what}.{role}: no structure has {name}; leave it out, or give another name")
