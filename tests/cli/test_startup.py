"""What a command imports before it does anything, and in what order commands are shown."""

import json
import subprocess
import sys

import pytest
import typer
from ruamel.yaml import YAML

from mlip_fw.cli.main import app
from tests.helpers.campaigns import SMALL, merged
from tests.helpers.programs import ROOT
from tests.helpers.written_campaigns import Scribe, hashed

HEAVY = ("ase.io", "scipy", "pymongo", "fireworks", "pyace", "pandas", "matplotlib", "plotly", "pymatgen", "custodian")
"""What takes a tenth of a second or more."""
REPORT = """
import atexit, sys
from mlip_fw.cli.main import main
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
main()
"""
FIRST = ["init", "check", "run", "status", "web", "report", "validate", "export"]
CLUSTER, RECOVERY = ["add", "workflow", "rlaunch", "pull", "db"], ["recover", "retry-labels"]


def imported_by(folder, *words):
    """Return standard output of a command and the names of all modules that it imports."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT, *words], cwd=folder, capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout, set(done.stderr.split())


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["run", "--help"], ["status"], ["db", "--help"]])
def test_what_needs_no_campaign_imports_nothing_heavy(tmp_path, words):
    _, modules = imported_by(tmp_path, *words)
    assert modules.isdisjoint({*HEAVY, "numpy", "ase", "mlip_fw.models.campaign"})
    assert "typer" in modules


def test_status_of_a_campaign_imports_nothing_heavy(tmp_path):
    Scribe(tmp_path / "c").begin((hashed(1), hashed(2)))
    out, modules = imported_by(tmp_path, "status", "c", "--json")
    assert json.loads(out)["labels"] == 2
    assert modules.isdisjoint(HEAVY)
    out, modules = imported_by(tmp_path, "status")
    assert "Is it learning?" in out
    assert modules.isdisjoint(HEAVY)


def test_checking_a_faulty_file_imports_no_engine(tmp_path):
    (tmp_path / "c.yaml").write_text("campaign: c\n")
    done = subprocess.run(
        [sys.executable, "-c", REPORT, "check", "c.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    error, modules = done.stderr.splitlines()
    assert error.startswith("error: c.yaml: elements is missing")
    assert set(modules.split()).isdisjoint({"scipy", "pyace", "ase.io", "custodian"})


def test_commands_are_shown_in_groups():
    group = typer.main.get_command(app)
    assert group.list_commands(None) == [*FIRST, *CLUSTER, *RECOVERY, "doctor", "rebuild"]
    panels = {name: command.rich_help_panel for name, command in group.commands.items()}
    assert {panels[name] for name in FIRST} == {"Campaigns"}
    assert {panels[name] for name in CLUSTER} == {"On a cluster"}
    assert {panels[name] for name in RECOVERY} == {"Recovery"}


class TestFolderInPlaceOfAFile:
    @pytest.fixture
    def here(self, tmp_path, monkeypatch, capsys):
        """Return a function that runs a command in this folder: exit code, standard output, standard error."""
        monkeypatch.chdir(tmp_path)

        def call(*words):
            from mlip_fw.cli.main import main

            monkeypatch.setattr(sys, "argv", ["mlip-fw", *words])
            with pytest.raises(SystemExit) as caught:
                main()
                raise SystemExit(0)
            said = capsys.readouterr()
            return caught.value.code or 0, said.out, said.err

        return call

    @staticmethod
    def write(folder, **changes):
        folder.mkdir()
        with (folder / "campaign.yaml").open("w") as handle:
            YAML(typ="safe").dump(merged(SMALL, {"md": {"engine": "embedded"}, **changes}), handle)

    def directory_of(self, here, *words):
        """Return the campaign directory of the Workflow that a command would add."""
        code, _, err = here("workflow", *words, "-o", "wf.json")
        assert code == 0, err
        return json.loads(open("wf.json").read())["metadata"]["directory"]

    def test_its_campaign_file_is_read(self, here, tmp_path):
        self.write(tmp_path / "project")
        code, out, err = here("check", "project", "--json")
        assert (code, json.loads(out)["campaign"]) == (0, "small"), err
        assert self.directory_of(here, "project") == str(tmp_path / "small")
        assert self.directory_of(here, "project", "--dir", "other") == str(tmp_path / "other")

    def test_paths_are_relative_to_the_file(self, here, tmp_path):
        self.write(tmp_path / "project", bootstrap={"dataset": "none.xyz"})
        where = tmp_path / "project" / "none.xyz"
        why = f"error: bootstrap.dataset: there is no file {where}; paths are relative to the campaign file\n"
        assert here("check", "project") == (1, "", why)

    @pytest.mark.parametrize("begun", ["events.jsonl", "inputs.json"])
    def test_campaign_directory_is_resumed_in_place(self, here, tmp_path, begun):
        self.write(tmp_path / "runs")
        (tmp_path / "runs" / begun).write_text("{}\n")
        assert self.directory_of(here, "runs") == str(tmp_path / "runs")

    def test_folder_without_a_campaign(self, here, tmp_path):
        (tmp_path / "empty").mkdir()
        why = "error: the folder empty holds no campaign.yaml; `mlip-fw init empty` writes one to start from\n"
        assert here("run", "empty") == (1, "", why)
        assert here("check", "empty") == (1, "", why)
        assert list((tmp_path / "empty").iterdir()) == []


def test_campaigns_of_one_name_are_told_apart(tmp_path):
    for name in ("cu-story", "second"):
        Scribe(tmp_path / name).begin((hashed(1), hashed(2)))
    out, _ = imported_by(tmp_path, "status")
    rows = [line for line in out.splitlines() if "cu-story" in line]
    assert [row.split("│")[1].strip() for row in rows] == ["cu-story", "cu-story (second)"]
    out, _ = imported_by(tmp_path, "status", "--json")
    assert [one["directory"] for one in json.loads(out)] == [f"{tmp_path}/cu-story", f"{tmp_path}/second"]


def test_demo_installs_only_what_campaigns_need_and_says_what_it_does(tmp_path):
    def planned(target):
        make = ["make", "--dry-run", f"VENV={tmp_path}/venv", target]
        return subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    demo = planned("demo")
    assert [line.split()[2] for line in demo.splitlines() if "===" in line] == ["1", "2", "3", "4"]
    assert "--editable .\n" in demo
    assert "dev" not in demo.replace("/dev/", "")
    assert "--quiet" not in demo
    assert "--editable '.[dev,docs]'" in planned("lint")
