"""Charts of a campaign for pages, as plain JSON for plotly.js.

Each is a dictionary of ``data`` and ``layout`` (plotly's), ``label`` (a sentence that describes the chart) and
``table`` (``columns`` and ``rows``, the same numbers). Colours of text and background are left to the page.
"""

from mlip_fw.views.report.interactive.chart import Chart
from mlip_fw.views.report.interactive.costs import cost_chart
from mlip_fw.views.report.interactive.gamma import gamma_chart
from mlip_fw.views.report.interactive.halt import halt_scene
from mlip_fw.views.report.interactive.learning import error_chart, halt_interval_chart
from mlip_fw.views.report.interactive.parity import parity_chart

__all__ = [
    "Chart",
    "cost_chart",
    "error_chart",
    "gamma_chart",
    "halt_interval_chart",
    "halt_scene",
    "parity_chart",
]
