"""What children run in tests instead of their work; nothing is imported that would take them long."""

import os
import signal
import subprocess
import time
from pathlib import Path


def crash(_):
    signal.raise_signal(signal.SIGSEGV)


def hang_in_campaign(argument):
    Path(argument["root"], "began").touch()
    time.sleep(1000)


def wait_in_campaign(argument):
    """Say that it has begun, and end in an error once it is told to."""
    root = Path(argument["root"])
    (root / "began").touch()
    while not (root / "go").exists():
        time.sleep(0.02)
    raise ValueError("this is the end")


def echo(value):
    return value


def where_am_i(_):
    return {"folder": os.getcwd(), "pid": os.getpid(), "group": os.getpgid(0)}


def chatter(_):
    print("said by the child")
    os.system("echo said by the grandchild")  # noqa: S605, S607
    return "done"


def explode(_):
    raise ValueError("boom\nwith a second line")


def die(how):
    os.kill(os.getpid(), how)


def leave(code):
    os._exit(code)


def hang(path):
    child = subprocess.Popen(["sleep", "1000"])
    Path(path).write_text(str(child.pid))
    time.sleep(1000)


def huge(_):
    return "x" * 3_000_000


def unspeakable(_):
    return object()
