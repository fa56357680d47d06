"""Children that crash, hang, print and die take nobody along."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlip_fw.errors import ChildError, WorkerError
from mlip_fw.runtime.fork_server import ForkServer


@pytest.fixture(scope="module")
def server():
    made = ForkServer(preload=("tests.helpers.children",))
    yield made
    made.close()


def call(server, name, argument=None, **options):
    return server.call(f"tests.helpers.children:{name}", argument, **options)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_result_comes_back(server):
    assert call(server, "echo", {"a": [1, 2.5, None, "ü\n"]}) == {"a": [1, 2.5, None, "ü\n"]}
    assert len(call(server, "huge")) == 3_000_000


def test_every_call_is_a_new_process_in_its_folder(server, tmp_path):
    one, two = (call(server, "where_am_i", folder=tmp_path) for _ in range(2))
    assert one["folder"] == str(tmp_path)
    assert one["pid"] != two["pid"]
    assert one["pid"] == one["group"]


def test_what_is_printed_goes_to_the_log(server, tmp_path):
    assert call(server, "chatter", log=tmp_path / "log") == "done"
    assert sorted((tmp_path / "log").read_text().splitlines()) == ["said by the child", "said by the grandchild"]


@pytest.mark.parametrize(
    ("name", "argument", "said", "code"),
    [
        ("explode", None, "ValueError: boom", None),
        ("die", signal.SIGSEGV, "was killed by SIGSEGV", -11),
        ("die", signal.SIGKILL, "was killed by SIGKILL", -9),
        ("leave", 3, "ended with exit code 3", 3),
        ("leave", 0, "ended with exit code 0", 0),
        ("unspeakable", None, "not JSON serializable", None),
        ("no_such_function", None, "AttributeError", None),
    ],
)
def test_failure_is_an_error_and_the_next_call_works(server, name, argument, said, code):
    with pytest.raises(ChildError, match=said) as caught:
        call(server, name, argument)
    assert caught.value.exit_code == code
    assert call(server, "echo", 1) == 1


@pytest.mark.slow
def test_time_limit_ends_the_whole_group(server, tmp_path):
    limit_s = 1.0
    # a busy machine may need longer until the grandchild is there
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        limit_s *= 3
        with pytest.raises(ChildError, match=f"took longer than {limit_s:.0f} s and was killed"):
            call(server, "hang", str(tmp_path / "pid"), timeout_s=limit_s)
    grandchild = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 120
    while alive(grandchild) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(grandchild)
    assert call(server, "echo", 2) == 2


def test_interrupted_call_leaves_nothing_and_the_next_one_works(server, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    try:
        with pytest.raises(KeyboardInterrupt):
            call(server, "hang", str(tmp_path / "pid"))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert call(server, "echo", 3) == 3


def test_dead_server_is_named_and_replaced(server):
    call(server, "echo", 0)
    os.kill(server._process.pid, signal.SIGKILL)
    server._process.wait()
    assert call(server, "echo", 4) == 4


def test_server_that_can_not_start():
    broken = ForkServer(preload=("no_such_module",))
    with pytest.raises(WorkerError, match="died"):
        broken.call("math:factorial", 3)
    broken.close()


def test_children_die_with_their_parent(tmp_path):
    program = (
        "from mlip_fw.runtime.fork_server import ForkServer\n"
        f"ForkServer(preload=()).call('tests.helpers.children:hang', {str(tmp_path / 'pid')!r})\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=Path(__file__).parents[2])
    deadline = time.monotonic() + 120
    path = tmp_path / "pid"
    while not (path.exists() and path.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    pid = int((tmp_path / "pid").read_text())
    child = int(Path(f"/proc/{pid}/stat").read_text().split()[3])
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 120
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(child)
    os.kill(pid, signal.SIGKILL)
