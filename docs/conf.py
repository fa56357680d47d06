"""How the documentation is built: ``sphinx-build -W docs docs/_build/html``."""

import sys
from pathlib import Path

from pygments.lexers.shell import BashLexer

import mlip_fw

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "mlip_fw"
author = "the mlip_fw authors"
version = release = mlip_fw.__version__

extensions = ["myst_parser", "campaign_reference"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "_ext"]
nitpicky = True

html_theme = "alabaster"
html_title = f"mlip_fw {release}"
html_static_path = ["_static"]
html_show_copyright = False
html_show_sourcelink = False
html_theme_options = {
    "description": "On-the-fly active learning of ACE potentials as FireWorks workflows",
    "body_max_width": "auto",
    "fixed_sidebar": True,
    "page_width": "1120px",
    "sidebar_width": "240px",
    "show_powered_by": False,
}


def setup(app):
    """Show LAMMPS input in colour: comments, strings and variables look as in a shell."""
    app.add_lexer("lammps", BashLexer)
