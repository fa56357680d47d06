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
_MAX_MULTIPLE = 1000.0
"""More labels than this multiple of the present ones are no answer."""


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
    larger_basis: tuple[int, float] | None = None
    """Functions per element of a larger basis, and its cross-validation error."""
    longer_cutoff: tuple[float, float] | None = None
    """A longer cutoff, Å, and its cross-validation error."""
    n_functions: int = 0
    cutoff_a: float = 0.0
    n_down_weighted: int = 0
    """Labels that are far from what the others say of them."""
    by_element: Mapping[str, float] = field(default_factory=dict)
    """Errors divided by the forces of that element."""
    by_range: Mapping[str, float] = field(default_factory=dict)
    """Errors divided by the forces of frames in a range of temperature, as ``300 to 600 K``."""
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
    """Yield what limits the error, most likely first."""
    basis = [*_basis(evidence)]
    labels = [*_labels(evidence)]
    yield from basis
    yield from labels
    if not basis and not labels:
        yield from _contradictions(evidence)
    yield from _ridge(evidence)
    yield from _outstanding(evidence)
    if evidence.is_undecided:
        yield "A larger accuracy.min_audit_frames tells, if budget.max_labels allows it"


def _basis(evidence: FitEvidence) -> Iterator[str]:
    known = evidence.cv_error
    if known is None:
        return
    if evidence.larger_basis is not None and evidence.larger_basis[1] < _BETTER * known:
        n, error = evidence.larger_basis
        yield (
            f"The basis is too small: {n} functions per element instead of {evidence.n_functions} take the "
            f"cross-validation error from {1000 * known:.3g} to {1000 * error:.3g} meV/Å; raise "
            "potential.functions_per_element, in another directory that starts with these labels"
        )
    if evidence.longer_cutoff is not None and evidence.longer_cutoff[1] < _BETTER * known:
        cutoff, error = evidence.longer_cutoff
        yield (
            f"The cutoff is too short: {cutoff:.3g} Å instead of {evidence.cutoff_a:.3g} takes the cross-validation "
            f"error from {1000 * known:.3g} to {1000 * error:.3g} meV/Å; raise potential.cutoff_a, in another "
            "directory that starts with these labels"
        )


def _labels(evidence: FitEvidence) -> Iterator[str]:
    law = power_law(evidence.curve)
    if law is None or law.exponent < _FALLS:
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


def _contradictions(evidence: FitEvidence) -> Iterator[str]:
    """Yield that labels contradict each other: the fit leaves an error that neither labels nor functions lower."""
    left = evidence.training_error
    several = f" ({evidence.n_down_weighted} of them are far from what the others say)"
    if left is not None and evidence.error > 0 and left > _HARDLY_LEARNT * evidence.error:
        yield (
            f"Labels contradict each other, or depend on what the potential does not see: the fit leaves "
            f"{1000 * left:.3g} meV/Å of its own labels, and neither more labels nor a larger basis lowers it"
            f"{several if evidence.n_down_weighted else ''}; look whether the oracle is converged (k-points, SCF, "
            "smearing, spin), and whether all labels are of one level of theory"
        )


def _ridge(evidence: FitEvidence) -> Iterator[str]:
    if evidence.ridge is None or evidence.ridges is None:
        return
    low, high = evidence.ridges
    if evidence.ridge >= high:
        yield (
            f"The fit is at the upper edge of its ridge ({evidence.ridge:.2g}), so that labels hardly count: check the "
            "units and the level of theory of given labels, or use fewer functions"
        )
    elif evidence.ridge <= low:
        yield (
            f"The fit is at the lower edge of its ridge ({evidence.ridge:.2g}): the basis is too small for what the "
            "labels say; raise potential.functions_per_element"
        )


def _outstanding(evidence: FitEvidence) -> Iterator[str]:
    for found, what in ((evidence.by_element, "Element"), (evidence.by_range, "Temperature")):
        if len(found) < 2:
            continue
        name = max(found, key=lambda one: found[one])
        others = [value for one, value in found.items() if one != name]
        if found[name] > _STANDS_OUT * max(float(np.mean(others)), 1e-12):
            so = "is" if what == "Element" else "range"
            said = f"Element {name} {so}" if what == "Element" else f"The {so} {name} is"
            yield (
                f"{said} what fails: {100 * found[name]:.3g} % of its forces against "
                f"{100 * float(np.mean(others)):.3g} % elsewhere"
            )
