"""How the documentation is built: ``sphinx-build -W docs docs/_build/html``."""

import sys
from pathlib import Path

from pygments.lexers.shell import BashLexer

import mlip_fw

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "mlip_fw"
author = "the mlip_fw authors"
version = release = mlip_fw.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "campaign_reference", "campaign_pictures"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "_ext", "campaigns"]
nitpicky = True
# other libraries' classes, whose documentation is on the network, and our own that tell no more than their JSON
nitpick_ignore_regex = [
    ("py:.*", r"(?!mlip_fw)(?!LoadedCampaign|.*Error$).*"),
    ("py:class", r"mlip_fw\.(campaign|engines|models|views)\..*"),
]
autodoc_typehints_format = "short"
autodoc_class_signature = "separated"

html_theme = "furo"
html_title = f"mlip_fw {release}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "top_of_page_buttons": [],
    "light_css_variables": {"color-brand-primary": "#00507e", "color-brand-content": "#005f94"},
    "dark_css_variables": {"color-brand-primary": "#7cc4ee", "color-brand-content": "#7cc4ee"},
}


def setup(app):
    """Show LAMMPS input in colour: comments, strings and variables look as in a shell."""
    app.add_lexer("lammps", BashLexer)
