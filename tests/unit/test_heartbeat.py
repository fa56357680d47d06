"""A heartbeat thread outlives the absence of the database."""

import threading
from multiprocessing.managers import RemoteError

import pytest
from fireworks.core import rocket, rocket_launcher
from fireworks.features import multi_launcher
from fireworks.scripts import rlaunch_run
from pymongo.errors import AutoReconnect, ServerSelectionTimeoutError

from mlip_fw.launcher.heartbeat import restart_after_errors
from mlip_fw.launcher.rlaunch import _launching


class Pad:
    """A LaunchPad that is away for some of its pings."""

    def __init__(self, *errors):
        self.errors, self.pings, self.back = list(errors), 0, threading.Event()

    def ping_launch(self, _):
        if self.errors:
            raise self.errors.pop(0)
        self.pings += 1
        self.back.set()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(rocket, "PING_TIME_SECS", 0.01)


def test_it_goes_on_when_the_database_is_back():
    pad = Pad(ServerSelectionTimeoutError("away"), AutoReconnect("away"), RemoteError("away"))
    beat, stop = restart_after_errors(rocket.ping_launch, again_s=0.01), threading.Event()
    thread = threading.Thread(target=beat, args=(pad, 1, stop, threading.current_thread()))
    thread.start()
    assert pad.back.wait(120)
    stop.set()
    thread.join(120)
    assert (pad.errors, pad.pings > 0) == ([], True)


def test_any_other_fault_ends_it():
    with pytest.raises(ValueError, match="No Launch"):
        restart_after_errors(rocket.ping_launch)(
            Pad(ValueError("No Launch")), 1, threading.Event(), threading.current_thread()
        )


def test_it_ends_when_it_is_told_to_while_the_database_is_away():
    pad, stop = Pad(*[AutoReconnect("away")] * 10_000), threading.Event()
    beat = restart_after_errors(rocket.ping_launch, again_s=600.0)
    thread = threading.Thread(target=beat, args=(pad, 1, stop, threading.current_thread()))
    thread.start()
    stop.set()
    thread.join(120)
    assert not thread.is_alive()
    assert pad.pings == 0


def test_rlaunch_has_it_while_it_runs_only():
    places = [(rocket, "ping_launch"), (multi_launcher, "ping_multilaunch"), (rlaunch_run, "launch_rocket")]
    places.append((rocket_launcher, "launch_rocket"))
    before = [getattr(*place) for place in places]
    with _launching([]):
        assert [getattr(*place).__wrapped__ for place in places] == before
    assert [getattr(*place) for place in places] == before
