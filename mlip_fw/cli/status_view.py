"""The status of a campaign in the terminal, as a table, as one line for a log, and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from mlip_fw.cli.common import printable
from mlip_fw.cli.firework_counts import Counts
from mlip_fw.cli.sparkline import encodable, sparkline
from mlip_fw.views.analysis.campaign_analysis import CampaignAnalysis
from mlip_fw.views.analysis.metrics import errors_before_training, steps_to_halt, warnings_of
from mlip_fw.views.analysis.status import StatusAnswer, status_answers
from mlip_fw.views.analysis.text import counted
from mlip_fw.views.analysis.walkers import A_WORKER, Phase, WalkerState

_MAX_WALKERS = 8
_BAR_WIDTH = 10
_COLOURS = {Phase.CONVERGED: "green", Phase.STOPPED: "red", Phase.WAITING: "dim"}
_ANSWER_STYLES = {"good": "bold green", "bad": "bold red", "": "bold"}


def status_table(analysis: CampaignAnalysis, fireworks: Counts = None, *, plain: bool = False) -> Table:
    """Return five questions with their answers, each followed by sparklines or walkers.

    Parameters
    ----------
    analysis
        Of the campaign.
    fireworks
        Number of Fireworks by state; in words why it is not known; None where no LaunchPad was asked.
    plain
        For a terminal that takes ASCII only.
    """
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for what, answer in _rows(analysis, fireworks, plain=plain):
        answer.plain = encodable(printable(answer.plain), plain=plain)
        table.add_row(what, answer)
    return table


def _rows(analysis: CampaignAnalysis, fireworks: Counts, *, plain: bool) -> Iterator[tuple[str, Text]]:
    """Yield the rows: each answer, then the numbers behind it as far as they are known."""
    error, learning, waiting, cost, quality = status_answers(analysis)
    yield _answer_row(error)
    yield _answer_row(learning)
    if steps := steps_to_halt(analysis.generations):
        yield "  steps per halt", Text(f"{sparkline(steps, plain=plain)}  {_ends(steps, '.0f')}, by generation")
    yield _answer_row(waiting)
    yield from _walkers(analysis.walkers, plain=plain)
    if fireworks is not None:
        yield "  Fireworks", counted_fireworks(fireworks)
    yield _answer_row(cost)
    yield _answer_row(quality)
    if errors := errors_before_training(analysis.generations):
        in_mev = [1000 * error for error in errors]
        ends = f"{_ends(in_mev, '.1f')} meV/Å, before training"
        yield "  error of new labels", Text(f"{sparkline(in_mev, plain=plain)}  {ends}")
    for warning in warnings_of(analysis.generations):
        yield "labels", Text(warning, style="yellow")
    for note in analysis.chemistry:
        yield "chemistry", Text(note, style="yellow")
    if analysis.damaged:
        yield (
            "damaged",
            Text("; ".join(analysis.damaged[:3]) + (" …" if len(analysis.damaged) > 3 else ""), style="red"),
        )


def status_json(analysis: CampaignAnalysis, fireworks: Counts = None) -> dict[str, Any]:
    """Return the summary and the numbers behind the status as plain values."""
    keys = ("walker", "phase", "stage", "cycle", "step", "last_step", "generation", "gamma", "since", "is_rehearsal")
    walkers = [{**{key: getattr(one, key) for key in keys}, "waiting_for": one.waiting_for} for one in analysis.walkers]
    costs = analysis.costs
    return {
        **analysis.summary.model_dump(mode="json"),
        "directory": str(analysis.directory.root),
        "answers": [asdict(one) for one in status_answers(analysis)],
        "walkers": walkers,
        "steps_to_halt": steps_to_halt(analysis.generations),
        "new_force_rmse_before_ev_a": errors_before_training(analysis.generations),
        "shares": costs.shares,
        "seconds_per_label": costs.seconds_per_label,
        "core_hours": costs.core_hours,
        "damaged": analysis.damaged,
        "warnings": warnings_of(analysis.generations),
        "chemistry": analysis.chemistry,
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
    text = ", ".join(f"{number} {state}" for state, number in sorted(fireworks.items()))
    return Text(text or "none: the campaign is not on this LaunchPad")


def status_line(analysis: CampaignAnalysis) -> str:
    """Return the status in one line, for a log."""
    summary = analysis.summary
    walkers = "; ".join(f"walker {w.walker} {_phrase(w)} at step {w.step}" for w in analysis.walkers[:_MAX_WALKERS])
    return f"{summary.campaign} {summary.outcome}: {progress_counts(analysis)}; {walkers}"


def progress_counts(analysis: CampaignAnalysis) -> str:
    """Return the numbers of halts, labels and generations as text."""
    made = {
        "halt": analysis.summary.halts,
        "label": analysis.summary.labels,
        "generation": analysis.summary.generations,
    }
    return ", ".join(counted(number, what) for what, number in made.items())


def _answer_row(one: StatusAnswer) -> tuple[str, Text]:
    text = Text(str(one))
    text.stylize(_ANSWER_STYLES[one.mood], 0, len(one.answer))
    return one.question, text


def _walkers(walkers: list[WalkerState], *, plain: bool) -> Iterator[tuple[str, Text]]:
    shown = _shown(walkers)
    width = max(len(_phrase(walker)) for walker in shown)
    for walker in shown:
        what = f"  rehearsal {walker.walker}" if walker.is_rehearsal else f"  walker {walker.walker}"
        yield what, _walker(walker, width, plain=plain)
    if len(walkers) > _MAX_WALKERS:
        phases = Counter(walker.phase.value for walker in walkers)
        yield "  all walkers", Text(", ".join(f"{number} {phase}" for phase, number in phases.items()))


def _shown(walkers: list[WalkerState]) -> list[WalkerState]:
    """Return all walkers, or of many those that are furthest from their end."""
    if len(walkers) <= _MAX_WALKERS:
        return walkers
    return sorted(walkers, key=lambda one: (one.phase is Phase.CONVERGED, one.step))[:_MAX_WALKERS]


def _walker(walker: WalkerState, width: int, *, plain: bool) -> Text:
    done = walker.step / walker.last_step if walker.last_step else 1.0
    filled = min(_BAR_WIDTH, int(done * _BAR_WIDTH))
    full, empty = ("#", ".") if plain else ("█", "░")
    bar = full * filled + empty * (_BAR_WIDTH - filled)
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
