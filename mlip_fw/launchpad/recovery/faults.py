"""What faults leave on a LaunchPad: one function finds each kind, and gives the call that repairs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from fireworks import FWAction, LaunchPad
from fireworks.core.launchpad import LockedWorkflowError

from mlip_fw.launchpad.driver_errors import ErrorKind, classify_text
from mlip_fw.launchpad.filepad.leftovers import Leftovers
from mlip_fw.launchpad.names import BATCH_SIZE, CAMPAIGN_FIREWORKS
from mlip_fw.launchpad.recovery.lease import server_time
from mlip_fw.launchpad.recovery.liveness import Evidence, age_s, began, parse_time, reservation_of
from mlip_fw.runtime.signals import INTERRUPTED

_MAX_LOST = 5
_OUR_TASKS = "{{mlip_fw."
_FAILURE_FIELDS = {
    **{"launch_id": 1, "state": 1, "state_history": 1},
    **{"action.stored_data._exception": 1, "action.stored_data._task": 1},
}


@dataclass(frozen=True)
class Fault:
    """One inconsistency that a fault has left."""

    kind: str
    fw_id: int
    name: str
    what: str
    repair: Callable[[], Any] | None
    """Repairs it; None if a person has to decide."""
    nodes: frozenset[int] = frozenset()
    """All Fireworks of the affected workflows, if more than one Firework is affected."""


def find_unnoticed_ends(pad: LaunchPad, evidence: Evidence) -> Iterator[Fault]:
    """Find RUNNING Fireworks whose launch is over: the worker died before the workflow was updated."""
    fireworks = _fireworks(pad, {"state": "RUNNING"})
    ended = _launches(pad, fireworks, {"state": {"$in": ["COMPLETED", "FIZZLED"]}}, {"launch_id": 1, "state": 1})
    for firework in fireworks:
        if launches := _own(ended, firework):
            what = f"its launch is {launches[0]['state']}, which the workflow has not noticed"
            yield _finding("unnoticed", firework, what, partial(_refresh, pad, firework["fw_id"]))


def find_lost_runs(pad: LaunchPad, evidence: Evidence) -> Iterator[Fault]:
    """Find RUNNING Fireworks whose worker is gone."""
    for firework, running in _with_launches(pad, evidence, "RUNNING"):
        reasons = [evidence.why_lost(launch, campaign_directory_of(firework)) for launch in running]
        if not running or not all(reasons):
            continue
        if _was_lost_too_often(pad, firework):
            what = f"{reasons[0]}; it was lost {_MAX_LOST} times: look at its folder, then lpad rerun_fws -i "
            yield _finding("lost run", firework, what + str(firework["fw_id"]), None)
        else:
            ids = [launch["launch_id"] for launch in running]
            yield _finding("lost run", firework, reasons[0], partial(_rerun_lost, pad, firework["fw_id"], ids))


def find_dead_reservations(pad: LaunchPad, evidence: Evidence) -> Iterator[Fault]:
    """Find RESERVED Fireworks whose job is gone or was never submitted, or whose worker died at their checkout."""
    for firework, reserved in _with_launches(pad, evidence, "RESERVED"):
        if not reserved:
            if age_s(firework["updated_on"]) > evidence.taking_s:
                what = "a worker died while it took it"
                yield _finding("reservation", firework, what, partial(pad.rerun_fw, firework["fw_id"]))
            continue
        launch = reserved[0]
        job = evidence.lost_reservation(launch, campaign_directory_of(firework))
        never_submitted = reservation_of(launch) is None and age_s(firework["updated_on"]) > evidence.submitting_s
        if job or never_submitted:
            what = f"its Slurm job {job} is gone" if job else "it was never submitted"
            yield _finding("reservation", firework, what, partial(_cancel, pad, launch["launch_id"], job))


def find_external_failures(pad: LaunchPad, evidence: Evidence) -> Iterator[Fault]:
    """Find FIZZLED Fireworks that were interrupted or lost the database; report the others, which a person must fix."""
    fireworks = _fireworks(pad, {"state": "FIZZLED"})
    known = _launches(pad, fireworks, {}, _FAILURE_FIELDS)
    for firework in fireworks:
        launch = next((one for one in _own(known, firework) if one["state"] == "FIZZLED"), None)
        exception = _unreadable(firework) if launch is None else _stored(launch).get("_exception") or {}
        last_line = _last_line(exception)
        details = exception.get("_details") or {}
        again = partial(pad.rerun_fw, firework["fw_id"])
        last = known.get(firework["launches"][-1]) if firework["launches"] else None
        if (launch_id := _applied_launch(pad, firework, last)) is not None:
            # a rerun would add the Fireworks that follow a second time
            what = "what follows it is in the workflow, but the database was away before it was COMPLETED"
            yield _finding("unnoticed", firework, what, partial(_complete, pad, launch_id, firework["fw_id"]))
        elif details.get("error") == INTERRUPTED or not exception:
            what = details.get("message", "marked as lost, and not yet rerun")
            yield _finding("interrupted", firework, what, again)
        elif classify_text(last_line) is ErrorKind.AWAY:
            yield _finding("database was away", firework, last_line.partition(",")[0][:200], again)
        else:
            reason = details.get("message") or last_line or "no reason is recorded"
            hint = f"fix it, then: lpad rerun_fws -i {firework['fw_id']}"
            yield _finding("needs you", firework, f"{reason}; {hint}", None)


def left_files(pad: LaunchPad) -> Iterator[Fault]:
    """Find files in the database that nobody needs: stored contents without a name, which are removed.

    Files of campaigns whose workflows were deleted are reported only: they may be the only results.
    """
    leftovers = Leftovers(pad.db, server_time(pad.db))
    if unnamed := leftovers.unnamed():
        what = f"{len(unnamed)} stored contents that no file names: a worker was killed while it stored files"
        yield Fault("unused files", 0, "FilePad", what, partial(leftovers.remove, unnamed))
    for one in leftovers.abandoned():
        where = one.directory or "(the directory that it was added with)"
        size = f"{one.n_files} files, {one.n_bytes / 1e6:.1f} MB"
        what = f"{size}, of a campaign without a workflow; to fetch and remove them: mlip-fw pull {where} --remove"
        yield Fault("files without workflow", 0, one.key, what, None)


def _applied_launch(pad: LaunchPad, firework: dict[str, Any], launch: dict[str, Any] | None) -> int | None:
    """Return the number of a launch whose action was applied: children in the workflow are newer than the launch."""
    if launch is None or not _failed_after_its_task(launch):
        return None
    workflow = pad.workflows.find_one({"nodes": firework["fw_id"]}, {"links": 1})
    if workflow is None:
        return None
    children = workflow["links"].get(str(firework["fw_id"]), [])
    born = [child["created_on"] for child in pad.fireworks.find({"fw_id": {"$in": children}}, {"created_on": 1})]
    launch_id: int = launch["launch_id"]
    return launch_id if any(parse_time(date) > began(launch) for date in born) else None


def _refresh(pad: LaunchPad, fw_id: int) -> None:
    """Update a workflow after a launch that is over."""
    pad._refresh_wf(fw_id)
    if pad.fireworks.find_one({"fw_id": fw_id, "state": "RUNNING"}) is not None:
        raise LockedWorkflowError("its workflow is locked")


def _complete(pad: LaunchPad, launch_id: int, fw_id: int) -> None:
    """Set a launch to COMPLETED whose action has been applied already."""
    done = {"state": "COMPLETED", "action": FWAction().to_dict()}
    pad.launches.update_one({"launch_id": launch_id}, {"$set": done})
    pad._refresh_wf(fw_id)


def _cancel(pad: LaunchPad, launch_id: int, job: Any) -> None:
    """Cancel a reservation, unless its job has begun or another one was submitted meanwhile."""
    launch = pad.launches.find_one({"launch_id": launch_id, "state": "RESERVED"})
    if launch is not None and reservation_of(launch) == job:
        pad.cancel_reservation(launch_id)


def _was_lost_too_often(pad: LaunchPad, firework: dict[str, Any]) -> bool:
    """Return whether its launches were lost too often; those that ended in any other way have an exception."""
    archived = firework.get("archived_launches", [])
    if len(archived) < _MAX_LOST:
        return False
    lost = {"state": "FIZZLED", "action.stored_data._exception": {"$exists": False}}
    times: int = pad.launches.count_documents({"launch_id": {"$in": archived}, **lost})
    return times >= _MAX_LOST


def _rerun_lost(pad: LaunchPad, fw_id: int, launch_ids: list[int]) -> None:
    """Make a lost Firework ready to run again, unless it was meanwhile."""
    if pad.fireworks.find_one({"fw_id": fw_id, "state": "RUNNING", "launches": launch_ids[-1]}) is None:
        return
    for launch_id in launch_ids:
        pad.mark_fizzled(launch_id)
        if pad.offline_runs.count_documents({"launch_id": launch_id, "deprecated": False}):
            pad.forget_offline(launch_id)
    pad.rerun_fw(fw_id)


def _with_launches(pad: LaunchPad, evidence: Evidence, state: str) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Return this user's Fireworks in a state, each with its launches in that state.

    They are read before Slurm's jobs are: a job that ends in between then counts as running, not as lost.
    """
    fireworks = _fireworks(pad, {"state": state})
    launches = _launches(pad, fireworks, {"state": state})
    mine = [firework for firework in fireworks if not evidence.is_out_of_reach(campaign_directory_of(firework))]
    evidence.slurm.forget_jobs()
    return [(firework, _own(launches, firework)) for firework in mine]


