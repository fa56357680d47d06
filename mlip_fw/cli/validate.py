"""``validate``: compare a potential with its oracle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mlip_fw.cli.app import CAMPAIGNS, app
from mlip_fw.cli.common import add_to_launchpad, find_campaign, load_fworker, log_to_stderr
from mlip_fw.cli.fireworks_import import import_fireworks
from mlip_fw.cli.progress import working
from mlip_fw.errors import DirectoryError
from mlip_fw.plugins import PROPERTIES
from mlip_fw.runtime.stdout import claim_stdout

if TYPE_CHECKING:
    from mlip_fw.models.validation import TemperatureErrors, ValidationReport

_WHICH = typer.Argument(None, help="campaign directory; default: the one in this folder", metavar="[CAMPAIGN]")


def _known(properties: list[str] | None) -> list[str] | None:
    """Refuse a property that is not installed."""
    if unknown := [name for name in properties or [] if name not in PROPERTIES.names()]:
        raise typer.BadParameter(f"{unknown[0]!r} is not a property; {PROPERTIES.hint(unknown[0])}")
    return properties


@app.command(rich_help_panel=CAMPAIGNS)
def validate(
    campaign: str | None = _WHICH,
    frames: int | None = typer.Option(
        None, "--frames", min=0, max=10_000, metavar="N", help="number of held-out frames to label"
    ),
    properties: list[str] | None = typer.Option(
        None,
        "--property",
        metavar="NAME",
        callback=_known,
        help="equation_of_state, elastic, phonons, vacancy, surface, rdf or one of a plug-in (may be repeated)",
    ),
    retry: bool = typer.Option(False, "--retry", help="retry labels that failed in an earlier validation"),
    fworker: Path | None = typer.Option(None, "--fworker", "-w", help="my_fworker.yaml"),
    to_launchpad: bool = typer.Option(
        False, "--add", help="add the validation to the LaunchPad instead of running it here"
    ),
    launchpad: Path | None = typer.Option(None, "--launchpad", "-l", help="my_launchpad.yaml"),
    as_json: bool = typer.Option(False, "--json", help="print the report as JSON on standard output"),
) -> None:
    """Compare the newest potential with its oracle on held-out frames and for properties of the crystal.

    Without options, runs what the campaign's `validation` section asks for, or else 10 frames, equation of state,
    elastic constants and phonons.
    """
    log_to_stderr()
    answer = claim_stdout() if as_json else None
    import_fireworks()
    from mlip_fw.firetasks.base import read_worker
    from mlip_fw.launcher.runner import interruptible
    from mlip_fw.launcher.validate import (
        release_failed_labels,
        validate_locally,
        validation_handoff,
        validation_workflow,
    )
    from mlip_fw.validation.diagnosis import last_report

    directory = find_campaign(campaign)
    handoff = validation_handoff(directory, frames, properties)
    if retry:
        release_failed_labels(directory)
    if to_launchpad and handoff.campaign.files == "filepad":
        raise DirectoryError(
            f"the files of {directory.root} are on the LaunchPad (files: filepad): validate here, without --add"
        )
    if to_launchpad:
        (number,) = add_to_launchpad(validation_workflow(handoff), launchpad)
        typer.echo(f"added the validation of {handoff.campaign.campaign} as Firework {number}")
        return
    with interruptible(directory.root), working("comparing with the oracle") as tell:
        for done, needed in validate_locally(handoff, read_worker(load_fworker(fworker).env)):
            tell("labels", done=done, total=needed)
    report = last_report(directory)
    assert report is not None
    if as_json:
        typer.echo(report.model_dump_json(), file=answer)
    else:
        _print(report)
        typer.echo(f"report and figures: {directory.validation}")


def _range_k(part: TemperatureErrors) -> str:
    first, last = f"{part.from_k:.0f}", f"{part.to_k:.0f}"
    return f"{first} K" if first == last else f"{first} to {last} K"


def _print(report: ValidationReport) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(emoji=False)
    if report.holdout is not None:
        table = Table(
            "held-out frames,\nmeasured temperature",
            "frames",
            "force RMSE (meV/Å)",
            "energy RMSE (meV/atom)",
            "stress RMSE (GPa)",
            title_justify="left",
        )
        for name, part in [("all", report.holdout), *((_range_k(part), part) for part in report.by_temperature)]:
            stress = "-" if part.stress_rmse_gpa is None else f"{part.stress_rmse_gpa:.3f}"
            energy = f"{1000 * part.energy_rmse_ev_atom:.3f}"
            table.add_row(name, str(part.n_frames), f"{1000 * part.force_rmse_ev_a:.2f}", energy, stress)
        for element, rmse_ev_a in report.by_element.items() if len(report.by_element) > 1 else ():
            table.add_row(element, "", f"{1000 * rmse_ev_a:.2f}", "", "")
        console.print(table)
    if report.calibration is not None:
        table = Table("γ of the atom", "atoms", "force RMSE (meV/Å)", "within training error")
        for held in report.calibration.bins:
            upper = "and more" if held.to_gamma is None else f"to {held.to_gamma:g}"
            error, covered = f"{1000 * held.force_rmse_ev_a:.2f}", f"{100 * held.covered:.0f} %"
            table.add_row(f"{held.from_gamma:g} {upper}", str(held.n_atoms), error, covered)
        console.print(table)
    if report.quantities:
        table = Table("property", "unit", "potential", "oracle", "difference", "γ")
        for q in report.quantities:
            difference = "-" if q.difference_percent is None else f"{q.difference_percent:+.2f} %"
            table.add_row(
                q.name,
                q.unit,
                f"{q.potential:.5g}",
                f"{q.oracle:.5g}",
                difference,
                f"{report.gamma_max[q.property]:.2g}",
            )
        console.print(table)
    for what, why in report.unmeasured.items():
        console.print(f"not compared: {what}: {why}", highlight=False, markup=False)
