"""``run``, ``workflow`` and ``add``: a campaign here, as a file, or on the LaunchPad."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mlip_fw.cli.app import CAMPAIGNS, CLUSTER, EXIT_STOPPED, app
from mlip_fw.cli.common import add_to_launchpad, answering, load_fworker, load_launchpad, log_to_stderr
from mlip_fw.cli.fireworks_import import import_fireworks
from mlip_fw.cli.place import CAMPAIGN, read_place
from mlip_fw.cli.progress import live_progress, working
from mlip_fw.errors import CampaignError, WorkerError
from mlip_fw.stdout import claim_stdout

if TYPE_CHECKING:
    from mlip_fw.layout import CampaignDirectory
    from mlip_fw.models.campaign import Campaign

_DIR = typer.Option(None, "--dir", help="campaign directory; default: the campaign's name in this folder")
_FWORKER = typer.Option(None, "--fworker", "-w", help="my_fworker.yaml")
_LAUNCHPAD = typer.Option(None, "--launchpad", "-l", help="my_launchpad.yaml")


def _load(path: Path, directory: Path | None) -> tuple[Campaign, CampaignDirectory]:
    campaign, where = read_place(path, directory)
    from mlip_fw.engines.train.pacemaker.schedule import decided

    return decided(campaign, where).campaign, where


@app.command(rich_help_panel=CAMPAIGNS)
def run(
    campaign_file: Path = CAMPAIGN,
    directory: Path | None = _DIR,
    workers: int = typer.Option(1, "--workers", min=1, help="worker processes"),
    fworker: Path | None = _FWORKER,
    as_json: bool = typer.Option(False, "--json", help="print the summary as JSON on standard output"),
) -> None:
    """Run a campaign on this machine; run the same command again to resume it."""
    log_to_stderr()
    answer = claim_stdout() if as_json else None
    import_fireworks()
    campaign, where = _load(campaign_file, directory)
    from mlip_fw.engines.train.pacemaker.job import require_pacemaker
    from mlip_fw.firetasks.base import read_worker
    from mlip_fw.workflows.runner import run_campaign

    worker = load_fworker(fworker)
    require_pacemaker(campaign, read_worker(worker.env))
    with live_progress(campaign, where):
        summary = run_campaign(campaign, where, worker, workers)
    if as_json:
        print(json.dumps(summary.model_dump(mode="json")), file=answer, flush=True)
    else:
        from mlip_fw.cli.tables import print_summary

        print_summary(summary)
    sys.stdout.flush()
    if summary.outcome != "CONVERGED":
        raise typer.Exit(EXIT_STOPPED)


def _checked(campaign_file: Path, directory: Path | None, fworker: Path | None) -> tuple[Campaign, CampaignDirectory]:
    campaign, where = _load(campaign_file, directory)
    from mlip_fw.engines.oracle.label import require_oracle
    from mlip_fw.engines.oracle.scope import label_notes
    from mlip_fw.engines.start import start_notes, start_structures
    from mlip_fw.engines.train.given_files import check_given_files
    from mlip_fw.engines.train.pacemaker.job import require_pacemaker
    from mlip_fw.firetasks.base import read_worker

    starts = start_structures(campaign)
    for note in (*start_notes(campaign, starts), *label_notes(campaign, starts)):
        typer.echo(note, err=True)
    check_given_files(campaign)
    fw = load_fworker(fworker)
    _warn_unless("make labels", lambda: require_oracle(campaign.oracle, read_worker(fw.env), campaign.elements))
    _warn_unless("train with pacemaker", lambda: require_pacemaker(campaign, read_worker(fw.env)))
    return campaign, where


def _warn_unless(what: str, check: Callable[[], object]) -> None:
    """Say what this machine can't do: where a campaign is added need not be where its work is done."""
    try:
        check()
    except WorkerError as error:
        typer.echo(f"this machine can't {what}, so the workers must: {error}", err=True)


@app.command(rich_help_panel=CLUSTER)
def workflow(
    campaign_file: Path = CAMPAIGN,
    directory: Path | None = _DIR,
    output: Path = typer.Option(..., "--output", "-o", help="file to write (.yaml or .json)"),
    fworker: Path | None = _FWORKER,
) -> None:
    """Write a campaign as a Workflow file for `lpad add`."""
    import_fireworks()
    campaign, where = _checked(campaign_file, directory, fworker)
    from mlip_fw.io.files import whole_file
    from mlip_fw.workflows.campaign import campaign_workflow

    if campaign.files == "filepad" and (named := campaign.named_files()):
        raise CampaignError(f"a Workflow file can't carry {', '.join(named)} (files: filepad); use `mlip-fw add`")
    made = campaign_workflow(campaign, where.root)
    with whole_file(output) as temporary:
        kind = "json" if output.suffix == ".json" else "yaml"
        temporary.write_text(made.to_format(kind))
    typer.echo(f"{output}: {len(made.fws)} Fireworks; add it with: lpad add {output}")


@app.command(rich_help_panel=CLUSTER)
def add(
    campaign_file: Path = CAMPAIGN,
    directory: Path | None = _DIR,
    launchpad: Path | None = _LAUNCHPAD,
    fworker: Path | None = _FWORKER,
) -> None:
    """Add a campaign to the LaunchPad."""
    log_to_stderr()
    import_fireworks()
    with working("checking the campaign") as tell:
        campaign, where = _checked(campaign_file, directory, fworker)
        if campaign.files == "filepad":
            from mlip_fw.travel.start import add_files

            tell("uploading files")
            where.claim(campaign)
            with answering(pad := load_launchpad(launchpad)):
                add_files(campaign, str(where.root), pad)
        from mlip_fw.workflows.campaign import campaign_workflow

        tell("adding Fireworks")
        ids = add_to_launchpad(campaign_workflow(campaign, where.root), launchpad)
    typer.echo(f"added {campaign.campaign} as Fireworks {', '.join(str(i) for i in ids)}")
