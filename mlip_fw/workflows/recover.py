"""Make everything runnable again that faults of machines, queues and the database have stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from fireworks import LaunchPad
from fireworks.fw_config import PING_TIME_SECS

from mlip_fw.attendance import remove_notes_of_the_dead
from mlip_fw.mongo_errors import STOPS_EVERYTHING, classify
from mlip_fw.recovery.contradictions import Census, contradictions, numbers_behind
from mlip_fw.recovery.evidence import SUBMITTING_S, TAKING_S, Evidence
from mlip_fw.recovery.files import left_files
from mlip_fw.recovery.findings import Finding, ended_from_outside, finished_unnoticed, lost_runs, reserved_in_vain
from mlip_fw.recovery.lease import Lease, alone
from mlip_fw.recovery.torn import HALF_ADDED, torn_workflows
from mlip_fw.workflows.offline import collect_offline, offline_news

PATIENCE_S = 15.0
_SILENT_PINGS = 4
_LEAST_SILENCE_S = 300.0


def silence_s() -> float:
    """Return after how long without a heartbeat a run counts as lost: four of FireWorks' pings, at least 5 min."""
    return max(_SILENT_PINGS * float(PING_TIME_SECS), _LEAST_SILENCE_S)


def recover(
    launchpad: LaunchPad,
    *,
    dry_run: bool = False,
    heartbeat_s: float | None = None,
    patience_s: float = PATIENCE_S,
    dead_workers: frozenset[str] = frozenset(),
    taking_s: float = TAKING_S,
    submitting_s: float = SUBMITTING_S,
) -> Iterator[Finding]:
    """Find what faults left of the campaigns on a LaunchPad, and put it right.

    Safe beside workers that run, and again and again: what somebody works on is not touched.

    Parameters
    ----------
    launchpad
        Where the campaigns are.
    dry_run
        Change nothing.
    heartbeat_s
        Silence after which a run is lost of which neither this machine nor the queue knows, s.
    patience_s
        How long a workflow must be locked to be so for ever, s.
    dead_workers
        Names of workers that the caller has seen die.
    taking_s, submitting_s
        Longest time between taking a Firework and its launch, and between its reservation and its job, s.

    Yields
    ------
    finding
        What was found, after it was mended unless ``dry_run``.

    Raises
    ------
    DirectoryError
        If another recovery of this LaunchPad is under way; a dry run may go beside it.
    """
    silent_s = silence_s() if heartbeat_s is None else heartbeat_s
    evidence = Evidence(silent_s, dead_workers, taking_s=taking_s, submitting_s=submitting_s)
    # to look needs no right to write, hence no lock
    with nullcontext() if dry_run else alone(launchpad.db) as lease:
        # first: what is mended can add Fireworks, which need numbers that nobody has
        census = Census.of(launchpad)
        for finding in list(numbers_behind(launchpad, census)):
            yield _mended(finding, lease)
        doubtful: set[int] = set()
        for finding in contradictions(launchpad, census, patience_s):
            doubtful |= finding.nodes
            yield finding
        for news in list(offline_news(launchpad)) if dry_run else collect_offline(launchpad):
            yield Finding("offline", news.fw_id, "", f"{news.state} without the database", lambda: None)
        to_remove = set()
        for finding in torn_workflows(launchpad, patience_s):
            if dry_run and finding.kind == HALF_ADDED:
                to_remove.add(finding.fw_id)
            yield _mended(_left_alone(finding, doubtful), lease)
        for look in (finished_unnoticed, lost_runs, reserved_in_vain, ended_from_outside):
            for finding in list(look(launchpad, evidence)):
                if finding.fw_id not in to_remove:
                    yield _mended(_left_alone(finding, doubtful), lease)
        for finding in left_files(launchpad):
            yield _mended(finding, lease)
        if not dry_run:
            _tidy(launchpad)


def _left_alone(finding: Finding, doubtful: set[int]) -> Finding:
    """Return a finding that is left for a person if it is about Fireworks whose workflows contradict others."""
    if finding.mend is None or doubtful.isdisjoint({finding.fw_id, *finding.nodes}):
        return finding
    return replace(finding, what=f"{finding.what}; left alone, since its workflow contradicts others", mend=None)


def _tidy(launchpad: LaunchPad) -> None:
    running = set(launchpad.get_fw_ids({"state": "RUNNING"}))
    for directory in launchpad.workflows.distinct("metadata.directory", {"metadata.mlip_fw": True}):
        if directory is not None:
            remove_notes_of_the_dead(Path(directory), keep=running)


def _mended(finding: Finding, lease: Lease | None) -> Finding:
    if finding.mend is None or lease is None:
        return finding
    lease.require()
    try:
        finding.mend()
    except Exception as error:
        if classify(error) in STOPS_EVERYTHING:
            raise
        # what ails one Firework must not keep all others from being mended
        return replace(finding, what=f"{finding.what}; not recovered: {type(error).__name__}: {error}", mend=None)
    return finding
