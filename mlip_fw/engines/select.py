"""D-optimal choice: which candidates add most to what the active set spans."""

from __future__ import annotations

from mlip_fw.engines.candidates.generate import Candidate
from mlip_fw.engines.maxvol import ActiveSet, exchange
from mlip_fw.models.selection import Choice

ActiveSets = dict[str, ActiveSet]


def gamma_max(active: ActiveSets, candidate: Candidate) -> float:
    """Return the largest extrapolation grade of a candidate's atoms."""
    return max(float(active[e].gamma(rows).max(initial=0.0)) for e, rows in candidate.projections.items())


def absorb(active: ActiveSets, candidate: Candidate) -> tuple[ActiveSets, float]:
    """Return the active sets with the candidate's atoms taken in, and the growth of ln(volume)."""
    grown, gain = {}, 0.0
    for element, rows in candidate.projections.items():
        outcome = exchange(active[element], rows)
        grown[element] = outcome.active
        gain += outcome.log_gain
    return {**active, **grown}, gain


def choose(
    candidates: list[Candidate], names: list[str], active: ActiveSets, *, limit: int, gamma_worth: float
) -> list[tuple[int, Choice]]:
    """Return the indices of the chosen candidates, with the reasons.

    Parameters
    ----------
    candidates, names
        Candidates and the hashes that their labels would have.
    active
        The active sets of the current potential.
    limit
        The most candidates to choose.
    gamma_worth
        A further candidate is worth a label only if its gamma, with all that is chosen so far taken
        into the active set, still exceeds this.

    Notes
    -----
    The halted frame comes first if it is among the candidates: it is the only one that is known to
    be on the trajectory. Then, greedily, whatever adds most volume: that is D-optimal design, one
    structure at a time (Podryabinkin and Shapeev, Comput. Mater. Sci. 140, 171 (2017)).
    """
    chosen: list[tuple[int, Choice]] = []
    remaining = list(range(len(candidates)))
    while remaining and len(chosen) < limit:
        grades = {k: gamma_max(active, candidates[k]) for k in remaining}
        frame = next((k for k in remaining if candidates[k].strategy == "halt_frame"), None)
        if frame is not None:
            best, reason = frame, "the halted frame itself"
            grown, gain = absorb(active, candidates[frame])
        else:
            worthy = [k for k in remaining if grades[k] > gamma_worth]
            if not worthy:
                break
            outcomes = {k: absorb(active, candidates[k]) for k in worthy}
            best = max(worthy, key=lambda k: outcomes[k][1])
            grown, gain = outcomes[best]
            reason = f"adds most volume of {len(worthy)} candidates with gamma above {gamma_worth:g}"
        active = grown
        remaining.remove(best)
        choice = Choice(
            hash=names[best],
            strategy=candidates[best].strategy,
            gamma_max=grades[best],
            log_volume_gain=gain,
            reason=reason,
        )
        chosen.append((best, choice))
    return chosen
