"""Two-column tables of ``check`` and ``doctor``: names and what was found."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlip_fw.cli.common import printable
from mlip_fw.io.labelled.audit import sentences
from mlip_fw.models.dataset import DatasetAudit

_MAX_NOTES = 12


def print_facts(title: str, rows: list[tuple[str, str, bool]]) -> None:
    """Print rows of name, text and whether it is as it should be; what isn't is red."""
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for what, found, ok in rows:
        table.add_row(what, Text(printable(found), style="" if ok else "red"))
    Console(emoji=False).print(table)


def print_audit(audit: DatasetAudit) -> None:
    """Print what was read from a dataset, to show whether it was understood as it was meant."""
    table = Table(title="bootstrap.dataset, as it was understood", show_header=False, title_justify="left")
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for what, found in _rows(audit):
        table.add_row(what, Text(printable(found)))
    notes = sentences(audit)
    for k, sentence in enumerate(notes[:_MAX_NOTES]):
        table.add_row("notes" if not k else "", Text(printable(sentence), style="yellow"))
    if len(notes) > _MAX_NOTES:
        table.add_row("", Text(f"and {len(notes) - _MAX_NOTES} more; --json has all"))
    Console().print(table)


def _rows(audit: DatasetAudit) -> Iterator[tuple[str, str]]:
    yield "file", f"{audit.file} ({audit.format})"
    yield "labels", f"{audit.labels} from {audit.frames} structures"
    yield "elements", ", ".join(f"{symbol} ({number} atoms)" for symbol, number in audit.elements.items())
    yield "energy", _from(audit.energy_from)
    if audit.energy_range_ev_atom is not None:
        low, high = audit.energy_range_ev_atom
        yield "", f"{low:.4f} to {high:.4f} eV/atom"
    yield "forces", _from(audit.forces_from)
    yield "", f"up to {audit.largest_force_ev_a:.3f} eV/Å"
    yield "stress", f"{_from(audit.stress_from) or 'none'}; {audit.with_stress} labels have one"
    if audit.largest_stress_gpa is not None:
        yield "", f"up to {audit.largest_stress_gpa:.3f} GPa"
    yield "free atoms", _free(audit)
    pairs = ", ".join(f"{pair} {distance:.3f} Å" for pair, distance in audit.closest_pairs_a.items())
    yield "closest pairs", pairs or "none within the cutoff"
    if audit.fixed_atoms or audit.forces_unknown:
        yield "fixed atoms", f"{audit.fixed_atoms}; forces of {audit.forces_unknown} atoms not trained on"
    if audit.masked_atoms:
        yield "masked atoms", f"{audit.masked_atoms}, of cut-outs"


def _from(names: dict[str, int]) -> str:
    return "" if not names else f"from {', '.join(f'{name} ({number} structures)' for name, number in names.items())}"


def _free(audit: DatasetAudit) -> str:
    if not audit.free_atoms:
        return "none"
    energies = ", ".join(f"{symbol} {energy:.4f} eV" for symbol, energy in audit.free_atoms_ev.items())
    return f"{audit.free_atoms}{f': {energies}' if energies else ''}"
