"""The oracle ``vasp``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ase import Atoms

from mlip_fw.engines.oracle.answer import Answer
from mlip_fw.engines.oracle.backend import Citation, OracleBackend
from mlip_fw.engines.oracle.cost import plane_wave_cost
from mlip_fw.engines.oracle.per_cell import tags_per_cell
from mlip_fw.models.oracle import VaspOracle
from mlip_fw.models.worker import Worker

PER_CELL = frozenset(("nelect", "nupdown", "nbands", "dipol", "ferwe", "ferdo", "m_constr", "rwigs", "ropt", "vca"))
PER_CELL |= {*(f"ng{k}{s}" for k in "xyz" for s in ("", "f")), *(f"nkred{k}" for k in ("", "x", "y", "z"))}


class VaspBackend(OracleBackend[VaspOracle]):
    """Labels by VASP; the work is done in :mod:`mlip_fw.engines.oracle.vasp.oracle`."""

    settings = VaspOracle
    title = "VASP"
    citations = {  # noqa: RUF012  a ClassVar of the protocol
        "Kresse1996": Citation(
            "G. Kresse and J. Furthmüller",
            "Efficient iterative schemes for ab initio total-energy calculations using a plane-wave basis set",
            "Phys. Rev. B 54, 11169",
            1996,
            "10.1103/PhysRevB.54.11169",
        )
    }

    def require(self, settings: VaspOracle, worker: Worker, elements: list[str]) -> None:
        """Check settings, program and POTCARs without running VASP."""
        from mlip_fw.engines.oracle.vasp.oracle import require_vasp

        require_vasp(settings, worker, elements)

    def level_of_theory(self, settings: VaspOracle, worker: Worker, elements: list[str]) -> dict[str, Any]:
        """Return the deciding tags of INCAR, k-point spacing, U, moments and the hashes of the POTCARs."""
        from mlip_fw.engines.oracle.vasp.oracle import vasp_level

        return vasp_level(settings, worker, elements)

    def label(
        self,
        atoms: Atoms,
        settings: VaspOracle,
        worker: Worker,
        elements: list[str],
        folder: Path,
        peers: Sequence[Atoms],
    ) -> Answer:
        """Run VASP under custodian, or continue a run that the walltime cut."""
        from mlip_fw.engines.oracle.vasp.oracle import label_with_vasp

        return label_with_vasp(atoms, settings, worker, folder)

    def cost(self, atoms: Atoms, settings: VaspOracle) -> float:
        """Return the cost of a plane-wave calculation."""
        return plane_wave_cost(atoms, settings.kpoint_spacing_1_a)

    def command(self, worker: Worker) -> str | None:
        """Return the worker's ``vasp_cmd``."""
        return worker.vasp_cmd

    def doctor(self, worker: Worker) -> str:
        """Look for the program; it is not run, as it needs input and a licence."""
        from mlip_fw.engines.oracle.vasp.oracle import require_program

        return require_program(worker)

    def per_cell(self, settings: VaspOracle) -> Iterator[tuple[str, Any]]:
        """Yield electrons, moments, bands and grids among the INCAR tags."""
        return tags_per_cell(settings.incar, PER_CELL, "oracle.incar")


BACKEND = VaspBackend()
