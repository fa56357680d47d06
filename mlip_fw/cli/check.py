"""``check``: a campaign file and what it would run, before core-hours are spent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mlip_fw.cli.app import CAMPAIGNS, app
from mlip_fw.cli.campaign_argument import CAMPAIGN, read_campaign_argument
from mlip_fw.cli.common import load_fworker, log_to_stderr
from mlip_fw.cli.fireworks_import import import_fireworks
from mlip_fw.cli.progress import working
from mlip_fw.runtime.stdout import claim_stdout

if TYPE_CHECKING:
    from mlip_fw.engines.structures.given_labels import GivenLabels
    from mlip_fw.models.campaign import Campaign
    from mlip_fw.models.dataset import DatasetAudit


@app.command(rich_help_panel=CAMPAIGNS)
def check(
    campaign_file: Path = CAMPAIGN,
    fworker: Path | None = typer.Option(None, "--fworker", "-w", help="my_fworker.yaml"),
    as_json: bool = typer.Option(False, "--json", help="print JSON on standard output"),
) -> None:
    """Check a campaign file and show what it would run; writes nothing."""
    log_to_stderr()
    answer = claim_stdout() if as_json else None
    import_fireworks()
    with working("checking the campaign"):
        facts, size, sentence, audit = _facts(campaign_file, fworker)
    if as_json:
        dataset = audit.model_dump(mode="json") if audit is not None else None
        typer.echo(json.dumps({**facts, "potential": size, "dataset": dataset}), file=answer)
    else:
        from mlip_fw.cli.fact_tables import print_audit, print_facts

        print_facts(
            "what the campaign would run",
            [(k.replace("_", " "), _words(v), True) for k, v in (facts | {"potential": sentence}).items() if v != []],
        )
        if audit is not None:
            print_audit(audit)


def _facts(
    campaign_file: Path, fworker: Path | None
) -> tuple[dict[str, Any], dict[str, Any], str, DatasetAudit | None]:
    """Return what a campaign would run, how large its potential would be, in numbers and in words, and its dataset."""
    campaign, where = read_campaign_argument(campaign_file, None)
    from mlip_fw.engines.ace.kernel.choice import evaluator_of, forecast
    from mlip_fw.engines.md.run import choose_engine
    from mlip_fw.engines.oracle.label import require_oracle
    from mlip_fw.engines.oracle.scope import label_notes
    from mlip_fw.engines.sampling.bootstrap import labelled_cell
    from mlip_fw.engines.sampling.small_cell_prerun import prerun_cells
    from mlip_fw.engines.structures.reach import largest_cutoff_a
    from mlip_fw.engines.structures.start import start_notes, start_structures
    from mlip_fw.engines.train.fit_state import first_basis
    from mlip_fw.engines.train.given_files import check_given_files
    from mlip_fw.engines.train.memory import max_atoms_in_memory, size_in_words, size_of
    from mlip_fw.engines.train.refinement import require_trainer
    from mlip_fw.engines.train.schedule import decided
    from mlip_fw.firetasks.base import read_worker

    starts = start_structures(campaign)
    notes = label_notes(campaign, starts)
    given = check_given_files(campaign)
    worker = read_worker(load_fworker(fworker).env)
    require_oracle(campaign.oracle, worker, campaign.elements)
    schedule = decided(campaign, where.begun(), where.root)
    require_trainer(schedule.campaign, worker)
    engine, why = choose_engine(campaign.md.engine, worker)
    rehearsed = prerun_cells(campaign).values()
    reach_a = largest_cutoff_a(starts, campaign)
    first = [labelled_cell(atoms, campaign.candidates.cutout, reach_a) for atoms in starts]
    n_first = max(campaign.bootstrap.n_structures, len(first))
    basis = first_basis(campaign, [first[k % len(first)] for k in range(n_first)])
    size = size_of(basis, max_atoms_in_memory(first, campaign, basis.cutoffmax))

    facts = {
        "campaign": campaign.campaign,
        "formula": ", ".join(atoms.get_chemical_formula() for atoms in starts),
        "atoms": max(map(len, starts)),
        "structure_notes": start_notes(campaign, starts),
        "atoms_of_a_first_label": max(map(len, first)),
        "atoms_of_a_rehearsal": max(map(len, rehearsed), default=0),
        "md_steps": campaign.md.last_step(len(campaign.md.stages) - 1) * campaign.md.walkers,
        "engine": engine,
        "engine_because": why,
        "evaluator": forecast(basis, evaluator_of(worker)),
        "oracle": campaign.oracle.shown,
        "label_notes": notes,
        "trainer": schedule.words,
        "max_labels": campaign.budget.max_labels,
        "accuracy": _accuracy(campaign),
    }
    return facts, size.plain(), size_in_words(size) + _later(campaign), _audited(given, campaign)


def _audited(given: GivenLabels | None, campaign: Campaign) -> DatasetAudit | None:
    """Return what was understood of a dataset, and which of its units and signs contradict each other.

    Raises
    ------
    CampaignError
        If they are such that nothing would be trained on them.
    """
    if given is None:
        return None
    from mlip_fw.engines.train.consistency import REMEDY, contradictions
    from mlip_fw.errors import CampaignError

    found = contradictions([frame.atoms for frame in given.frames], campaign)
    for one in found:
        if one.is_refused:
            raise CampaignError(f"bootstrap.dataset: {one.sentence}, {REMEDY}")
    return given.audit.model_copy(update={"notes": [*given.audit.notes, *(one.sentence for one in found)]})


def _accuracy(campaign: Campaign) -> str:
    """Return what the force error has to be, and whether anybody will look."""
    from mlip_fw.models.accuracy import target_in_words

    if not campaign.accuracy.target:
        return "no target: the error is not audited"
    if not campaign.is_audited:
        return "not judged: with files: filepad no frames are audited, and CONVERGED says nothing of the error"
    return (
        f"{target_in_words(campaign.accuracy.target)}, on {campaign.accuracy.min_audit_frames} audited frames at least"
    )


def _words(value: object) -> str:
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


def _later(campaign: Campaign) -> str:
    """Return what to add to the size of the first potential."""
    if not campaign.potential.compares_bases:
        return ""
    return "; the labels decide what is auto of basis, cutoff and number of functions"
