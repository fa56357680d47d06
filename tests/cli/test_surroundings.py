"""Broken surroundings: closed streams, `python -O`, paths that are not UTF-8, FireWorks' configuration, no folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.helpers.campaigns import SMALL, merged

TINY = {"md": {"engine": "embedded", "stages": [{"ensemble": "nvt", "temperature_k": 300, "n_steps": 10}]}}
NOT_UTF8 = os.fsdecode(b"m\xe9tal")


@pytest.fixture
def campaign(tmp_path):
    """Return a folder that holds a campaign file."""
    return written(tmp_path / "project")


def written(folder: Path, name="c.yaml", **changes) -> Path:
    folder.mkdir(exist_ok=True)
    with (folder / name).open("w") as handle:
        YAML(typ="safe").dump(merged(merged(SMALL, TINY), changes), handle)
    return folder


def typed(folder, *words, python=(), shell="", **environment):
    """Return exit code, standard output and standard error of ``mlip-fw``; ``shell`` redirects its streams."""
    home = Path(folder).parent / "home"
    home.mkdir(exist_ok=True)
    kept = {name: os.environ[name] for name in ("PATH", "OMP_NUM_THREADS", "TMPDIR") if name in os.environ}
    done = subprocess.run(
        ["bash", "-c", f'"$@" {shell}', "-", sys.executable, *python, "-m", "mlip_fw", *map(str, words)],
        cwd=folder,
        env={**kept, "HOME": str(home), "LANG": "C.UTF-8", "COLUMNS": "200", **environment},
        capture_output=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def files_in(folder):
    return sorted(path.name for path in folder.rglob("*"))


class TestOptimizedPython:
    WHY = (
        "error: Python runs with -O or PYTHONOPTIMIZE, which removes assertions that ASE relies on to read structures; "
        "unset PYTHONOPTIMIZE and run python without -O\n"
    )

    @pytest.mark.parametrize("command", [["run", "c.yaml"], ["check", "c.yaml"], ["rlaunch", "singleshot"]])
    def test_it_is_refused(self, campaign, command):
        assert typed(campaign, *command, PYTHONOPTIMIZE="1") == (1, "", self.WHY)
        assert files_in(campaign) == ["c.yaml"]

    def test_as_an_option_too(self, campaign):
        assert typed(campaign, "status", python=["-OO"]) == (1, "", self.WHY)

    def test_help_is_still_given(self, campaign):
        assert typed(campaign, "--version", python=["-O"])[0] == 0

    def test_firetasks_of_other_launchers_are_refused(self, tmp_path):
        code = "from mlip_fw.firetasks.summary import Summarize; Summarize(handoff={}).run_task({})"
        done = subprocess.run([sys.executable, "-O", "-c", code], cwd=tmp_path, capture_output=True, text=True)
        assert done.stderr.splitlines()[-1].startswith("mlip_fw.errors.WorkerError: Python runs with -O")


class TestClosedStreams:
    def test_campaign_runs_without_any(self, campaign):
        assert typed(campaign, "run", "c.yaml", shell=">&- 2>&- <&-") == (0, "", "")
        assert json.loads((campaign / "small" / "summary.json").read_text())["outcome"] == "CONVERGED"
        assert json.loads(typed(campaign, "status", "small", "--json", shell="2>&-")[1])["labels"] == 2

    @pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-", ">&- <&-"])
    def test_status_does_what_it_does(self, campaign, closed):
        shown = "" if ">&-" in closed.replace("2>&-", "") else "no campaign in this folder\n"
        assert typed(campaign, "status", shell=closed) == (0, shown, "")
        assert typed(campaign, "statsu", shell=closed)[0] == 2

    def test_error_is_told_to_nobody(self, campaign):
        assert typed(campaign, "check", "none.yaml", shell="2>&-") == (1, "", "")

    def test_file_takes_no_number_of_a_closed_stream(self, campaign):
        code = (
            "import os; from mlip_fw.runtime.environment import prepare_streams; prepare_streams(); "
            "print('to nobody'); os.system('echo to nobody'); opened = open('out', 'w').fileno(); "
            "open('out', 'w').write(str(opened > 2))"
        )
        done = subprocess.run(["bash", "-c", '"$@" >&-', "-", sys.executable, "-c", code], cwd=campaign)
        assert (done.returncode, (campaign / "out").read_text()) == (0, "True")

    def test_output_that_can_not_be_written_is_said(self, campaign):
        read_only = typed(campaign, "status", shell="1</dev/null")
        assert read_only == (1, "", "error: can't write the output: Bad file descriptor\n")
        full = typed(campaign, "status", shell=">/dev/full")
        assert full == (1, "", "error: can't write the output: No space left on device; free space\n")


class TestPathsThatAreNotUtf8:
    @pytest.mark.parametrize(
        "command", [["run", "c.yaml"], ["check", "c.yaml", "--json"], ["workflow", "c.yaml", "-o", "w.yaml"]]
    )
    def test_current_folder(self, tmp_path, command):
        folder = written(tmp_path / NOT_UTF8)
        where = f"{tmp_path}/m\\xe9tal/small"
        why = f"error: the path of the campaign directory is not UTF-8: {where}; give another one with --dir\n"
        assert typed(folder, *command) == (1, "", why)
        assert files_in(folder) == ["c.yaml"]

    def test_another_directory_helps(self, tmp_path):
        folder = written(tmp_path / NOT_UTF8)
        code, out, err = typed(folder, "workflow", "c.yaml", "--dir", tmp_path / "here", "-o", tmp_path / "w.json")
        assert (code, out[-6:], err) == (0, ".json\n", "")
        assert f'"directory": "{tmp_path}/here"' in (tmp_path / "w.json").read_text()

    def test_directory_that_is_given(self, campaign):
        code, out, err = typed(campaign, "run", "c.yaml", "--dir", f"{NOT_UTF8}/x")
        assert (code, out) == (1, "")
        assert err.endswith("m\\xe9tal/x; give another one with --dir\n")

    def test_dataset(self, tmp_path):
        written(tmp_path / NOT_UTF8, bootstrap={"dataset": "labels.xyz"})
        (tmp_path / NOT_UTF8 / "labels.xyz").touch()
        where = f"{tmp_path}/m\\xe9tal/labels.xyz"
        why = f"error: the path of bootstrap.dataset is not UTF-8: {where}; rename that file or folder\n"
        assert typed(tmp_path, "check", f"{NOT_UTF8}/c.yaml") == (1, "", why)

    def test_what_is_not_there_is_named(self, campaign):
        code, out, err = typed(campaign, "status", NOT_UTF8)
        assert (code, out) == (1, "")
        assert err.startswith("error: m\\udce9tal is not a campaign directory")
        assert typed(campaign, "check", f"{NOT_UTF8}.yaml")[2].startswith(
            "error: there is no campaign file m\\udce9tal.yaml"
        )

    def test_folders_to_be_made(self, campaign):
        assert "is not UTF-8" in typed(campaign, "init", NOT_UTF8)[2]
        assert "is not UTF-8" in typed(campaign, "export", "small", "-o", NOT_UTF8)[2]
        assert files_in(campaign) == ["c.yaml"]


class TestEncodings:
    def test_locale_of_another_encoding_becomes_utf8(self, campaign):
        environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        assert typed(campaign, "status", "é", **environment)[2].startswith("error: é is not a campaign directory")

    def test_terminal_that_knows_ascii_only(self, campaign):
        code, _, err = typed(campaign, "status", "é", PYTHONIOENCODING="ascii")
        assert (code, err[:23]) == (1, "error: \\xe9 is not a ca")


class TestFireworksConfiguration:
    BROKEN = {
        "not YAML": ("ECHO: [unclosed\n", "expected ',' or ']'"),
        "no mapping": ("text\n", "type must be dict"),
        "unknown key": ("NO_SUCH_KEY: 1\n", "unknown parameter: NO_SUCH_KEY"),
        "empty": ("", "type must be dict"),
        "lacking package": (
            "JSON_SCHEMA_VALIDATE: true\n",
            "it needs the package fireworks_schema, which is not installed",
        ),
    }

    @pytest.mark.parametrize(("text", "why"), BROKEN.values(), ids=BROKEN)
    def test_broken_file_is_named(self, campaign, text, why):
        (campaign / "FW_config.yaml").write_text(text)
        code, out, err = typed(campaign, "check", "c.yaml", "--json")
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert err.startswith(f"error: FireWorks can't use its configuration file {campaign}/FW_config.yaml: ")
        assert why in err

    @pytest.mark.parametrize("command", ["run", "add", "rlaunch", "recover", "web", "doctor"])
    def test_by_every_command_that_needs_fireworks(self, campaign, command):
        (campaign / "FW_config.yaml").write_text("ECHO: [")
        words = [command, "c.yaml"] if command in ("run", "add") else [command]
        code, out, err = typed(campaign, *words)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert f"{campaign}/FW_config.yaml" in err

    def test_in_the_home_folder_and_in_the_environment(self, campaign, tmp_path):
        (tmp_path / "bad.yaml").write_text("ECHO: [")
        code, _, err = typed(campaign, "check", "c.yaml", FW_CONFIG_FILE=str(tmp_path / "bad.yaml"))
        assert (code, f"configuration file {tmp_path}/bad.yaml" in err) == (1, True)
        missing = typed(campaign, "check", "c.yaml", FW_CONFIG_FILE="/none.yaml")
        assert missing == (1, "", "error: FW_CONFIG_FILE names /none.yaml, which does not exist; correct or unset it\n")
        (tmp_path / "home" / ".fireworks").mkdir()
        (tmp_path / "bad.yaml").rename(tmp_path / "home" / ".fireworks" / "FW_config.yaml")
        code, _, err = typed(campaign, "check", "c.yaml")
        assert (code, f"{tmp_path}/home/.fireworks/FW_config.yaml" in err) == (1, True)

    def test_what_it_prints_is_no_result(self, campaign):
        (campaign / "FW_config.yaml").write_text("ECHO_TEST: chatter\n")
        code, out, err = typed(campaign, "check", "c.yaml", "--json")
        assert (code, json.loads(out)["formula"], err) == (0, "Cu32", "chatter\n")

    def test_looking_needs_no_fireworks(self, campaign):
        (campaign / "FW_config.yaml").write_text("ECHO: [")
        assert typed(campaign, "status") == (0, "no campaign in this folder\n", "")
        assert typed(campaign, "check", "--help")[0] == 0


class TestFolders:
    @pytest.mark.parametrize("command", [["check", "/c.yaml"], ["status"], ["init", "x"]])
    def test_current_folder_that_is_gone(self, tmp_path, command):
        code, out, err = typed(tmp_path, *command, python=["-c", GONE])
        assert (code, out) == (1, "")
        assert err == (
            "error: the current folder can't be used (No such file or directory): it was removed, renamed or "
            "unmounted; cd to a folder that exists\n"
        )

    def test_help_needs_no_folder(self, tmp_path):
        assert typed(tmp_path, "run", "--help", python=["-c", GONE])[0] == 0

    def test_home_that_nobody_knows(self, campaign):
        written(campaign, "d.yaml", bootstrap={"dataset": "~no-such-user/x.xyz"})
        assert typed(campaign, "check", "d.yaml") == (
            1,
            "",
            "error: there is no home folder for ~no-such-user/x.xyz; write the whole path\n",
        )


class TestWhatIsNoCampaignFile:
    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (b"", "must hold a mapping of keys"),
            (b"\xff\x00\x01", "is not text"),
            (b"a\0b", "is not valid YAML"),
        ],
    )
    def test_content(self, campaign, content, why):
        (campaign / "x.yaml").write_bytes(content)
        code, out, err = typed(campaign, "check", "x.yaml")
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert err.startswith("error: x.yaml ")
        assert why in err

    def test_named_pipe_is_not_waited_for(self, campaign):
        os.mkfifo(campaign / "pipe")
        why = "error: pipe is a named pipe, not a campaign file; write the campaign to a file\n"
        assert typed(campaign, "check", "pipe") == (1, "", why)

    def test_standard_input_is_read(self, campaign):
        nowhere = {"HOME": "/proc", "TMPDIR": "/nonexistent"}
        code, out, _ = typed(campaign, "check", "/dev/stdin", "--json", shell="< <(cat c.yaml)", **nowhere)
        assert (code, json.loads(out)["campaign"]) == (0, "small")

    def test_name_that_is_too_long(self, campaign):
        assert typed(campaign, "check", "x" * 300) == (1, "", f"error: {'x' * 300}: File name too long\n")


GONE = """
import os, sys
os.mkdir("gone")
os.chdir("gone")
os.rmdir("../gone")
sys.argv = ["mlip-fw", *sys.argv[3:]]
from mlip_fw.cli.main import main
main()
"""
