"""The campaign in numbers: what ``mlip-fw run`` prints, ``summary.json`` holds and every view begins with."""

from __future__ import annotations

from collections.abc import Iterable

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.generations import Generations, faults_of, newest_fit
from mlip_fw.campaign.journal import sessions
from mlip_fw.campaign.records import CampaignRecords
from mlip_fw.io.structures import read_head
from mlip_fw.models.accuracy import ErrorSummary
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.md import MDOutcome, MDResult
from mlip_fw.models.summary import BasisSummary, CampaignSummary, Seconds, StopReason
from mlip_fw.models.training import TrainingRecord


def md_results(directory: CampaignDirectory) -> list[MDResult]:
    """Return the results of all MD runs that have ended, by walker and cycle.

    Raises
    ------
    DirectoryError
        If one can't be read; one that is only half-written counts as absent.
    """
    records = CampaignRecords(directory)
    results = list(records.results.values())
    records.files.require_readable()
    return results


def summarize(directory: CampaignDirectory) -> CampaignSummary:
    """Return the summary of the campaign so far.

    Raises
    ------
    DirectoryError
        If there is no campaign, a label is damaged, or a file can't be read: the summary is kept as the result of
        the campaign and must not leave out what is only out of sight.
    """
    records = CampaignRecords(directory)
    summary = summary_of(records)
    _require_whole_labels(records)
    records.files.require_readable()
    return summary


def summary_of(records: CampaignRecords) -> CampaignSummary:
    """Return the summary of these records; files that are damaged are left out."""
    campaign, results = records.campaign, records.results.values()
    labels, quarantine, trainings = records.labels.values(), records.quarantine, records.trainings
    first = [records.first_selection] if records.first_selection is not None else []
    selections = [*first, *records.selections.values()]
    newest = newest_fit(trainings)
    training = trainings[newest] if newest is not None else None
    errors, before = (training.dataset, training.new_before) if training is not None else (None, None)
    report = records.validation
    held_out = report.holdout if report is not None and report.generation == newest else None
    outcome, reason = records.outcome
    seconds = {
        "md": sum(r.seconds for r in results),
        "candidates": sum(s.seconds for s in selections),
        "label": sum(label.seconds for label in {**records.audit_labels, **records.labels}.values())
        + sum(failed.seconds for failed in [*quarantine, *records.audit_quarantine]),
        "train": sum(t.seconds for t in trainings.values() if t is not None),
    }
    total = round(sum(end - start for start, end in sessions(records.events)), 3)
    potential = Generations(records.directory.root).potential(newest) if newest is not None else None
    return CampaignSummary(
        campaign=campaign.campaign,
        outcome=outcome,
        reason=reason,
        hint=_hint(reason, records),
        error=error_summary(records, newest),
        coverage=None if newest is None or (audit := records.audit_of(newest)) is None else audit.coverage,
        cycles=sum(s.generation is not None for s in selections),
        halts=sum(r.outcome is MDOutcome.HALTED for r in results),
        labels=len(labels),
        labels_audit=len(records.audit_labels.keys() - records.labels.keys()),
        labels_failed=len(quarantine) + len(records.audit_quarantine),
        atoms_labelled=sum(label.n_atoms for label in labels),
        generations=len(trainings),
        generations_refused=sum(bool(faults_of(t)) for t in trainings.values()),
        md_steps=_steps(r for r in results if r.walker < campaign.md.walkers),
        dataset_force_rmse_ev_a=errors.force_rmse_ev_a if errors else 0.0,
        dataset_energy_rmse_ev_atom=errors.energy_rmse_ev_atom if errors else 0.0,
        heldout_force_rmse_ev_a=held_out.force_rmse_ev_a if held_out else None,
        heldout_energy_rmse_ev_atom=held_out.energy_rmse_ev_atom if held_out else None,
        new_labels_force_rmse_ev_a=before.force_rmse_ev_a if before else None,
        basis=_basis(trainings, newest),
        seconds=Seconds(total=total, overhead=max(0.0, total - sum(seconds.values())), **seconds),
        potential=str(potential) if potential is not None else "",
        active_set=str(potential.with_suffix(".asi")) if potential is not None else "",
    )


