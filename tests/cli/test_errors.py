"""Bad input on the command line: one paragraph, exit 1, nothing written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from mlip_fw.cli.main import main
from mlip_fw.io.campaign_file import read_campaign
from tests.helpers.campaigns import SMALL, merged
from tests.helpers.programs import ROOT


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    """Return a function that runs the command line here: (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["mlip-fw", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
            raise SystemExit(0)
        said = capsys.readouterr()
        return caught.value.code or 0, said.out, said.err

    return call


@pytest.fixture
def campaign_file(tmp_path):
    """Return a function that writes a campaign file with changes."""

    def write(name="c.yaml", **changes):
        path = tmp_path / name
        data = merged(SMALL, {"md": {"engine": "embedded"}, **changes})
        YAML(typ="safe").dump(data, path)
        return path

    return write


BAD = {
    "unknown key": ({"potental": {}}, "did you mean potential?"),
    "unit in a number": ({"md": {"timestep_fs": "2 fs"}}, "without a unit, not '2 fs'"),
    "thresholds": ({"uncertainty": {"gamma_select": 20.0}}, "must be smaller than gamma_halt"),
    "element not in structure": ({"elements": ["Cu", "Ni"]}, "elements names Ni"),
    "structure not in elements": ({"elements": ["Ni"]}, "the structure has Cu"),
    "small cell": ({"structure": {"bulk": {"symbol": "Cu", "cubic": True}}}, "less than potential.cutoff_a"),
    "missing structure": ({"structure": {"bulk": None, "file": "none.xyz"}}, "there is no file"),
    "unknown calculator": ({"oracle": {"calculator": "emtt"}}, "'emtt' is not a calculator"),
    "unknown module": ({"oracle": {"calculator": "no_such_module:X"}}, "not installed"),
    "wrong parameters": ({"oracle": {"calculator": "lj", "parameters": {"sigmaa": 1}}}, "oracle.parameters"),
    "negative steps": ({"md": {"stages": [{"ensemble": "nve", "n_steps": -1}]}}, "n_steps"),
    "missing initial potential": ({"potential": {"initial": "none.yaml"}}, "potential.initial: there is no file"),
    "missing dataset": ({"bootstrap": {"dataset": "none.xyz"}}, "bootstrap.dataset: there is no file"),
}


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize(("changes", "said"), BAD.values(), ids=BAD)
def test_bad_campaign(cli, campaign_file, tmp_path, command, changes, said):
    path = campaign_file(**changes)
    before = sorted(tmp_path.rglob("*"))
    code, out, err = cli(command, path)
    assert code == 1
    assert out == ""
    assert said in err
    assert err.startswith("error: ")
    assert len(err.strip().splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_missing_campaign_file(cli, tmp_path):
    code, _, err = cli("run", "none.yaml")
    assert (code, list(tmp_path.iterdir())) == (1, [])
    assert "there is no campaign file none.yaml" in err


def test_wrong_command_line_is_exit_2(cli):
    assert cli("run")[0] == 2
    assert cli("runn", "x")[0] == 2
    assert cli("run", "c.yaml", "--workers", "0")[0] == 2


def test_traceback_on_request(cli, campaign_file):
    path = campaign_file(seed="x")
    assert "Traceback" not in cli("run", path)[2]
    assert "Traceback" in cli("run", path, "--traceback")[2]
    assert "Traceback" in cli("--traceback", "run", path)[2]


def test_directory_of_another_campaign(cli, campaign_file, tmp_path):
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "notes.txt").write_text("mine")
    code, _, err = cli("run", campaign_file())
    assert code == 1
    assert "not empty" in err
    assert [p.name for p in (tmp_path / "small").iterdir()] == ["notes.txt"]


def test_directory_that_can_not_be_written(cli, campaign_file, tmp_path):
    """Neither root nor anybody else can write on a file system that is mounted read-only."""
    locked = tmp_path / "locked"
    locked.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(locked)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        locked.chmod(0o555)
    try:
        code, out, err = cli("run", campaign_file(), "--dir", locked / "c")
        assert (code, out) == (1, "")
        assert "can't write in the campaign directory" in err
        assert not list(locked.iterdir())
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "-l", str(locked)], check=True)


def test_bad_worker_file(cli, campaign_file, tmp_path):
    (tmp_path / "w.yaml").write_text("name: x\n")
    code, _, err = cli("check", campaign_file(), "-w", "w.yaml")
    assert code == 1
    assert "has no category" in err


def test_status_of_no_campaign(cli, tmp_path):
    code, _, err = cli("status", "nothing-here")
    assert code == 1
    assert "is not a campaign directory" in err
    assert cli("status")[:2] == (0, "no campaign in this folder\n")


def test_init_overwrites_nothing(cli, tmp_path):
    assert cli("init", "new")[0] == 0
    (tmp_path / "new" / "campaign.yaml").write_text("mine")
    code, _, err = cli("init", "new")
    assert code == 1
    assert "already has campaign.yaml" in err
    assert (tmp_path / "new" / "campaign.yaml").read_text() == "mine"


def test_what_init_writes_is_a_good_campaign(cli):
    cli("init", "new")
    assert read_campaign(Path("new/campaign.yaml")).validation.asks_for_something
    code, out, err = cli("check", "new/campaign.yaml", "--json")
    assert code == 0, err
    assert '"formula": "Cu108"' in out


def test_full_disk_under_the_output_is_one_paragraph(tmp_path):
    command = [sys.executable, "-c", "from mlip_fw.cli.main import main; main()", "status", "--json"]
    with open("/dev/full", "w") as full:
        plain = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, env=plain)
    assert done.returncode == 1, "what is left unsaid must not be tried again at the end, which exits with 120"
    assert "No space left on device; free space" in done.stderr
    assert "should not happen" not in done.stderr


def test_folder_that_can_not_be_looked_into_hides_no_campaign(cli, tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    really = Path.is_file

    def is_file(path):
        if path.parent.name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return really(path)

    monkeypatch.setattr(Path, "is_file", is_file)
    assert cli("status")[:2] == (0, "no campaign in this folder\n")
    code, _, err = cli("status", "closed")
    assert code == 1
    assert "closed: Permission denied; check its permissions" in err
