"""The interface between mlip_fw and a code that labels structures.

An oracle is an object of a class that derives from :class:`OracleBackend`, named by a line in
:mod:`mlip_fw.plugins` or by an entry point of another distribution in the group ``mlip_fw.oracles``. Its module is
imported whenever a campaign with this oracle is read, by ``mlip-fw status`` too: what takes long to import belongs
into the methods.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

from ase import Atoms

from mlip_fw.engines.oracle.answer import Answer
from mlip_fw.models.oracle import OracleSettings
from mlip_fw.models.worker import Worker, WorkerKeys
from mlip_fw.plugins import ORACLES

Settings = TypeVar("Settings", bound=OracleSettings)


class Citation(NamedTuple):
    """One article, for the BibTeX file of an export."""

    author: str
    title: str
    where: str
    """Journal, volume and page: ``Phys. Rev. B 54, 11169``."""
    year: int
    doi: str


@dataclass(frozen=True)
class CalculatorSpec:
    """An ASE calculator that a child process makes."""

    calculator: str
    """A name of ASE's, or ``module:Class``."""
    parameters: dict[str, Any]
    """Keyword arguments, plain JSON values."""


class OracleBackend(Protocol[Settings]):
    """A code that labels structures.

    The first three methods must be written, the others have defaults. ``settings`` is the validated section
    ``oracle`` of the campaign, ``worker`` the ``env`` of this machine, ``elements`` all elements of the campaign.
    """

    settings: type[Settings]
    """Model of the section ``oracle`` of a campaign file; its ``kind`` is a Literal of the oracle's name."""
    worker_keys: ClassVar[type[WorkerKeys] | None] = None
    """Model of the keys of ``env`` that the oracle adds; ``worker.own_keys(model)`` returns them."""
    title: ClassVar[str] = ""
    """Name of its row in ``mlip-fw doctor``; empty: there is no row."""
    citations: ClassVar[dict[str, Citation]] = {}
    """What an exported potential cites of the code, by BibTeX key."""

    def require(self, settings: Settings, worker: Worker, elements: list[str]) -> object:
        """Check settings and machine before a campaign starts; seconds, not minutes.

        Raises
        ------
        CampaignError
            If the settings can't be right anywhere.
        WorkerError
            If a program or a file is missing here.
        """
        ...

    def level_of_theory(self, settings: Settings, worker: Worker, elements: list[str]) -> dict[str, Any]:
        """Return all that, besides the structure, decides the value of a label, as plain JSON values.

        The same on every machine: contents of files (their sha256), not their paths. Must hold ``kind``.
        """
        ...

    def label(
        self,
        atoms: Atoms,
        settings: Settings,
        worker: Worker,
        elements: list[str],
        folder: Path,
        peers: Sequence[Atoms],
    ) -> Answer:
        """Return the structure with energy (eV), forces (eV/Å) and stress (eV/Å³), or that the time was over.

        Energies must be those of which the forces are the derivative.

        Parameters
        ----------
        atoms
            Fully periodic, without constraints.
        folder
            Of this label alone, kept between Fireworks: an unfinished calculation there is to be continued.
        peers
            A few labels that the campaign has already.

        Raises
        ------
        LabelError
            If no trustworthy label came of it; the structure goes to the quarantine with this reason.
        WorkerError
            If this machine is to blame; the same Firework can be run again.
        """
        ...

    def cost(self, atoms: Atoms, settings: Settings) -> float:
        """Return the cost of a label in units that are the same for all structures; by default the number of atoms."""
        return float(len(atoms))

    def command(self, worker: Worker) -> str | None:
        """Return the command whose processes a label keeps busy; None if a label takes one core."""
        return None

    def doctor(self, worker: Worker) -> str:
        """Return what is found of the code on this machine, for its row in ``mlip-fw doctor``.

        Raises
        ------
        WorkerError
            If it is missing; this is no fault of the machine unless a campaign wants this oracle.
        """
        return "installed"

    def per_cell(self, settings: Settings) -> Iterator[tuple[str, Any]]:
        """Yield the settings that hold for one cell, such as a charge, as ``oracle.key`` and value.

        They are refused in campaigns whose labels are of several sizes.
        """
        return iter(())

    def md_calculator(self, settings: Settings, worker: Worker | None = None) -> CalculatorSpec | None:
        """Return a calculator that is fast enough for MD by the oracle itself (g(r) of a validation), or None.

        Parameters
        ----------
        worker
            If given, whether this machine's owner allows the calculator is checked.
        """
        return None


def backend_of(settings: OracleSettings) -> OracleBackend[Any]:
    """Return the code that labels with these settings.

    Raises
    ------
    WorkerError
        If it is a plug-in that is not installed here, or is broken.
    """
    backend: OracleBackend[Any] = ORACLES.get(settings.kind)
    return backend
