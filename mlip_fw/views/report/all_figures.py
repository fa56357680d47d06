"""All figures of a campaign, by the names of their files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from mlip_fw.errors import MlipError
from mlip_fw.views.analysis.campaign_analysis import CampaignAnalysis
from mlip_fw.views.analysis.parity import Parity, parity_of
from mlip_fw.views.report import figures
from mlip_fw.views.report.figure_format import Format

ProgressCallback = Callable[[str], None]
"""Called with what is being done."""
_FIGURES: dict[str, Callable[[CampaignAnalysis], Figure]] = {
    "gamma": figures.gamma_figure,
    "errors": figures.error_figure,
    "halt-intervals": figures.halt_interval_figure,
    "ledger": figures.cost_figure,
    "calibration": figures.calibration_figure,
}
"""By the names of their files."""


def no_progress(what: str) -> None:
    """Report no progress."""


def draw_figures(analysis: CampaignAnalysis, parity: Parity | None, progress: ProgressCallback) -> dict[str, Figure]:
    """Return the figures of a campaign by name; one whose files are damaged is left out.

    Parameters
    ----------
    analysis
        Of the campaign.
    parity
        Of its newest generation, if there is one.
    progress
        Called with what is being done.
    """
    return dict(_figures(analysis, parity, progress))


def newest_parity(analysis: CampaignAnalysis, progress: ProgressCallback) -> tuple[Parity | None, str]:
    """Return parity of the newest generation, or None and why it is not known."""
    if not analysis.generations:
        return None, ""
    progress("evaluating the labels")
    try:
        return parity_of(analysis.directory, analysis.generations[-1].number), ""
    except MlipError as error:
        return None, str(error)


def save_all(drawn: dict[str, Figure], folder: Path, formats: Sequence[Format], *, prefix: str = "") -> list[Path]:
    """Write figures, each in all formats, as ``gamma.svg`` and so on, and return their paths."""
    return [
        figures.save(figure, folder / f"{prefix}{name}.{kind}", kind)
        for name, figure in drawn.items()
        for kind in formats
    ]


def _figures(
    analysis: CampaignAnalysis, parity: Parity | None, progress: ProgressCallback
) -> Iterator[tuple[str, Figure]]:
    for name, figure_of in _FIGURES.items():
        progress(f"drawing {name}")
        try:
            yield name, figure_of(analysis)
        except MlipError as error:
            progress(f"no figure of {name}: {error}")
    if parity is not None:
        yield "parity", figures.parity_figure(parity)
