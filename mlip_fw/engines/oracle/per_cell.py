"""Settings that hold for one cell, such as a charge or a number of bands: wrong for cells of another size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ase import Atoms

from mlip_fw.engines.oracle.backend import backend_of
from mlip_fw.errors import CampaignError
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.validation import RDF

_FREE = -10_000
"""What pw.x takes for a total magnetization that is not fixed."""


def require_cells_alike(campaign: Campaign, starts: list[Atoms]) -> None:
    """Refuse settings of the oracle that are per cell where the labels of a campaign are of several sizes.

    Raises
    ------
    CampaignError
        If there is one; names the key, the sizes and what to do.
    """
    found = _sizes(campaign, starts)
    if found is None or not (keys := dict(backend_of(campaign.oracle).per_cell(campaign.oracle))):
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
    if measured := [name for name in campaign.validation.properties if name != RDF]:
        return f"validation.properties ({', '.join(measured)}) labels other cells than the start", "leave those out"
    return None


def tags_per_cell(tags: Mapping[str, Any], known: frozenset[str], where: str) -> Iterator[tuple[str, Any]]:
    """Yield those of a code's tags that are per cell, as ``where.tag`` and value.

    Parameters
    ----------
    known
        Tags that are per cell, in lower case and without an index.
    """
    for key, value in tags.items():
        if key.lower().partition("(")[0] in known and says_something_of_the_cell(key, value):
            yield f"{where}.{key}", value


def says_something_of_the_cell(key: str, value: Any) -> bool:
    """Return whether the value of a key that is per cell is not the same for every cell, as no charge is."""
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
