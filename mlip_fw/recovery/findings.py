"""What faults leave behind on a LaunchPad: each kind is found by one function, and knows how it is mended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from fireworks import FWAction, LaunchPad
from fireworks.core.launchpad import LockedWorkflowError

from mlip_fw.firework_names import AT_ONCE, OF_A_CAMPAIGN
from mlip_fw.interrupts import INTERRUPTED
from mlip_fw.mongo_errors import Trouble, classify_text
from mlip_fw.recovery.evidence import Evidence, age_s, began, moment, reservation_of

_MOST_LOST = 5
_OUR_TASKS = "{{mlip_fw."
_OF_A_FAILURE = {
    **{"launch_id": 1, "state": 1, "state_history": 1},
    **{"action.stored_data._exception": 1, "action.stored_data._task": 1},
}


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be."""

    kind: str
    fw_id: int
    name: str
    what: str
    mend: Callable[[], Any] | None
    """What to call; None if a person has to look."""
    nodes: frozenset[int] = frozenset()
    """All Fireworks of the workflows that it is about, where it is about more than one Firework."""


def finished_unnoticed(pad: LaunchPad, evidence: Evidence) -> Iterator[Finding]:
    """Find Fireworks that run on although their launch is over: the worker died before it told the workflow."""
    fireworks = _fireworks(pad, {"state": "RUNNING"})
    ended = _launches(pad, fireworks, {"state": {"$in": ["COMPLETED", "FIZZLED"]}}, {"launch_id": 1, "state": 1})
    for firework in fireworks:
        if launches := _own(ended, firework):
            what = f"its launch is {launches[0]['state']}, which the workflow has not noticed"
            yield _finding("unnoticed", firework, what, partial(_tell, pad, firework["fw_id"]))


def lost_runs(pad: LaunchPad, evidence: Evidence) -> Iterator[Finding]:
    """Find Fireworks whose worker is gone."""
    for firework, running in _with_launches(pad, evidence, "RUNNING"):
        reasons = [evidence.why_lost(launch, directory_of(firework)) for launch in running]
        if not running or not all(reasons):
            continue
        if _was_lost_too_often(pad, firework):
            what = f"{reasons[0]}; it was lost {_MOST_LOST} times: look at its folder, then lpad rerun_fws -i "
            yield _finding("lost run", firework, what + str(firework["fw_id"]), None)
        else:
            ids = [launch["launch_id"] for launch in running]
            yield _finding("lost run", firework, reasons[0], partial(_rerun_lost, pad, firework["fw_id"], ids))


def reserved_in_vain(pad: LaunchPad, evidence: Evidence) -> Iterator[Finding]:
    """Find Fireworks that wait for a job that is gone, or that a worker died with while it took them."""
    for firework, reserved in _with_launches(pad, evidence, "RESERVED"):
        if not reserved:
            if age_s(firework["updated_on"]) > evidence.taking_s:
                what = "a worker died while it took it"
                yield _finding("reservation", firework, what, partial(pad.rerun_fw, firework["fw_id"]))
            continue
        launch = reserved[0]
        job = evidence.lost_reservation(launch, directory_of(firework))
        never_submitted = reservation_of(launch) is None and age_s(firework["updated_on"]) > evidence.submitting_s
        if job or never_submitted:
            what = f"its Slurm job {job} is gone" if job else "it was never submitted"
            yield _finding("reservation", firework, what, partial(_cancel, pad, launch["launch_id"], job))


def ended_from_outside(pad: LaunchPad, evidence: Evidence) -> Iterator[Finding]:
    """Find Fireworks that fizzled for no fault of their own, and name the others, which need a person."""
    fireworks = _fireworks(pad, {"state": "FIZZLED"})
    known = _launches(pad, fireworks, {}, _OF_A_FAILURE)
    for firework in fireworks:
        launch = next((one for one in _own(known, firework) if one["state"] == "FIZZLED"), None)
        exception = _unreadable(firework) if launch is None else _stored(launch).get("_exception") or {}
        last_line = _last_line(exception)
        details = exception.get("_details") or {}
        again = partial(pad.rerun_fw, firework["fw_id"])
        last = known.get(firework["launches"][-1]) if firework["launches"] else None
        if (told := _launch_that_was_told(pad, firework, last)) is not None:
            # to run it again would add what follows a second time
            what = "what follows it is in the workflow, but the database was away before it was COMPLETED"
            yield _finding("unnoticed", firework, what, partial(_complete, pad, told, firework["fw_id"]))
        elif details.get("error") == INTERRUPTED or not exception:
            what = details.get("message", "marked as lost, and not yet rerun")
            yield _finding("interrupted", firework, what, again)
        elif classify_text(last_line) is Trouble.AWAY:
            yield _finding("database was away", firework, last_line.partition(",")[0][:200], again)
        else:
            said = details.get("message") or last_line or "no reason is recorded"
            hint = f"fix it, then: lpad rerun_fws -i {firework['fw_id']}"
            yield _finding("needs you", firework, f"{said}; {hint}", None)


