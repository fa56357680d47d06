"""A lock in the database that lets one recovery run at a time: it expires unless its holder renews it."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC
from typing import Any

from pydantic import ValidationError
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, PyMongoError

from mlip_fw.errors import DirectoryError
from mlip_fw.runtime.worker_record import WorkerRecord, current_process_record, is_alive

logger = logging.getLogger("mlip_fw")
COLLECTION = "mlip_fw_locks"
VALID_S = 600.0
"""A lock that is not renewed for so long is free."""
RENEWAL_INTERVAL_S = 60.0
_NAME = "recover"


class Lease:
    """A lock that this process takes, renews and releases.

    All times are the database server's (``localTime`` of its answer to ``hello``; MongoDB manual, "hello"), so that
    clocks of machines that differ can't make a lock look older than it is.

    Parameters
    ----------
    database
        Where the lock is.
    renewed_every_s
        Time between two renewals, s.
    clock
        Monotonic clock of this process, s.
    """

    def __init__(
        self,
        database: Database[dict[str, Any]],
        renewed_every_s: float = RENEWAL_INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._renewed_every_s, self._clock = renewed_every_s, clock
        self._database, self._locks = database, database[COLLECTION]
        self._token = uuid.uuid4().hex
        self._valid_until = 0.0
        self._ended = threading.Event()

    def take(self) -> bool:
        """Take the lock if it is free or its holder is dead, and return whether that worked."""
        began, now = self._clock(), server_time(self._database)
        ours = {"until": now + VALID_S, "owner": self._token, "process": current_process_record().plain()}
        try:
            self._locks.find_one_and_update({"_id": _NAME, "until": {"$lt": now}}, {"$set": ours}, upsert=True)
        except DuplicateKeyError:
            held = self._locks.find_one({"_id": _NAME}) or {}
            if not _has_died(held):
                return False
            # compare-and-set with the dead owner: another recovery may have taken the lock meanwhile
            dead = {"_id": _NAME, "owner": held["owner"]}
            if not self._locks.update_one(dead, {"$set": ours}).matched_count:
                return False
        self._valid_until = began + VALID_S
        return True

    def renew(self) -> None:
        """Extend the lock, if it is still ours."""
        began = self._clock()
        until = server_time(self._database) + VALID_S
        ours = {"_id": _NAME, "owner": self._token}
        is_ours = self._locks.update_one(ours, {"$set": {"until": until}}).matched_count
        self._valid_until = began + VALID_S if is_ours else 0.0

    def require(self) -> None:
        """Require that the lock is still ours.

        Raises
        ------
        DirectoryError
            If it was not renewed in time, for example because this process was suspended.
        """
        if self._clock() >= self._valid_until:
            raise DirectoryError(
                f"this recovery has lost its lock: it was stopped, or the database was away, for {VALID_S:.0f} s, and "
                "another may be at work; run mlip-fw recover again"
            )

    def release(self) -> None:
        """Release the lock, if it is still ours."""
        self._locks.delete_one({"_id": _NAME, "owner": self._token})

    def keep_renewing(self) -> None:
        """Renew the lock until :meth:`stop` is called."""
        while not self._ended.wait(self._renewed_every_s):
            try:
                self.renew()
            except PyMongoError as error:
                logger.debug("the lock of this recovery could not be renewed: %s", type(error).__name__)

    def stop(self) -> None:
        """End :meth:`keep_renewing`."""
        self._ended.set()


@contextmanager
def hold_lease(
    database: Database[dict[str, Any]],
    renewed_every_s: float = RENEWAL_INTERVAL_S,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Lease]:
    """Hold the lock of a LaunchPad's recovery; one that died on another machine holds it for another ten minutes.

    Raises
    ------
    DirectoryError
        If another recovery holds it.
    """
    lease = Lease(database, renewed_every_s, clock)
    if not lease.take():
        held = (database[COLLECTION].find_one({"_id": _NAME}) or {}).get("process") or {}
        who = f" (process {held['pid']} on {held['host']})" if {"pid", "host"} <= held.keys() else ""
        raise DirectoryError(
            f"another mlip-fw recover{who} works on this LaunchPad; wait for it (if it died, {VALID_S / 60:.0f} min at "
            "most)"
        )
    keeper = threading.Thread(target=lease.keep_renewing, daemon=True)
    keeper.start()
    try:
        yield lease
    finally:
        lease.stop()
        keeper.join()
        lease.release()


def server_time(database: Database[dict[str, Any]]) -> float:
    """Return the time of the database server, s since 1970; for a database in memory that of this process."""
    try:
        now = database.command("hello")["localTime"]
    except NotImplementedError:
        return time.time()
    return float(now.replace(tzinfo=UTC).timestamp()) if now.tzinfo is None else float(now.timestamp())


def _has_died(held: dict[str, Any]) -> bool:
    """Return whether the holder of a lock is known to be dead: a process of this machine that is gone."""
    try:
        return "owner" in held and is_alive(WorkerRecord.model_validate(held.get("process"))) is False
    except ValidationError:
        return False
