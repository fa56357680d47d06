"""One reference calculation by an ASE calculator, inside a child process."""

from __future__ import annotations

import importlib
import time
from pathlib import Path
from typing import Any

import numpy as np
from ase.calculators.calculator import PropertyNotImplementedError, all_properties, get_calculator_class
from ase.calculators.names import names as ase_names
from ase.io import read

from mlip_fw.io.files import write_json

INPUT, OUTPUT = "structure.extxyz", "label.json"
_ELSEWHERE = {"tblite": "tblite.ase:TBLite", "xtb": "xtb.ase.calculator:XTB", "mace": "mace.calculators:MACECalculator"}


def calculator_class(name: str) -> Any:
    """Return the calculator class called ``name``.

    Parameters
    ----------
    name
        A name that ASE knows (``emt``, ``lj``, …), one of a few packages with a calculator of their own
        (``tblite``), or ``module:Class``.

    Raises
    ------
    LookupError
        If there is no such calculator; says which are known.
    ImportError
        If the package that holds it is not installed.
    """
    place = _ELSEWHERE.get(name.lower(), name)
    if ":" in place:
        module, _, attribute = place.partition(":")
        found = getattr(importlib.import_module(module), attribute, None)
        if found is None:
            raise LookupError(f"module {module} has no {attribute}")
        return found
    known = {entry.lower(): entry for entry in ase_names}
    if name.lower() not in known:
        raise LookupError(f"known are {', '.join(sorted([*ase_names, *_ELSEWHERE]))}, or module:Class")
    return get_calculator_class(known[name.lower()])


def label_structure(argument: dict[str, Any]) -> dict[str, Any]:
    """Label ``structure.extxyz`` of the current folder and write ``label.json``.

    Parameters
    ----------
    argument
        ``calculator``: its name; ``parameters``: its keyword arguments.
    """
    started = time.perf_counter()
    atoms = read(INPUT, format="extxyz")
    atoms.calc = calculator_class(argument["calculator"])(**argument["parameters"])
    energy = float(atoms.get_potential_energy())
    forces = np.asarray(atoms.get_forces(), dtype=float)
    try:
        stress = np.asarray(atoms.get_stress(), dtype=float).tolist()
    except (PropertyNotImplementedError, NotImplementedError):
        stress = None
    converged = getattr(atoms.calc, "converged", True)
    answer = {
        "energy_ev": energy if np.isfinite(energy) else None,
        "forces_ev_a": forces.tolist() if np.isfinite(forces).all() else None,
        "stress_ev_a3": stress if stress is not None and np.isfinite(stress).all() else None,
        "converged": bool(converged() if callable(converged) else converged),
        "seconds": time.perf_counter() - started,
    }
    write_json(Path(OUTPUT), answer)
    return {"properties": [name for name in all_properties if name in (atoms.calc.results or {})]}