def _basis(trainings: dict[int, TrainingRecord | None], newest: int | None) -> BasisSummary | None:
    """Return the basis of the newest generation, with the comparison of the generation that chose it."""
    upto = [trainings[n] for n in sorted(trainings, reverse=True) if newest is not None and n <= newest]
    known = [record.basis for record in upto if record is not None and record.basis is not None]
    if not known:
        return None
    compared = next((basis.compared for basis in known if basis.compared), [])
    return BasisSummary(
        radial=known[0].radial,
        cutoff_a=known[0].cutoff_a,
        functions_per_element=known[0].functions_per_element,
        compared=compared,
    )


def _require_whole_labels(records: CampaignRecords) -> None:
    dataset = Dataset(records.directory.root)
    for name in sorted(set(dataset.hashes()) - records.labels.keys()):
        read_head(dataset.path(name))


def error_summary(records: CampaignRecords, generation: int | None) -> ErrorSummary:
    """Return how large the error of a generation is, as far as it is known."""
    training = None if generation is None else records.trainings[generation]
    audit = None if generation is None else records.audit_of(generation)
    before = None if training is None else training.new_before
    found = None if audit is None else audit.errors
    return ErrorSummary(
        cv_force_rmse_ev_a=None if training is None else training.cv_force_rmse_ev_a,
        new_label_force_rmse_ev_a=None if before is None else before.force_rmse_ev_a,
        audit_force_rmse_ev_a=None if found is None else found.force_rmse_ev_a,
        audit_force_rmse_interval_ev_a=None if found is None else found.force_rmse_interval_ev_a,
        audit_force_share=None if found is None else found.force_share,
        audit_energy_rmse_ev_atom=None if found is None else found.energy_rmse_ev_atom,
        audit_frames=0 if found is None else found.n_frames,
        target=records.campaign.accuracy.target if records.campaign.is_audited else None,
        met=records.is_met(audit),
    )


def _hint(reason: str | None, records: CampaignRecords) -> str | None:
    """Return what stood in the way of a campaign that stopped, where its reason does not tell."""
    if reason == StopReason.NO_PROGRESS:
        return _no_progress(records.trainings, records.campaign)
    if reason != StopReason.ACCURACY:
        return None
    if records.audit is None:
        return (
            "no frame of the MD could be labelled to find the error; audit/quarantine/ says why, and longer stages "
            "have more frames"
        )
    return records.audit.diagnosis


def _no_progress(trainings: dict[int, TrainingRecord | None], campaign: Campaign) -> str | None:
    """Return why MD made no progress, if the threshold or the newer generations are to blame."""
    if (halt := campaign.uncertainty.lowest_gamma_halt) <= 1:
        return (
            f"uncertainty.gamma_halt is {halt:g}, and atoms that the potential was trained on have a gamma of up to 1: "
            "MD halts whatever the potential is trained on; use more than 1 (2 to 20 are usual) in another directory"
        )
    used = newest_fit(trainings)
    newer = sorted(number for number in trainings if used is not None and number > used)
    if not newer:
        return None
    names = f"generation {newer[0]} is" if len(newer) == 1 else f"generations {newer[0]} to {newer[-1]} are"
    return (
        f"{names} unfit for MD, which went on with generation {used} and halted at the same step again. The newest is "
        f"unfit because {'; '.join(faults_of(trainings[newer[-1]]))}. What to change is in "
        "docs/explanation/fit-for-md.md; start again in another directory, with the dataset "
        "that `mlip-fw export` writes as bootstrap.dataset"
    )


def _steps(results: Iterable[MDResult]) -> int:
    """Return the furthest MD step of each walker, summed."""
    furthest: dict[int, int] = {}
    for result in results:
        furthest[result.walker] = max(furthest.get(result.walker, 0), result.step)
    return sum(furthest.values())
