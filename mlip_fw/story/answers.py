"""The answers that take five seconds to read: is it learning, what does it wait for, what did it cost, is it good."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from mlip_fw.story import measures
from mlip_fw.story.tale import Story
from mlip_fw.story.walkers import Phase, WalkerState
from mlip_fw.story.words import PARTS, counted, duration, percent

_CLEARLY = 1.5
_LEAST_SHARE = 0.005


@dataclass(frozen=True)
class Answer:
    """A question and its answer."""

    question: str
    answer: str
    more: str
    """What the answer rests on."""
    mood: str = ""
    """``good``, ``bad`` or nothing, for its mark."""

    def __str__(self) -> str:
        return f"{self.answer}; {self.more}" if self.more else self.answer


def answers(story: Story) -> list[Answer]:
    """Return the answers for a campaign: learning, waiting, cost, quality."""
    return [learning(story), waiting(story), cost(story), quality(story)]


def now_of(story: Story) -> str:
    """Return in a word or two where a campaign is."""
    outcome = story.summary.outcome
    if outcome != "RUNNING":
        return outcome.lower()
    phases = Counter(state.phase for state in story.walkers)
    return next((p.value for p in (Phase.EXPLORE, Phase.LABEL, Phase.TRAIN, Phase.SELECT) if phases[p]), "waiting")


def learning(story: Story) -> Answer:
    """Answer whether MD comes further than it did at first."""
    question, generations = "Is it learning?", story.generations
    used = [g for g in generations if g.md_steps]
    if not used:
        return Answer(question, "no MD yet", f"{counted(len(generations), 'generation')} of the potential")
    found = measures.compared(generations)
    if found is None:
        more, is_over = f"{used[-1].md_steps:,} MD steps without a halt", story.summary.outcome == "CONVERGED"
        return Answer(question, "nothing to learn", more, "good") if is_over else Answer(question, "no halt yet", more)
    first, last = found
    before, now = measures.reach_of(first), measures.reach_of(last)
    more = f"{before:,.0f} MD steps to the halt with generation {first.number}"
    if last is first:
        return Answer(question, "too early to say", more)
    more += f", {now:,.0f} {'' if last.halts else 'without one '}with generation {last.number}"
    grows = now > _CLEARLY * before
    return Answer(question, "yes" if grows else "not clearly", more, "good" if grows else "")


def waiting(story: Story) -> Answer:
    """Answer what has to happen next."""
    question, summary = "What does it wait for?", story.summary
    if summary.outcome == "CONVERGED":
        return Answer(question, "nothing: it is done", "the MD has reached its end", "good")
    if summary.outcome == "STOPPED":
        return Answer(question, "it has stopped", (summary.reason or "").replace("_", " "), "bad")
    if summary.outcome == "INTERRUPTED":
        return Answer(question, "somebody to go on", "mlip-fw run was interrupted; the same command goes on", "bad")
    reasons = Counter(state.waiting_for or _at_work(state) for state in story.walkers)
    if not reasons:
        return Answer(question, "the first worker", "nothing has begun yet")
    (most, n_most), *others = reasons.most_common()
    phases = Counter(state.phase.value for state in story.walkers)
    more = ", ".join(f"{n} {phase}" for phase, n in phases.most_common())
    some = f" ({n_most} of {len(story.walkers)} walkers)" if others else ""
    return Answer(question, most + some, f"walkers by state: {more}")


def cost(story: Story) -> Answer:
    """Answer what was spent, and on what."""
    ledger, summary = story.ledger, story.summary
    shares = {PARTS[name]: share for name, share in ledger.shares.items() if share >= _LEAST_SHARE}
    parts = [", ".join(f"{name} {percent(share)}" for name, share in shares.items())]
    if ledger.seconds_per_label:
        parts.append(f"{duration(ledger.seconds_per_label)} a label")
    if (hours := measures.core_hours(ledger)) and hours >= _LEAST_SHARE:
        parts.append(f"{hours:.3g} core-hours")
    failed = f", {summary.labels_failed} failed" if summary.labels_failed else ""
    answer = f"{counted(summary.labels, 'label')}{failed} in {duration(ledger.wall_s)}"
    return Answer("What has it cost?", answer, "; ".join(part for part in parts if part))


def quality(story: Story) -> Answer:
    """Answer how far the newest potential is off."""
    question, newest = "Is it any good?", measures.newest_trained(story.generations)
    if newest is None or newest.record.dataset is None:
        return Answer(question, "nothing trained yet", "")
    if newest.refused:
        return Answer(question, "the newest generation is refused for MD", "; ".join(newest.refused), "bad")
    errors, before = newest.record.dataset, newest.record.new_before
    more = f"{1000 * errors.energy_rmse_ev_atom:.2f} meV/atom; generation {newest.number} on its own labels"
    if before is not None:
        more += f"; the one before was {1000 * before.force_rmse_ev_a:.3g} meV/Å off on labels new to it"
    return Answer(question, f"forces to {1000 * errors.force_rmse_ev_a:.1f} meV/Å", more)


def _at_work(state: WalkerState) -> str:
    if state.phase is Phase.EXPLORE:
        return f"MD, step {state.step:,} of {state.last_step:,}"
    at_work = {Phase.SELECT: "candidates", Phase.LABEL: "labels", Phase.TRAIN: "training"}
    return at_work.get(state.phase, "other walkers")