def _launches(
    pad: LaunchPad,
    fireworks: list[dict[str, Any]],
    query: dict[str, Any],
    seen: dict[str, int] | None = None,
) -> dict[int, dict[str, Any]]:
    """Return the launches of Fireworks by number, by one query for all."""
    wanted = {"launch_id": {"$in": sorted({number for one in fireworks for number in one["launches"]})}}
    if not wanted["launch_id"]["$in"]:
        return {}
    return {one["launch_id"]: one for one in pad.launches.find({**wanted, **query}, seen, batch_size=BATCH_SIZE)}


def _own(launches: dict[int, dict[str, Any]], firework: dict[str, Any]) -> list[dict[str, Any]]:
    return [launches[number] for number in firework["launches"] if number in launches]


def _fireworks(pad: LaunchPad, query: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the Fireworks of campaigns that match a query; a LaunchPad may hold others."""
    wanted = ("fw_id", "name", "launches", "archived_launches", "updated_on", "spec._tasks", "spec._exception_details")
    found = list(pad.fireworks.find({**CAMPAIGN_FIREWORKS, **query}, wanted, batch_size=BATCH_SIZE))
    return [
        firework for firework in found if any(t["_fw_name"].startswith(_OUR_TASKS) for t in firework["spec"]["_tasks"])
    ]


def campaign_directory_of(firework: dict[str, Any]) -> str | None:
    """Return the campaign directory that a Firework's document names."""
    handoff = firework["spec"]["_tasks"][0].get("handoff") or {}
    found = handoff.get("directory")
    return found if isinstance(found, str) else None


def _last_line(exception: dict[str, Any]) -> str:
    return str(exception.get("_stacktrace") or "").strip().rpartition("\n")[2]


def _stored(launch: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (launch.get("action") or {}).get("stored_data") or {}
    return found


def _failed_after_its_task(launch: dict[str, Any]) -> bool:
    """Return whether FireWorks failed after the Firetask had ended; it records the task if the task has failed."""
    stored = _stored(launch)
    return "_exception" in stored and stored.get("_task") is None


def _unreadable(firework: dict[str, Any]) -> dict[str, Any]:
    """Return the error of a Firework that a worker could not read, as FireWorks records it: there is no launch then."""
    noted = firework["spec"].get("_exception_details") or {}
    return {**noted, "_details": {"message": f"a worker can't read it: {_last_line(noted)}"}} if noted else {}


def _finding(kind: str, firework: dict[str, Any], what: str | None, repair: Callable[[], Any] | None) -> Fault:
    return Fault(kind, firework["fw_id"], firework["name"], what or "", repair)
