"""The five-second answer in a terminal: four questions, each with what its answer is seen by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from mlip_fw.cli.common import printable
from mlip_fw.cli.counts import Counts
from mlip_fw.cli.sparkline import sparkline, written
from mlip_fw.story.answers import Answer, answers
from mlip_fw.story.measures import errors_before_training, steps_to_halt, warnings_of
from mlip_fw.story.tale import Story
from mlip_fw.story.walkers import A_WORKER, Phase, WalkerState
from mlip_fw.story.words import counted

_MOST_WALKERS = 8
_BAR = 10
_COLOURS = {Phase.CONVERGED: "green", Phase.STOPPED: "red", Phase.WAITING: "dim"}
_MOODS = {"good": "bold green", "bad": "bold red", "": "bold"}


def glance(story: Story, fireworks: Counts = None, *, plain: bool = False) -> Table:
    """Return questions with their answers, and below each sparklines and walkers.

    Parameters
    ----------
    story
        A look at the campaign.
    fireworks
        Number of Fireworks by state, where a LaunchPad was asked, or in words why they are not known.
    plain
        For a terminal that takes ASCII only.
    """
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for what, answer in _rows(story, fireworks, plain=plain):
        answer.plain = written(printable(answer.plain), plain=plain)
        table.add_row(what, answer)
    return table


def _rows(story: Story, fireworks: Counts, *, plain: bool) -> Iterator[tuple[str, Text]]:
    """Give each answer and what it is seen by; of what nothing is known yet is left out."""
    learning, waiting, cost, quality = answers(story)
    yield _said(learning)
    if steps := steps_to_halt(story.generations):
        yield "  steps per halt", Text(f"{sparkline(steps, plain=plain)}  {_ends(steps, '.0f')}, by generation")
    yield _said(waiting)
    yield from _walkers(story.walkers, plain=plain)
    if fireworks is not None:
        yield "  Fireworks", counted_fireworks(fireworks)
    yield _said(cost)
    yield _said(quality)
    if errors := errors_before_training(story.generations):
        in_mev = [1000 * error for error in errors]
        ends = f"{_ends(in_mev, '.1f')} meV/Å, before training"
        yield "  error of new labels", Text(f"{sparkline(in_mev, plain=plain)}  {ends}")
    for warning in warnings_of(story.generations):
        yield "labels", Text(warning, style="yellow")
    if story.damaged:
        yield "damaged", Text("; ".join(story.damaged[:3]) + (" …" if len(story.damaged) > 3 else ""), style="red")


def as_json(story: Story, fireworks: Counts = None) -> dict[str, Any]:
    """Return the summary, and what this answer is made of, as plain values."""
    keys = ("walker", "phase", "stage", "cycle", "step", "last_step", "generation", "gamma", "since", "is_rehearsal")
    walkers = [{**{key: getattr(one, key) for key in keys}, "waiting_for": one.waiting_for} for one in story.walkers]
    ledger = story.ledger
    return {
        **story.summary.model_dump(mode="json"),
        "directory": str(story.directory.root),
        "answers": [asdict(one) for one in answers(story)],
        "walkers": walkers,
        "steps_to_halt": steps_to_halt(story.generations),
        "new_force_rmse_before_ev_a": errors_before_training(story.generations),
        "shares": ledger.shares,
        "seconds_per_label": ledger.seconds_per_label,
        "core_hours": ledger.core_hours,
        "damaged": story.damaged,
        "warnings": warnings_of(story.generations),
        **_plain(fireworks),
    }


def _plain(fireworks: Counts) -> dict[str, Any]:
    if fireworks is None:
        return {}
    return {"fireworks": None, "launchpad_error": fireworks} if isinstance(fireworks, str) else {"fireworks": fireworks}


def counted_fireworks(fireworks: Mapping[str, int] | str) -> Text:
    """Return the Fireworks by state as text, or why they are not known."""
    if isinstance(fireworks, str):
        return Text(fireworks, style="red")
    said = ", ".join(f"{number} {state}" for state, number in sorted(fireworks.items()))
    return Text(said or "none: the campaign is not on this LaunchPad")


def line(story: Story) -> str:
    """Return the answer in one line, for a log."""
    summary = story.summary
    walkers = "; ".join(f"walker {w.walker} {_phrase(w)} at step {w.step}" for w in story.walkers[:_MOST_WALKERS])
    return f"{summary.campaign} {summary.outcome}: {facts(story)}; {walkers}"


def facts(story: Story) -> str:
    """Return how much there is of what a campaign makes."""
    made = {"halt": story.summary.halts, "label": story.summary.labels, "generation": story.summary.generations}
    return ", ".join(counted(number, what) for what, number in made.items())


def _said(one: Answer) -> tuple[str, Text]:
    text = Text(str(one))
    text.stylize(_MOODS[one.mood], 0, len(one.answer))
    return one.question, text


def _walkers(walkers: list[WalkerState], *, plain: bool) -> Iterator[tuple[str, Text]]:
    shown = _shown(walkers)
    width = max(len(_phrase(walker)) for walker in shown)
    for walker in shown:
        what = f"  rehearsal {walker.walker}" if walker.is_rehearsal else f"  walker {walker.walker}"
        yield what, _walker(walker, width, plain=plain)
    if len(walkers) > _MOST_WALKERS:
        phases = Counter(walker.phase.value for walker in walkers)
        yield "  all walkers", Text(", ".join(f"{number} {phase}" for phase, number in phases.items()))


def _shown(walkers: list[WalkerState]) -> list[WalkerState]:
    """Return all walkers, or of many those that have most before them."""
    if len(walkers) <= _MOST_WALKERS:
        return walkers
    return sorted(walkers, key=lambda one: (one.phase is Phase.CONVERGED, one.step))[:_MOST_WALKERS]


def _walker(walker: WalkerState, width: int, *, plain: bool) -> Text:
    done = walker.step / walker.last_step if walker.last_step else 1.0
    filled = min(_BAR, int(done * _BAR))
    full, empty = ("#", ".") if plain else ("█", "░")
    bar = full * filled + empty * (_BAR - filled)
    gamma = "" if walker.gamma is None else f", γ {walker.gamma:.3g}"
    text = Text(f"{_phrase(walker):{width}}  {bar} step {walker.step} of {walker.last_step}{gamma}")
    text.stylize(_COLOURS.get(walker.phase, "cyan"), 0, len(walker.phase.value))
    return text


def _phrase(walker: WalkerState) -> str:
    if walker.phase is Phase.WAITING:
        return f"waiting for {walker.waiting_for}"
    waits = "waits for a worker" if walker.waiting_for == A_WORKER else walker.waiting_for
    return f"{walker.phase.value}{', ' if waits else ''}{waits}"


def _ends(values: list[float], form: str) -> str:
    first, last = format(values[0], form), format(values[-1], form)
    return last if len(values) == 1 else f"{first} → {last}"
