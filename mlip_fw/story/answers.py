"""The answers that take five seconds to read: is it learning, what does it wait for, what did it cost, is it good."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from mlip_fw.story import measures
from mlip_fw.story.ledger import Ledger
from mlip_fw.story.tale import Story
from mlip_fw.story.untrained import NEW_LABELS, UntrainedError, untrained_error
from mlip_fw.story.walkers import A_WORKER, Phase, WalkerState
from mlip_fw.story.words import WORK, counted, duration, milli, percent

_CLEARLY = 1.5
_LEAST_SHARE = 0.005
_POOR = 0.3
"""A force error of more than this part of the rms force is marked as bad."""


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
        return Answer(question, "no MD yet", counted(len(generations), "generation"))
    found = measures.compared(generations)
    if found is None:
        more, is_over = f"{used[-1].md_steps:,} MD steps without a halt", story.summary.outcome == "CONVERGED"
        return Answer(question, "nothing to learn", more, "good") if is_over else Answer(question, "no halt yet", more)
    first, last = found
    before, now = measures.reach_of(first), measures.reach_of(last)
    more = f"MD steps per halt: {before:,.0f} with generation {first.number}"
    if last is first:
        return Answer(question, "too early to say", more)
    more += f", {now:,.0f}{'' if last.halts else ' (no halt)'} with generation {last.number}"
    grows = now > _CLEARLY * before
    return Answer(question, "yes" if grows else "not clearly", more, "good" if grows else "")


def waiting(story: Story) -> Answer:
    """Answer what has to happen next."""
    question, summary = "What does it wait for?", story.summary
    if summary.outcome == "CONVERGED":
        return Answer(question, "nothing", "finished: the MD has reached its end", "good")
    if summary.outcome == "STOPPED":
        return Answer(question, "nothing", f"stopped: {(summary.reason or '').replace('_', ' ')}", "bad")
    if summary.outcome == "INTERRUPTED":
        return Answer(question, "to be resumed", "interrupted; run the same command to resume", "bad")
    reasons = Counter(state.waiting_for or _at_work(state) for state in story.walkers)
    if all(state.phase is Phase.CONVERGED for state in story.walkers):
        reasons = Counter(["the validation" if story.campaign.validation.asks_for_something else A_WORKER])
    if not story.walkers:
        return Answer(question, "a worker", "nothing has started yet")
    (most, n_most), *others = reasons.most_common()
    phases = Counter(state.phase.value for state in story.walkers)
    more = ", ".join(f"{n} {phase}" for phase, n in phases.most_common())
    some = f" ({n_most} of {len(story.walkers)} walkers)" if others else ""
    return Answer(question, most + some, f"walkers by state: {more}")


def cost(story: Story) -> Answer:
    """Answer what was spent, and on what: time in which something ran, and labels to train on."""
    ledger, summary = story.ledger, story.summary
    failed = f", {summary.labels_failed} failed" if summary.labels_failed else ""
    answer = f"{counted(ledger.labels, 'label')}{failed}, {duration(ledger.run_s)} of computing"
    return Answer("What has it cost?", answer, "; ".join(_details(ledger)))


def quality(story: Story) -> Answer:
    """Answer how far the newest potential is off: on what it was not trained on, if that is known."""
    question, newest = "Is it any good?", measures.newest_trained(story.generations)
    if newest is None or newest.record.dataset is None:
        return Answer(question, "nothing trained yet", "")
    if newest.refused:
        return Answer(question, "the newest generation is refused for MD", "; ".join(newest.refused), "bad")
    trained, found = newest.record.dataset, untrained_error(story.generations, story.validation)
    if found is None:
        more = f"energy RMSE {milli(trained.energy_rmse_ev_atom, 2)} meV/atom (training set)"
        return Answer(question, f"force RMSE {milli(trained.force_rmse_ev_a)} meV/Å (training set)", more)
    return Answer(
        question,
        f"force RMSE {milli(found.force_rmse_ev_a)} meV/Å on {found.where}",
        "; ".join([*_about(found, newest.number), f"training set {milli(trained.force_rmse_ev_a)} meV/Å"]),
        "bad" if (found.relative or 0.0) > _POOR else "",
    )


def _about(found: UntrainedError, newest: int) -> Iterator[str]:
    """Give how large the error is against the forces, and which generation's it is."""
    if found.relative is not None:
        yield f"{percent(found.relative)} of the rms force"
    if found.energy_rmse_ev_atom:
        yield f"energy RMSE {milli(found.energy_rmse_ev_atom, 2)} meV/atom"
    if found.of == NEW_LABELS:
        yield f"generation {found.generation}, before training on them"
    elif found.generation != newest:
        yield f"generation {found.generation}; the newest, {newest}, is not validated"


def _details(ledger: Ledger) -> Iterator[str]:
    """Give what the time was spent on, and what else is worth knowing of it."""
    shares = {name: ledger.shares[part] * ledger.wall_s / ledger.run_s for part, name in WORK.items() if ledger.run_s}
    if told := ", ".join(f"{name} {percent(share)}" for name, share in shares.items() if share >= _LEAST_SHARE):
        yield told
    if ledger.seconds_per_label:
        yield f"{duration(ledger.seconds_per_label)} per label"
    if ledger.validation_labels:
        yield f"{counted(ledger.validation_labels, 'more label')} for the validation"
    if (hours := measures.core_hours(ledger)) and hours >= _LEAST_SHARE:
        yield f"{hours:.3g} core-hours"
    if ledger.elapsed_s:
        yield f"{duration(ledger.elapsed_s)} elapsed"


def _at_work(state: WalkerState) -> str:
    if state.phase is Phase.EXPLORE:
        return f"MD, step {state.step:,} of {state.last_step:,}"
    at_work = {Phase.SELECT: "candidates", Phase.LABEL: "labels", Phase.TRAIN: "training"}
    return at_work.get(state.phase, "other walkers")
