"""The functions that say what follows a Firework, found by the name that its spec stores.

A continuation makes new Fireworks, so it stands above the Firetasks: in :mod:`mlip_fw.workflows.loop`, where each is
registered with :func:`continuation`. A Firetask knows no more of it than its stored name.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TypeVar

from fireworks import FWAction

from mlip_fw.errors import CampaignError

_LOOP = "mlip_fw.workflows.loop"
"""The only module that is imported for a continuation. Stored names begin with it, wherever the functions move."""
C = TypeVar("C", bound=Callable[..., FWAction])
_registered: dict[str, Callable[..., FWAction]] = {}
"""By stored name; filled when that module is imported."""


def continuation(function: C) -> C:
    """Register a function that takes a Step and its result and returns what follows."""
    _registered[stored_name(function.__name__)] = function
    return function


def stored_name(name: str) -> str:
    """Return what a spec stores of the continuation called ``name``."""
    return f"{_LOOP}:{name}"


def continuation_named(stored: object) -> Callable[..., FWAction]:
    """Return the continuation that a spec names.

    Raises
    ------
    CampaignError
        If none is registered under that name: a spec can name no other code.
    """
    # FireWorks has imported the module of the Firetask only, which must not depend on what follows it
    importlib.import_module(_LOOP)
    if not isinstance(stored, str) or stored not in _registered:
        raise CampaignError(
            f"`then` of this Firework must be {stored_name('after_…')}, not {stored!r}; add the campaign again"
        )
    return _registered[stored]
