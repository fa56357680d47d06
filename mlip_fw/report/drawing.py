"""All figures of a campaign, by the names of their files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from matplotlib.figure import Figure

from mlip_fw.errors import MlipError
from mlip_fw.report import figures
from mlip_fw.report.formats import Format
from mlip_fw.story.parity import Parity, parity_of
from mlip_fw.story.tale import Story

Tell = Callable[[str], None]
_OF_STORY: dict[str, Callable[[Story], Figure]] = {
    "gamma": figures.gamma_figure,
    "errors": figures.error_figure,
    "halt-intervals": figures.halt_interval_figure,
    "ledger": figures.ledger_figure,
    "calibration": figures.calibration_figure,
}
NAMES = (*_OF_STORY, "parity")


def quiet(what: str) -> None:
    """Tell nobody."""


def draw(story: Story, parity: Parity | None, tell: Tell) -> dict[str, Figure]:
    """Return the figures of a campaign; one whose files are damaged is left out.

    Parameters
    ----------
    story
        Of the campaign.
    parity
        Of a generation, if there is one.
    tell
        Called with what is being done.
    """
    return dict(_drawn(story, parity, tell))


def newest_parity(story: Story, tell: Tell) -> tuple[Parity | None, str]:
    """Return the labels as the newest generation sees them, or why it can't be said."""
    if not story.generations:
        return None, ""
    tell("evaluating the labels")
    try:
        return parity_of(story.directory, story.generations[-1].number), ""
    except MlipError as error:
        return None, str(error)


def write_figures(story: Story, folder: Path, formats: list[Format], tell: Tell) -> list[Path]:
    """Write all figures, each in all formats, as ``gamma.svg`` and so on, and return their paths."""
    parity, _ = newest_parity(story, tell)
    drawn = draw(story, parity, tell)
    return [figures.save(figure, folder / f"{name}.{kind}", kind) for name, figure in drawn.items() for kind in formats]


def _drawn(story: Story, parity: Parity | None, tell: Tell) -> Iterator[tuple[str, Figure]]:
    for name, figure_of in _OF_STORY.items():
        tell(f"drawing {name}")
        try:
            yield name, figure_of(story)
        except MlipError as error:
            tell(f"no figure of {name}: {error}")
    if parity is not None:
        yield "parity", figures.parity_figure(parity)
