"""Charts of a campaign for pages, as plain JSON for plotly.js.

Each is a dictionary of ``data`` and ``layout`` (plotly's), ``label`` (what is seen, in a sentence) and ``table``
(``columns`` and ``rows``, the same as numbers). Colours of text and background are left to the page.
"""

from mlip_fw.report.interactive.chart import Chart
from mlip_fw.report.interactive.gamma import gamma_chart
from mlip_fw.report.interactive.learning import error_chart, halt_interval_chart
from mlip_fw.report.interactive.ledger import ledger_chart
from mlip_fw.report.interactive.parity import parity_chart
from mlip_fw.report.interactive.scene import halt_scene

__all__ = [
    "Chart",
    "error_chart",
    "gamma_chart",
    "halt_interval_chart",
    "halt_scene",
    "ledger_chart",
    "parity_chart",
]
