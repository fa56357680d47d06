"""What an oracle answers: a label with the facts about it, or that the walltime was over."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ase import Atoms

from mlip_fw.runtime.walltime import OutOfTime

__all__ = ["Answer", "Labelled", "OutOfTime", "facts_of"]


@dataclass(frozen=True)
class Labelled:
    """A label that can be trusted."""

    atoms: Atoms
    """The structure with energy, forces and, if the oracle has one, stress."""
    facts: dict[str, Any]
    """What is recorded with it; see :func:`facts_of`."""


Answer = Labelled | OutOfTime


def facts_of(
    *, code: str, version: str, seconds: float, corrections: list[dict[str, Any]], convergence: dict[str, Any]
) -> dict[str, Any]:
    """Return what every label records of its calculation, as plain values that extended XYZ holds.

    Parameters
    ----------
    corrections
        What repairs found and did, in order: ``errors`` and ``actions`` of each.
    convergence
        What the code said of its convergence, such as the number of SCF steps.
    """
    return {
        "code": code,
        "version": f"v{version}",
        "label_seconds": round(seconds, 4),
        "corrections": len(corrections),
        "corrections_made": _readable(corrections),
        "convergence": _readable({"converged": True, **convergence}),
    }


def _readable(value: Any) -> str:
    """Return JSON that extended XYZ gives back as it was: quotes and backslashes inside of strings it does not."""
    return json.dumps(_without_quotes(value), ensure_ascii=False)


def _without_quotes(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_quotes(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_quotes(inner) for inner in value]
    if not isinstance(value, str):
        return value
    return " ".join(value.replace('"', "'").replace("\\", "/").split())
