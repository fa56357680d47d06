"""The status of a campaign as questions with short answers: error, learning, waiting, cost, quality."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from mlip_fw.models.accuracy import error_in_words
from mlip_fw.views.analysis import metrics
from mlip_fw.views.analysis.campaign_analysis import CampaignAnalysis
from mlip_fw.views.analysis.costs import Costs
from mlip_fw.views.analysis.metrics import NEW_LABELS, UntrainedError, untrained_error
from mlip_fw.views.analysis.text import WORK, counted, duration, milli, percent
from mlip_fw.views.analysis.walkers import A_WORKER, Phase, WalkerState

_CLEAR_GROWTH = 1.5
"""MD steps per halt must grow by this factor for a clear yes to learning."""
_MIN_SHARE = 0.005
"""Smaller shares of the time, and fewer core-hours, are not mentioned."""
_POOR = 0.3
"""A force error above this fraction of the rms force is marked as bad."""


@dataclass(frozen=True)
class StatusAnswer:
    """One question about a campaign and its answer."""

    question: str
    answer: str
    more: str
    """The numbers behind the answer."""
    mood: str = ""
    """``good``, ``bad`` or nothing: how it is coloured."""

    def __str__(self) -> str:
        return f"{self.answer}; {self.more}" if self.more else self.answer


def status_answers(analysis: CampaignAnalysis) -> list[StatusAnswer]:
    """Return the five answers for a campaign: error, learning, waiting, cost, quality."""
    return [error_size(analysis), learning(analysis), waiting(analysis), cost(analysis), quality(analysis)]


def current_state(analysis: CampaignAnalysis) -> str:
    """Return the state of a campaign in one word, as ``explore`` or ``converged``."""
    outcome = analysis.summary.outcome
    if outcome != "RUNNING":
        return outcome.lower()
    phases = Counter(state.phase for state in analysis.walkers)
    return next((p.value for p in (Phase.EXPLORE, Phase.LABEL, Phase.TRAIN, Phase.SELECT) if phases[p]), "waiting")


def error_size(analysis: CampaignAnalysis) -> StatusAnswer:
    """Answer how large the force error is, and whether it is small enough."""
    error = analysis.summary.error
    answer, _, more = error_in_words(error).partition("; ")
    return StatusAnswer("How large is the error?", answer, more, {True: "good", False: "bad", None: ""}[error.met])


def learning(analysis: CampaignAnalysis) -> StatusAnswer:
    """Answer whether MD runs longer between halts than with the first generation."""
    question, generations = "Is it learning?", analysis.generations
    used = [g for g in generations if g.md_steps]
    if not used:
        return StatusAnswer(question, "no MD yet", counted(len(generations), "generation"))
    found = metrics.compared(generations)
    if found is None:
        more, is_over = f"{used[-1].md_steps:,} MD steps without a halt", analysis.summary.outcome == "CONVERGED"
        return (
            StatusAnswer(question, "nothing to learn", more, "good")
            if is_over
            else StatusAnswer(question, "no halt yet", more)
        )
    first, last = found
    before, now = metrics.reach_of(first), metrics.reach_of(last)
    more = f"MD steps per halt: {before:,.0f} with generation {first.number}"
    if last is first:
        return StatusAnswer(question, "too early to say", more)
    more += f", {now:,.0f}{'' if last.halts else ' (no halt)'} with generation {last.number}"
    grows = now > _CLEAR_GROWTH * before
    return StatusAnswer(question, "yes" if grows else "not clearly", more, "good" if grows else "")


def waiting(analysis: CampaignAnalysis) -> StatusAnswer:
    """Answer what has to happen next."""
    question, summary = "What does it wait for?", analysis.summary
    if summary.outcome == "CONVERGED":
        return StatusAnswer(question, "nothing", "finished: the MD has reached its end", "good")
    if summary.outcome == "STOPPED":
        return StatusAnswer(question, "nothing", f"stopped: {(summary.reason or '').replace('_', ' ')}", "bad")
    if summary.outcome == "INTERRUPTED":
        return StatusAnswer(question, "to be resumed", "interrupted; run the same command to resume", "bad")
    reasons = Counter(state.waiting_for or _at_work(state) for state in analysis.walkers)
    if all(state.phase is Phase.CONVERGED for state in analysis.walkers):
        validates = analysis.campaign.validation.asks_for_something
        reasons = Counter(["the audit" if _is_audited_next(analysis) else "the validation" if validates else A_WORKER])
    if not analysis.walkers:
        return StatusAnswer(question, "a worker", "nothing has started yet")
    (reason, n_waiting), *others = reasons.most_common()
    phases = Counter(state.phase.value for state in analysis.walkers)
    more = ", ".join(f"{n} {phase}" for phase, n in phases.most_common())
    share = f" ({n_waiting} of {len(analysis.walkers)} walkers)" if others else ""
    return StatusAnswer(question, reason + share, f"walkers by state: {more}")


def _is_audited_next(analysis: CampaignAnalysis) -> bool:
    return analysis.campaign.is_audited and analysis.summary.error.audit_force_rmse_ev_a is None


def cost(analysis: CampaignAnalysis) -> StatusAnswer:
    """Answer what was spent on labels, and how much computing time on what."""
    costs, summary = analysis.costs, analysis.summary
    failed = f", {summary.labels_failed} failed" if summary.labels_failed else ""
    answer = f"{counted(costs.labels, 'label')}{failed}, {duration(costs.run_s)} of computing"
    return StatusAnswer("What has it cost?", answer, "; ".join(_details(costs)))


def quality(analysis: CampaignAnalysis) -> StatusAnswer:
    """Answer how large the errors of the newest potential are, on structures that it was not trained on if known."""
    question, newest = "Is it any good?", metrics.newest_trained(analysis.generations)
    if newest is None or newest.record.dataset is None:
        return StatusAnswer(question, "nothing trained yet", "")
    if newest.refused:
        return StatusAnswer(question, "the newest generation is refused for MD", "; ".join(newest.refused), "bad")
    trained, found = newest.record.dataset, untrained_error(analysis.generations, analysis.validation)
    if found is None:
        more = f"energy RMSE {milli(trained.energy_rmse_ev_atom, 2)} meV/atom (training set)"
        return StatusAnswer(question, f"force RMSE {milli(trained.force_rmse_ev_a)} meV/Å (training set)", more)
    return StatusAnswer(
        question,
        f"force RMSE {milli(found.force_rmse_ev_a)} meV/Å on {found.where}",
        "; ".join([*_about(found, newest.number), f"training set {milli(trained.force_rmse_ev_a)} meV/Å"]),
        "bad" if (found.relative or 0.0) > _POOR else "",
    )


def _about(found: UntrainedError, newest: int) -> Iterator[str]:
    """Yield the relative force error, the energy error, and to which generation they belong."""
    if found.relative is not None:
        yield f"{percent(found.relative)} of the rms force"
    if found.energy_rmse_ev_atom:
        yield f"energy RMSE {milli(found.energy_rmse_ev_atom, 2)} meV/atom"
    if found.of == NEW_LABELS:
        yield f"generation {found.generation}, before training on them"
    elif found.generation != newest:
        yield f"generation {found.generation}; the newest, {newest}, is not validated"


def _details(costs: Costs) -> Iterator[str]:
    """Yield the largest shares of the time, and time and core-hours per label."""
    shares = {name: costs.shares[part] * costs.wall_s / costs.run_s for part, name in WORK.items() if costs.run_s}
    if shares_text := ", ".join(f"{name} {percent(share)}" for name, share in shares.items() if share >= _MIN_SHARE):
        yield shares_text
    if costs.seconds_per_label:
        yield f"{duration(costs.seconds_per_label)} per label"
    if costs.validation_labels:
        yield f"{counted(costs.validation_labels, 'more label')} for the validation"
    if (hours := metrics.core_hours(costs)) and hours >= _MIN_SHARE:
        yield f"{hours:.3g} core-hours"
    if costs.elapsed_s:
        yield f"{duration(costs.elapsed_s)} elapsed"


def _at_work(state: WalkerState) -> str:
    if state.phase is Phase.EXPLORE:
        return f"MD, step {state.step:,} of {state.last_step:,}"
    at_work = {Phase.SELECT: "candidates", Phase.LABEL: "labels", Phase.TRAIN: "training"}
    return at_work.get(state.phase, "other walkers")
