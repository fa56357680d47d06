"""The line that says how far a command is: in a terminal only, and gone when it is done."""

import io
import subprocess
import sys

import pytest

from mlip_fw.cli.progress import working


class Terminal(io.StringIO):
    """A terminal that keeps what it was sent."""

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Return a function that gives standard error a terminal: pytest would take one back that a fixture gives."""

    def give():
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.setattr(sys, "stderr", Terminal())
        return sys.stderr

    return give


def test_a_terminal_is_told_what_is_done_and_how_much_of_it(terminal):
    screen = terminal()
    with working("looking") as tell:
        tell("labels \x1b[2J[bold]", done=3, total=7)
    said = screen.getvalue()
    assert "labels \\x1b[2J[bold]" in said
    assert "3/7" in said
    assert said.rstrip().endswith("\x1b[2K"), "nothing of it stays"


def test_a_file_is_told_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with working("looking") as tell:
        tell("labels", done=3, total=7)
    assert sys.stderr.getvalue() == ""


def test_without_a_total_no_number_is_shown(terminal):
    screen = terminal()
    with working("looking"):
        pass
    assert "looking" in screen.getvalue()
    assert "?" not in screen.getvalue().replace("[?25", "")


def test_standard_output_stays_clean(terminal, capsys):
    terminal()
    with working("looking"):
        print("result")
    assert capsys.readouterr().out == "result\n"


def test_libraries_add_nothing_to_the_log():
    code = (
        "from mlip_fw.cli.common import log_to_stderr as log; log(); import pyace, logging; logging.warning('chatter')"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr == ""
