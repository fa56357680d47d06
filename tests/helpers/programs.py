"""Programs that tests need or start: what is missing skips a test, or fails it where it is asked for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REQUIRED = set(filter(None, os.environ.get("MLIP_FW_REQUIRE", "").split(",")))
ROOT = Path(__file__).parents[2]
"""The project."""


def require(name: str, present: object) -> None:
    """Skip a test whose program is missing, or fail it where ``MLIP_FW_REQUIRE`` names the program."""
    if not present:
        message = f"{name} is not here"
        pytest.fail(f"{message}, and MLIP_FW_REQUIRE asks for it") if name in REQUIRED else pytest.skip(message)


def check_contract(folder, summary, tmp_path):
    """Run the checker of campaign directories that ``MLIP_FW_CONTRACT`` names."""
    checker = os.environ.get("MLIP_FW_CONTRACT", "")
    require("contract", checker and Path(checker).is_file())
    (tmp_path / "summary-of-run.json").write_text(summary)
    done = subprocess.run(
        [sys.executable, checker, str(folder), str(tmp_path / "summary-of-run.json")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def run_pacemaker_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the stand-in for pacemaker run in this process as long as ``monkeypatch`` lives."""
    from mlip_fw.engines.train.pacemaker import job
    from mlip_fw.runtime.subprocesses import CommandResult
    from mlip_fw.testing import pacemaker

    def run(key, command, folder, *, arguments, stdout, **others):
        given = command.partition("mlip_fw.testing.pacemaker")[2].split()
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            patch.setattr(sys, "argv", ["pacemaker", *given, *arguments])
            try:
                pacemaker.main()
            except SystemExit as error:
                stdout.write_text(f"{error}\n")
                return CommandResult(1, False, 0.1)
        return CommandResult(0, False, 0.1)

    monkeypatch.setattr(job, "run_command", run)


def mlip_fw(*arguments, folder, code=0, **env):
    """Run ``mlip-fw`` as a user does and return how it ended; any other exit code than ``code`` fails the test."""
    done = subprocess.run(
        [sys.executable, "-m", "mlip_fw", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    return done
