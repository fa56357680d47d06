"""On-the-fly active learning of ACE interatomic potentials as dynamic FireWorks workflows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlip_fw.views.notebook import LoadedCampaign

__version__ = "0.2.0"
__all__ = ["__version__", "load"]


def load(campaign: str | Path) -> LoadedCampaign:
    """Return a campaign to look at from Python: tables, structures, a calculator and figures.

    Nothing is written to its directory. Of a campaign that still runs, each question gets the present answer.

    Parameters
    ----------
    campaign
        Its directory, as ``cu-melt`` or ``runs/cu-melt``.

    Raises
    ------
    DirectoryError
        If there is no campaign; the message names those that are near.
    WorkerError
        If Python runs without assertions.

    Examples
    --------
    >>> import mlip_fw
    >>> mlip_fw.load("cu-first").plot_gamma().savefig("gamma.png")  # doctest: +SKIP
    """
    from mlip_fw.runtime.environment import require_assertions
    from mlip_fw.views.notebook import load as load_campaign

    require_assertions()
    return load_campaign(campaign)
