"""The oracle ``ase``: any calculator of the Atomic Simulation Environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ase import Atoms

from mlip_fw.engines.oracle.answer import Answer
from mlip_fw.engines.oracle.backend import CalculatorSpec, OracleBackend
from mlip_fw.engines.oracle.espresso.backend import PER_CELL as PW_PER_CELL
from mlip_fw.engines.oracle.per_cell import says_something_of_the_cell
from mlip_fw.engines.oracle.vasp.backend import PER_CELL as VASP_PER_CELL
from mlip_fw.models.oracle import AseOracle
from mlip_fw.models.worker import Worker

_PER_CELL = PW_PER_CELL | VASP_PER_CELL | {"charge", "total_charge", "net_charge", "spin", "uhf", "nelectrons", "gpts"}
_PER_CELL |= {"magmom", "magmoms", "initial_magmoms", "magnetic_moments"}
_MESHES = ("kpts", "kpoints", "k_points", "mp_grid")


class AseBackend(OracleBackend[AseOracle]):
    """Labels in a child process, with the calculator that the campaign names; trusted ones only."""

    settings = AseOracle
    title = "oracle (EMT)"

    def require(self, settings: AseOracle, worker: Worker, elements: list[str]) -> None:
        """Check that the calculator exists here, may be used, and takes its parameters."""
        from mlip_fw.engines.oracle.ase_oracle import require_calculator

        require_calculator(settings, worker)

    def level_of_theory(self, settings: AseOracle, worker: Worker, elements: list[str]) -> dict[str, Any]:
        """Return the calculator and its parameters."""
        return {"kind": settings.kind, "calculator": settings.calculator, "parameters": settings.parameters}

    def label(
        self,
        atoms: Atoms,
        settings: AseOracle,
        worker: Worker,
        elements: list[str],
        folder: Path,
        peers: Sequence[Atoms],
    ) -> Answer:
        """Label one structure; there is nothing to continue."""
        from mlip_fw.engines.oracle.ase_oracle import label_with_ase, trusted_calculator

        trusted_calculator(settings, worker)
        return label_with_ase(atoms, settings, peers, folder)

    def doctor(self, worker: Worker) -> str:
        """Label four atoms of copper with EMT."""
        from ase.build import bulk

        from mlip_fw.engines.oracle.ase_oracle import label_with_ase

        atoms = bulk("Cu", cubic=True)
        facts = label_with_ase(atoms, AseOracle(kind="ase", calculator="emt")).facts
        return f"{facts['code']}: {facts['label_seconds']:.3f} s for {len(atoms)} atoms"

    def per_cell(self, settings: AseOracle) -> Iterator[tuple[str, Any]]:
        """Yield charges, moments, numbers of bands and k-point meshes among the calculator's parameters."""
        return _in_parameters(settings.parameters, "oracle.parameters")

    def md_calculator(self, settings: AseOracle, worker: Worker | None = None) -> CalculatorSpec:
        """Return the calculator of the labels."""
        if worker is not None:
            from mlip_fw.engines.oracle.ase_oracle import trusted_calculator

            trusted_calculator(settings, worker)
        return CalculatorSpec(settings.calculator, settings.parameters)


BACKEND = AseBackend()


def _in_parameters(values: Mapping[str, Any], where: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _in_parameters(value, f"{where}.{key}")
        elif key.lower() in _MESHES:
            if _is_mesh(value):
                yield f"{where}.{key}", value
        elif key.lower().partition("(")[0] in _PER_CELL and says_something_of_the_cell(key, value):
            yield f"{where}.{key}", value


def _is_mesh(value: Any) -> bool:
    """Return whether k-points are so many per cell: one alone and a density are not."""
    numbers = value if isinstance(value, list) else [value]
    whole = all(isinstance(number, int) and not isinstance(number, bool) for number in numbers)
    return whole and any(number > 1 for number in numbers)
