"""What all Firetasks share."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from fireworks import FireTaskBase, FWAction
from pydantic import ValidationError

from mlip_fw.errors import WorkerError
from mlip_fw.models.handoff import Handoff
from mlip_fw.models.worker import Worker

logger = logging.getLogger("mlip_fw")
AnyHandoff = TypeVar("AnyHandoff", bound=Handoff)
STOPPED = "mlip_fw_stopped"
"""Key of a spec: why the campaign stops; MD and training that find it do nothing."""


class CampaignTask(FireTaskBase):
    """A Firetask with a hand-off (``handoff``) and, maybe, a continuation (``then``)."""

    required_params = ["handoff"]  # noqa: RUF012  FireWorks wants a plain list
    optional_params = ["then"]  # noqa: RUF012

    def handed(self, kind: type[AnyHandoff]) -> AnyHandoff:
        """Return the hand-off as its model."""
        return kind.model_validate(self["handoff"])

    def then(self) -> Callable[..., FWAction]:
        """Return the function that says what follows."""
        module, name = self["then"].split(":")
        function: Callable[..., FWAction] = getattr(importlib.import_module(module), name)
        return function


def read_worker(env: dict[str, Any] | None) -> Worker:
    """Return this machine's settings from a worker file's ``env``.

    Raises
    ------
    WorkerError
        If it has an unknown or wrong key.
    """
    try:
        return Worker.model_validate(env or {})
    except ValidationError as error:
        faults = "; ".join(f"env.{e['loc'][0]} {_complaint(e['type'], e['input'])}" for e in error.errors())
        raise WorkerError(f"my_fworker.yaml: {faults}; known keys are {', '.join(Worker.model_fields)}") from None


def _complaint(kind: str, value: object) -> str:
    return "is not a key of env" if kind == "extra_forbidden" else f"can't be {value!r}"
