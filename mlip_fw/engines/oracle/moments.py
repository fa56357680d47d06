"""Comparison of the magnetic moments and charges in a structure's file with those that labels start from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms

from mlip_fw.errors import CampaignError
from mlip_fw.io.moments import stated_moments
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.oracle import DftOracle

_SMALL_MUB = 0.1
"""What a moment must exceed to be meant."""
_INDUCED_MUB = 0.5
"""Neighbours of magnetic atoms have up to that, without being told."""


def moment_notes(campaign: Campaign, starts: list[Atoms]) -> list[str]:
    """Return a sentence for each thing that the files say of moments and charges and that labels don't follow.

    Labels start from ``oracle.starting_moments_mub``, one moment for each element, whatever atom it is.

    Raises
    ------
    CampaignError
        If labels would be of another magnetic order than the file's: moments of both signs in one element, moments
        where the oracle has none, elements aligned the other way.
    """
    files = campaign.structure.named_files()
    if not files:
        return _of_crystal(campaign, starts)
    notes = []
    for (where, path), atoms in zip(files.items(), starts, strict=True):
        stated = stated_moments(atoms, Path(path), where)
        for moments in stated.columns:
            notes += _moments(campaign, atoms, moments, where, stated.unit)
        notes += [
            f"{where} states {name}, which no label takes over; charge is a matter of the oracle"
            for name in stated.charges
        ]
        if stated.unread:
            notes.append(f"{where}: {stated.unread}; labels start from the oracle's moments")
    return list(dict.fromkeys(notes))


def _of_crystal(campaign: Campaign, starts: list[Atoms]) -> list[str]:
    """Say so if a crystal that ASE knows to be magnetic is labelled without spin."""
    if not isinstance(campaign.oracle, DftOracle) or any(campaign.oracle.starting_moments_mub.values()):
        return []
    magnetic = {s for atoms in starts for s, m in zip(atoms.get_chemical_symbols(), _initial(atoms), strict=True) if m}
    if not magnetic:
        return []
    return [f"{', '.join(sorted(magnetic))}: labels are without spin, as oracle.starting_moments_mub is not set"]


def _initial(atoms: Atoms) -> np.ndarray:
    moments = atoms.get_initial_magnetic_moments()
    return np.asarray(moments if moments.ndim == 1 else np.linalg.norm(moments, axis=1))


def _moments(campaign: Campaign, atoms: Atoms, moments: np.ndarray, where: str, unit: str) -> list[str]:
    oracle = campaign.oracle
    if np.abs(moments).max() < _SMALL_MUB:
        return []
    if not isinstance(oracle, DftOracle):
        return [f"{where} has magnetic moments, which are not passed to calculator {oracle.shown}"]
    symbols = np.array(atoms.get_chemical_symbols())
    fault = _fault(oracle, symbols, moments, unit)
    if fault is None:
        return _differences(oracle, symbols, moments, where, unit)
    if oracle.ignore_file_moments:
        return [f"{where} {fault}; the file's moments are ignored, as oracle.ignore_file_moments says"]
    raise CampaignError(f"{where} {fault}; to label so all the same, set oracle.ignore_file_moments: true")


def _fault(oracle: DftOracle, symbols: np.ndarray, moments: np.ndarray, unit: str) -> str | None:
    """Return why labels would be of another magnetic order than the file's, or None."""
    if moments.ndim == 2:
        if np.abs(moments[:, :2]).max() >= _SMALL_MUB:
            return "has moments that are not collinear, and labels are collinear"
        moments = moments[:, 2]
    ours = oracle.starting_moments_mub
    is_polarised = any(ours.get(name) for name in set(symbols))
    for name in sorted(set(symbols)):
        own, lower_limit = moments[symbols == name], _INDUCED_MUB if is_polarised and not ours.get(name) else _SMALL_MUB
        if own.max() >= lower_limit and own.min() <= -lower_limit:
            start = f"ferromagnetic, from {ours[name]:g} μB on every atom" if ours.get(name) else "without moments"
            return (
                f"has moments of both signs for {name} ({own.min():g} to {own.max():g}{unit}), but labels will "
                f"start {start} of {name}: oracle.starting_moments_mub holds for all atoms of an element"
            )
    mean = {name: float(moments[symbols == name].mean()) for name in sorted(set(symbols))}
    meant = {name: value for name, value in mean.items() if abs(value) >= _SMALL_MUB}
    if not is_polarised:
        said = ", ".join(f"{name}: {round(value, 2):g}" for name, value in meant.items())
        hint = f"{{{said}}}" if unit else "in μB"
        return f"has moments ({said}{unit}), but labels will be without spin: set oracle.starting_moments_mub: {hint}"
    signs = {name: np.sign(value) * np.sign(ours[name]) for name, value in meant.items() if ours.get(name)}
    if len(set(signs.values())) > 1:
        return (
            f"has moments of {' and '.join(f'{mean[n]:.3g} for {n}' for n in signs)}{unit}, but "
            f"oracle.starting_moments_mub aligns them the other way ({', '.join(f'{n}: {ours[n]:g}' for n in signs)})"
        )
    return None


def _differences(oracle: DftOracle, symbols: np.ndarray, moments: np.ndarray, where: str, unit: str) -> list[str]:
    """Return what labels start from where that is not what the file says, for one order."""
    notes = []
    sizes = np.abs(moments if moments.ndim == 1 else moments[:, 2])
    for name in sorted(set(symbols)):
        own, ours = sizes[symbols == name], abs(oracle.starting_moments_mub.get(name, 0.0))
        if own.max() < (_SMALL_MUB if ours else _INDUCED_MUB) or (unit and np.allclose(own, ours, atol=_INDUCED_MUB)):
            continue
        said = f"{own[0]:g}" if np.ptp(own) < _SMALL_MUB else f"{own.min():g} to {own.max():g}"
        notes.append(f"{where} has moments of {said}{unit} for {name}; labels start from {ours:g} μB for all {name}")
    return notes
