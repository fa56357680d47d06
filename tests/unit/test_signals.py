"""A signal interrupts a calculation, and waits where something is being written."""

import os
import signal
import socket
import time

import pytest

from mlip_fw.runtime.signals import (
    ENDING,
    INTERRUPTED,
    InterruptedBySignal,
    signals_as_exceptions,
    signals_deferred,
)


def anywhere(_frame):
    return True


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_becomes_an_exception(number):
    before = signal.getsignal(number)
    with (
        pytest.raises(InterruptedBySignal, match=signal.Signals(number).name),
        signals_as_exceptions(anywhere) as received,
    ):
        os.kill(os.getpid(), number)
        time.sleep(5)
    assert received == [number]
    assert signal.getsignal(number) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_it_waits_until_the_place_allows_it():
    done = []

    def writing():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.3)
        done.append("written")

    def allowed(frame):
        while frame is not None:
            if frame.f_code is writing.__code__:
                return False
            frame = frame.f_back
        return True

    with pytest.raises(InterruptedBySignal), signals_as_exceptions(allowed):
        writing()
        time.sleep(5)
    assert done == ["written"]


def test_it_comes_again_when_it_was_lost():
    with pytest.raises(InterruptedBySignal), signals_as_exceptions(anywhere, insist_s=0.1) as received:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        except InterruptedBySignal:
            pass
        time.sleep(5)
    assert received == [signal.SIGTERM]


def test_what_a_launch_records():
    facts = InterruptedBySignal(signal.SIGTERM).to_dict()
    assert facts == {
        "error": INTERRUPTED,
        "message": "interrupted by SIGTERM",
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }


def test_what_cleans_up_comes_to_its_end():
    """Neither the interrupt that comes again nor a second signal cuts it short."""
    done = []

    @signals_deferred
    def clean_up():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.4)
        done.append("clean")

    with pytest.raises(InterruptedBySignal, match="SIGTERM"), signals_as_exceptions(anywhere, insist_s=0.1) as received:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        finally:
            clean_up()
    assert (done, received) == (["clean"], [signal.SIGTERM, signal.SIGINT])
