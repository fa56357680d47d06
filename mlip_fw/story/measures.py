"""Few numbers that say how a campaign does: how far MD comes, how wrong the potential was, what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mlip_fw.story.generations import Generation
from mlip_fw.story.ledger import Ledger


def steps_to_halt(generations: Iterable[Generation]) -> list[float]:
    """Return MD steps for each halt, of the generations that halted."""
    return [g.steps_to_halt for g in generations if g.steps_to_halt is not None]


def reach(generations: Iterable[Generation]) -> list[float]:
    """Return MD steps for each halt, or as many as were run without one, of the generations that MD has used."""
    return [reach_of(g) for g in generations if g.md_steps]


def reach_of(generation: Generation) -> float:
    """Return MD steps for each halt of a generation, or as many as it has run without one."""
    return generation.steps_to_halt or float(generation.md_steps)


def compared(generations: Sequence[Generation]) -> tuple[Generation, Generation] | None:
    """Return the two generations whose reach says whether a campaign learns; None before any has halted.

    These are the first that halted, and the newest of which there is something to say: one that has run without a halt
    counts when it has come further than the one before.
    """
    halted = [g for g in generations if g.halts]
    if not halted:
        return None
    newest = next((g for g in reversed(generations) if g.md_steps), halted[-1])
    return halted[0], newest if reach_of(newest) > reach_of(halted[-1]) else halted[-1]


def errors_before_training(generations: Iterable[Generation]) -> list[float]:
    """Return the root mean square errors of forces on labels before they were trained on, by generation, eV/Å."""
    return [g.record.new_before.force_rmse_ev_a for g in generations if g.record.new_before is not None]


def newest_trained(generations: Sequence[Generation]) -> Generation | None:
    """Return the newest generation whose errors on its labels are known."""
    return next((g for g in reversed(generations) if g.record.dataset is not None), None)


def warnings_of(generations: Sequence[Generation]) -> list[str]:
    """Return what the newest trained generation says is odd about its labels."""
    newest = newest_trained(generations)
    return list(newest.record.warnings) if newest is not None else []


def force_error(generations: Sequence[Generation]) -> float | None:
    """Return the root mean square error of forces of the newest generation on its labels, eV/Å."""
    newest = newest_trained(generations)
    return newest.record.dataset.force_rmse_ev_a if newest is not None and newest.record.dataset is not None else None


def core_hours(ledger: Ledger) -> float | None:
    """Return the core-hours of all parts; None unless the cores of every piece of work were recorded."""
    known = [hours for hours in ledger.core_hours.values() if hours is not None]
    return sum(known) if len(known) == len(ledger.core_hours) else None
