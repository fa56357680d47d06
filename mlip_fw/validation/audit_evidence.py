"""What a diagnosis needs: the learning curve, errors of other bases on the same labels, and what stands out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from pyace import ACEBBasisSet
from threadpoolctl import threadpool_limits

from mlip_fw.campaign.accuracy import is_undecided, worst
from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.basis import copy_of
from mlip_fw.engines.ace.cost import md_cost_us_atom
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.structures.geometry import heights_a
from mlip_fw.engines.structures.reach import neighbours_within
from mlip_fw.engines.train.basis_choice import BasisForm
from mlip_fw.engines.train.basis_cv import BasisRows, Blocks
from mlip_fw.engines.train.diagnosis import FitEvidence, OtherBasis, PartError
from mlip_fw.engines.train.fit_io import read_fit
from mlip_fw.engines.train.learning_curve import learning_curve
from mlip_fw.engines.train.ridge_cv import RIDGES
from mlip_fw.engines.train.ridge_fit import FitTerms, degrees_of
from mlip_fw.io.pace import read_basis
from mlip_fw.models.accuracy import AuditRange, AuditRecord
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.training import TrainingRecord

logger = logging.getLogger("mlip_fw")
_MAX_LABELS = 40
"""Labels that other bases are tried on, spread over all of them."""
_LARGER, _LONGER = 2, 1.25
_MAX_FUNCTIONS = 2000


# the matrices are small: more threads of BLAS cost time
@threadpool_limits.wrap(limits=1, user_api="blas")
def evidence_of(directory: CampaignDirectory, campaign: Campaign, audit: AuditRecord) -> FitEvidence:
    """Return what is known of the newest linear generation of a campaign, whose audit found too large an error."""
    generations, dataset = Generations(directory.root), Dataset(directory.root)
    found = worst(audit.errors, audit.target)
    base = FitEvidence(
        error=audit.errors.force_rmse_ev_a,
        # of several criteria the one that is missed most says how much smaller the error must be
        wanted=audit.errors.force_rmse_ev_a / max(found.estimate, 1e-9),
        n_labels=audit.labels,
        by_element=_relative_to_forces(audit.by_element, audit),
        by_range={_range(r): PartError(r.force_share or 0.0, r.force_rmse_ev_a) for r in audit.by_temperature},
        n_frames=audit.errors.n_frames,
        is_undecided=is_undecided(audit.errors, audit.target),
    )
    number = generations.newest_of("linear")
    record = None if number is None else generations.record(number)
    if number is None or record is None or record.ridge is None or not record.n_folded:
        return base
    basis = read_basis(generations.potential(number))
    fit, prior = read_fit(generations.folder(number), record.n_folded)
    terms = FitTerms.of(fit, _shape(basis), prior, campaign)
    others = _other_bases(basis, record, dataset, campaign)
    return replace(
        base,
        curve=learning_curve(fit, terms, record.ridge),
        training_error=None if record.dataset is None else record.dataset.force_rmse_ev_a,
        n_functions=max(record.functions_per_element.values()),
        cutoff_a=float(basis.cutoffmax),
        n_down_weighted=len(record.weights),
        ridge=record.ridge,
        ridges=(float(RIDGES[0]), float(RIDGES[-1])),
        cv_error=others.present,
        larger_basis=others.larger,
        longer_cutoff=others.longer,
    )


@dataclass(frozen=True)
class _Bases:
    """Cross-validation error of a basis, eV/Å, and what others have on the same labels; None where it is not known."""

    present: float | None
    larger: OtherBasis | None = None
    longer: OtherBasis | None = None


def _other_bases(basis: ACEBBasisSet, record: TrainingRecord, dataset: Dataset, campaign: Campaign) -> _Bases:
    """Return the cross-validation errors of the basis, of a larger one and of one with a longer cutoff."""
    if campaign.potential.initial is not None:
        return _Bases(record.cv_force_rmse_ev_a)
    learnt = [name for name in record.labels if name not in record.free_atoms and name not in record.weights]
    names = [learnt[k] for k in np.unique(np.linspace(0, len(learnt) - 1, min(len(learnt), _MAX_LABELS)).astype(int))]
    blocks = Blocks.of([dataset.read(name) for name in names])
    if len(blocks.frames) < 2:
        return _Bases(record.cv_force_rmse_ev_a)
    logger.info("the error is too large: comparing bases on %d labels", len(names))
    form, settings = BasisForm.of(basis), campaign.potential
    more = min(_LARGER * max(record.functions_per_element.values()), _MAX_FUNCTIONS)
    far = replace(form.radials, cutoff_a=_LONGER * form.radials.cutoff_a)
    thinnest = min(float(heights_a(atoms.cell.array).min()) for atoms in blocks.all)

    def other(form: BasisForm, value: float, *, is_auto: bool) -> OtherBasis:
        tried = form.basis(list(basis.elements_name))
        cost_us = md_cost_us_atom(tried, float(neighbours_within(blocks.all, [form.radials.cutoff_a])[0]))
        return OtherBasis(
            value=value,
            error=_cv_error(tried, blocks),
            over_limit_us_atom=cost_us if is_auto and cost_us > settings.md_cost_limit else None,
            needs_cell_a=form.radials.cutoff_a if form.radials.cutoff_a > thinnest else None,
        )

    larger, longer = replace(form, functions=more), replace(form, radials=far)
    return _Bases(
        _cv_error(basis, blocks),
        None if more <= form.functions else other(larger, more, is_auto=settings.functions_per_element == "auto"),
        other(longer, far.cutoff_a, is_auto=settings.cutoff_a == "auto"),
    )


def _cv_error(basis: ACEBBasisSet, blocks: Blocks) -> float:
    return BasisRows.of(_shape(basis), degrees_of(basis), blocks).cross_validated().rmse_ev_a


def _shape(basis: ACEBBasisSet) -> AcePotential:
    """Return a potential with all coefficients zero."""
    return AcePotential(copy_of(basis, np.zeros(len(basis.basis_coeffs))))


def _range(found: AuditRange) -> str:
    low, high = f"{found.from_k:.0f}", f"{found.to_k:.0f}"
    return f"{low} K" if low == high else f"{low} to {high} K"


def _relative_to_forces(errors: Mapping[str, float], audit: AuditRecord) -> dict[str, PartError]:
    forces = audit.force_rms_by_element
    return {name: PartError(error / forces[name], error) for name, error in errors.items() if forces.get(name)}
