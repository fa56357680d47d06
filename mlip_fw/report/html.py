"""A campaign as one HTML page that opens from disk."""

from __future__ import annotations

import base64
import io
from importlib import resources
from pathlib import Path

from jinja2 import Environment
from matplotlib.figure import Figure

from mlip_fw.dataset import Dataset
from mlip_fw.generations import Generations
from mlip_fw.io.files import whole_file, write_text
from mlip_fw.layout import CampaignDirectory
from mlip_fw.models.md import MDOutcome
from mlip_fw.report.figures import calibration_figure, error_figure, gamma_figure
from mlip_fw.story.tale import Story
from mlip_fw.summary import md_results, selections, summarize

_DPI = 150


def write_report(directory: CampaignDirectory, page: Path) -> list[Path]:
    """Write the page and its figures (PNG beside it) and return their paths."""
    story = Story(directory)
    figures = {
        "gamma": gamma_figure(story),
        "errors": error_figure(story),
        "calibration": calibration_figure(story),
    }
    pngs = {name: _png(figure) for name, figure in figures.items()}
    paths = [page]
    for name, content in pngs.items():
        path = page.with_name(f"{page.stem}-{name}.png")
        with whole_file(path) as temporary:
            temporary.write_bytes(content)
        paths.append(path)
    write_text(page, _render(directory, {name: base64.b64encode(png).decode() for name, png in pngs.items()}))
    return paths


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


def _render(directory: CampaignDirectory, images: dict[str, str]) -> str:
    from mlip_fw.report.rows import summary_rows

    template = Environment(autoescape=True).from_string((resources.files("mlip_fw.report") / "page.html").read_text())
    summary = summarize(directory)
    chosen = {(s.walker, s.cycle): s for s in selections(directory) if s.generation is not None}
    halts = [(r, chosen.get((r.walker, r.cycle))) for r in md_results(directory) if r.outcome is MDOutcome.HALTED]
    return template.render(
        summary=summary,
        rows=summary_rows(summary),
        images=images,
        halts=halts,
        n_walkers=directory.read_campaign().md.walkers,
        refused=Generations(directory.root).refused(),
        quarantined=Dataset(directory.root).quarantined(),
    )
