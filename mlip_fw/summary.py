"""The campaign in numbers, read from its directory alone."""

from __future__ import annotations

from typing import Any

from mlip_fw.dataset import Dataset
from mlip_fw.generations import Generations
from mlip_fw.io.files import read_model
from mlip_fw.layout import CampaignDirectory
from mlip_fw.models.md import MDOutcome, MDResult
from mlip_fw.models.selection import Selection
from mlip_fw.models.summary import CampaignSummary, Outcome, Seconds, StopReason

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


def summarize(directory: CampaignDirectory) -> CampaignSummary:
    """Return what the campaign has come to so far."""
    campaign = directory.read_campaign()
    events, results = directory.events(), md_results(directory)
    dataset, generations = Dataset(directory.root), Generations(directory.root)
    labels = [dataset.info(name) for name in dataset.hashes()]
    quarantined = dataset.quarantined()
    newest = generations.fit_for_md()
    record = generations.record(newest) if newest is not None else None
    errors = record.dataset if record is not None else None
    outcome, reason = _outcome(events, is_run_here=directory.is_locked())
    halts = [r for r in results if r.outcome is MDOutcome.HALTED]
    chosen = selections(directory)
    label_seconds = sum(label.seconds for label in labels) + sum(q.seconds for q in quarantined)
    trainings = (generations.record(number) for number in generations.numbers())
    parts = {
        "md": sum(r.seconds for r in results),
        "candidates": sum(s.seconds for s in chosen),
        "label": label_seconds,
        "train": sum(t.seconds for t in trainings if t is not None),
    }
    total = _total_seconds(events)
    return CampaignSummary(
        campaign=campaign.campaign,
        outcome=outcome,
        reason=reason,
        hint=_hint(generations) if reason == StopReason.NO_PROGRESS else None,
        cycles=sum(s.generation is not None for s in chosen),
        halts=len(halts),
        labels=len(labels),
        labels_failed=len(quarantined),
        atoms_labelled=sum(label.n_atoms for label in labels),
        generations=len(generations.numbers()),
        generations_refused=len(generations.refused()),
        md_steps=_steps([r for r in results if r.walker < campaign.md.walkers]),
        dataset_force_rmse_ev_a=errors.force_rmse_ev_a if errors else 0.0,
        dataset_energy_rmse_ev_atom=errors.energy_rmse_ev_atom if errors else 0.0,
        seconds=Seconds(total=total, overhead=max(0.0, total - sum(parts.values())), **parts),
        potential=str(generations.potential(newest)) if newest is not None else "",
        active_set=str(generations.potential(newest).with_suffix(".asi")) if newest is not None else "",
    )


def _outcome(events: list[dict[str, Any]], *, is_run_here: bool) -> tuple[Outcome, str | None]:
    for event in reversed(events):
        if event["event"] == "finished":
            return event["outcome"], event["reason"]
        if event["event"] == _SESSION:
            return ("RUNNING" if is_run_here else "INTERRUPTED"), None
    return "RUNNING", None


def _hint(generations: Generations) -> str | None:
    """Return that MD made no progress because it never got the newer generations, if so."""
    refused, used = generations.refused(), generations.fit_for_md()
    newer = [number for number in generations.numbers() if used is not None and number > used and number in refused]
    if not newer:
        return None
    names = f"generation {newer[0]} is" if len(newer) == 1 else f"generations {newer[0]} to {newer[-1]} are"
    return (
        f"{names} unfit for MD, which went on with generation {used} and halted at the same step again. The newest is "
        f"unfit because {'; '.join(refused[newer[-1]])}. What to change is in docs/explanation/fit-for-md.md; begin "
        "anew in another directory, with the dataset that `mlip-fw export` writes as bootstrap.dataset"
    )


def _steps(results: list[MDResult]) -> int:
    furthest: dict[int, int] = {}
    for result in results:
        furthest[result.walker] = max(furthest.get(result.walker, 0), result.step)
    return sum(furthest.values())


def _total_seconds(events: list[dict[str, Any]]) -> float:
    """Add up the sessions, from the start of each to its last event."""
    total, start, last = 0.0, None, 0.0
    for event in events:
        if event["event"] == _SESSION or start is None:
            total += last - start if start is not None else 0.0
            start = event["time"]
        last = event["time"]
    return round(total + (last - start if start is not None else 0.0), 3)
