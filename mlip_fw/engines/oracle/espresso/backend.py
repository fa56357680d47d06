"""The oracle ``espresso``: pw.x of Quantum ESPRESSO."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ase import Atoms

from mlip_fw.engines.oracle.answer import Answer
from mlip_fw.engines.oracle.backend import Citation, OracleBackend
from mlip_fw.engines.oracle.cost import plane_wave_cost
from mlip_fw.engines.oracle.per_cell import tags_per_cell
from mlip_fw.models.oracle import EspressoOracle
from mlip_fw.models.worker import Worker

PER_CELL = frozenset(("tot_charge", "tot_magnetization", "nbnd", "nelec", "nelup", "neldw", "multiplicity"))
PER_CELL |= {"fixed_magnetization", "emaxpos", "eopreg", *(f"nr{k}{s}" for k in "123" for s in ("", "s", "b"))}
PER_CELL |= {f"nqx{k}" for k in "123"}


class EspressoBackend(OracleBackend[EspressoOracle]):
    """Labels by pw.x; the work is done in :mod:`mlip_fw.engines.oracle.espresso.oracle`."""

    settings = EspressoOracle
    title = "Quantum ESPRESSO"
    citations = {  # noqa: RUF012  a ClassVar of the protocol
        "Giannozzi2017": Citation(
            "P. Giannozzi and others",
            "Advanced capabilities for materials modelling with Quantum ESPRESSO",
            "J. Phys.: Condens. Matter 29, 465901",
            2017,
            "10.1088/1361-648X/aa8f79",
        )
    }

    def require(self, settings: EspressoOracle, worker: Worker, elements: list[str]) -> str:
        """Let pw.x read its input and the pseudopotentials in a dry run."""
        from mlip_fw.engines.oracle.espresso.oracle import require_espresso

        return require_espresso(settings, worker, elements)

    def level_of_theory(self, settings: EspressoOracle, worker: Worker, elements: list[str]) -> dict[str, Any]:
        """Return the settings and the sha256 of the pseudopotentials."""
        from mlip_fw.engines.oracle.espresso.oracle import espresso_level

        return espresso_level(settings, worker, elements)

    def label(
        self,
        atoms: Atoms,
        settings: EspressoOracle,
        worker: Worker,
        elements: list[str],
        folder: Path,
        peers: Sequence[Atoms],
    ) -> Answer:
        """Run pw.x under custodian, or continue a run that the walltime cut."""
        from mlip_fw.engines.oracle.espresso.oracle import label_with_espresso

        return label_with_espresso(atoms, settings, worker, folder, elements)

    def cost(self, atoms: Atoms, settings: EspressoOracle) -> float:
        """Return the cost of a plane-wave calculation."""
        return plane_wave_cost(atoms, settings.kpoint_spacing_1_a)

    def command(self, worker: Worker) -> str | None:
        """Return the worker's ``pw_cmd``."""
        return worker.pw_cmd

    def doctor(self, worker: Worker) -> str:
        """Ask pw.x for its version."""
        from mlip_fw.engines.oracle.espresso.command import find_command, version_of

        command = find_command(worker)
        return f"{command}: pw.x {version_of(command)}"

    def per_cell(self, settings: EspressoOracle) -> Iterator[tuple[str, Any]]:
        """Yield charge, magnetisation, bands and grids among ``namelists.system``."""
        return tags_per_cell(settings.namelists.get("system", {}), PER_CELL, "oracle.namelists.system")


BACKEND = EspressoBackend()
