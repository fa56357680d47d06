"""The Python object that ``mlip_fw.load`` returns."""

from __future__ import annotations

import difflib
import html
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from ase import Atoms

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.file_cache import FileCache
from mlip_fw.campaign.generations import Generations
from mlip_fw.errors import DirectoryError
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.summary import CampaignSummary
from mlip_fw.views.analysis.campaign_analysis import CampaignAnalysis
from mlip_fw.views.analysis.halts import Halt
from mlip_fw.views.analysis.parity import parity_of
from mlip_fw.views.analysis.status import StatusAnswer, status_answers
from mlip_fw.views.notebook.tables import generation_table, halt_table, label_table
from mlip_fw.views.report import figures
from mlip_fw.views.report.figures.output import as_bytes
from mlip_fw.views.report.summary_table import summary_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlip_fw.engines.ace.calculator import AceCalculator

_DPI = 110


class LoadedCampaign:
    """A campaign as tables, structures, figures and a calculator; :func:`mlip_fw.load` returns it.

    Nothing is written to its directory. Each property reads what has changed in the directory since the last one.
    """

    def __init__(self, directory: CampaignDirectory) -> None:
        self._directory, self._cache = directory, FileCache()

    @property
    def path(self) -> Path:
        """The campaign directory."""
        return self._directory.root

    @property
    def analysis(self) -> CampaignAnalysis:
        """Everything that figures and pages are made of, as it is now."""
        return CampaignAnalysis(self._directory, self._cache)

    @property
    def story(self) -> CampaignAnalysis:
        """The same as ``analysis``, by the name that it had in version 0.1."""
        return self.analysis

    @property
    def settings(self) -> Campaign:
        """The campaign file as it was started, with every default spelled out."""
        return self.analysis.campaign

    @property
    def summary(self) -> CampaignSummary:
        """The campaign in numbers, as ``mlip-fw status --json`` prints them."""
        return self.analysis.summary

    @property
    def answers(self) -> list[StatusAnswer]:
        """Five answers: the error, is it learning, what does it wait for, what has it cost, is it any good."""
        return status_answers(self.analysis)

    @property
    def labels(self) -> pd.DataFrame:
        """One row for each label, by hash, the oldest first."""
        return label_table(self.analysis.labels)

    @property
    def halts(self) -> pd.DataFrame:
        """One row for each halt, the oldest first."""
        analysis = self.analysis
        return halt_table(analysis.halts, analysis.campaign.md.timestep_fs)

    @property
    def generations(self) -> pd.DataFrame:
        """One row for each generation of the potential, by number."""
        return generation_table(self.analysis.generations)

    def atoms(self, label: str) -> Atoms:
        """Return one structure with its reference energy, forces and stress; one in quarantine has none.

        Parameters
        ----------
        label
            Its hash, or the first characters of it.

        Raises
        ------
        DirectoryError
            If there is none, or several hashes begin so.
        """
        dataset = Dataset(self.path)
        labelled, failed = dataset.hashes(), [record.hash for record in dataset.quarantined()]
        name = _one_of([*labelled, *failed], label, self.path)
        return dataset.read(name) if name in labelled else dataset.quarantined_structure(name)

    def labelled(self) -> list[Atoms]:
        """Return all labelled structures, in the order of ``labels``, without those of the validation."""
        dataset = Dataset(self.path)
        return [dataset.read(row.hash) for row in self.analysis.labels if dataset.has(row.hash)]

    def halted(self, walker: int, cycle: int) -> Atoms:
        """Return the frame at which the MD halted, with the array ``gamma``.

        Raises
        ------
        DirectoryError
            If the walker did not halt in this cycle, or the file is damaged.
        """
        halt = self._halt(walker, cycle)
        frame = halt.frame()
        if frame is None:
            raise _unreadable(halt)
        return frame

    def calculator(self, generation: int | None = None) -> AceCalculator:
        """Return a generation of the potential as a calculator of ASE.

        It gives energy, forces and stress, and in ``results["gamma"]`` the (n,) extrapolation grades. Energies are
        relative to the reference energies of the elements in ``training.json``.

        Parameters
        ----------
        generation
            Its number; None for the newest that is fit for MD.

        Raises
        ------
        DirectoryError
            If there is no such generation.
        """
        from mlip_fw.engines.ace.calculator import AceCalculator

        return AceCalculator(Generations(self.path).potential(self._generation(generation)))

    def plot_gamma(self) -> Figure:
        """Draw the largest extrapolation grade against the MD step, with halts and thresholds."""
        return _shown(figures.gamma_figure(self.analysis))

    def plot_errors(self) -> Figure:
        """Draw errors of energies and forces, on new labels and on the training set, against the number of labels."""
        return _shown(figures.error_figure(self.analysis))

    def plot_halt_intervals(self) -> Figure:
        """Draw the MD steps per halt of each generation; they grow as a campaign converges."""
        return _shown(figures.halt_interval_figure(self.analysis))

    def plot_costs(self) -> Figure:
        """Draw the share of the wall time that each part of the campaign took."""
        return _shown(figures.cost_figure(self.analysis))

    def plot_parity(self, generation: int | None = None) -> Figure:
        """Draw energies and forces of a generation, or of the newest fit for MD, against its training set.

        Raises
        ------
        DirectoryError
            If there is no such generation.
        """
        return _shown(figures.parity_figure(parity_of(self._directory, self._generation(generation))))

    def plot_calibration(self) -> Figure:
        """Draw force errors on new labels, before training on them, against gamma and the committee's spread."""
        return _shown(figures.calibration_figure(self.analysis))

    def plot_halt(self, walker: int, cycle: int) -> Figure:
        """Draw a halted structure, its atoms coloured by gamma.

        Raises
        ------
        DirectoryError
            If the walker did not halt in this cycle, or the file is damaged.
        """
        halt = self._halt(walker, cycle)
        figure = figures.halt_figure(halt)
        if figure is None:
            raise _unreadable(halt)
        return _shown(figure)

    def _halt(self, walker: int, cycle: int) -> Halt:
        halts = {(halt.walker, halt.cycle): halt for halt in self.analysis.halts}
        if (walker, cycle) not in halts:
            known = ", ".join(f"({w}, {c})" for w, c in sorted(halts)) or "none yet"
            raise DirectoryError(f"walker {walker} did not halt in cycle {cycle}; halts (walker, cycle): {known}")
        return halts[walker, cycle]

    def _generation(self, wanted: int | None) -> int:
        generations = Generations(self.path)
        number = generations.fit_for_md() if wanted is None else wanted
        if number is None or number not in generations.numbers():
            known = ", ".join(map(str, generations.numbers())) or "none yet"
            raise DirectoryError(
                f"{self.path} has no generation{'' if wanted is None else f' {wanted}'}; there are: {known}"
            )
        return number

    def __repr__(self) -> str:
        summary = self.summary
        return f"<campaign {summary.campaign} in {self.path}: {summary.outcome}, {summary.labels} labels>"

    def _repr_html_(self) -> str:
        analysis = self.analysis
        facts = [*((one.question, str(one)) for one in status_answers(analysis)), *summary_rows(analysis.summary)]
        rows = "".join(f"<tr><th>{html.escape(what)}</th><td>{html.escape(value)}</td></tr>" for what, value in facts)
        name, path = html.escape(analysis.summary.campaign), html.escape(str(self.path))
        return f"<table><caption><strong>{name}</strong> in {path}</caption><tbody>{rows}</tbody></table>"


def _one_of(names: list[str], label: str, where: Path) -> str:
    found = sorted({name for name in names if label and name.startswith(label)})
    if len(found) == 1:
        return found[0]
    if found:
        raise DirectoryError(f"{len(found)} hashes begin with {label}: {', '.join(found[:5])}; give more digits")
    close = difflib.get_close_matches(label, names, n=1)
    hint = f"did you mean {close[0]}?" if close else "`.labels` lists them"
    raise DirectoryError(f"{where} has no label {label}; {hint}")


def _unreadable(halt: Halt) -> DirectoryError:
    return DirectoryError(f"the halted frame in {halt.folder} can't be read; restore the file")


def _shown(figure: Figure) -> Figure:
    """Return a figure that notebooks display, although it was not made by pyplot."""
    figure._repr_png_ = lambda: as_bytes(figure, dpi=_DPI)  # type: ignore[attr-defined]
    return figure