def _launch_that_was_told(pad: LaunchPad, firework: dict[str, Any], launch: dict[str, Any] | None) -> int | None:
    """Return the number of a Firework's launch if it ended well, and the workflow holds Fireworks that it has added."""
    if launch is None or not _failed_after_its_task(launch):
        return None
    workflow = pad.workflows.find_one({"nodes": firework["fw_id"]}, {"links": 1})
    if workflow is None:
        return None
    children = workflow["links"].get(str(firework["fw_id"]), [])
    born = [child["created_on"] for child in pad.fireworks.find({"fw_id": {"$in": children}}, {"created_on": 1})]
    told: int = launch["launch_id"]
    return told if any(moment(date) > began(launch) for date in born) else None


def _tell(pad: LaunchPad, fw_id: int) -> None:
    """Have a workflow notice that a launch is over."""
    pad._refresh_wf(fw_id)
    if pad.fireworks.find_one({"fw_id": fw_id, "state": "RUNNING"}) is not None:
        raise LockedWorkflowError("its workflow is locked")


def _complete(pad: LaunchPad, launch_id: int, fw_id: int) -> None:
    """Have a launch COMPLETED whose action has been applied."""
    done = {"state": "COMPLETED", "action": FWAction().to_dict()}
    pad.launches.update_one({"launch_id": launch_id}, {"$set": done})
    pad._refresh_wf(fw_id)


def _cancel(pad: LaunchPad, launch_id: int, job: Any) -> None:
    """Cancel a reservation, if its job has not begun meanwhile, and no other job was submitted."""
    launch = pad.launches.find_one({"launch_id": launch_id, "state": "RESERVED"})
    if launch is not None and reservation_of(launch) == job:
        pad.cancel_reservation(launch_id)


def _was_lost_too_often(pad: LaunchPad, firework: dict[str, Any]) -> bool:
    """Return whether it was: launches that end in another way, even by a signal, say how."""
    archived = firework.get("archived_launches", [])
    if len(archived) < _MOST_LOST:
        return False
    lost = {"state": "FIZZLED", "action.stored_data._exception": {"$exists": False}}
    times: int = pad.launches.count_documents({"launch_id": {"$in": archived}, **lost})
    return times >= _MOST_LOST


def _rerun_lost(pad: LaunchPad, fw_id: int, launch_ids: list[int]) -> None:
    if pad.fireworks.find_one({"fw_id": fw_id, "state": "RUNNING", "launches": launch_ids[-1]}) is None:
        return
    for launch_id in launch_ids:
        pad.mark_fizzled(launch_id)
        if pad.offline_runs.count_documents({"launch_id": launch_id, "deprecated": False}):
            pad.forget_offline(launch_id)
    pad.rerun_fw(fw_id)


def _with_launches(pad: LaunchPad, evidence: Evidence, state: str) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Return this user's Fireworks in a state with their launches in it: read before Slurm is asked for its jobs."""
    fireworks = _fireworks(pad, {"state": state})
    launches = _launches(pad, fireworks, {"state": state})
    mine = [firework for firework in fireworks if not evidence.leaves_alone(directory_of(firework))]
    evidence.slurm.forget_jobs()
    return [(firework, _own(launches, firework)) for firework in mine]


def _launches(
    pad: LaunchPad,
    fireworks: list[dict[str, Any]],
    query: dict[str, Any],
    seen: dict[str, int] | None = None,
) -> dict[int, dict[str, Any]]:
    """Return launches of Fireworks by number: one question for all of them."""
    wanted = {"launch_id": {"$in": sorted({number for one in fireworks for number in one["launches"]})}}
    if not wanted["launch_id"]["$in"]:
        return {}
    return {one["launch_id"]: one for one in pad.launches.find({**wanted, **query}, seen, batch_size=AT_ONCE)}


def _own(launches: dict[int, dict[str, Any]], firework: dict[str, Any]) -> list[dict[str, Any]]:
    return [launches[number] for number in firework["launches"] if number in launches]


def _fireworks(pad: LaunchPad, query: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the campaigns' Fireworks, whatever else lies on the LaunchPad."""
    wanted = ("fw_id", "name", "launches", "archived_launches", "updated_on", "spec._tasks", "spec._exception_details")
    found = list(pad.fireworks.find({**OF_A_CAMPAIGN, **query}, wanted, batch_size=AT_ONCE))
    return [
        firework for firework in found if any(t["_fw_name"].startswith(_OUR_TASKS) for t in firework["spec"]["_tasks"])
    ]


def directory_of(firework: dict[str, Any]) -> str | None:
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
    """Return whether FireWorks failed, when the task had come to its end; it names the task if that one failed."""
    stored = _stored(launch)
    return "_exception" in stored and stored.get("_task") is None


def _unreadable(firework: dict[str, Any]) -> dict[str, Any]:
    """Return what FireWorks noted of a Firework that a worker took and could not read: such a one has no launch."""
    noted = firework["spec"].get("_exception_details") or {}
    return {**noted, "_details": {"message": f"a worker can't read it: {_last_line(noted)}"}} if noted else {}


def _finding(kind: str, firework: dict[str, Any], what: str | None, mend: Callable[[], Any] | None) -> Finding:
    return Finding(kind, firework["fw_id"], firework["name"], what or "", mend)
