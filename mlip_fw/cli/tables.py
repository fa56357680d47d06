"""A campaign's numbers in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from mlip_fw.models.summary import CampaignSummary
from mlip_fw.report.rows import summary_rows


def print_summary(summary: CampaignSummary) -> None:
    """Print the summary as a table on standard output."""
    table = Table(title=f"campaign {summary.campaign}", show_header=False, title_justify="left")
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for what, value in summary_rows(summary):
        table.add_row(what, value)
    Console().print(table)
    for what, path in (("potential", summary.potential), ("active set", summary.active_set)):
        print(f"{what}: {path or 'none yet'}")
