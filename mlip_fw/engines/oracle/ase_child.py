"""One reference calculation by an ASE calculator, inside a child process."""

from __future__ import annotations

import importlib
import time
from pathlib import Path
from typing import Any

import numpy as np
from ase.calculators.calculator import get_calculator_class
from ase.calculators.names import names as ase_names
from ase.io import read

from mlip_fw.engines.oracle.ase_answer import ask_calculator
from mlip_fw.engines.oracle.ase_probe import require_derivative
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


def label_structure(argument: dict[str, Any]) -> None:
    """Label ``structure.extxyz`` of the current folder and write ``label.json``.

    Parameters
    ----------
    argument
        ``calculator``: its name; ``parameters``: its keyword arguments; ``probe``: whether to ask if its forces are
        the derivative of its energy; ``max_force_ev_a``: a label with a larger force is refused anyway.

    Raises
    ------
    LabelError
        If what the calculator answers is no label of this structure.
    """
    started = time.perf_counter()
    atoms = read(INPUT, format="extxyz")
    atoms.set_constraint()
    atoms.calc = calculator_class(argument["calculator"])(**argument["parameters"])
    answer = ask_calculator(atoms)
    forces, stress, other = answer.forces_ev_a, answer.stress_ev_a3, answer.other_energy_ev
    is_sound = answer.converged and np.isfinite(answer.energy_ev) and forces.shape == (len(atoms), 3)
    # a comparison with NaN is false
    if is_sound and np.abs(forces).max(initial=0.0) <= argument["max_force_ev_a"]:
        require_derivative(atoms, forces, whole=argument["probe"])
    told = {
        "energy_ev": answer.energy_ev if np.isfinite(answer.energy_ev) else None,
        "other_energy_ev": other if other is not None and np.isfinite(other) else None,
        "forces_ev_a": forces.tolist() if np.isfinite(forces).all() else None,
        "stress_ev_a3": stress.tolist() if stress is not None and np.isfinite(stress).all() else None,
        "stress_is_finite": stress is None or bool(np.isfinite(stress).all()),
        "converged": answer.converged,
        "seconds": time.perf_counter() - started,
    }
    write_json(Path(OUTPUT), told)
