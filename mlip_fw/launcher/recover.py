"""``mlip-fw recover``: find what faults of machines, queues and the database have left, and repair it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from fireworks import LaunchPad
from fireworks.fw_config import PING_TIME_SECS

from mlip_fw.launcher.offline import collect_offline_runs, read_offline_runs
from mlip_fw.launchpad.driver_errors import STOPS_EVERYTHING, classify
from mlip_fw.launchpad.recovery.contradictions import Census, find_contradictions, find_stale_counters
from mlip_fw.launchpad.recovery.faults import (
    Fault,
    find_dead_reservations,
    find_external_failures,
    find_lost_runs,
    find_unnoticed_ends,
    left_files,
)
from mlip_fw.launchpad.recovery.lease import Lease, hold_lease
from mlip_fw.launchpad.recovery.liveness import CHECKOUT_TIMEOUT_S, SUBMIT_TIMEOUT_S, Evidence
from mlip_fw.launchpad.recovery.torn_workflows import HALF_ADDED, find_torn_workflows
from mlip_fw.runtime.worker_record import remove_dead_records

LOCK_TIMEOUT_S = 15.0
_SILENT_PINGS = 4
_MIN_SILENCE_S = 300.0


def lost_after_s() -> float:
    """Return the time without heartbeat after which a run counts as lost, s: four ping intervals, at least 5 min."""
    return max(_SILENT_PINGS * float(PING_TIME_SECS), _MIN_SILENCE_S)


def recover(
    launchpad: LaunchPad,
    *,
    dry_run: bool = False,
    heartbeat_s: float | None = None,
    timeout_s: float = LOCK_TIMEOUT_S,
    dead_workers: frozenset[str] = frozenset(),
    taking_s: float = CHECKOUT_TIMEOUT_S,
    submitting_s: float = SUBMIT_TIMEOUT_S,
) -> Iterator[Fault]:
    """Find what faults have left of the campaigns on a LaunchPad, and repair it.

    Safe while workers run, and any number of times: a Firework that a worker runs is not touched.

    Parameters
    ----------
    launchpad
        Where the campaigns are.
    dry_run
        Only report.
    heartbeat_s
        Time without heartbeat after which a run counts as lost, if neither this machine nor the queue knows more, s.
    timeout_s
        Time after which the lock of a workflow counts as stale, s.
    dead_workers
        Names of workers that the caller knows to be dead.
    taking_s, submitting_s
        Longest time from the checkout of a Firework to its launch, and from its reservation to its job, s.

    Yields
    ------
    finding
        What was found; it is repaired already, unless ``dry_run``.

    Raises
    ------
    DirectoryError
        If another recovery of this LaunchPad is under way, and this is no dry run.
    """
    silent_s = lost_after_s() if heartbeat_s is None else heartbeat_s
    evidence = Evidence(silent_s, dead_workers, taking_s=taking_s, submitting_s=submitting_s)
    # a dry run takes no lock: the user may have no right to write
    with nullcontext() if dry_run else hold_lease(launchpad.db) as lease:
        # first: repairs can add Fireworks, which need unused numbers
        census = Census.of(launchpad)
        for finding in list(find_stale_counters(launchpad, census)):
            yield _repaired(finding, lease)
        doubtful: set[int] = set()
        for finding in find_contradictions(launchpad, census, timeout_s):
            doubtful |= finding.nodes
            yield finding
        for news in list(read_offline_runs(launchpad)) if dry_run else collect_offline_runs(launchpad):
            yield Fault("offline", news.fw_id, "", f"{news.state} without the database", lambda: None)
        to_remove = set()
        for finding in find_torn_workflows(launchpad, timeout_s):
            if dry_run and finding.kind == HALF_ADDED:
                to_remove.add(finding.fw_id)
            yield _repaired(_without_repair_if(finding, doubtful), lease)
        for find in (find_unnoticed_ends, find_lost_runs, find_dead_reservations, find_external_failures):
            for finding in list(find(launchpad, evidence)):
                if finding.fw_id not in to_remove:
                    yield _repaired(_without_repair_if(finding, doubtful), lease)
        for finding in left_files(launchpad):
            yield _repaired(finding, lease)
        if not dry_run:
            _remove_dead_worker_records(launchpad)


def _without_repair_if(finding: Fault, doubtful: set[int]) -> Fault:
    """Return a finding without its repair if its workflow contradicts others, so that a person must decide."""
    if finding.repair is None or doubtful.isdisjoint({finding.fw_id, *finding.nodes}):
        return finding
    return replace(finding, what=f"{finding.what}; left alone, since its workflow contradicts others", repair=None)


def _remove_dead_worker_records(launchpad: LaunchPad) -> None:
    running = set(launchpad.get_fw_ids({"state": "RUNNING"}))
    for directory in launchpad.workflows.distinct("metadata.directory", {"metadata.mlip_fw": True}):
        if directory is not None:
            remove_dead_records(Path(directory), keep=running)


def _repaired(finding: Fault, lease: Lease | None) -> Fault:
    """Repair a finding, if that can be done and is wanted, and return it; with the error if it failed."""
    if finding.repair is None or lease is None:
        return finding
    lease.require()
    try:
        finding.repair()
    except Exception as error:
        if classify(error) in STOPS_EVERYTHING:
            raise
        # an error with one Firework must not keep the others from being repaired
        return replace(finding, what=f"{finding.what}; not recovered: {type(error).__name__}: {error}", repair=None)
    return finding
