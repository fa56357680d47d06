"""Figures of a campaign for papers, and for pages that are printed or read without scripts."""

from mlip_fw.report.figures.calibration import calibration_figure
from mlip_fw.report.figures.gamma import gamma_figure
from mlip_fw.report.figures.halt import halt_figure
from mlip_fw.report.figures.learning import error_figure, halt_interval_figure
from mlip_fw.report.figures.ledger import ledger_figure
from mlip_fw.report.figures.parity import parity_figure
from mlip_fw.report.figures.save import save

__all__ = [
    "calibration_figure",
    "error_figure",
    "gamma_figure",
    "halt_figure",
    "halt_interval_figure",
    "ledger_figure",
    "parity_figure",
    "save",
]
