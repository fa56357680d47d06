"""Pictures and numbers of real campaigns, from their recordings in ``docs/campaigns``.

A page asks for a picture by a block with the campaign, the figure, and a caption below::

    ```{campaign-figure} tutorial gamma
    :alt: what is seen, in a sentence
    What it means.
    ```

The campaign is that of the tutorial or one of ``examples/``; the figure is one of its validation, as ``rdf``, or a
``plot_…`` of what ``mlip_fw.load`` returns. ``<!-- campaign-numbers: NAME -->`` on a line of its own becomes the result
of a campaign. A recording of another campaign file than the present one ends the build.
"""

from __future__ import annotations

import shutil
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from recordings import DOCS, NUMBERS, outdated, record_of, recorded_picture, recorded_run
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

import mlip_fw
from mlip_fw.models.accuracy import error_in_words

PICTURES = DOCS / "_build" / "pictures"


def require_recordings(app: Any) -> None:
    """Refuse to build pages from recordings that are missing or do not fit the campaign files."""
    if app.builder.format == "html" and (names := outdated()):
        command = f'make docs-campaigns CAMPAIGNS="{" ".join(names)}"'
        raise ExtensionError(f"no recording fits the campaign file of {', '.join(names)}: run `{command}`")


def numbers(name: str) -> str:
    """Return what a campaign came to, in a sentence."""
    found = mlip_fw.load(recorded_run(name)).summary
    error = error_in_words(found.error).partition("; ")[0]
    if found.error.audit_force_rmse_ev_a is None:  # a recording of an earlier version
        held_out = found.heldout_force_rmse_ev_a
        rmse_ev_a = found.dataset_force_rmse_ev_a if held_out is None else held_out
        error = f"{1000 * rmse_ev_a:.1f} meV/Å {'(training set)' if held_out is None else 'on held-out frames'}"
    version = record_of(name)["packages"]["mlip-fw"]
    return (
        f"With mlip-fw {version}: {found.outcome} after {found.md_steps:,} MD steps, {_many(found.halts, 'halt')}, "
        f"{_many(found.labels, 'label')}; force error {error}."
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
        picture = PICTURES / f"{name}-{kind}.svg"
        picture.parent.mkdir(parents=True, exist_ok=True)
        finished = recorded_picture(name, kind)
        if finished.is_file():
            shutil.copyfile(finished, picture)
        else:
            getattr(mlip_fw.load(recorded_run(name)), f"plot_{kind}")().savefig(picture)
        image = nodes.image(uri=f"/{picture.relative_to(DOCS).as_posix()}", alt=self.options["alt"])
        caption = nodes.caption("", "", *self.parse_inline(" ".join(self.content))[0])
        return [nodes.figure("", image, caption, classes=["campaign-figure"])]


def _fill_in_numbers(app: Any, name: str, content: list[str]) -> None:
    content[0] = NUMBERS.sub(lambda found: numbers(found.group(1)), content[0])


def setup(app: Any) -> dict[str, Any]:
    """Add the directive and the numbers."""
    app.add_directive("campaign-figure", CampaignFigure)
    app.connect("builder-inited", require_recordings)
    app.connect("source-read", _fill_in_numbers)
    return {"version": "1", "parallel_read_safe": True}
