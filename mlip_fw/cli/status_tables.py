"""Print status, summary, refused generations and failed labels of a campaign in the terminal."""

from __future__ import annotations

import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.generations import Generations
from mlip_fw.cli.common import printable
from mlip_fw.cli.firework_counts import Counts
from mlip_fw.cli.sparkline import encodable, is_plain
from mlip_fw.cli.status_view import status_table
from mlip_fw.models.summary import CampaignSummary
from mlip_fw.views.analysis.campaign_analysis import CampaignAnalysis
from mlip_fw.views.report.summary_table import summary_rows


def print_status(analysis: CampaignAnalysis, fireworks: Counts) -> None:
    """Print the status on standard output."""
    console = Console(emoji=False)
    console.print(status_table(analysis, fireworks, plain=is_plain(console)))
    print()


def print_summary(summary: CampaignSummary) -> None:
    """Print the summary as a table on standard output."""
    console = Console(emoji=False)
    table = Table(title=f"campaign {summary.campaign}", show_header=False, title_justify="left")
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for what, value in summary_rows(summary):
        table.add_row(what, Text(encodable(printable(value), plain=is_plain(console))))
    console.print(table)
    for what, path in (("potential", summary.potential), ("active set", summary.active_set)):
        print(f"{what}: {path or 'none yet'}")


def print_refused(directory: CampaignDirectory) -> None:
    """Print why generations were refused for MD, if any were."""
    refused = Generations(directory.root).refused()
    if not refused:
        return
    table = Table("generation", "why", title="generations refused for MD", title_justify="left")
    for number, reasons in refused.items():
        table.add_row(str(number), Text(printable("; ".join(reasons))))
    Console(emoji=False).print(table)


def print_quarantine(directory: CampaignDirectory) -> None:
    """Print why labels failed, if any did."""
    records = Dataset(directory.root).quarantined()
    if not records:
        return
    table = Table("label", "atoms", "why", "corrections", title="failed labels", title_justify="left")
    for record in records:
        row = (record.hash, str(record.n_atoms), record.reason, str(len(record.corrections)))
        table.add_row(*(Text(printable(cell)) for cell in row))
    Console(emoji=False).print(table)
    print("fix the cause, then run: mlip-fw retry-labels")


def print_age(analysis: CampaignAnalysis) -> None:
    """Print when the files were pulled, if they come from the LaunchPad."""
    if analysis.campaign.files == "filepad":
        pulled = datetime.datetime.fromtimestamp(analysis.directory.journal.stat().st_mtime)
        print(f"as of the last mlip-fw pull, {pulled:%Y-%m-%d %H:%M:%S}")
