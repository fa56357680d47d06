"""Why the error of a fit is larger than it may be, and what would make it smaller, from numbers alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

_FALLS = 0.15
"""Exponent of error against labels from which on more labels help: doubling them takes off a tenth of the error."""
_BETTER = 0.9
"""A larger basis or another cutoff is worth saying if its error is below this fraction."""
_STANDS_OUT = 1.5
"""An element or a range of temperature stands out if its error is above this multiple of the whole."""
_HARDLY_LEARNT = 0.5
"""Labels contradict each other if what the fit leaves of its own labels is above this fraction of the error."""
_LARGEST = 1.2
"""... and above this multiple of each other one in eV/Å: errors of single frames scatter by a tenth."""
_FEW_LABELS = 8
"""With fewer labels another basis may look better by chance, so that more labels are the first remedy."""
_MAX_MULTIPLE = 1000.0
"""More labels than this multiple of the present ones are no answer."""


@dataclass(frozen=True)
class OtherBasis:
    """A basis that differs in one thing, on the same labels."""

    value: float
    """Functions per element, or cutoff, Å."""
    error: float
    """Of cross-validation, eV/Å."""
    over_limit_us_atom: float | None = None
    """What a step of MD would cost, if that is why ``auto`` leaves the basis out; else None."""
    needs_cell_a: float | None = None
    """Height of a cell that the cutoff needs, if those of the campaign are thinner; else None."""


@dataclass(frozen=True)
class PartError:
    """Error of an element, or of frames in a range of temperature."""

    share: float
    """Divided by the forces of that part."""
    error: float
    """eV/Å."""


@dataclass(frozen=True)
class FitEvidence:
    """What is known of a fit whose error is too large; forces in eV/Å."""

    error: float
    """Of audited frames."""
    wanted: float
    """The error that would meet the target."""
    n_labels: int
    curve: Sequence[tuple[float, float]] = ()
    """Number of labels and error of others (learning curve), growing."""
    training_error: float | None = None
    cv_error: float | None = None
    """Of the basis, by the blocks by which others are compared."""
    larger_basis: OtherBasis | None = None
    longer_cutoff: OtherBasis | None = None
    n_functions: int = 0
    cutoff_a: float = 0.0
    n_down_weighted: int = 0
    """Labels that are far from what the others say of them."""
    by_element: Mapping[str, PartError] = field(default_factory=dict)
    by_range: Mapping[str, PartError] = field(default_factory=dict)
    """By range of temperature, as ``300 to 600 K``."""
    ridge: float | None = None
    ridges: tuple[float, float] | None = None
    """Ends of the grid from which the ridge is chosen."""
    n_frames: int = 0
    is_undecided: bool = False
    """Whether the estimate meets the target, and only the upper end of its interval does not."""


@dataclass(frozen=True)
class PowerLaw:
    """Error against number of labels: ``error = factor · n ** -exponent``."""

    factor: float
    exponent: float

    def labels_for(self, error: float, known: tuple[float, float]) -> float:
        """Return how many labels give ``error``, if ``known`` (labels, error) is on the curve; infinite if none do."""
        if self.exponent <= 0:
            return float("inf")
        exponent = np.log(known[1] / error) / self.exponent
        return float(known[0] * np.exp(exponent)) if exponent < np.log(_MAX_MULTIPLE) else float("inf")


def power_law(curve: Sequence[tuple[float, float]]) -> PowerLaw | None:
    """Fit a power law to the points with the most labels, those above a third of the last; None of fewer than two."""
    points = [(n, error) for n, error in curve if error > 0 and n > 0]
    points = [point for point in points if point[0] >= points[-1][0] / 3]
    if len(points) < 2:
        return None
    logs = np.log(points)
    slope, offset = np.polyfit(logs[:, 0], logs[:, 1], 1)
    return PowerLaw(float(np.exp(offset)), float(-slope))


def diagnose(evidence: FitEvidence) -> str:
    """Return one paragraph: what limits the error, the most likely cause first, and what to change."""
    found = [*_causes(evidence)]
    if not found:
        found = [
            "No single cause stands out: neither more labels nor another basis is known to help; look at accuracy, or "
            "loosen it"
        ]
    return f"{_headline(evidence)} {'. '.join(found)}."


def _headline(evidence: FitEvidence) -> str:
    error, wanted = 1000 * evidence.error, 1000 * evidence.wanted
    if evidence.is_undecided:
        return (
            f"The force error of {evidence.n_frames} audited frames is {error:.3g} meV/Å and would meet the target "
            f"({wanted:.3g}), but their number is too small to be sure."
        )
    return f"The force error of {evidence.n_frames} audited frames is {error:.3g} meV/Å, the target {wanted:.3g}."


def _causes(evidence: FitEvidence) -> Iterator[str]:
    """Yield what limits the error, most likely first: what would lower it, else where it is, else why it stays."""
    basis, labels = [*_basis(evidence)], [*_labels(evidence)]
    remedies = [*labels, *basis] if evidence.n_labels < _FEW_LABELS else [*basis, *labels]
    yield from remedies
    if not remedies:
        yield from _upper_edge(evidence)
    yield from _outstanding(evidence)
    if not remedies:
        yield from _contradictions(evidence)
    yield from _lower_edge(evidence)
    if evidence.is_undecided:
        yield "A larger accuracy.min_audit_frames tells, if budget.max_labels allows it"


def _basis(evidence: FitEvidence) -> Iterator[str]:
    """Yield that more functions or a longer cutoff lower the cross-validation error, what helps most first."""
    known, larger, longer = evidence.cv_error, evidence.larger_basis, evidence.longer_cutoff
    if known is None:
        return
    said = []
    if larger is not None:
        instead = f"{larger.value:.0f} functions per element instead of {evidence.n_functions} take"
        said.append((larger, f"The basis is too small: {instead}", "potential.functions_per_element"))
    if longer is not None:
        instead = f"{longer.value:.3g} Å instead of {evidence.cutoff_a:.3g} takes"
        said.append((longer, f"The cutoff is too short: {instead}", "potential.cutoff_a"))
    for other, what, key in sorted(said, key=lambda one: one[0].error):
        if other.error < _BETTER * known:
            yield (
                f"{what} the cross-validation error from {1000 * known:.3g} to {1000 * other.error:.3g} meV/Å; "
                f"{_change(other, key)}, in another directory that starts with these labels"
            )


def _change(other: OtherBasis, key: str) -> str:
    """Return what to write in the campaign file for another basis."""
    if other.over_limit_us_atom is not None:
        return f"raise potential.md_cost_limit above {np.ceil(other.over_limit_us_atom):.0f} µs per atom and step"
    cell = "" if other.needs_cell_a is None else f" and structure to cells at least {other.needs_cell_a:.3g} Å thick"
    return f"set {key} to {other.value:.3g}{cell}"


def _labels(evidence: FitEvidence) -> Iterator[str]:
    law = power_law(evidence.curve)
    if law is None or law.exponent < _FALLS or _floor(evidence) > evidence.wanted:
        return
    now = (float(evidence.n_labels), evidence.error)
    wanted = law.labels_for(evidence.wanted, now)
    falls = (
        f"There are too few labels: the error still falls with their number as n^-{law.exponent:.2g} "
        f"({', '.join(f'{1000 * error:.3g} meV/Å from {n:.3g}' for n, error in evidence.curve)})"
    )
    if not np.isfinite(wanted):
        yield f"{falls}, but too slowly to reach the target by labels alone"
    elif wanted > evidence.n_labels:
        more = int(np.ceil(wanted - evidence.n_labels - 1e-6))
        yield f"{falls}; about {more} more would do: raise budget.max_labels"


def _floor(evidence: FitEvidence) -> float:
    """Return the error that stays whatever the number of labels: that on labels that were learnt only grows with it."""
    if evidence.training_error is None or not evidence.curve:
        return 0.0
    return evidence.error * min(1.0, evidence.training_error / max(evidence.curve[-1][1], 1e-12))


def _contradictions(evidence: FitEvidence) -> Iterator[str]:
    """Yield that labels contradict each other: the fit leaves an error that neither labels nor functions lower."""
    left = evidence.training_error
    several = f" ({evidence.n_down_weighted} of them are far from what the others say)"
    if left is not None and evidence.error > 0 and left > _HARDLY_LEARNT * evidence.error:
        yield (
            f"Labels contradict each other, or depend on what the potential does not see: the fit leaves "
            f"{1000 * left:.3g} meV/Å of its own labels, and neither more labels nor a larger basis lowers it"
            f"{several if evidence.n_down_weighted else ''}; look whether the oracle is converged (k-points, SCF, "
            "smearing, spin: section oracle), and whether all labels are of one level of theory"
        )


def _upper_edge(evidence: FitEvidence) -> Iterator[str]:
    if evidence.ridge is not None and evidence.ridges is not None and evidence.ridge >= evidence.ridges[1]:
        yield (
            f"The fit is at the upper edge of its ridge ({evidence.ridge:.2g}): what some labels teach is of no use "
            "for others, so that they hardly count; check the oracle, and the units and the level of theory of "
            "the labels in bootstrap.dataset, if there are any"
        )


def _lower_edge(evidence: FitEvidence) -> Iterator[str]:
    """Yield that the labels are learnt without any penalty, unless more functions are known to be no better."""
    if evidence.ridge is None or evidence.ridges is None or evidence.ridge > evidence.ridges[0]:
        return
    known, larger = evidence.cv_error, evidence.larger_basis
    if known is None or larger is None or larger.error < _BETTER * known:
        yield (
            f"The fit is at the lower edge of its ridge ({evidence.ridge:.2g}): the labels determine all functions "
            "and may determine more (potential.functions_per_element)"
        )


def _outstanding(evidence: FitEvidence) -> Iterator[str]:
    """Yield the element and the range of temperature that fail: errors above all others, also as a share of the forces.

    Both have to be: the same error is a larger share where forces are small, as in the cold.
    """
    said = (
        (evidence.by_element, "Element {} is what fails", "start from structures with more of it (structure.files)"),
        (evidence.by_range, "The range {} is what fails", "leave it out of temperature_k (md.stages)"),
    )
    for found, what, change in said:
        if len(found) < 2:
            continue
        name = max(found, key=lambda one: found[one].share)
        others = [part for one, part in found.items() if one != name]
        elsewhere = float(np.mean([part.share for part in others]))
        is_largest = found[name].error > _LARGEST * max(part.error for part in others)
        if is_largest and found[name].share > _STANDS_OUT * max(elsewhere, 1e-12):
            yield (
                f"{what.format(name)}: {100 * found[name].share:.3g} % of its forces against {100 * elsewhere:.3g} % "
                f"elsewhere; look what its labels lack, or {change}"
            )
