"""Functional form of the potential that pacemaker fits, its start coefficients, and its core repulsion.

pacemaker's evaluator has another core repulsion than pyace and LAMMPS, and no inner cutoff. So it fits a
potential without core repulsion to targets without it; it is added again afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pyace import ACEBBasisSet, BBasisConfiguration, create_multispecies_basis_config
from pyace.basis import MapStringString

from mlip_fw.engines.ace.basis import Radials, linear_basis
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.train.pacemaker.template import Template
from mlip_fw.errors import CampaignError
from mlip_fw.models.campaign import Campaign

_EXPONENTS = [1.0, 1.0, 1.0, 0.5]
_DENSITIES = 2
_CORE = ("r_in", "delta_in", "inner_cutoff_type", "core_rep_parameters", "rho_cut", "drho_cut")


def form_of(campaign: Campaign, template: Template, linear: BBasisConfiguration) -> BBasisConfiguration:
    """Return the potential to be fitted, with arbitrary coefficients and the core repulsion of the linear one.

    Without a template it has the functions of the linear potential (or ``functions_per_element`` such
    functions), and two densities: the first enters linearly, the second as its square root (Lysogorskiy et al.,
    npj Comput. Mater. 7, 97 (2021)).

    Raises
    ------
    CampaignError
        If pyace can't make the potential of the template, or it reaches beyond the campaign's cutoff.
    """
    wanted = campaign.potential.pacemaker.functions_per_element
    section = template.potential
    if section is not None:
        form = _templated(section, wanted or _max_functions(linear), campaign)
    elif wanted is not None:
        radials = Radials.of(ACEBBasisSet(linear))
        basis = linear_basis(campaign.elements, radials.cutoff_a, wanted, radials.name, radials.decay)
        form = _with_two_densities(basis.to_BBasisConfiguration())
    else:
        form = _with_two_densities(linear)
    return with_cores_of(linear, form)


def require_possible(campaign: Campaign, template: Template) -> None:
    """Check that pyace can make the potential of a template, before a campaign spends anything.

    Raises
    ------
    CampaignError
        If it can't, or the potential reaches beyond the campaign's cutoff.
    """
    if template.potential is not None:
        settings = campaign.potential
        _templated(template.potential, settings.pacemaker.functions_per_element or campaign.min_functions, campaign)


def _templated(section: dict[str, Any], functions: int, campaign: Campaign) -> BBasisConfiguration:
    shapes = {"number_of_functions_per_element": functions, **section.get("functions", {})}
    if campaign.potential.pacemaker.functions_per_element is not None:
        shapes["number_of_functions_per_element"] = functions
    try:
        form = create_multispecies_basis_config({**section, "elements": campaign.elements, "functions": shapes})
        reach = float(ACEBBasisSet(form).cutoffmax)
    except Exception as error:
        raise CampaignError(f"potential.pacemaker.template: pyace can't make its potential: {error}") from error
    if reach > (limit := campaign.potential.largest_cutoff_a):
        raise CampaignError(
            f"potential.pacemaker.template reaches {reach:g} Å, further than potential.cutoff_a = "
            f"{limit:g} Å, which cells and cut-outs are made for; make one of them fit"
        )
    return form


def _max_functions(form: BBasisConfiguration) -> int:
    """Return the largest number of functions of any element."""
    return max(AcePotential(ACEBBasisSet(form)).n_functions().values())


def _with_two_densities(linear: BBasisConfiguration) -> BBasisConfiguration:
    def change(block: Any) -> None:
        if block.number_of_species == 1:
            block.ndensityi, block.fs_parameters = _DENSITIES, _EXPONENTS
        block.funcspecs = [_function(f, [*f.coeffs, 0.0][:_DENSITIES]) for f in block.funcspecs]

    return changed(linear, change)


def transfer_coefficients(source: BBasisConfiguration, form: BBasisConfiguration) -> BBasisConfiguration:
    """Return the functions of ``form`` that ``source`` has as well, with the coefficients of ``source``.

    The first density of a linear potential is its energy; densities that it lacks are zero.
    """
    known = {block.block_name: block for block in source.funcspecs_blocks}

    def change(block: Any) -> None:
        old = known.get(block.block_name)
        have = {name_of(f): list(f.coeffs) for f in old.funcspecs} if old is not None else {}
        block.funcspecs = [
            _function(f, [*have[name_of(f)], *[0.0] * len(f.coeffs)][: len(f.coeffs)])
            for f in block.funcspecs
            if name_of(f) in have
        ]
        if old is not None and np.shape(old.radcoefficients) and np.shape(block.radcoefficients):
            block.radcoefficients = _overlaid(np.array(block.radcoefficients), np.array(old.radcoefficients))

    return changed(form, change)


def functions_of(form: BBasisConfiguration) -> set[tuple[Any, ...]]:
    """Return the names of the functions of a potential."""
    return {(block.block_name, *name_of(f)) for block in form.funcspecs_blocks for f in block.funcspecs}


def without_cores(form: BBasisConfiguration) -> BBasisConfiguration:
    """Return the potential without repulsion of cores and without inner cutoff."""

    def change(block: Any) -> None:
        block.core_rep_parameters, block.r_in, block.delta_in = [0.0, 1.0], 0.0, 0.0

    return changed(form, change)


def with_cores_of(source: BBasisConfiguration, form: BBasisConfiguration) -> BBasisConfiguration:
    """Return ``form`` with the core repulsion of ``source``."""
    known = {block.block_name: block for block in source.funcspecs_blocks}

    def change(block: Any) -> None:
        if block.block_name in known:
            for key in _CORE:
                setattr(block, key, getattr(known[block.block_name], key))

    return changed(form, change)


def read_form(path: Path) -> BBasisConfiguration | None:
    """Return the potential in a file, or None if there is no whole one with finite coefficients."""
    if not path.is_file():
        return None
    try:
        form = BBasisConfiguration(str(path))
        ACEBBasisSet(form)
    except Exception:
        return None
    return form if np.isfinite(np.array(form.get_all_coeffs())).all() else None


def changed(form: BBasisConfiguration, change: Callable[[Any], None]) -> BBasisConfiguration:
    """Return a copy whose blocks ``change`` has changed, without metadata, which may hold a user's name and a date."""
    copy = form.copy()
    copy.metadata = MapStringString()
    # pyace hands out copies of blocks, so they are put back
    blocks = [block.copy() for block in copy.funcspecs_blocks]
    for block in blocks:
        change(block)
    copy.funcspecs_blocks = blocks
    return copy


def name_of(function: Any) -> tuple[tuple[Any, ...], ...]:
    """Return what identifies a function: elements and quantum numbers, not its coefficients."""
    return tuple(function.elements), tuple(function.ns), tuple(function.ls), tuple(function.LS)


def _function(function: Any, coefficients: list[float]) -> Any:
    copy = function.copy()
    copy.coeffs = coefficients
    return copy


def _overlaid(new: np.ndarray, old: np.ndarray) -> list[Any]:
    """Return ``new`` with ``old`` where both have entries: radial functions by n, l and k."""
    common = tuple(slice(min(a, b)) for a, b in zip(new.shape, old.shape, strict=True))
    new[common] = old[common]
    result: list[Any] = new.tolist()
    return result
