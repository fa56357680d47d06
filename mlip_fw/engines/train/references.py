"""Reference energies of the elements: from labels of free atoms if there are any, else fitted to the labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.io.structures import mask_of

_SAME_EV = 0.01
"""Energies of free atoms of one element that differ by less than this are taken as equal, eV."""


@dataclass(frozen=True)
class FreeAtoms:
    """Reference energies from labels of free atoms."""

    names: list[str]
    """Names of these labels; they have no rows in the fit."""
    energies_ev: dict[str, float]
    """The reference energies, by element."""
    remarks: list[str]
    """Sentences for the log."""


def is_free(atoms: Atoms, cutoff_a: float) -> bool:
    """Return whether no atom has a neighbour within ``cutoff_a``, an image of itself included."""
    return len(neighbor_list("i", atoms, cutoff_a)) == 0


def free_atoms(names: Sequence[str], frames: Sequence[Atoms], known_ev: dict[str, float], cutoff_a: float) -> FreeAtoms:
    """Return the reference energies from labels of free atoms among new labels.

    Parameters
    ----------
    names, frames
        New labels.
    known_ev
        Reference energies that are fixed already: these stay.
    cutoff_a
        Distance within which atoms are neighbours, Å.

    Notes
    -----
    Of several energies of one element the lowest is taken: the ground state of the atom. A label of several free
    atoms determines the energy of one element if those of its other elements are known.
    """
    free = [(name, atoms) for name, atoms in zip(names, frames, strict=True) if is_free(atoms, cutoff_a)]
    found: dict[str, float] = {}
    remarks = []
    for symbol, energies in _energies_by_element([atoms for _, atoms in free], known_ev).items():
        lowest, spread = min(energies), max(energies) - min(energies)
        if symbol in known_ev:
            remarks.append(
                f"free atom of {symbol} ({lowest:.4f} eV): left out of the fit, the reference energy of "
                f"{symbol} is {known_ev[symbol]:.4f} eV already"
            )
            continue
        found[symbol] = lowest
        remarks.append(f"free atom of {symbol}: its {lowest:.4f} eV is the reference energy of {symbol}")
        if spread > _SAME_EV:
            remarks.append(
                f"the energies of {len(energies)} free atoms of {symbol} differ by {spread:.3g} eV: the lowest is taken"
            )
    counted = set(found) | set(known_ev)
    for name, atoms in free:
        if unknown := sorted(set(atoms.get_chemical_symbols()) - counted):
            remarks.append(
                f"label {name} has several free atoms, and the energy of each of {', '.join(unknown)} can't be told "
                "from it: left out of the fit"
            )
    return FreeAtoms([name for name, _ in free], found, remarks)


def _energies_by_element(free: Sequence[Atoms], known_ev: dict[str, float]) -> dict[str, list[float]]:
    """Return the energies per atom of each element that follow from labels of free atoms."""
    labels = [(Counter(atoms.get_chemical_symbols()), float(atoms.get_potential_energy())) for atoms in free]
    found: dict[str, list[float]] = {}
    for counts, energy in labels:
        if len(counts) == 1:
            ((symbol, number),) = counts.items()
            found.setdefault(symbol, []).append(energy / number)
    values = {**{symbol: min(energies) for symbol, energies in found.items()}, **known_ev}
    for _ in labels:
        for counts, energy in labels:
            if len(unknown := set(counts) - set(values)) == 1:
                (symbol,) = unknown
                others = sum(number * values[s] for s, number in counts.items() if s != symbol)
                values[symbol] = (energy - others) / counts[symbol]
                found[symbol] = [values[symbol]]
    return found


def fitted_references(frames: Sequence[Atoms], before: AcePotential, known: dict[str, float]) -> dict[str, float]:
    """Fit reference energies of new elements to the residual energies of ``frames``, by composition.

    Residuals are those of the potential ``before`` (at first: core repulsion only). The reference energy of an element
    is fitted once, to the first labels that contain it, because the stored factors of the fit depend on it. Energies of
    cut-outs include their boundary: they are used only if there are no other labels.
    """
    new = [name for name in before.elements if name not in known and any(name in a.symbols for a in frames)]
    frames = [a for a in frames if set(new) & set(a.symbols)]
    frames = [a for a in frames if mask_of(a).all()] or frames
    if not new:
        return known
    counts = np.array([[float(np.sum(a.symbols == name)) for name in new] for a in frames])
    fixed = [sum(known.get(symbol, 0.0) for symbol in a.symbols) for a in frames]
    left = [a.get_potential_energy() - before.evaluate(a, gamma=False).energy_ev for a in frames]
    solution = np.linalg.lstsq(counts, np.array(left) - np.array(fixed), rcond=None)[0]
    return {**known, **{name: float(value) for name, value in zip(new, solution, strict=True)}}
