"""Figures of a campaign by matplotlib, for papers and for pages without scripts."""

from mlip_fw.views.report.figures.calibration import calibration_figure
from mlip_fw.views.report.figures.costs import cost_figure
from mlip_fw.views.report.figures.gamma import gamma_figure
from mlip_fw.views.report.figures.halt import halt_figure
from mlip_fw.views.report.figures.learning import error_figure, halt_interval_figure
from mlip_fw.views.report.figures.output import save
from mlip_fw.views.report.figures.parity import parity_figure

__all__ = [
    "calibration_figure",
    "cost_figure",
    "error_figure",
    "gamma_figure",
    "halt_figure",
    "halt_interval_figure",
    "parity_figure",
    "save",
]
