"""Base class of all Firetasks: reads the hand-off, opens the Step, locks the work, and fetches and publishes files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from fireworks import FireTaskBase, FWAction
from pydantic import ValidationError

from mlip_fw.engines.ace.kernel.choice import evaluator_of, use
from mlip_fw.errors import CampaignError, WorkerError
from mlip_fw.firetasks.continuations import continuation_named
from mlip_fw.launchpad.archiving import archive_finished
from mlip_fw.launchpad.filepad.campaign_files import open_copy, require_inputs
from mlip_fw.launchpad.filepad.staging import INPUT_FILES, StagingSpec
from mlip_fw.models.handoff import Handoff
from mlip_fw.models.worker import Worker, hint_for_keys
from mlip_fw.runtime.environment import require_assertions
from mlip_fw.runtime.walltime import working_seconds_left
from mlip_fw.runtime.worker_record import write_worker_record
from mlip_fw.steps.step import Step

logger = logging.getLogger("mlip_fw")
STOPPED = "mlip_fw_stopped"
"""Key of a spec: why the campaign stops. Firetasks that go on with the campaign do nothing if they find it."""


class CampaignTask(FireTaskBase):
    """A Firetask with a hand-off (``handoff``) and, maybe, a continuation (``then``)."""

    required_params = ["handoff"]  # noqa: RUF012  FireWorks wants a plain list
    optional_params = ["then"]  # noqa: RUF012

    handed_kind: ClassVar[type[Handoff]] = Handoff
    needs_worker: ClassVar[bool] = True
    """Whether a fault in the worker file fails the step; if not, it runs with the defaults instead."""
    goes_on: ClassVar[bool] = False
    """Whether the work is pointless once the campaign stops."""

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        """Do the work, one process at a time, with a record of the worker in the campaign directory.

        Raises
        ------
        CampaignError
            If the hand-off is damaged, or names a place outside of the campaign directory.
        WorkerError
            If Python runs without assertions, or the worker file has an unknown or wrong key.
        """
        require_assertions()
        handoff, stop = self._handed(fw_spec), fw_spec.get(STOPPED)
        if handoff.campaign.files == "filepad":
            return self._run_in_copy(handoff, stop, fw_spec)
        step = Step(handoff, stop=stop)
        with self._alone(step):
            return self._work_unless_stopped(step, fw_spec)

    def work(self, step: Step[Any], worker: Worker) -> FWAction:
        """Call one step and return what follows."""
        raise NotImplementedError

    def staging(self, step: Step[Any]) -> StagingSpec:
        """Return the files to fetch before the work and to publish after it, with ``files: filepad``."""
        raise NotImplementedError

    def receive(self, handoff: Any, fw_spec: dict[str, Any]) -> Handoff:
        """Return the hand-off, completed with what earlier Fireworks left in the spec."""
        received: Handoff = handoff
        return received

    def lock_name(self, handoff: Any) -> str | None:
        """Return the name of the lock that lets one process at a time do this work; None if several may."""
        return None

    def then(self) -> Callable[..., FWAction]:
        """Return the function that says what follows.

        Raises
        ------
        CampaignError
            If it is none of :mod:`mlip_fw.workflows.loop`'s.
        """
        return continuation_named(self["then"])

    def archive_finished(self) -> None:
        """Archive old finished Fireworks of this one's workflow, if the database can be reached from here."""
        launchpad = getattr(self, "launchpad", None)
        if launchpad is not None:
            archive_finished(launchpad, self.fw_id)

    def _handed(self, fw_spec: dict[str, Any]) -> Handoff:
        try:
            return self.receive(self.handed_kind.model_validate(self["handoff"]), fw_spec)
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'it'}: {e['msg']}" for e in error.errors()[:4])
            raise CampaignError(
                f"the hand-off of this Firework can't be used: {faults}; add the campaign again (`mlip-fw add`), which "
                "goes on from what is in its directory"
            ) from None

    def _work_unless_stopped(self, step: Step[Any], fw_spec: dict[str, Any]) -> FWAction:
        if step.stop is not None and self.goes_on:
            return FWAction(update_spec={STOPPED: step.stop})
        worker = self._worker_of(fw_spec.get("_fw_env"))
        use(evaluator_of(worker))
        return self.work(step, worker)

    def _worker_of(self, env: dict[str, Any] | None) -> Worker:
        """Return the worker's keys; the defaults where it has faults and the step does not need it."""
        try:
            return read_worker(env)
        except WorkerError:
            if self.needs_worker:
                raise
            return Worker()

    def _run_in_copy(self, handed: Handoff, stop: str | None, fw_spec: dict[str, Any]) -> FWAction:
        """Fetch, work and publish; once more with what another machine has published meanwhile."""
        copy = open_copy(handed, read_worker(fw_spec.get("_fw_env")), getattr(self, "launchpad", None))
        handoff = self.handed_kind.model_validate(copy.places.here(handed.plain()))
        step = Step(handoff, stop=stop, local_copy=copy, fworker=self.fworker.name)
        if stop is None or not self.goes_on:
            step.staging = self.staging(step)
        with self._alone(step):
            is_first = False
            while not is_first:
                step.fetch()
                if INPUT_FILES in step.staging.file_sets:
                    require_inputs(copy, handed.campaign)
                action = self._work_unless_stopped(step, fw_spec)
                is_first = copy.publish(step.staging.outputs)
        return FWAction.from_dict(copy.places.there(action.to_dict()))

    @contextmanager
    def _alone(self, step: Step[Any]) -> Iterator[None]:
        """Write a worker record, and let no second process do the same work meanwhile."""
        write_worker_record(step.directory.root, getattr(self, "fw_id", None))
        name = self.lock_name(step.handoff)
        if name is None:
            yield
            return
        with step.directory.work_locked(name):
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
