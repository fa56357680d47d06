"""Choice of the basis: radial functions, cutoff and number of functions, by cross-validation on the labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from ase import Atoms
from pyace import ACEBBasisSet

from mlip_fw.engines.ace.basis import Radials, linear_basis, names_of, with_radials
from mlip_fw.engines.ace.cost import md_cost_us_atom
from mlip_fw.engines.ace.potential import AcePotential, functions_of
from mlip_fw.engines.structures.reach import neighbours_within, possible_cutoffs_a, usual_cutoff_a
from mlip_fw.engines.train.basis_cv import BasisRows, Blocks
from mlip_fw.engines.train.basis_size import count_environments, possible_sizes, usual_size
from mlip_fw.engines.train.memory import size_of
from mlip_fw.engines.train.ridge_fit import degrees_of
from mlip_fw.models.base import RadialName
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.training import ComparedBasis

DECAY = {"SBessel": 5.25, "ChebExpCos": 5.25, "ChebPow": 2.0}
"""λ of each family, unless others are compared."""
_OTHER_DECAYS = {"ChebExpCos": (2.5, 10.0)}
_FIRST_SIZES = 200
"""Radial functions and cutoffs are compared with at most so many functions; larger sizes then with the best of them."""
MIN_LABELS = 8
"""With fewer labels, the lowest of many cross-validation errors is lowest by chance more often than not."""
_AS_GOOD = 1.03
"""Errors within this factor of the lowest count as equal: the cheapest is preferred then."""
_WORTH_IT = 0.8
"""Other radial functions replace the usual ones, or those in use, if the error is below this fraction."""
_GROWS = 0.95
"""The basis gets more functions with the same radial functions if the error is below this fraction."""
_LARGER = 1.25
"""The basis in use grows if the usual number of functions is larger by this factor."""
_MAX_MEMORY_MB = 4000.0


@dataclass(frozen=True)
class BasisForm:
    """Radial functions and number of functions of a basis."""

    radials: Radials
    functions: int
    """Per element."""

    @classmethod
    def of(cls, basis: ACEBBasisSet) -> BasisForm:
        """Return the form of a basis."""
        return cls(Radials.of(basis), max(functions_of(basis).values()))

    def basis(self, elements: list[str]) -> ACEBBasisSet:
        """Return the basis with all coefficients zero."""
        radials = self.radials
        return linear_basis(elements, radials.cutoff_a, self.functions, radials.name, radials.decay)

    def __str__(self) -> str:
        return f"{self.radials}, {self.functions} functions per element"


@dataclass(frozen=True)
class BasisChoice:
    """The chosen basis, and what it was compared with."""

    form: BasisForm
    why: str
    compared: tuple[ComparedBasis, ...] = ()


def usual_form(campaign: Campaign, frames: Sequence[Atoms]) -> BasisForm:
    """Return the basis for structures without a comparison, as before there are enough labels for one.

    Where it would exceed ``md_cost_limit``, it has half the functions, then a shorter cutoff; the cheapest of these if
    none is below the limit.
    """
    settings = campaign.potential
    name: RadialName = "ChebExpCos" if settings.basis == "auto" else settings.basis
    wanted, cutoff_a = settings.functions_per_element, usual_cutoff_a(frames, campaign)
    functions = usual_size(count_environments(frames), campaign) if wanted == "auto" else wanted
    form = BasisForm(Radials(name, DECAY[name], cutoff_a), functions)
    if not frames or "auto" not in (settings.cutoff_a, wanted):
        return form
    sizes = [functions, max(functions // 2, 1)] if wanted == "auto" else [functions]
    for shorter in reversed([c for c in possible_cutoffs_a(frames, campaign) if c <= cutoff_a]):
        neighbours = float(neighbours_within(frames, [shorter])[0])
        for size in sizes:
            form = BasisForm(replace(form.radials, cutoff_a=shorter), size)
            if md_cost_us_atom(form.basis(campaign.elements), neighbours) <= settings.md_cost_limit:
                return form
    return form


def chosen_basis(labels: Sequence[Atoms], campaign: Campaign, in_use: BasisForm | None = None) -> BasisChoice:
    """Return the basis that predicts labels best from others that are unlike them.

    Parameters
    ----------
    labels
        All labels that count in full.
    campaign
        Gives what is fixed of the basis, and ``md_cost_limit``.
    in_use
        The present basis, compared too and kept if no other is clearly better; None: the usual one.

    Notes
    -----
    With fewer than eight labels nothing is compared, and the usual basis is taken. The basis in use gets as many
    functions as the usual one of the present labels has.

    The search has three stages: radial functions and cutoffs, with up to 200 functions; the other λ with the best
    of them; larger sizes with the best, and with those of the present basis. The functions of a smaller basis are among
    those of a larger one, so all sizes share their rows.
    """
    present = _grown(in_use, usual_form(campaign, labels))
    if len(labels) < MIN_LABELS:
        return BasisChoice(present, f"the usual one; bases are compared from {MIN_LABELS} labels on")
    search = _Search(labels, campaign, present)
    for radials in chain([present.radials], search.first_radials(), search.other_decays()):
        search.look_at(radials, search.first_sizes())
    for radials in (search.best_radials(), present.radials):
        search.climb(radials)
    return search.choice("in use" if in_use is not None else "the usual one")


def _grown(in_use: BasisForm | None, usual: BasisForm) -> BasisForm:
    """Return the basis in use with as many functions as the usual one, if it has clearly fewer; or the usual one."""
    if in_use is None:
        return usual
    return replace(in_use, functions=usual.functions) if usual.functions >= _LARGER * in_use.functions else in_use


class _Search:
    """Candidates that were looked at, with their errors and costs."""

    def __init__(self, labels: Sequence[Atoms], campaign: Campaign, present: BasisForm) -> None:
        self._campaign, self._blocks = campaign, Blocks.of(labels)
        sizes = possible_sizes(count_environments(labels), campaign)
        self._sizes = sorted({min(present.functions, *sizes), *sizes})
        self._present, self._largest_label = present, max(map(len, labels))
        self._looked_at: dict[BasisForm, ComparedBasis] = {}
        self._bases: dict[int, ACEBBasisSet] = {}
        self._look(present.radials, [present.functions], costs_any=True)

    def first_radials(self) -> Iterator[Radials]:
        """Yield families with every second cutoff, then the cutoffs beside the best of each."""
        cutoffs = possible_cutoffs_a(self._blocks.all, self._campaign)
        wanted = self._campaign.potential.basis
        families: Sequence[RadialName] = ("ChebExpCos", "SBessel", "ChebPow") if wanted == "auto" else (wanted,)
        for name in families:
            for cutoff in cutoffs[::-1][::2]:
                yield Radials(name, DECAY[name], cutoff)
        for name in families:
            best = self._best(name)
            if best is None or best.cutoff_a not in cutoffs:
                continue
            place = cutoffs.index(best.cutoff_a)
            for cutoff in cutoffs[max(place - 1, 0) : place + 2]:
                yield Radials(name, DECAY[name], cutoff)

    def other_decays(self) -> Iterator[Radials]:
        """Yield the best radial functions with other λ."""
        best = self.best_radials()
        for decay in _OTHER_DECAYS.get(best.name, ()):
            yield replace(best, decay=decay)

    def best_radials(self) -> Radials:
        """Return the best radial functions of those that were looked at with few functions."""
        few = {form: one for form, one in self._looked_at.items() if form.functions in self.first_sizes()}
        few = few or self._looked_at
        return min(few, key=lambda form: few[form].cv_force_share).radials

    def first_sizes(self) -> list[int]:
        """Return the sizes with which radial functions are compared."""
        return [size for size in self._sizes if size <= _FIRST_SIZES] or self._sizes[:1]

    def climb(self, radials: Radials) -> None:
        """Look at larger sizes, up to that of the present basis and for as long as each is better than those before."""
        for size in self._sizes:
            smaller = [one.cv_force_share for form, one in self._looked_at.items() if form.radials == radials]
            self.look_at(radials, [size])
            one = self._looked_at.get(BasisForm(radials, size))
            if one is None or (size > self._present.functions and one.cv_force_share > min(smaller)):
                return

    def look_at(self, radials: Radials, sizes: Sequence[int]) -> None:
        """Cross-validate a basis of each size; those that cost too much in MD or take too much memory are left out."""
        self._look(radials, sizes, costs_any=False)

    def _look(self, radials: Radials, sizes: Sequence[int], *, costs_any: bool) -> None:
        missing = [size for size in sizes if BasisForm(radials, size) not in self._looked_at]
        if not missing:
            return
        bases = {size: self._basis(radials, size) for size in missing}
        neighbours = float(neighbours_within(self._blocks.all, [radials.cutoff_a])[0])
        costs = {size: md_cost_us_atom(basis, neighbours) for size, basis in bases.items()}
        affordable = [size for size in missing if costs_any or self._is_affordable(costs[size], bases[size])]
        if not affordable:
            return
        largest = with_radials(bases[max(affordable)], radials)
        rows = BasisRows.of(AcePotential(largest), degrees_of(largest), self._blocks)
        names = names_of(largest)
        for size in affordable:
            inside = set(names_of(bases[size]))
            columns = np.array([k for k, name in enumerate(names) if name in inside])
            error = rows.cross_validated(columns)
            self._looked_at[BasisForm(radials, size)] = ComparedBasis(
                radial=radials.name,
                lambda_=radials.decay,
                cutoff_a=radials.cutoff_a,
                functions=size,
                cv_force_rmse_ev_a=error.rmse_ev_a,
                cv_force_share=error.relative,
                cost_us_atom=round(costs[size], 2),
            )

    def _basis(self, radials: Radials, size: int) -> ACEBBasisSet:
        """Return a basis of this size; its radial functions may be others."""
        if size not in self._bases:
            self._bases[size] = BasisForm(radials, size).basis(self._campaign.elements)
        return self._bases[size]

    def choice(self, what: str) -> BasisChoice:
        """Return the present basis, with more functions if that is better, or another one if that is far better.

        ``what`` says what the present one is. Of others the cheapest is taken whose error is within 3 % of the lowest.
        """
        found, present, compared = self._looked_at, self._grown(), tuple(self._looked_at.values())
        lowest, before = min(one.cv_force_share for one in compared), found[present].cv_force_share
        if lowest > _WORTH_IT * before:
            more = "" if present == self._present else f" with more functions than {self._present.functions}"
            why = f"{what}{more}: none of {len(found)} has a far lower cross-validated force error than its"
            return BasisChoice(present, f"{why} {100 * before:.1f} %", compared)
        equal = {form: one for form, one in found.items() if one.cv_force_share <= _AS_GOOD * lowest}
        best = min(equal, key=lambda form: (equal[form].cost_us_atom, equal[form].cv_force_share))
        error = found[best].cv_force_share
        why = "lowest" if error == lowest else "cheapest within 3 % of the lowest"
        said = f"{why} cross-validated force error of {len(found)} bases, {100 * error:.1f} % of the forces"
        return BasisChoice(best, f"{said} instead of {100 * before:.1f} % ({what})", compared)

    def _grown(self) -> BasisForm:
        """Return the present basis with as many functions as are worth it."""
        grown = self._present
        for form in sorted(self._looked_at, key=lambda form: form.functions):
            if form.radials == grown.radials and form.functions > grown.functions:
                error = self._looked_at[form].cv_force_share
                grown = form if error < _GROWS * self._looked_at[grown].cv_force_share else grown
        return grown

    def _is_affordable(self, cost_us: float, basis: ACEBBasisSet) -> bool:
        size = size_of(basis, self._largest_label)
        fits = size.active_set_mb + size.fit_mb + size.label_mb <= _MAX_MEMORY_MB
        return fits and cost_us <= self._campaign.potential.md_cost_limit

    def _best(self, name: str) -> ComparedBasis | None:
        found = [one for one in self._looked_at.values() if one.radial == name]
        return min(found, key=lambda one: one.cv_force_share, default=None)
