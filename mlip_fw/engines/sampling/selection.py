"""D-optimal selection: the candidates that increase the volume of the active set most."""

from __future__ import annotations

from mlip_fw.engines.sampling.generate import Candidate
from mlip_fw.engines.sampling.maxvol import ActiveSet, exchange
from mlip_fw.models.selection import Choice

ActiveSets = dict[str, ActiveSet]


def grades(active: ActiveSets, candidate: Candidate) -> dict[str, float]:
    """Return the largest extrapolation grade among a candidate's atoms of each element."""
    return {e: float(active[e].gamma(rows).max(initial=0.0)) for e, rows in candidate.projections.items()}


def with_candidate(active: ActiveSets, candidate: Candidate) -> tuple[ActiveSets, float]:
    """Return the active sets updated by MaxVol with the candidate's atoms, and the increase of ln(volume)."""
    grown, gain = {}, 0.0
    for element, rows in candidate.projections.items():
        outcome = exchange(active[element], rows)
        grown[element] = outcome.active
        gain += outcome.log_gain
    return {**active, **grown}, gain


def choose(
    candidates: list[Candidate],
    names: list[str],
    active: ActiveSets,
    *,
    limit: int,
    worth: dict[str, float],
    costs: list[float] | None = None,
) -> list[tuple[int, Choice]]:
    """Select candidates greedily by D-optimality; return their indices with the reasons.

    Parameters
    ----------
    candidates, names
        Candidates and the hashes that their labels would have.
    active
        The active sets of the current potential.
    limit
        Maximum number of candidates.
    worth
        Threshold of gamma for each element. A further candidate is selected only if gamma of one of its atoms, with
        the candidates selected so far in the active set, exceeds the threshold of its element.
    costs
        Estimated cost of each label; ln(volume) gained per cost is then maximised. None: equal costs.

    Notes
    -----
    The halted frame is selected first, whatever it costs: it is the only candidate that the trajectory certainly
    visits, and without it the MD would halt there again. Then, one at a time, the candidate that increases
    ln(volume) most (per cost): greedy D-optimal design (Podryabinkin and Shapeev, Comput. Mater. Sci. 140, 171 (2017)).
    """
    prices = costs or [1.0] * len(candidates)
    aim = "most volume" if costs is None else "most volume per cost"
    chosen: list[tuple[int, Choice]] = []
    remaining = list(range(len(candidates)))
    while remaining and len(chosen) < limit:
        found = {k: grades(active, candidates[k]) for k in remaining}
        worthy = [k for k in remaining if any(gamma > worth[element] for element, gamma in found[k].items())]
        reason = f"adds {aim} of {len(worthy)} candidates with gamma above {_text(worth)}"
        frames = [k for k in remaining if candidates[k].strategy == "halt_frame"]
        if frames and not chosen:
            worthy, reason = frames, "the halted frame itself"
        if not worthy:
            break
        outcomes = {k: with_candidate(active, candidates[k]) for k in worthy}
        best = max(worthy, key=lambda k: outcomes[k][1] / prices[k])
        active, gain = outcomes[best]
        remaining.remove(best)
        choice = Choice(
            hash=names[best],
            strategy=candidates[best].strategy,
            gamma_max=max(found[best].values(), default=0.0),
            log_volume_gain=gain,
            reason=reason,
        )
        chosen.append((best, choice))
    return chosen


def _text(worth: dict[str, float]) -> str:
    values = sorted(set(worth.values()))
    if len(values) == 1:
        return f"{values[0]:g}"
    return ", ".join(f"{value:g} ({element})" for element, value in sorted(worth.items()))
