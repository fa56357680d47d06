"""The answers that a campaign's page gives in five seconds: is it learning, what does it wait for, cost, quality."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from mlip_fw.report.words import duration
from mlip_fw.story.generations import Generation
from mlip_fw.story.tale import Story
from mlip_fw.story.walkers import Phase, WalkerState

_CLEARLY = 1.5


@dataclass(frozen=True)
class Answer:
    """A question and its answer."""

    question: str
    answer: str
    more: str
    """What the answer rests on."""
    mood: str = ""
    """``good``, ``bad`` or nothing, for its mark."""


def answers(story: Story) -> list[Answer]:
    """Return the answers for a campaign."""
    return [_learning(story), _waiting(story), _cost(story), _quality(story)]


def now_of(story: Story) -> str:
    """Return in a word or two where a campaign is."""
    outcome = story.summary.outcome
    if outcome != "RUNNING":
        return outcome.lower()
    phases = Counter(state.phase for state in story.walkers)
    return next((p.value for p in (Phase.EXPLORE, Phase.LABEL, Phase.TRAIN, Phase.SELECT) if phases[p]), "waiting")


def _learning(story: Story) -> Answer:
    question = "Is it learning?"
    halting = [g for g in story.generations if g.steps_to_halt is not None]
    newest = _newest_used(story.generations)
    if newest is None:
        return Answer(question, "no MD yet", f"{len(story.generations)} generations of the potential")
    first = halting[0].steps_to_halt if halting else None
    last = newest.steps_to_halt or float(newest.md_steps)
    if first is None:
        return Answer(question, "nothing to learn", f"{newest.md_steps:,} MD steps without a halt", "good")
    more = f"{first:,.0f} MD steps to the halt with generation {halting[0].number}, "
    more += f"{last:,.0f} {'' if newest.halts else 'without one '}with generation {newest.number}"
    if newest is halting[0]:
        return Answer(question, "too early to say", more)
    grows = last > _CLEARLY * first
    return Answer(question, "yes" if grows else "not clearly", more, "good" if grows else "")


def _newest_used(generations: list[Generation]) -> Generation | None:
    return next((g for g in reversed(generations) if g.md_steps), None)


def _waiting(story: Story) -> Answer:
    question, summary = "What does it wait for?", story.summary
    if summary.outcome == "CONVERGED":
        return Answer(question, "nothing: it is done", "the MD has reached its end", "good")
    if summary.outcome == "STOPPED":
        return Answer(question, "it has stopped", (summary.reason or "").replace("_", " "), "bad")
    if summary.outcome == "INTERRUPTED":
        return Answer(question, "somebody to go on", "mlip-fw run was interrupted; the same command goes on", "bad")
    waiting = Counter(state.waiting_for or _at_work(state) for state in story.walkers)
    if not waiting:
        return Answer(question, "the first worker", "nothing has begun yet")
    (most, n_most), *others = waiting.most_common()
    phases = Counter(state.phase.value for state in story.walkers)
    more = ", ".join(f"{n} {phase}" for phase, n in phases.most_common())
    some = f" ({n_most} of {len(story.walkers)} walkers)" if others else ""
    return Answer(question, most + some, f"walkers by state: {more}")


def _at_work(state: WalkerState) -> str:
    if state.phase is Phase.EXPLORE:
        return f"MD, step {state.step:,} of {state.last_step:,}"
    at_work = {Phase.SELECT: "candidates", Phase.LABEL: "labels", Phase.TRAIN: "training"}
    return at_work.get(state.phase, "other walkers")


def _cost(story: Story) -> Answer:
    ledger, summary = story.ledger, story.summary
    known = [hours for hours in ledger.core_hours.values() if hours is not None]
    parts = [
        f"labels {duration(ledger.label_s)}",
        f"MD {duration(ledger.md_s)}",
        f"training {duration(ledger.train_s)}",
    ]
    if known:
        parts.append(f"{sum(known):.2f} core-hours")
    failed = f", {summary.labels_failed} failed" if summary.labels_failed else ""
    answer = f"{summary.labels} {'label' if summary.labels == 1 else 'labels'}{failed} in {duration(ledger.wall_s)}"
    return Answer("What has it cost?", answer, ", ".join(parts))


def _quality(story: Story) -> Answer:
    question = "Is it any good?"
    trained = [g for g in story.generations if g.record.dataset is not None]
    if not trained:
        return Answer(question, "nothing trained yet", "")
    newest = trained[-1]
    errors, before = newest.record.dataset, newest.record.new_before
    assert errors is not None
    more = f"{1000 * errors.energy_rmse_ev_atom:.2f} meV/atom; generation {newest.number} on its own labels"
    if before is not None:
        more += f"; the one before was {1000 * before.force_rmse_ev_a:.3g} meV/Å off on labels new to it"
    if newest.refused:
        return Answer(question, "the newest generation is refused for MD", "; ".join(newest.refused), "bad")
    return Answer(question, f"forces to {1000 * errors.force_rmse_ev_a:.1f} meV/Å", more)
