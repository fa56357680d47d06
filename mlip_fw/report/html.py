"""A campaign as one HTML page that opens from disk: nothing is fetched, and it can be read without scripts."""

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
from mlip_fw.generations import Generations
from mlip_fw.io.files import require_no_folder, write_text
from mlip_fw.layout import CampaignDirectory
from mlip_fw.report import interactive
from mlip_fw.report.drawing import Tell, draw, newest_parity, quiet, save_all
from mlip_fw.report.figures.save import as_text
from mlip_fw.report.formats import Format
from mlip_fw.report.halts import charts_of, chosen_halts, tell_halts
from mlip_fw.report.rows import summary_rows
from mlip_fw.report.words import FILTERS
from mlip_fw.story.answers import answers
from mlip_fw.story.measures import warnings_of
from mlip_fw.story.parity import Parity
from mlip_fw.story.tale import Story

_DPI = 200
_MOST_ROWS = 1000
_DRAWN = ("data", "layout", "narrow")
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
    tell: Tell = quiet,
) -> list[Path]:
    """Write the page and its figures, and return their paths.

    Parameters
    ----------
    directory
        The campaign.
    page
        The file to write.
    folder
        Where figures go, as ``gamma.png`` and so on; without one they go beside the page, as ``report-gamma.png``.
    formats
        Of the figures; without any, only the page is written.
    tell
        Called with what is being done.
    """
    require_no_folder(page)
    story = Story(directory)
    parity, trouble = newest_parity(story, tell)
    figures = draw(story, parity, tell)
    tell("drawing structures of halts")
    told = tell_halts(chosen_halts(story.halts))
    charts = _charts(story, parity)
    text = _render(
        story=story,
        name=story.campaign.campaign,
        n_walkers=story.campaign.md.walkers,
        answers=answers(story),
        rows=summary_rows(story.summary),
        warnings=warnings_of(story.generations),
        refused=Generations(directory.root).refused(),
        charts=charts,
        images={name: as_text(figure, _DPI) for name, figure in figures.items()},
        parity=charts.get("parity"),
        parity_of=story.generations[-1].number if story.generations else None,
        parity_trouble=trouble,
        told=told,
        n_untold=len(story.halts) - len(told),
        data=as_json({**charts, **charts_of(told)}),
    )
    write_text(page, text)
    tell("writing figures")
    return [page, *save_all(figures, folder or page.parent, formats, prefix="" if folder else f"{page.stem}-")]


def _charts(story: Story, parity: Parity | None) -> dict[str, Any]:
    return {
        "gamma": interactive.gamma_chart(story),
        "errors": interactive.error_chart(story),
        "intervals": interactive.halt_interval_chart(story),
        "ledger": interactive.ledger_chart(story),
        **({} if parity is None else {"parity": interactive.parity_chart(parity)}),
    }


def as_json(charts: dict[str, Any]) -> str:
    """Return what plotly draws as JSON that no HTML parser takes for the end of its element."""
    drawn = {name: {key: chart[key] for key in _DRAWN if key in chart} for name, chart in charts.items()}
    text = json.dumps(drawn, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _render(**facts: Any) -> str:
    templates = Environment(loader=PackageLoader("mlip_fw.report"), autoescape=True, trim_blocks=True)
    templates.filters.update(FILTERS)
    scripts = [_as_script(get_plotlyjs()), _as_script(_asset("report.js"))]
    return templates.get_template("report.html").render(
        **facts,
        scripts=scripts,
        style=_asset("report.css"),
        policy=_policy(scripts),
        sections=_SECTIONS,
        most_rows=_MOST_ROWS,
        now=time.time(),
        version=mlip_fw.__version__,
    )


def _asset(name: str) -> str:
    return (resources.files("mlip_fw.report") / "templates" / name).read_text()


def _as_script(code: str) -> str:
    """Return code as it may stand within a script element; what is changed can only be within strings."""
    return code.replace("\r\n", "\n").replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _policy(scripts: list[str]) -> str:
    """Return the page's rules: these scripts and no others, pictures of its own, nothing from anywhere."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
