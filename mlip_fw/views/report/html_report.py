"""The report: one self-contained HTML page that opens from disk and can be read without scripts."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from plotly.offline import get_plotlyjs

import mlip_fw
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.generations import Generations
from mlip_fw.io.files import require_no_folder, write_text
from mlip_fw.views.analysis.campaign_analysis import CampaignAnalysis
from mlip_fw.views.analysis.metrics import warnings_of
from mlip_fw.views.analysis.parity import Parity
from mlip_fw.views.analysis.status import status_answers
from mlip_fw.views.report import interactive
from mlip_fw.views.report.all_figures import (
    ProgressCallback,
    draw_figures,
    newest_parity,
    no_progress,
    save_all,
)
from mlip_fw.views.report.figure_format import Format
from mlip_fw.views.report.figures.output import as_text
from mlip_fw.views.report.halt_structures import charts_of, chosen_halts, halt_structures
from mlip_fw.views.report.summary_table import summary_rows
from mlip_fw.views.report.text_filters import FILTERS

_DPI = 200
_MAX_ROWS = 1000
_PLOTLY_KEYS = ("data", "layout", "narrow")
_SECTIONS = (
    ("numbers", "in numbers"),
    ("course", "progress"),
    ("generations", "generations"),
    ("halts", "halts"),
    ("labels", "labels"),
)


def write_report(
    directory: CampaignDirectory,
    page: Path,
    *,
    folder: Path | None = None,
    formats: Sequence[Format] = (Format.PNG,),
    progress: ProgressCallback = no_progress,
) -> list[Path]:
    """Write the page and its figures, and return their paths.

    Parameters
    ----------
    directory
        The campaign.
    page
        The file to write.
    folder
        Folder for the figures, as ``gamma.png`` and so on; by default that of the page, as ``report-gamma.png``.
    formats
        Of the figures; without any, only the page is written.
    progress
        Called with what is being done.
    """
    require_no_folder(page)
    analysis = CampaignAnalysis(directory)
    parity, trouble = newest_parity(analysis, progress)
    figures = draw_figures(analysis, parity, progress)
    progress("drawing structures of halts")
    structures = halt_structures(chosen_halts(analysis.halts))
    charts = _charts(analysis, parity)
    text = _render(
        analysis=analysis,
        name=analysis.campaign.campaign,
        n_walkers=analysis.campaign.md.walkers,
        answers=status_answers(analysis),
        rows=summary_rows(analysis.summary),
        warnings=warnings_of(analysis.generations),
        refused=Generations(directory.root).refused(),
        charts=charts,
        images={name: as_text(figure, _DPI) for name, figure in figures.items()},
        parity=charts.get("parity"),
        parity_of=analysis.generations[-1].number if analysis.generations else None,
        parity_trouble=trouble,
        structures=structures,
        n_not_shown=len(analysis.halts) - len(structures),
        data=as_json({**charts, **charts_of(structures)}),
    )
    write_text(page, text)
    progress("writing figures")
    return [page, *save_all(figures, folder or page.parent, formats, prefix="" if folder else f"{page.stem}-")]


def _charts(analysis: CampaignAnalysis, parity: Parity | None) -> dict[str, Any]:
    return {
        "gamma": interactive.gamma_chart(analysis),
        "errors": interactive.error_chart(analysis),
        "intervals": interactive.halt_interval_chart(analysis),
        "ledger": interactive.cost_chart(analysis),
        **({} if parity is None else {"parity": interactive.parity_chart(parity)}),
    }


def as_json(charts: dict[str, Any]) -> str:
    """Return charts for plotly as JSON that may stand in a script element: it has no <, > and &."""
    drawn = {name: {key: chart[key] for key in _PLOTLY_KEYS if key in chart} for name, chart in charts.items()}
    text = json.dumps(drawn, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _render(**facts: Any) -> str:
    templates = Environment(loader=PackageLoader("mlip_fw.views.report"), autoescape=True, trim_blocks=True)
    templates.filters.update(FILTERS)
    scripts = [_as_script(get_plotlyjs()), _as_script(_asset("report.js"))]
    return templates.get_template("report.html").render(
        **facts,
        scripts=scripts,
        style=_asset("report.css"),
        policy=_policy(scripts),
        sections=_SECTIONS,
        max_rows=_MAX_ROWS,
        now=time.time(),
        version=mlip_fw.__version__,
    )


def _asset(name: str) -> str:
    return (resources.files("mlip_fw.views.report") / "templates" / name).read_text()


def _as_script(code: str) -> str:
    """Return JavaScript that may stand in a script element; what is escaped can only occur within strings."""
    return code.replace("\r\n", "\n").replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _policy(scripts: list[str]) -> str:
    """Return the content security policy: these scripts and no others, embedded images, nothing from the network."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
