"""Pictures of real campaigns, made when the documentation is built.

A page asks for one by a block with the campaign, the figure, and a caption below::

    ```{campaign-figure} tutorial gamma
    :alt: what is seen, in a sentence
    What it means.
    ```

The campaign is that of the tutorial or one of ``examples/``; the figure is one of its validation, as ``rdf``, or a
``plot_…`` of what ``mlip_fw.load`` returns. A campaign is run once and kept in ``docs/_build/campaigns``.
``MLIP_FW_DOCS_CAMPAIGN`` may name a finished directory of the tutorial's campaign instead.
``<!-- campaign-numbers: NAME -->`` on a line of its own becomes the result of a campaign.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.errors import ExtensionError
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import mlip_fw
from mlip_fw.io.files import write_text

DOCS = Path(__file__).parent.parent
BUILD = DOCS / "_build" / "campaigns"
EXAMPLES = DOCS.parent / "examples"
TUTORIAL = "tutorial"
GIVEN = "MLIP_FW_DOCS_CAMPAIGN"
_LONGEST_S = 900
_ASKED = re.compile(r"^```\{campaign-figure\} ([\w-]+) \w+$|^<!-- campaign-numbers: ([\w-]+) -->$", re.MULTILINE)
_NUMBERS = re.compile(r"^<!-- campaign-numbers: ([\w-]+) -->$", re.MULTILINE)
_FILE_IN_TUTORIAL = re.compile(r"^cat > first/campaign\.yaml <<'END'\n(.*?)^END$", re.MULTILINE | re.DOTALL)

logger = logging.getLogger(__name__)


def campaign_file(name: str) -> str:
    """Return the campaign file of the tutorial, as it tells users to write it, or of an example."""
    if name == TUTORIAL:
        return _FILE_IN_TUTORIAL.findall((DOCS / "tutorial.md").read_text())[0]
    return (EXAMPLES / f"{name}.yaml").read_text()


def directory_of(name: str) -> Path:
    """Return where the campaign of a picture lies."""
    given = os.environ.get(GIVEN)
    return Path(given).absolute() if given and name == TUTORIAL else BUILD / name / "run"


def asked_for() -> list[str]:
    """Return the campaigns that pages ask for."""
    pages = [page.read_text() for page in sorted(DOCS.rglob("*.md")) if "_build" not in page.parts]
    return sorted({name for text in pages for found in _ASKED.findall(text) for name in found if name})


def prepare(name: str) -> None:
    """Run a campaign to its end, unless that was done with the same file before."""
    folder = BUILD / name
    kept, text = folder / "campaign.yaml", campaign_file(name)
    if (name == TUTORIAL and GIVEN in os.environ) or (
        kept.is_file() and kept.read_text() == text and (folder / "run" / "summary.json").is_file()
    ):
        return
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(EXAMPLES / "structures", folder / "structures")
    write_text(kept, text)
    logger.info("running the campaign %s", name)
    command = [sys.executable, "-m", "mlip_fw", "run", "campaign.yaml", "--dir", "run"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=_LONGEST_S, stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        shutil.rmtree(folder)
        raise ExtensionError(f"the campaign {name} ended with exit code {done.returncode}:\n{done.stderr[-2000:]}")


def prepare_all(app: Any) -> None:
    """Run all campaigns that pages ask for, two at a time."""
    names = asked_for() if app.builder.format == "html" else []
    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        list(pool.map(prepare, names))


def numbers(name: str) -> str:
    """Return what a campaign came to, in a sentence."""
    found = mlip_fw.load(directory_of(name)).summary
    seconds, held_out = found.seconds.total, found.heldout_force_rmse_ev_a
    error = found.dataset_force_rmse_ev_a if held_out is None else held_out
    where = "(training set)" if held_out is None else "on held-out frames"
    return (
        f"In this build: {found.outcome} after {found.md_steps:,} MD steps, {_many(found.halts, 'halt')}, "
        f"{_many(found.labels, 'label')}, a force RMSE of {1000 * error:.1f} meV/Å {where}, {seconds:.0f} s."
    )


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


class CampaignFigure(SphinxDirective):
    """A figure of a campaign, with its caption."""

    required_arguments = 2
    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Draw the figure and return it as a node."""
        name, kind = self.arguments
        if "alt" not in self.options:
            raise self.error("a picture needs :alt:, what is seen in a sentence")
        picture = BUILD.parent / "pictures" / f"{name}-{kind}.svg"
        picture.parent.mkdir(parents=True, exist_ok=True)
        validated = directory_of(name) / "validation" / f"{kind}.svg"
        if validated.is_file():
            shutil.copyfile(validated, picture)
        else:
            getattr(mlip_fw.load(directory_of(name)), f"plot_{kind}")().savefig(picture)
        image = nodes.image(uri=f"/{picture.relative_to(DOCS).as_posix()}", alt=self.options["alt"])
        caption = nodes.caption("", "", *self.parse_inline(" ".join(self.content))[0])
        return [nodes.figure("", image, caption, classes=["campaign-figure"])]


def _fill(app: Any, name: str, content: list[str]) -> None:
    content[0] = _NUMBERS.sub(lambda found: numbers(found.group(1)), content[0])


def setup(app: Any) -> dict[str, Any]:
    """Run campaigns before pages are read."""
    app.add_directive("campaign-figure", CampaignFigure)
    app.connect("builder-inited", prepare_all)
    app.connect("source-read", _fill)
    return {"version": "1", "parallel_read_safe": True}
