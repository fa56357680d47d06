"""Properties computed with the potential and with the oracle.

Each property is a function of :class:`Both`, registered in :data:`mlip_fw.plugins.PROPERTIES`; it is called again until
all labels that it needs are there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from ase import Atoms

from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.engines.ace.calculator import AceCalculator
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.oracle import DftOracle
from mlip_fw.models.validation import Quantity
from mlip_fw.plugins import PROPERTIES
from mlip_fw.validation import measure
from mlip_fw.validation.crystal import Crystal, crystal_of
from mlip_fw.validation.rdf import Distribution, distributions
from mlip_fw.validation.sources import NotYetError, OracleSource, PotentialSource, Source, UnmeasurableError

_RELAXED_EV_A = 0.01
_MAX_STEPS = 300
_MAX_GRADED = 10
"""Frames of the MD for g(r) whose gamma is looked at."""
MINE, ORACLE = "potential", "oracle"


@dataclass
class Both:
    """The potential and its oracle as sources of energies and forces, with the results for the crystal so far."""

    potential: PotentialSource
    oracle: OracleSource
    directory: CampaignDirectory
    campaign: Campaign
    file: Path
    """The potential (.yaml), its active set beside it."""
    states: dict[str, measure.StateEquation] = field(default_factory=dict)
    bands: dict[str, measure.Bands] = field(default_factory=dict)
    distributions: dict[str, Distribution] = field(default_factory=dict)

    @cached_property
    def crystal(self) -> Crystal:
        """The crystal that properties are of."""
        return crystal_of(self.campaign)

    @property
    def sources(self) -> dict[str, Source]:
        """Both sources by name, the potential first, as it needs no labels."""
        return {MINE: self.potential, ORACLE: self.oracle}

    def scale(self, name: str) -> float:
        """Return the scale of the crystal's lengths at the energy minimum by the source ``name``."""
        if name not in self.states:
            self.states[name] = measure.equation_of_state(self.sources[name], self.crystal)
        return self.states[name].scale


def compare(both: Both, quantities: list[Quantity], unmeasured: dict[str, str], gamma_max: dict[str, float]) -> None:
    """Compute the properties that the campaign asks for.

    Parameters
    ----------
    quantities
        Gets the quantities of each property whose labels are there.
    unmeasured
        Gets the reason why a property can't be computed, by its name.
    gamma_max
        Gets the largest extrapolation grade in the structures of each property.
    """
    for name in dict.fromkeys(both.campaign.validation.properties):
        both.potential.gamma_max = 0.0
        try:
            quantities += [_quantity(name, *values) for values in PROPERTIES.get(name)(both)]
        except NotYetError:
            pass
        except UnmeasurableError as error:
            unmeasured[name] = str(error)
        gamma_max[name] = both.potential.gamma_max


def _quantity(kind: str, name: str, unit: str, mine: float, theirs: float) -> Quantity:
    difference = 100 * (mine - theirs) / abs(theirs) if theirs else None
    return Quantity(
        property=kind, name=name, unit=unit, potential=float(mine), oracle=float(theirs), difference_percent=difference
    )


Values = list[tuple[str, str, float, float]]
"""Name, unit, and the number by potential and oracle."""


def equation_of_state(both: Both) -> Values:
    """Return lattice constants, volume and bulk modulus at the minimum of the energy."""
    scales = [both.scale(name) for name in both.sources]
    states = [both.states[name] for name in both.sources]
    a, b, c = both.crystal.unit.cell.lengths()
    lengths = {"lattice constant a": a, "lattice constant c": c}
    if np.isclose(a, b) and np.isclose(a, c):
        del lengths["lattice constant c"]
    conventional = _conventional_factor(both.crystal.unit)
    return [
        *((name, "Å", *(length * conventional * scale for scale in scales)) for name, length in lengths.items()),
        ("volume per atom", "Å³", states[0].volume_a3, states[1].volume_a3),
        ("bulk modulus", "GPa", states[0].bulk_modulus_gpa, states[1].bulk_modulus_gpa),
    ]


