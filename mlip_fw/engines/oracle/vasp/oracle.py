"""The ``vasp`` oracle: pymatgen's input sets, custodian's handlers, and checks of the result.

VASP is licensed: this was tested with the stand-in :mod:`mlip_fw.testing.vasp` and with files written in the
documented layout, never with a real VASP.
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

from ase import Atoms

from mlip_fw.engines.oracle.answer import Labelled, OutOfTime, facts_of
from mlip_fw.engines.oracle.vasp.inputs import (
    deciding_tags,
    incar_for,
    incar_template,
    potcar_hash,
    potcars_of,
    require_sound_incar,
)
from mlip_fw.engines.oracle.vasp.run import VaspLabelRun
from mlip_fw.errors import WorkerError
from mlip_fw.io.kpoints import kpoint_grid
from mlip_fw.io.structures import with_labels
from mlip_fw.io.vasp import for_vasp, read_vasprun, species_order, write_vasp_inputs
from mlip_fw.models.oracle import VaspOracle
from mlip_fw.models.worker import Worker


def require_vasp(oracle: VaspOracle, worker: Worker, elements: list[str]) -> None:
    """Check settings, program and POTCARs without running VASP.

    Raises
    ------
    CampaignError
        If a tag of INCAR, the POTCAR library or a POTCAR symbol can't be right anywhere.
    WorkerError
        If the program or a POTCAR is missing here.
    """
    require_sound_incar(oracle)
    require_program(worker)
    potcars_of(oracle, elements)


def require_program(worker: Worker) -> str:
    """Return the worker's command of VASP, whose first word is a program that is here; it is not run.

    Raises
    ------
    WorkerError
        If there is no such program.
    """
    command = _command(worker)
    if shutil.which(shlex.split(command)[0]) is None:
        raise WorkerError(f"there is no program {shlex.split(command)[0]!r}; correct env.vasp_cmd in my_fworker.yaml")
    return command


def vasp_level(oracle: VaspOracle, worker: Worker, elements: list[str]) -> dict[str, Any]:
    """Return everything except the structure that decides the value of a label, as plain JSON values.

    Tags of INCAR that only decide how a result is reached, such as ALGO and NCORE, are not part of it.

    Raises
    ------
    WorkerError
        If a POTCAR is missing here.
    """
    potcars = potcars_of(oracle, elements)
    return {
        "kind": oracle.kind,
        "incar": deciding_tags(incar_template(oracle)),
        "kpoint_spacing_1_a": oracle.kpoint_spacing_1_a,
        "starting_moments_mub": dict(sorted(oracle.starting_moments_mub.items())),
        "hubbard_u_ev": dict(sorted(oracle.hubbard_u_ev.items())),
        "potcars": {
            element: {"symbol": potcar.symbol, "titel": str(potcar.titel), "sha256": potcar_hash(potcar)}
            for element, potcar in sorted(potcars.items())
        },
    }


def label_with_vasp(atoms: Atoms, oracle: VaspOracle, worker: Worker, folder: Path) -> Labelled | OutOfTime:
    """Label one structure by VASP in ``folder``; a calculation there that a walltime cut is continued.

    Energy
        the free energy with the entropy of the smearing (TOTEN), of which the forces are the derivative.
    Forces, stress
        in the caller's order of atoms, and with ASE's sign and order.

    Raises
    ------
    LabelError
        If no trustworthy label came of it; has the corrections and the files.
    WorkerError
        If this machine is to blame.
    """
    structure = for_vasp(atoms)
    elements = list(dict.fromkeys(site.specie.symbol for site in structure))
    potcars = potcars_of(oracle, elements)
    incar = incar_for(oracle, structure, keep_orbitals=worker.label_walltime_s is not None)
    grid = kpoint_grid(structure.lattice.matrix, oracle.kpoint_spacing_1_a) or (1, 1, 1)
    run = VaspLabelRun(
        folder=folder,
        structure=structure,
        command=_command(worker),
        timeout_s=oracle.timeout_s,
        walltime_s=worker.label_walltime_s,
    )
    run.prepare(lambda place: write_vasp_inputs(place, structure, incar, grid, _joined(potcars)))
    if (out_of_time := run.run()) is not None:
        return out_of_time
    seconds, result = run.seconds, read_vasprun(folder / "vasprun.xml")
    forces = result.forces_ev_a.copy()
    forces[species_order(atoms)] = result.forces_ev_a
    facts = facts_of(
        code="vasp",
        version=result.version,
        seconds=seconds,
        corrections=run.corrections,
        convergence={"scf_steps": result.scf_steps, "ediff_ev": float(incar["EDIFF"]), "kpoints": list(grid)},
    )
    return Labelled(with_labels(atoms, result.energy_ev, forces, result.stress_ev_a3), facts)


def _joined(potcars: dict[str, Any]) -> str:
    return "".join(f"{str(potcar).strip()}\n" for potcar in potcars.values())


def _command(worker: Worker) -> str:
    if not worker.vasp_cmd or not worker.vasp_cmd.strip():
        raise WorkerError("my_fworker.yaml has no env.vasp_cmd; add it, see docs/how-to/vasp.md")
    return worker.vasp_cmd
