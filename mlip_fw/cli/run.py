"""``run``: a whole campaign on this machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import typer

from mlip_fw.cli.app import CAMPAIGNS, EXIT_STOPPED, app
from mlip_fw.cli.campaign_argument import CAMPAIGN, DIRECTORY, FWORKER, load_campaign
from mlip_fw.cli.common import load_fworker, log_to_stderr
from mlip_fw.cli.fireworks_import import import_fireworks
from mlip_fw.cli.progress import live_progress
from mlip_fw.runtime.stdout import claim_stdout


@app.command(rich_help_panel=CAMPAIGNS)
def run(
    campaign_file: Path = CAMPAIGN,
    directory: Path | None = DIRECTORY,
    workers: int = typer.Option(1, "--workers", min=1, help="worker processes"),
    fworker: Path | None = FWORKER,
    as_json: bool = typer.Option(False, "--json", help="print the summary as JSON on standard output"),
) -> None:
    """Run a campaign on this machine; run the same command again to resume it."""
    log_to_stderr()
    answer = claim_stdout() if as_json else None
    import_fireworks()
    campaign, where = load_campaign(campaign_file, directory)
    from mlip_fw.engines.train.refinement import require_trainer
    from mlip_fw.firetasks.base import read_worker
    from mlip_fw.launcher.runner import run_campaign

    worker = load_fworker(fworker)
    require_trainer(campaign, read_worker(worker.env))
    with live_progress(campaign, where):
        summary = run_campaign(campaign, where, worker, workers)
    if as_json:
        print(json.dumps(summary.model_dump(mode="json")), file=answer, flush=True)
    else:
        from mlip_fw.cli.status_tables import print_summary

        print_summary(summary)
    sys.stdout.flush()
    if summary.outcome != "CONVERGED":
        raise typer.Exit(EXIT_STOPPED)
