"""The campaign in numbers, read from its directory alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlip_fw.dataset import Dataset
from mlip_fw.generations import Generations, faults_of, newest_fit
from mlip_fw.io.files import read_model
from mlip_fw.layout import CampaignDirectory
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.label import Label, QuarantineRecord
from mlip_fw.models.md import MDOutcome, MDResult
from mlip_fw.models.selection import Selection
from mlip_fw.models.summary import CampaignSummary, Outcome, Seconds, StopReason
from mlip_fw.models.training import TrainingRecord
from mlip_fw.models.validation import ValidationReport

FINISHED = "finished"
"""Event that ends a campaign."""
_SESSION = "run_started"


def md_results(directory: CampaignDirectory) -> list[MDResult]:
    """Return the results of all MD runs, by walker and cycle."""
    found = (read_model(folder / "result.json", MDResult) for folder in directory.cycles())
    return [result for result in found if result is not None]


def selections(directory: CampaignDirectory) -> list[Selection]:
    """Return what was selected, the bootstrap first."""
    folders = [directory.bootstrap, *directory.cycles()]
    found = (read_model(folder / "selection.json", Selection) for folder in folders)
    return [selection for selection in found if selection is not None]


@dataclass(frozen=True)
class Parts:
    """What a campaign directory holds, but for the arrays."""

    campaign: Campaign
    events: list[dict[str, Any]]
    is_run_here: bool
    results: list[MDResult]
    selections: list[Selection]
    labels: list[Label]
    quarantined: list[QuarantineRecord]
    records: dict[int, TrainingRecord | None]
    """By generation; None where that is damaged."""
    validation: ValidationReport | None = None
    """The newest."""


def summarize(directory: CampaignDirectory) -> CampaignSummary:
    """Return what the campaign has come to so far."""
    dataset, generations = Dataset(directory.root), Generations(directory.root)
    parts = Parts(
        campaign=directory.read_campaign(),
        events=directory.events(),
        is_run_here=directory.is_locked(),
        results=md_results(directory),
        selections=selections(directory),
        labels=[dataset.info(name) for name in dataset.hashes()],
        quarantined=dataset.quarantined(),
        records=generations.records(),
        validation=read_model(directory.validation_report, ValidationReport),
    )
    return summary_of(parts, generations)


def summary_of(parts: Parts, generations: Generations) -> CampaignSummary:
    """Return what the parts of a campaign come to; nothing is read."""
    campaign, results, labels = parts.campaign, parts.results, parts.labels
    newest = newest_fit(parts.records)
    record = parts.records[newest] if newest is not None else None
    errors, before = (record.dataset, record.new_before) if record is not None else (None, None)
    report = parts.validation
    held_out = report.holdout if report is not None and report.generation == newest else None
    outcome, reason = outcome_of(parts.events, is_run_here=parts.is_run_here)
    seconds = {
        "md": sum(r.seconds for r in results),
        "candidates": sum(s.seconds for s in parts.selections),
        "label": sum(label.seconds for label in labels) + sum(q.seconds for q in parts.quarantined),
        "train": sum(t.seconds for t in parts.records.values() if t is not None),
    }
    total = round(sum(end - start for start, end in sessions(parts.events)), 3)
    return CampaignSummary(
        campaign=campaign.campaign,
        outcome=outcome,
        reason=reason,
        hint=_hint(parts.records, campaign) if reason == StopReason.NO_PROGRESS else None,
        cycles=sum(s.generation is not None for s in parts.selections),
        halts=sum(r.outcome is MDOutcome.HALTED for r in results),
        labels=len(labels),
        labels_failed=len(parts.quarantined),
        atoms_labelled=sum(label.n_atoms for label in labels),
        generations=len(parts.records),
        generations_refused=sum(bool(faults_of(r)) for r in parts.records.values()),
        md_steps=_steps([r for r in results if r.walker < campaign.md.walkers]),
        dataset_force_rmse_ev_a=errors.force_rmse_ev_a if errors else 0.0,
        dataset_energy_rmse_ev_atom=errors.energy_rmse_ev_atom if errors else 0.0,
        heldout_force_rmse_ev_a=held_out.force_rmse_ev_a if held_out else None,
        heldout_energy_rmse_ev_atom=held_out.energy_rmse_ev_atom if held_out else None,
        new_labels_force_rmse_ev_a=before.force_rmse_ev_a if before else None,
        seconds=Seconds(total=total, overhead=max(0.0, total - sum(seconds.values())), **seconds),
        potential=str(generations.potential(newest)) if newest is not None else "",
        active_set=str(generations.potential(newest).with_suffix(".asi")) if newest is not None else "",
    )


def outcome_of(events: list[dict[str, Any]], *, is_run_here: bool) -> tuple[Outcome, str | None]:
    """Return what the journal says that a campaign has come to, and why it stopped if it did."""
    for event in reversed(events):
        if event["event"] == FINISHED:
            return event["outcome"], event["reason"]
        if event["event"] == _SESSION:
            return ("RUNNING" if is_run_here else "INTERRUPTED"), None
    return "RUNNING", None


def _hint(records: dict[int, TrainingRecord | None], campaign: Campaign) -> str | None:
    """Return why MD made no progress, if the threshold or the newer generations are to blame."""
    if (halt := campaign.uncertainty.lowest_gamma_halt) <= 1:
        return (
            f"uncertainty.gamma_halt is {halt:g}, and atoms that the potential was trained on have a gamma of up to 1: "
            "MD halts whatever the potential is trained on; use more than 1 (2 to 20 are usual) in another directory"
        )
    used = newest_fit(records)
    newer = sorted(number for number in records if used is not None and number > used)
    if not newer:
        return None
    names = f"generation {newer[0]} is" if len(newer) == 1 else f"generations {newer[0]} to {newer[-1]} are"
    return (
        f"{names} unfit for MD, which went on with generation {used} and halted at the same step again. The newest is "
        f"unfit because {'; '.join(faults_of(records[newer[-1]]))}. What to change is in "
        "docs/explanation/fit-for-md.md; start again in another directory, with the dataset "
        "that `mlip-fw export` writes as bootstrap.dataset"
    )


def _steps(results: list[MDResult]) -> int:
    furthest: dict[int, int] = {}
    for result in results:
        furthest[result.walker] = max(furthest.get(result.walker, 0), result.step)
    return sum(furthest.values())


def sessions(events: list[dict[str, Any]]) -> list[tuple[float, float]]:
    """Return start and last event of each time that the campaign was at work, s since 1970.

    ``mlip-fw run`` begins one, and so does what comes after the end, as a validation by hand.
    """
    found: list[tuple[float, float]] = []
    is_over = False
    for event in events:
        if event["event"] == _SESSION or not found:
            found.append((event["time"], event["time"]))
        elif is_over:
            begun = max(found[-1][1], event["time"] - _seconds_of(event))
            found.append((begun, begun))
        # a clock that is set back must not make time of work negative
        found[-1] = (found[-1][0], max(found[-1][1], event["time"]))
        is_over = event["event"] == FINISHED
    return found


def _seconds_of(event: dict[str, Any]) -> float:
    seconds = event.get("seconds")
    return float(seconds) if isinstance(seconds, int | float) else 0.0
