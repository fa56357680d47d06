"""Settings that hold for one cell: a charge, a number of bands. Cells of other sizes would be of another physics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ase import Atoms

from mlip_fw.errors import CampaignError
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.oracle import AseOracle, EspressoOracle, Oracle
from mlip_fw.models.validation import Property

_FREE = -10_000
"""What pw.x takes for a total magnetization that is not fixed."""
_PW = frozenset(("tot_charge", "tot_magnetization", "nbnd", "nelec", "nelup", "neldw", "multiplicity"))
_PW |= {"fixed_magnetization", "emaxpos", "eopreg", *(f"nr{k}{s}" for k in "123" for s in ("", "s", "b"))}
_PW |= {f"nqx{k}" for k in "123"}
_VASP = frozenset(("nelect", "nupdown", "nbands", "dipol", "ferwe", "ferdo", "m_constr", "rwigs", "ropt", "vca"))
_VASP |= {*(f"ng{k}{s}" for k in "xyz" for s in ("", "f")), *(f"nkred{k}" for k in ("", "x", "y", "z"))}
_ASE = _PW | _VASP | {"charge", "total_charge", "net_charge", "spin", "uhf", "nelectrons", "gpts"}
_ASE |= {"magmom", "magmoms", "initial_magmoms", "magnetic_moments"}
_MESHES = ("kpts", "kpoints", "k_points", "mp_grid")


def require_cells_alike(campaign: Campaign, starts: list[Atoms]) -> None:
    """Refuse settings of the oracle that are per cell where the labels of a campaign are of several sizes.

    Raises
    ------
    CampaignError
        If there is one; names the key, the sizes and what to do.
    """
    found = _sizes(campaign, starts)
    if found is None or not (keys := dict(_per_cell(campaign.oracle))):
        return
    sizes, remedy = found
    said = ", ".join(f"{key} = {value}" for key, value in keys.items())
    raise CampaignError(
        f"{said} {'is' if len(keys) == 1 else 'are'} per cell, but {sizes}, and each would get the same; leave it out, "
        f"or {remedy}"
    )


def _sizes(campaign: Campaign, starts: list[Atoms]) -> tuple[str, str] | None:
    """Return in which sizes a campaign labels and how to have one; None if all structures have the same atoms."""
    cutout = campaign.candidates.cutout
    large = [len(atoms) for atoms in starts if cutout.mode == "auto" and len(atoms) > cutout.max_atoms]
    if large:
        return (
            f"a start has {max(large)} atoms, of which small cells and cut-outs of up to {cutout.max_atoms} atoms are "
            "labelled",
            "label whole cells (candidates.cutout: {mode: never})",
        )
    if len({frozenset(Counter(atoms.get_chemical_symbols()).items()) for atoms in starts}) > 1:
        formulas = " and ".join(dict.fromkeys(atoms.get_chemical_formula() for atoms in starts))
        return f"the starts, and so the labels, are {formulas}", "run a campaign for each"
    if measured := [kind.value for kind in campaign.validation.properties if kind is not Property.RDF]:
        return f"validation.properties ({', '.join(measured)}) labels other cells than the start", "leave those out"
    return None


def _per_cell(oracle: Oracle) -> Iterator[tuple[str, Any]]:
    """Yield the keys of an oracle that are per cell, with their values."""
    if isinstance(oracle, AseOracle):
        yield from _in_parameters(oracle.parameters, "oracle.parameters")
        return
    tags: Mapping[str, Any]
    if isinstance(oracle, EspressoOracle):
        known, tags, where = _PW, oracle.namelists.get("system", {}), "oracle.namelists.system"
    else:
        known, tags, where = _VASP, oracle.incar, "oracle.incar"
    for key, value in tags.items():
        if key.lower().partition("(")[0] in known and _fixes(key, value):
            yield f"{where}.{key}", value


def _in_parameters(values: Mapping[str, Any], where: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _in_parameters(value, f"{where}.{key}")
        elif key.lower() in _MESHES:
            if _is_mesh(value):
                yield f"{where}.{key}", value
        elif key.lower().partition("(")[0] in _ASE and _fixes(key, value):
            yield f"{where}.{key}", value


def _is_mesh(value: Any) -> bool:
    """Return whether k-points are so many per cell: one alone and a density are not."""
    numbers = value if isinstance(value, list) else [value]
    whole = all(isinstance(number, int) and not isinstance(number, bool) for number in numbers)
    return whole and any(number > 1 for number in numbers)


def _fixes(key: str, value: Any) -> bool:
    """Return whether a value says something of the cell: no charge and a singlet are those of every cell."""
    if key.lower() == "tot_magnetization" and value == _FREE:
        return False
    if isinstance(value, list):
        return any(value)
    if isinstance(value, str) or value is None:
        return False
    if key.lower() in ("multiplicity", "spin"):
        return value not in (0, 1)
    # a negative number of bands is one of empty bands, and NUPDOWN = -1 is free
    return bool(value > 0) if key.lower() in ("nbands", "nupdown") else bool(value)
