"""A worker's command: its end, its time limit, its whole process group."""

import os
import signal
import subprocess
import sys
import time

import pytest

from mlip_fw.errors import WorkerError
from mlip_fw.runtime.signals import InterruptedBySignal, signals_as_exceptions
from mlip_fw.runtime.subprocesses import run_command


def run(tmp_path, code, **options):
    script = tmp_path / "script.py"
    script.write_text(code)
    return run_command("pw_cmd", f"{sys.executable} {script}", tmp_path, stdout=tmp_path / "out", **options)


def gone(pid):
    for _ in range(5000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_output_arguments_and_environment(tmp_path):
    code = "import os, sys; print(sys.argv[1:], os.environ['X']); print('oops', file=sys.stderr); sys.exit(3)"
    ended = run(tmp_path, code, arguments=("-in", "a b"), environment={"X": "7"}, stderr=tmp_path / "err")
    assert (ended.exit_code, ended.timed_out) == (3, False)
    assert (tmp_path / "out").read_text() == "['-in', 'a b'] 7\n"
    assert (tmp_path / "err").read_text() == "oops\n"


def test_both_outputs_in_one_file(tmp_path):
    run(tmp_path, "import sys; print('oops', file=sys.stderr)")
    assert (tmp_path / "out").read_text() == "oops\n"


def test_time_limit_ends_the_whole_group(tmp_path):
    code = (
        "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print(p.pid, flush=True); time.sleep(60)"
    )
    ended = run(tmp_path, code, timeout_s=1.0)
    assert ended.timed_out
    assert ended.exit_code == -15
    assert gone(int((tmp_path / "out").read_text()))


def test_what_outlives_the_command_is_ended(tmp_path):
    code = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print(p.pid, flush=True)"
    )
    assert run(tmp_path, code).exit_code == 0
    assert gone(int((tmp_path / "out").read_text()))


def test_killed_is_a_negative_exit_code(tmp_path):
    assert run(tmp_path, "import os; os.kill(os.getpid(), 11)").exit_code == -11


def test_missing_program(tmp_path):
    with pytest.raises(WorkerError, match=r"can't run pw_cmd 'no-such-program -x': .*correct env.pw_cmd"):
        run_command("pw_cmd", "no-such-program -x", tmp_path, stdout=tmp_path / "out")


def test_wrong_architecture(tmp_path):
    program = tmp_path / "pw.x"
    program.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(100))
    program.chmod(0o755)
    with pytest.raises(WorkerError, match="Exec format error"):
        run_command("pw_cmd", str(program), tmp_path, stdout=tmp_path / "out")


def test_not_executable(tmp_path):
    program = tmp_path / "pw.x"
    program.write_text("text")
    with pytest.raises(WorkerError, match="Permission denied"):
        run_command("pw_cmd", str(program), tmp_path, stdout=tmp_path / "out")


def test_shell_that_finds_nothing(tmp_path):
    with pytest.raises(WorkerError, match="exit code 127"):
        run_command("pw_cmd", "sh -c no-such-program", tmp_path, stdout=tmp_path / "out")


def test_unbalanced_quotes(tmp_path):
    with pytest.raises(WorkerError, match="No closing quotation"):
        run_command("pw_cmd", "pw.x 'oops", tmp_path, stdout=tmp_path / "out")


def test_a_command_that_ends_slowly_is_not_left_behind(tmp_path):
    """The interrupt comes again while it is given time, and before it is killed."""
    code = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print(os.getpid(), flush=True); os.kill(os.getppid(), signal.SIGTERM); time.sleep(60)"
    )
    with pytest.raises(InterruptedBySignal), signals_as_exceptions(lambda _: True, insist_s=0.1):
        run(tmp_path, code, grace_s=0.6)
    assert gone(int((tmp_path / "out").read_text()))


def test_an_interrupt_while_a_command_starts_leaves_nothing_behind(tmp_path, monkeypatch):
    started, popen = [], subprocess.Popen

    def start_and_interrupt(*words, **options):
        started.append(popen(*words, **options))
        os.kill(os.getpid(), signal.SIGTERM)
        return started[0]

    monkeypatch.setattr("mlip_fw.runtime.subprocesses.subprocess.Popen", start_and_interrupt)
    try:
        with pytest.raises(InterruptedBySignal), signals_as_exceptions(lambda _: True):
            run(tmp_path, "import time; time.sleep(60)")
        assert started[0].returncode == -signal.SIGTERM
    finally:
        started[0].kill()
