"""``rlaunch``: a worker of a cluster."""

from __future__ import annotations

import typer

from mlip_fw.cli.app import CLUSTER, app
from mlip_fw.cli.common import log_to_stderr
from mlip_fw.cli.fireworks_import import import_fireworks

_AS_FIREWORKS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command(context_settings=_AS_FIREWORKS, rich_help_panel=CLUSTER)
def rlaunch(context: typer.Context) -> None:
    """Run Fireworks as FireWorks' own rlaunch does (same arguments), but end cleanly on signals."""
    log_to_stderr()
    import_fireworks()
    from mlip_fw.launcher.rlaunch import run_rlaunch

    raise typer.Exit(run_rlaunch(context.args))
