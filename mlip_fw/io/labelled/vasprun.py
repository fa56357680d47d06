"""Ionic steps of ``vasprun.xml``, with their electronic convergence; also of a truncated file."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units

from mlip_fw.errors import CampaignError
from mlip_fw.io.labelled.raw import ML_STEP, NELM, Raw, cartesian

_KILOBAR = 0.1 * units.GPa
_VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def read_vasprun_steps(path: Path) -> list[Raw]:
    """Read all ionic steps; the energy is ``e_fr_energy`` minus the work against ``PSTRESS``.

    Raises
    ------
    CampaignError
        If there is no complete ionic step.
    """
    reading = _Parser()
    try:
        for event, element in ET.iterparse(path, events=("start", "end")):
            reading.take(event, element)
    except ET.ParseError as error:
        reading.broken = str(error)
    return reading.steps()


class _Parser:
    """State of the incremental parser."""

    def __init__(self) -> None:
        self.broken: str | None = None
        self._symbols: list[str] = []
        self._parameters: dict[str, str] = {}
        self._held: np.ndarray | None = None
        self._done: list[Raw] = []
        self._begun = 0

    def take(self, event: str, element: ET.Element) -> None:
        if event == "start":
            self._begun += element.tag == "calculation"
        elif element.tag in ("incar", "parameters"):
            self._parameters |= {i.get("name", "").upper(): (i.text or "").strip() for i in element.iter("i")}
        elif element.tag == "atominfo":
            self._symbols = [(row[0].text or "").strip() for row in element.iterfind("array[@name='atoms']/set/rc")]
        elif element.tag == "structure" and element.get("name") == "initialpos":
            self._held = _selective(element)
        elif element.tag == "calculation":
            self._done.append(self._step(element))
            element.clear()

    def steps(self) -> list[Raw]:
        if not self._done:
            why = f" ({self.broken})" if self.broken else ""
            raise CampaignError(f"it has no whole ionic step{why}; give one that ran to its end")
        if self._begun > len(self._done):
            self._done.append(Raw(Atoms(), fault="the file ends in the middle of this ionic step"))
        return self._done

    def _step(self, element: ET.Element) -> Raw:
        cell, positions = (
            _rows(element, "structure/crystal/varray[@name='basis']"),
            _rows(element, "structure/varray[@name='positions']"),
        )
        if cell is None or positions is None or len(positions) != len(self._symbols):
            raise CampaignError(
                f"structure {len(self._done)} has no whole cell and positions; give a file that is whole"
            )
        atoms = Atoms(self._symbols, scaled_positions=positions, cell=cell, pbc=True)
        forces, stress = _rows(element, "varray[@name='forces']"), _rows(element, "varray[@name='stress']")
        facts: dict[str, Any] = {}
        free = element.find("energy/i[@name='e_fr_energy']")
        if free is not None:
            facts["e_fr_energy"] = _number(free.text) - self._pstress() * atoms.get_volume()
        if stress is not None:
            facts["stress"] = np.array([-stress[i, j] * _KILOBAR for i, j in _VOIGT])
        columns = {} if forces is None else {"forces": forces}
        return Raw(atoms, facts, columns, self._fixed(atoms), self._fault(element))

    def _fault(self, element: ET.Element) -> str | None:
        n_steps, limit = len(element.findall("scstep")), self._nelm()
        if not n_steps:
            return ML_STEP
        return f"SCF not converged ({n_steps} of NELM = {limit} steps)" if n_steps >= limit else None

    def _nelm(self) -> int:
        return int(_number(self._parameters.get("NELM", str(NELM))))

    def _pstress(self) -> float:
        """Return the external pressure, eV/Å³, whose work ``e_fr_energy`` of an ionic step has in it."""
        return float(_number(self._parameters.get("PSTRESS", "0")) * _KILOBAR)

    def _fixed(self, atoms: Atoms) -> np.ndarray:
        if self._held is None or len(self._held) != len(atoms):
            return np.zeros((len(atoms), 3), dtype=bool)
        return np.array([cartesian(held, atoms.cell.array) for held in self._held])


def _selective(structure: ET.Element) -> np.ndarray | None:
    """Return (n_atoms, 3) of bool: lattice directions fixed by selective dynamics."""
    rows = [(row.text or "").split() for row in structure.iterfind("varray[@name='selective']/v")]
    return np.array([[flag.upper().startswith("F") for flag in row] for row in rows]) if rows else None


def _rows(element: ET.Element, path: str) -> np.ndarray | None:
    found = element.find(path)
    if found is None:
        return None
    return np.array([[_number(part) for part in (row.text or "").split()] for row in found])


def _number(text: str | None) -> float:
    """Return a number; VASP prints stars where one does not fit."""
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")
