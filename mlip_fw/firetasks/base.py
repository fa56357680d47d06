"""What all Firetasks share."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from fireworks import FireTaskBase, FWAction
from pydantic import ValidationError

from mlip_fw.attendance import attend
from mlip_fw.errors import CampaignError, WorkerError
from mlip_fw.generations import Generations
from mlip_fw.jobtime import working_seconds_left
from mlip_fw.layout import CampaignDirectory
from mlip_fw.models.handoff import Handoff, is_baton
from mlip_fw.models.worker import Worker, hint_for_keys
from mlip_fw.shelving import shelve_finished
from mlip_fw.surroundings import require_assertions
from mlip_fw.travel.copy import LocalCopy
from mlip_fw.travel.errand import INPUTS, Errand
from mlip_fw.travel.start import open_copy, require_inputs

logger = logging.getLogger("mlip_fw")
LOOP = "mlip_fw.workflows.loop"
"""Module of the functions that say what follows; a spec can name no other code."""
STOPPED = "mlip_fw_stopped"
"""Key of a spec: why the campaign stops; MD and training that find it do nothing."""


class CampaignTask(FireTaskBase):
    """A Firetask with a hand-off (``handoff``) and, maybe, a continuation (``then``)."""

    required_params = ["handoff"]  # noqa: RUF012  FireWorks wants a plain list
    optional_params = ["then"]  # noqa: RUF012

    handed_kind: ClassVar[type[Handoff]] = Handoff
    local: LocalCopy | None = None
    """This machine's copy, where files travel."""

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        """Do the work, one process at a time, with a note of who does it.

        Raises
        ------
        CampaignError
            If the hand-off is damaged, or names a place outside of the campaign directory.
        WorkerError
            If Python runs without assertions.
        """
        require_assertions()
        handoff = self._handed()
        if handoff.campaign.files == "filepad":
            return self._run_in_copy(handoff, fw_spec)
        with self._attending(handoff, fw_spec):
            return self.work(handoff, fw_spec)

    def work(self, handoff: Any, fw_spec: dict[str, Any]) -> FWAction:
        """Call one engine with what was handed over, and return what follows."""
        raise NotImplementedError

    def errand(self, handoff: Any, fw_spec: dict[str, Any]) -> Errand:
        """Return what this Firework needs and makes, for campaigns whose files travel."""
        raise NotImplementedError

    def generations(self, directory: str) -> Generations:
        """Return the versions of the potential to train from, and to publish a new one in."""
        return Generations(Path(directory)) if self.local is None else self.local.generations()

    def look_again(self) -> None:
        """Fetch what other machines have published since the work began."""
        if self.local is not None:
            self.local.fetch(self.errands)

    def share(self, *made: str) -> None:
        """Publish what is made, before the work is over."""
        if self.local is not None:
            self.local.publish(made)

    def stay_here(self, action: FWAction) -> None:
        """Let the Fireworks that follow run on this machine only, which has files that do not travel."""
        if self.local is not None:
            for firework in action.detours:
                firework.spec["_fworker"] = self.fworker.name

    def turn(self, handoff: Any, fw_spec: dict[str, Any]) -> str | None:
        """Return the name of the work that no two processes may do at once; None if they may."""
        return None

    def then(self) -> Callable[..., FWAction]:
        """Return the function that says what follows.

        Raises
        ------
        CampaignError
            If it is none of :mod:`mlip_fw.workflows.loop`'s.
        """
        module, _, name = str(self["then"]).partition(":")
        if module != LOOP or not name.startswith("after_"):
            raise CampaignError(
                f"`then` of this Firework must be {LOOP}:after_…, not {self['then']!r}; add the campaign again"
            )
        function: Callable[..., FWAction] = getattr(importlib.import_module(LOOP), name)
        return function

    def shelve_finished(self) -> None:
        """Keep this Firework's workflow short, if the database can be reached from here."""
        launchpad = getattr(self, "launchpad", None)
        if launchpad is not None:
            shelve_finished(launchpad, self.fw_id)

    def _handed(self) -> Handoff:
        try:
            return self.handed_kind.model_validate(self["handoff"])
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'it'}: {e['msg']}" for e in error.errors()[:4])
            raise CampaignError(
                f"the hand-off of this Firework can't be used: {faults}; add the campaign again (`mlip-fw add`), which "
                "goes on from what is in its directory"
            ) from None

    def _run_in_copy(self, handed: Handoff, fw_spec: dict[str, Any]) -> FWAction:
        """Fetch, work and publish; once more with what another machine has published meanwhile."""
        self.local = open_copy(handed, read_worker(fw_spec.get("_fw_env")), getattr(self, "launchpad", None))
        places = self.local.places
        handoff = self.handed_kind.model_validate(places.here(handed.plain()))
        spec = {key: places.here(value) if is_baton(key) else value for key, value in fw_spec.items()}
        self.errands = self.errand(handoff, spec)
        with self._attending(handoff, spec):
            is_first = False
            while not is_first:
                self.local.fetch(self.errands)
                if INPUTS in self.errands.wants:
                    require_inputs(self.local, handed.campaign)
                action = self.work(handoff, spec)
                is_first = self.local.publish(self.errands.makes)
        return FWAction.from_dict(places.there(action.to_dict()))

    @contextmanager
    def _attending(self, handoff: Handoff, fw_spec: dict[str, Any]) -> Iterator[None]:
        directory = CampaignDirectory(handoff.directory)
        attend(directory.root, getattr(self, "fw_id", None))
        turn = self.turn(handoff, fw_spec)
        if turn is None:
            yield
            return
        with directory.turn_locked(turn):
            yield


def read_worker(env: dict[str, Any] | None) -> Worker:
    """Return this machine's settings from a worker file's ``env``, and from the batch job that this process is in.

    Raises
    ------
    WorkerError
        If it has an unknown or wrong key.
    """
    try:
        return Worker.model_validate(env or {}).ending_within(working_seconds_left())
    except ValidationError as error:
        faults = "; ".join(f"env.{e['loc'][0]} {_complaint(e['type'], e['input'])}" for e in error.errors())
        unknown = [str(e["loc"][0]) for e in error.errors() if e["type"] == "extra_forbidden"]
        raise WorkerError(f"my_fworker.yaml: {faults}; {hint_for_keys(unknown)}") from None


def _complaint(kind: str, value: object) -> str:
    return "is not a key of env" if kind == "extra_forbidden" else f"can't be {value!r}"
