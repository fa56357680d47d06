"""The files that a campaign names besides its structures, checked before it starts."""

from __future__ import annotations

from pathlib import Path

from mlip_fw.engines.ace.basis import require_linear
from mlip_fw.engines.structures.given_labels import GivenLabels, given_labels
from mlip_fw.engines.train.pacemaker.form import require_possible
from mlip_fw.engines.train.pacemaker.template import read_template
from mlip_fw.errors import CampaignError, TrainingError
from mlip_fw.io.files import require_file
from mlip_fw.io.pace import read_active_set, read_basis
from mlip_fw.models.campaign import Campaign

_MAX_BYTES = 2_000_000_000


def check_given_files(campaign: Campaign) -> GivenLabels | None:
    """Check the files that a campaign names besides its structure; return its labels, if it names some.

    Raises
    ------
    CampaignError
        If a potential, its active set, a dataset or a trajectory is missing or has other elements or no labels.
    """
    check_initial(campaign)
    require_possible(campaign, read_template(campaign.potential.pacemaker.template))
    if campaign.validation.reference_trajectory is not None:
        require_file(Path(campaign.validation.reference_trajectory), "validation.reference_trajectory", _MAX_BYTES)
    return given_labels(campaign)


def check_initial(campaign: Campaign) -> None:
    """Check the potential that a campaign starts with, if it does.

    Raises
    ------
    CampaignError
        If it or its active set is missing, has other elements or is not linear.
    """
    if campaign.potential.initial is None:
        return
    source = Path(campaign.potential.initial)
    for path in (source, source.with_suffix(".asi")):
        require_file(path, "potential.initial", _MAX_BYTES)
    _check_initial(source, campaign)


def _check_initial(source: Path, campaign: Campaign) -> None:
    basis = read_basis(source)
    elements = [str(name) for name in basis.elements_name]
    if set(elements) != set(campaign.elements):
        raise CampaignError(
            f"potential.initial is for {_listed(elements)}, the campaign for {_listed(campaign.elements)}"
        )
    try:
        require_linear(basis, str(source))
    except TrainingError as error:
        raise CampaignError(
            f"potential.initial: {error}. Every campaign learns so, also with potential.kind: pacemaker. Give the "
            "labels behind it as bootstrap.dataset instead, or the linear generation that it was made from"
        ) from error
    inverses = read_active_set(source.with_suffix(".asi"), elements)
    for name, first, rest in zip(elements, basis.basis_rank1, basis.basis, strict=True):
        wanted = (len(first) + len(rest),) * 2
        if inverses[name].shape != wanted:
            raise CampaignError(f"potential.initial: the active set of {name} is {inverses[name].shape}, not {wanted}")


def _listed(names: list[str]) -> str:
    return ", ".join(sorted(names))
