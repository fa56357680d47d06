"""Audit: how a file of labelled structures was interpreted, as numbers and sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from ase import Atoms, units
from ase.data import chemical_symbols
from vesin import NeighborList

from mlip_fw.io.labelled.reading import LabelledFile, LabelledFrame
from mlip_fw.io.structures import FORCE_UNKNOWN, mask_of, stress_of
from mlip_fw.models.dataset import DatasetAudit

_SAME_ATOM_EV = 1e-3
_MAX_LEFT_OUT = 5


def audit_of(found: LabelledFile, kept: Sequence[LabelledFrame], cutoff_a: float) -> DatasetAudit:
    """Return the audit of a file.

    Parameters
    ----------
    kept
        The structures that become labels (without duplicates).
    cutoff_a
        An atom without a neighbour within it is free, Å.
    """
    atoms = [frame.atoms for frame in kept]
    pairs, is_free = _pairs(atoms, cutoff_a)
    free = [frame for frame, alone in zip(kept, is_free, strict=True) if alone]
    stresses = [stress for one in atoms if (stress := stress_of(one)) is not None]
    per_atom = [frame.label.energy_ev / len(frame.atoms) for frame in kept]
    return DatasetAudit(
        file=str(found.path),
        format=found.format,
        frames=found.n_frames,
        labels=len(kept),
        elements=_counted(symbol for one in atoms for symbol in one.get_chemical_symbols()),
        energy_from=_counted(frame.label.energy_from for frame in kept),
        forces_from=_counted(frame.label.forces_from for frame in kept),
        stress_from=_counted(name for frame in kept if (name := frame.label.stress_from) is not None),
        units=found.units,
        with_stress=len(stresses),
        free_atoms_ev={symbol: values[0] for symbol, values in _free_energies(free).items()},
        free_atoms=len(free),
        in_vacuum=sum(frame.is_in_vacuum for frame in kept),
        energy_range_ev_atom=[min(per_atom), max(per_atom)] if per_atom else None,
        largest_force_ev_a=max(float(np.linalg.norm(frame.label.forces_ev_a, axis=1).max()) for frame in kept),
        largest_stress_gpa=max(float(np.abs(one).max()) for one in stresses) / units.GPa if stresses else None,
        closest_pairs_a=pairs,
        fixed_atoms=sum(int(frame.fixed.any(axis=1).sum()) for frame in kept),
        forces_unknown=sum(int(_unknown(frame).sum()) for frame in kept),
        masked_atoms=sum(int((~mask_of(one)).sum()) for one in atoms),
        copies=len(found.frames) - len(kept),
        left_out=found.left_out,
        notes=list(_notes(kept, free)),
    )


def audit_lines(audit: DatasetAudit) -> list[str]:
    """Return an audit as lines for the log."""
    names = [f"{what} from {_named(found)}" for what, found in _sources(audit)]
    lines = [f"{audit.labels} labels from {audit.frames} structures; {', '.join(names)}"]
    lines += sentences(audit)
    return lines


def sentences(audit: DatasetAudit) -> list[str]:
    """Return sentences about conversions, duplicates, fixed atoms and structures left out."""
    said = [f"{', '.join(audit.units)}: converted to eV and Å"] if audit.units else []
    if audit.copies:
        said.append(f"{audit.copies} of {audit.frames} structures are copies")
    if audit.in_vacuum:
        said.append(
            f"{audit.in_vacuum} structures that are not periodic in all directions were put in cells with vacuum; "
            "their stresses are not used"
        )
    if audit.forces_unknown:
        said.append(f"forces of {audit.forces_unknown} fixed atoms are exactly zero, and are not trained on")
    shown = audit.left_out[:_MAX_LEFT_OUT]
    said += [f"structure {one.frame} of {_short(audit.file)}: {one.reason}; left out" for one in shown]
    if len(audit.left_out) > len(shown):
        said.append(f"{len(audit.left_out) - len(shown)} more structures are left out for such reasons")
    return said + audit.notes


def _sources(audit: DatasetAudit) -> Iterable[tuple[str, dict[str, int]]]:
    found = (("energy", audit.energy_from), ("forces", audit.forces_from), ("stress", audit.stress_from))
    return ((what, names) for what, names in found if names)


def _named(found: dict[str, int]) -> str:
    return next(iter(found)) if len(found) == 1 else ", ".join(f"{name} ({number})" for name, number in found.items())


def _short(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _counted(words: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(words).items()))


def _free_energies(free: Sequence[LabelledFrame]) -> dict[str, list[float]]:
    """Return the sorted energies of free atoms by element, eV, from structures with a single element."""
    found: dict[str, list[float]] = {}
    for frame in free:
        symbols = set(frame.atoms.get_chemical_symbols())
        if len(symbols) == 1:
            found.setdefault(symbols.pop(), []).append(frame.label.energy_ev / len(frame.atoms))
    return {symbol: sorted(values) for symbol, values in sorted(found.items())}


def _notes(kept: Sequence[LabelledFrame], free: Sequence[LabelledFrame]) -> Iterable[str]:
    if unused := _counted(name for frame in kept for name in frame.label.unused):
        yield f"not used: {', '.join(unused)}"
    if guessed := sum(int((_unknown(frame) & ~frame.fixed.any(axis=1)).sum()) for frame in kept):
        yield f"{guessed} atoms with a force of exactly zero, among others with forces, are taken for fixed"
    if moved := sum(int((frame.fixed.any(axis=1) & ~_unknown(frame)).sum()) for frame in kept):
        yield f"{moved} fixed atoms have true forces, which are trained on"
    for symbol, values in _free_energies(free).items():
        if values[-1] - values[0] > _SAME_ATOM_EV:
            yield f"free atoms of {symbol} have energies from {values[0]:.4f} to {values[-1]:.4f} eV"


def _unknown(frame: LabelledFrame) -> np.ndarray:
    """Return (n_atoms,) of bool: atoms with an unknown force component."""
    unknown = frame.atoms.arrays.get(FORCE_UNKNOWN)
    return np.zeros(len(frame.atoms), dtype=bool) if unknown is None else np.asarray(unknown.any(axis=1))


def _pairs(frames: Sequence[Atoms], cutoff_a: float) -> tuple[dict[str, float], list[bool]]:
    """Return the shortest distance by pair of elements, and whether a structure has no pair within the cutoff."""
    shortest: dict[tuple[int, int], float] = {}
    is_free = []
    neighbours = NeighborList(cutoff=cutoff_a, full_list=False)
    for atoms in frames:
        i, j, d = neighbours.compute(points=atoms.positions, box=atoms.cell.array, periodic=True, quantities="ijd")
        is_free.append(not len(d))
        numbers = np.sort(atoms.numbers[np.column_stack([i, j])], axis=1)
        codes = numbers[:, 0] * len(chemical_symbols) + numbers[:, 1] if len(d) else np.zeros(0, dtype=int)
        for code in np.unique(codes):
            pair = divmod(int(code), len(chemical_symbols))
            shortest[pair] = min(shortest.get(pair, np.inf), float(d[codes == code].min()))
    return {f"{chemical_symbols[a]}-{chemical_symbols[b]}": d for (a, b), d in sorted(shortest.items())}, is_free