def _conventional_factor(unit: Atoms) -> float:
    """Return the conventional lattice constant in units of the first vector of a primitive cubic cell; else 1."""
    lattice = unit.cell.get_bravais_lattice()
    return float(lattice.a / unit.cell.lengths()[0]) if lattice.name in ("FCC", "BCC") else 1.0


def elastic(both: Both) -> Values:
    """Return the elastic constants, each at the minimum by the same source."""
    mine, theirs = (measure.elastic(source, both.crystal, both.scale(name)) for name, source in both.sources.items())
    return [(name, "GPa", mine.get(name, 0.0), value) for name, value in theirs.items()]


def phonons(both: Both) -> Values:
    """Return the highest and lowest phonon frequencies along the path of the Brillouin zone and at Γ."""
    for name, source in both.sources.items():
        both.bands[name] = measure.phonons(source, both.crystal, both.scale(name))
    mine, theirs = (both.bands[name] for name in both.sources)
    found: Values = []
    if len(theirs.gamma_thz) > 3:
        found.append(("highest optical frequency at Γ", "THz", mine.gamma_thz.max(), theirs.gamma_thz.max()))
    return [
        *found,
        ("highest frequency", "THz", mine.frequencies_thz.max(), theirs.frequencies_thz.max()),
        ("lowest frequency", "THz", mine.frequencies_thz.min(), theirs.frequencies_thz.min()),
    ]


def vacancy(both: Both) -> Values:
    """Return the formation energy of a vacancy, relaxed by the potential."""
    if len(set(both.crystal.unit.numbers)) > 1:
        raise UnmeasurableError("a vacancy of a compound depends on chemical potentials; only elements are compared")
    perfect, broken = measure.vacancy_cells(both.crystal.cell(both.scale(MINE)))
    cells = [perfect, _relaxed(broken, both)]
    mine, theirs = (measure.vacancy_energy_ev(source, cells) for source in both.sources.values())
    return [("vacancy formation energy", "eV", mine, theirs)]


def _relaxed(atoms: Atoms, both: Both) -> Atoms:
    """Return ``atoms`` relaxed with the potential at fixed cell."""
    from ase.optimize import FIRE

    moved = atoms.copy()
    moved.calc = AceCalculator(both.potential.potential, gamma=False)
    FIRE(moved, logfile=None).run(fmax=_RELAXED_EV_A, steps=_MAX_STEPS)
    return Atoms(moved.numbers, moved.positions, cell=moved.cell, pbc=True)


def surface(both: Both) -> Values:
    """Return the energy of an unrelaxed surface."""
    oracle, miller = both.campaign.oracle, both.campaign.validation.surface
    if len(set(both.crystal.unit.numbers)) > 1:
        raise UnmeasurableError("a surface of a compound depends on chemical potentials; only elements are compared")
    if isinstance(oracle, DftOracle) and oracle.kpoint_spacing_1_a is None:
        raise UnmeasurableError("the oracle samples the Γ point alone: cells of different shapes don't compare")
    cells = measure.slab_cells(both.crystal, both.scale(MINE), miller)
    if len(cells[1]) > both.campaign.candidates.cutout.max_atoms:
        raise UnmeasurableError(f"the slab has {len(cells[1])} atoms, more than candidates.cutout.max_atoms")
    mine, theirs = (measure.surface_energy_j_m2(source, cells) for source in both.sources.values())
    return [(f"surface energy ({' '.join(map(str, miller))})", "J/m²", mine, theirs)]


def rdf(both: Both) -> Values:
    """Return position and height of the first peak of the radial distribution function of the MD."""
    found = distributions(both.directory, both.campaign, both.file)
    both.distributions |= dict(zip(both.sources, found, strict=True))
    mine, theirs = found
    both.potential.label(mine.frames[:: 1 + len(mine.frames) // _MAX_GRADED])
    return [
        ("first peak of g(r)", "Å", mine.peak[0], theirs.peak[0]),
        ("height of that peak", "", mine.peak[1], theirs.peak[1]),
    ]
