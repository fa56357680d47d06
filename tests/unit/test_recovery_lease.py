"""The lock of a recovery: only its holder lets it go, it is renewed, and that of a dead process is taken over."""

import time
from datetime import UTC, datetime

import pytest

from mlip_fw.errors import DirectoryError
from mlip_fw.launcher.embedded import embedded_launchpad
from mlip_fw.launcher.recover import recover
from mlip_fw.launchpad.recovery import lease as module
from mlip_fw.launchpad.recovery.lease import RENEWAL_INTERVAL_S, VALID_S, Lease, hold_lease
from mlip_fw.runtime.worker_record import current_process_record


@pytest.fixture
def pad():
    """Return an empty LaunchPad."""
    return embedded_launchpad()


def lock(pad):
    """Return the lock as it is stored."""
    return pad.db["mlip_fw_locks"].find_one({"_id": "recover"})


def test_the_second_is_refused_and_told_who_is_first(pad):
    process = current_process_record()
    with hold_lease(pad.db):
        with pytest.raises(DirectoryError, match=rf"another mlip-fw recover \(process {process.pid} on "):
            list(recover(pad, timeout_s=0.0))
        assert list(recover(pad, dry_run=True, timeout_s=0.0)) == []
    assert lock(pad) is None
    assert list(recover(pad, timeout_s=0.0)) == []


def test_who_holds_it_no_more_does_not_let_go_that_of_another(pad):
    first, second = Lease(pad.db), Lease(pad.db)
    assert first.take()
    pad.db["mlip_fw_locks"].update_one({}, {"$set": {"until": time.time() - 1, "process.host": "elsewhere"}})
    assert second.take()
    held = lock(pad)
    first.release()
    assert lock(pad) == held
    first.renew()
    assert lock(pad) == held
    with pytest.raises(DirectoryError, match="has lost its lock"):
        first.require()
    second.require()
    second.release()
    assert lock(pad) is None


def test_it_is_renewed_while_it_is_held(pad):
    with hold_lease(pad.db, renewed_every_s=0.01) as lease:
        pad.db["mlip_fw_locks"].update_one({}, {"$set": {"until": 1.0}})
        while lock(pad)["until"] == 1.0:
            time.sleep(0.01)
        assert lock(pad)["until"] > time.time() + VALID_S / 2
        lease.require()


def test_a_lease_is_renewed_every_minute_of_ten():
    """So that a database that is away for some minutes costs nobody the lock."""
    assert 5 * RENEWAL_INTERVAL_S < VALID_S


def test_one_that_could_not_be_renewed_in_time_mends_no_more(pad):
    now = [100.0]
    with hold_lease(pad.db, clock=lambda: now[0]) as lease:
        now[0] += VALID_S - 1
        lease.require()
        now[0] += 2
        with pytest.raises(DirectoryError, match="has lost its lock"):
            lease.require()


@pytest.mark.parametrize(
    ("changes", "is_taken"),
    [
        ({"started": 0}, True),
        ({"boot": "another"}, True),
        ({}, False),
        ({"started": 0, "host": "elsewhere"}, False),
    ],
)
def test_that_of_a_dead_process_of_this_machine_is_taken_over(pad, changes, is_taken):
    process = current_process_record().model_copy(update=changes).plain()
    held = {"_id": "recover", "until": time.time() + 100, "owner": "x", "process": process}
    pad.db["mlip_fw_locks"].insert_one(held)
    assert Lease(pad.db).take() == is_taken
    assert (lock(pad)["owner"] != "x") == is_taken


def test_of_two_that_see_it_dead_one_gets_it(pad, monkeypatch):
    process = current_process_record().model_copy(update={"started": 0}).plain()
    held = {"_id": "recover", "until": time.time() + 100, "owner": "x", "process": process}
    pad.db["mlip_fw_locks"].insert_one(held)
    quicker, is_alive = Lease(pad.db), module.is_alive

    def quickly(attendant):
        monkeypatch.setattr(module, "is_alive", is_alive)
        assert quicker.take()
        return is_alive(attendant)

    monkeypatch.setattr(module, "is_alive", quickly)
    assert not Lease(pad.db).take()
    quicker.require()


def test_that_of_an_older_version_ends_in_time(pad):
    """It says neither who holds it nor whose it is."""
    pad.db["mlip_fw_locks"].insert_one({"_id": "recover", "until": time.time() + 60})
    with pytest.raises(DirectoryError, match="another mlip-fw recover works"):
        list(recover(pad, timeout_s=0.0))
    pad.db["mlip_fw_locks"].update_one({}, {"$set": {"until": time.time() - 1}})
    assert list(recover(pad, timeout_s=0.0)) == []


class Behind:
    """A database whose clock is hours behind that of this machine."""

    now_s = 1_700_000_000.0

    def __init__(self, database):
        self._database = database

    def __getitem__(self, name):
        return self._database[name]

    def command(self, _):
        return {"localTime": datetime.fromtimestamp(self.now_s, UTC)}


def test_a_clock_that_is_ahead_takes_no_lock(pad):
    """The server's time counts."""
    pad.db["mlip_fw_locks"].insert_one({"_id": "recover", "until": Behind.now_s + 1})
    assert not Lease(Behind(pad.db)).take()
    pad.db["mlip_fw_locks"].update_one({}, {"$set": {"until": Behind.now_s - 1}})
    assert Lease(Behind(pad.db)).take()
    assert lock(pad)["until"] == Behind.now_s + VALID_S
