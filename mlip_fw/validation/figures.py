"""Figures of a validation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase import units
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlip_fw.io.files import atomic_file
from mlip_fw.models.validation import Calibration

if TYPE_CHECKING:
    from mlip_fw.validation.diagnosis import Findings
    from mlip_fw.validation.parity import Pair

_BLUE, _ORANGE, _GREY = "#0072b2", "#d55e00", "#777777"
_COLOURS = {"oracle": _GREY, "potential": _BLUE}
_WIDTHS = {"oracle": 3.0, "potential": 1.2}
_DPI = 150
_KINDS = ("png", "svg")
_NAMES = frozenset({"parity", "calibration", "equation-of-state", "phonons", "rdf"})


def write_figures(found: Findings, folder: Path) -> list[Path]:
    """Draw what was found, each figure as PNG and as SVG, remove older ones of what was not, and return their paths."""
    figures: dict[str, Figure] = {}
    if found.pairs:
        figures["parity"] = parity_figure(found)
    if found.report is not None and found.report.calibration is not None:
        figures["calibration"] = calibration_figure(found, found.report.calibration)
    if len(found.states) > 1:
        figures["equation-of-state"] = state_figure(found)
    if len(found.bands) > 1:
        figures["phonons"] = phonon_figure(found)
    if len(found.distributions) > 1:
        figures["rdf"] = rdf_figure(found)
    for name in _NAMES - figures.keys():
        for kind in _KINDS:
            (folder / f"{name}.{kind}").unlink(missing_ok=True)
    return [_save(figure, folder / f"{name}.{kind}") for name, figure in figures.items() for kind in _KINDS]


def parity_figure(found: Findings) -> Figure:
    """Draw forces, energies and stresses of the potential against those of the oracle."""
    figure = Figure(figsize=(10.5, 3.8), layout="constrained")
    forces, energies, stresses = figure.subplots(1, 3)
    symbols = np.concatenate([np.array(p.oracle.get_chemical_symbols())[p.compared] for p in found.pairs])
    true = np.concatenate([p.oracle.get_forces()[p.compared] for p in found.pairs])
    said = np.concatenate([p.potential.get_forces()[p.compared] for p in found.pairs])
    for k, element in enumerate(sorted(set(symbols))):
        mine = symbols == element
        colour = (_BLUE, _ORANGE, "#009e73", "#cc79a7")[k % 4]
        forces.plot(true[mine].ravel(), said[mine].ravel(), ".", ms=2, color=colour, label=element)
    forces.legend(fontsize="small")
    whole = [p for p in found.pairs if p.energy_error_ev_atom is not None]
    levels = np.array([[a.get_potential_energy() / len(a) for a in (p.oracle, p.potential)] for p in whole])
    if len(levels):
        _by_temperature(energies, levels - levels[:, 0].min(), whole)
    stressed = [p for p in whole if len(p.stress_errors_gpa)]
    if stressed:
        values = np.array([[a.get_stress() / units.GPa for a in (p.oracle, p.potential)] for p in stressed])
        _by_temperature(stresses, values.swapaxes(1, 2).reshape(-1, 2), [p for p in stressed for _ in range(6)])
    for axes, name in (
        (forces, "force component (eV/Å)"),
        (energies, "energy above the lowest (eV/atom)"),
        (stresses, "stress component (GPa)"),
    ):
        low = min(axes.get_xlim()[0], axes.get_ylim()[0])
        axes.axline((low, low), slope=1, color=_GREY, lw=0.8)
        axes.set_xlabel(f"oracle: {name}")
        axes.set_ylabel("potential")
    figure.suptitle(f"{len(found.pairs)} held-out frames, never trained on")
    return figure


def _by_temperature(axes: Axes, values: np.ndarray, pairs: Sequence[Pair]) -> None:
    """Draw ``values`` (n, 2), one for each of ``pairs``, in the colours of their temperatures where those are known."""
    kelvin = [pair.temperature_k for pair in pairs]
    if None in kelvin:
        axes.plot(*values.T, ".", color=_BLUE)
        return
    dots = axes.scatter(values[:, 0], values[:, 1], s=8, c=kelvin, cmap="plasma")
    axes.figure.colorbar(dots, ax=axes, label="measured temperature (K)")


def calibration_figure(found: Findings, calibrated: Calibration) -> Figure:
    """Draw the force error of each atom against its gamma, with the promise of the training set."""
    from mlip_fw.validation.parity import gamma_and_errors

    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    for atoms, name, colour in (
        (found.unseen, "new labels, before training", _ORANGE),
        (gamma_and_errors(found.pairs), "held-out frames", _BLUE),
    ):
        if len(atoms):
            axes.loglog(*np.maximum(atoms, 1e-6).T, ".", ms=3, color=colour, alpha=0.5, label=name)
    axes.axhline(calibrated.promise_ev_a, color=_GREY, ls="--", lw=1, label="95 % of the training set are below")
    axes.set_xlabel("extrapolation grade γ of the atom")
    axes.set_ylabel("force error of the atom (eV/Å)")
    figure.legend(fontsize="small", loc="outside lower center", ncols=2)
    return figure


def state_figure(found: Findings) -> Figure:
    """Draw energy against volume by potential and oracle, each above its own minimum."""
    figure, axes = _plain("volume per atom (Å³)", "energy above the lowest (meV/atom)")
    for name, state in found.states.items():
        style = "o-" if name == "oracle" else "s--"
        axes.plot(state.volumes_a3, 1000 * state.energies_ev, style, color=_COLOURS[name], label=name)
    axes.legend()
    return figure


def phonon_figure(found: Findings) -> Figure:
    """Draw phonon bands by potential and oracle, each at its own volume."""
    figure, axes = _plain("", "frequency (THz), imaginary below 0")
    oracle = found.bands["oracle"]
    for name in ("oracle", "potential"):
        bands = found.bands[name]
        path = bands.path / bands.path[-1] * oracle.path[-1]
        for k, band in enumerate(bands.frequencies_thz.T):
            axes.plot(path, band, color=_COLOURS[name], lw=_WIDTHS[name], label=name if k == 0 else None)
    axes.set_xticks([place for place, _ in oracle.ticks], [label.replace("G", "Γ") for _, label in oracle.ticks])
    axes.axhline(0, color=_GREY, lw=0.6)
    axes.legend()
    return figure


def rdf_figure(found: Findings) -> Figure:
    """Draw radial distribution functions by potential and oracle."""
    figure, axes = _plain("distance (Å)", "g(r)")
    for name in ("oracle", "potential"):
        curve = found.distributions[name]
        axes.plot(curve.r_a, curve.g, color=_COLOURS[name], lw=_WIDTHS[name], label=name)
    axes.legend()
    return figure


def _plain(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def _save(figure: Figure, path: Path) -> Path:
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=_DPI)
    return path
