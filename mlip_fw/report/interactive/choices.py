"""The candidates of a halt and why each was chosen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mlip_fw.report.interactive.chart import plain

if TYPE_CHECKING:
    from mlip_fw.models.selection import Selection
    from mlip_fw.story.halts import Halt

_COLUMNS = ("label", "strategy", "largest γ in its cell", "growth of ln(volume)", "why", "state")


def candidates_table(halt: Halt) -> dict[str, Any]:
    """Return what was chosen and why, what became of it, and how many candidates were not chosen."""
    selection, states = halt.selection, dict(halt.labels)
    rows: list[list[Any]] = []
    if selection is not None:
        for c in selection.chosen:
            rows.append([c.hash, c.strategy, c.gamma_max, c.log_volume_gain, c.reason, states.get(c.hash)])
        rows += [[None, None, None, None, f"{n} not chosen: {why}", None] for why, n in _refused(selection)]
    return {"columns": list(_COLUMNS), "rows": plain(rows)}


def _refused(selection: Selection) -> Iterator[tuple[str, int]]:
    yield from selection.rejected.items()
    left = selection.n_candidates - selection.rejected.get("labelled before", 0) - len(selection.chosen)
    if left > 0:
        yield "would add little", left
