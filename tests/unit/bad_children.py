"""What children run in tests instead of their work; nothing is imported that would take them long."""

import signal
import time
from pathlib import Path


def crash(_):
    signal.raise_signal(signal.SIGSEGV)


def hang(argument):
    Path(argument["root"], "began").touch()
    time.sleep(1000)
