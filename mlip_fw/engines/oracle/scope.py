"""Checks before the first label: plug-ins are here, and the oracle can label what the campaign will ask for."""

from __future__ import annotations

from ase import Atoms

from mlip_fw.engines.oracle.moments import moment_notes
from mlip_fw.engines.oracle.per_cell import require_cells_alike
from mlip_fw.engines.oracle.sanity import refuse_unphysical
from mlip_fw.errors import CampaignError, LabelError
from mlip_fw.models.campaign import Campaign


def label_notes(campaign: Campaign, starts: list[Atoms]) -> list[str]:
    """Return what the user should know of the labels of a campaign.

    Parameters
    ----------
    starts
        The start structures, in the order of the files.

    Raises
    ------
    CampaignError
        If labels would all be refused, or be of another physics than the campaign's files say.
    WorkerError
        If a plug-in that the campaign names can't be used here.
    """
    for registry, name in campaign.kinds():
        registry.require(name)
    keys = list(campaign.structure.named_files()) or ["the structure"]
    for where, atoms in zip(keys, starts, strict=True):
        if len(atoms) == 1:
            raise CampaignError(
                f"{where} is a single atom, on which no force acts: MD of it teaches nothing. Start from a molecule, a "
                "cluster or a crystal; as a structure of bootstrap.dataset a free atom gives the energy of its element"
            )
        try:
            refuse_unphysical(atoms)
        except LabelError as error:
            raise CampaignError(f"{where} could not be labelled: {error}") from error
    require_cells_alike(campaign, starts)
    return moment_notes(campaign, starts)
