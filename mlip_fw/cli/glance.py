"""The five-second answer: where the walkers are, whether the potential learns, what that cost, how good it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from mlip_fw.cli.common import printable
from mlip_fw.cli.sparkline import sparkline, written
from mlip_fw.story.tale import Story
from mlip_fw.story.walkers import A_WORKER, Phase, WalkerState

_MOST_WALKERS = 8
_BAR = 10
_NAMES = {"md": "MD", "candidates": "candidates", "label": "labels", "train": "training", "waiting": "waiting"}
_COLOURS = {Phase.CONVERGED: "green", Phase.STOPPED: "red", Phase.WAITING: "dim"}
_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))


def glance(story: Story, fireworks: Mapping[str, int] | None = None, *, plain: bool = False) -> Table:
    """Return the answer as rows of (question, answer).

    Parameters
    ----------
    story
        A look at the campaign.
    fireworks
        Number of Fireworks by state, where a LaunchPad was asked.
    plain
        For a terminal that takes ASCII only.
    """
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for what, answer in answers(story, fireworks, plain=plain):
        answer.plain = written(printable(answer.plain), plain=plain)
        table.add_row(what, answer)
    return table


def answers(
    story: Story, fireworks: Mapping[str, int] | None = None, *, plain: bool = False
) -> Iterator[tuple[str, Text]]:
    """Give questions and answers; those to which nothing is known yet are left out."""
    shown = _shown(story.walkers)
    width = max(len(_phrase(walker)) for walker in shown)
    for walker in shown:
        what = f"rehearsal {walker.walker}" if walker.is_rehearsal else f"walker {walker.walker}"
        yield what, _walker(walker, width, plain=plain)
    if len(story.walkers) > _MOST_WALKERS:
        phases = Counter(walker.phase.value for walker in story.walkers)
        yield "all walkers", Text(", ".join(f"{number} {phase}" for phase, number in phases.items()))
    if steps := steps_to_halt(story):
        yield "steps per halt", Text(f"{sparkline(steps, plain=plain)}  {_ends(steps, '.0f')}, by generation")
    if errors := new_errors(story):
        in_mev = [1000 * error for error in errors]
        yield (
            "error of new labels",
            Text(f"{sparkline(in_mev, plain=plain)}  {_ends(in_mev, '.1f')} meV/Å, before training"),
        )
    if story.ledger.wall_s:
        yield "time", Text(_cost(story))
    if fireworks:
        yield "Fireworks", Text(", ".join(f"{number} {state}" for state, number in sorted(fireworks.items())))
    if story.damaged:
        yield "damaged", Text("; ".join(story.damaged[:3]) + (" …" if len(story.damaged) > 3 else ""), style="red")


def steps_to_halt(story: Story) -> list[float]:
    """Return MD steps for each halt, of the generations that halted."""
    return [g.steps_to_halt for g in story.generations if g.steps_to_halt is not None]


def new_errors(story: Story) -> list[float]:
    """Return the root mean square errors of forces on labels before they were trained on, by generation, eV/Å."""
    records = (generation.record for generation in story.generations)
    return [record.new_before.force_rmse_ev_a for record in records if record.new_before is not None]


def as_json(story: Story, fireworks: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Return the summary, and what this answer is made of, as plain values."""
    keys = ("walker", "phase", "stage", "cycle", "step", "last_step", "generation", "gamma", "since", "is_rehearsal")
    walkers = [{**{key: getattr(one, key) for key in keys}, "waiting_for": one.waiting_for} for one in story.walkers]
    ledger = story.ledger
    return {
        **story.summary.model_dump(mode="json"),
        "walkers": walkers,
        "steps_to_halt": steps_to_halt(story),
        "new_force_rmse_before_ev_a": new_errors(story),
        "shares": ledger.shares,
        "seconds_per_label": ledger.seconds_per_label,
        "core_hours": ledger.core_hours,
        "damaged": story.damaged,
        **({"fireworks": dict(fireworks)} if fireworks is not None else {}),
    }


def line(story: Story) -> str:
    """Return the answer in one line, for a log."""
    summary = story.summary
    walkers = "; ".join(f"walker {w.walker} {_phrase(w)} at step {w.step}" for w in story.walkers[:_MOST_WALKERS])
    facts = f"{summary.halts} halts, {summary.labels} labels, {summary.generations} generations"
    return f"{summary.campaign} {summary.outcome}: {facts}; {walkers}"


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


def _cost(story: Story) -> str:
    ledger = story.ledger
    shares = [f"{_NAMES[name]} {100 * share:.0f} %" for name, share in ledger.shares.items() if share >= 0.005]
    per_label = f"; {_duration(ledger.seconds_per_label)} a label" if ledger.seconds_per_label else ""
    hours = [value for value in ledger.core_hours.values() if value is not None]
    cores = f"; {sum(hours):.3g} core-hours" if len(hours) == len(ledger.core_hours) else ""
    return f"{_duration(ledger.wall_s)}: {', '.join(shares)}{per_label}{cores}"


def _duration(seconds: float) -> str:
    for length, name in _UNITS:
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {name}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
