"""``mlip-fw status``: the five-second answer, watched, as JSON, on plain terminals and with a LaunchPad."""

import io
import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from mlip_fw.cli.app import app
from mlip_fw.cli.main import main  # noqa: F401  all commands are there then
from mlip_fw.cli.sparkline import MAX_BARS, encodable, sparkline
from mlip_fw.cli.status_watch import watch
from mlip_fw.launcher.embedded import embedded_launchpad
from mlip_fw.workflows.campaign import campaign_workflow
from tests.helpers.written_campaigns import Scribe, hashed

A, B, C, D = (hashed(n) for n in range(0xA, 0xE))


@pytest.fixture
def scribe(tmp_path):
    scribe = Scribe(tmp_path / "c")
    scribe.begin((A, B))
    scribe.turn(0, 0, [C])
    scribe.turn(0, 1, [D], steps=300)
    return scribe


def status(scribe, *options):
    return CliRunner().invoke(app, ["status", str(scribe.directory.root), *options])


def test_the_five_second_answer(scribe):
    said = " ".join(status(scribe).stdout.split())
    for part in ("waiting for a worker", "step 400 of 1000", "▁█ 100 → 300", "█▁ 50.0 → 33.3 meV/Å", "labels 45 %"):
        assert part in said
    assert "campaign cu-story" in said, "what was there before is still there"


def test_it_says_what_each_walker_does(scribe):
    folder = scribe.explore(0, 2)
    scribe.choose(folder, [hashed(1), hashed(2)], 0, 2, 2)
    assert "label, 0 of 2 labels" in status(scribe).stdout
    scribe.end("STOPPED", "max_cycles")
    assert "stopped" in status(scribe).stdout


def test_of_many_walkers_those_that_are_behind(tmp_path):
    stage = {"ensemble": "nvt", "n_steps": 1000, "temperature_k": 300.0}
    scribe = Scribe(tmp_path / "c", md={"walkers": 12, "stages": [stage]})
    scribe.begin((A, B))
    for walker in range(8):
        scribe.explore(walker, 0, steps=1000, outcome="finished")
    said = status(scribe).stdout
    assert "8 converged, 4 waiting" in said
    assert "walker 11" in said
    assert "walker 7" not in said


def test_json_keeps_its_object_and_gains_keys(scribe):
    found = json.loads(status(scribe, "--json").stdout)
    assert (found["campaign"], found["outcome"], found["labels"]) == ("cu-story", "INTERRUPTED", 4)
    assert found["walkers"][0]["phase"] == "waiting"
    assert found["steps_to_halt"] == [100.0, 300.0]
    assert found["new_force_rmse_before_ev_a"] == pytest.approx([0.05, 0.1 / 3])
    assert sum(found["shares"].values()) == pytest.approx(1)
    assert "fireworks" not in found


def test_ascii_where_the_terminal_knows_no_more(scribe):
    (scribe.directory.root / "walkers/00/cycle_0000/result.json").write_text("{")
    said = CliRunner(charset="ascii").invoke(app, ["status", str(scribe.directory.root)])
    assert said.exit_code == 0
    assert said.stdout.isascii()
    assert "@_  50.0 -> 33.3 meV/A" in said.stdout
    assert "walkers/00/cycle_0000/result.json: not JSON" in said.stdout.replace("\n", "")


def test_hostile_reasons_are_shown_as_text(scribe):
    scribe.tell("\x1b[31m", walker=0)
    (scribe.directory.root / "labels" / "\x1b[2J[red]evil.extxyz").write_text("no label")
    said = status(scribe).stdout
    assert "\x1b" not in said
    assert "\\x1b[2J[red]evil" in said


def test_a_launchpad_counts_the_fireworks(scribe, monkeypatch):
    pad = embedded_launchpad()
    pad.add_wf(campaign_workflow(scribe.campaign, scribe.directory.root))
    monkeypatch.setattr("mlip_fw.cli.firework_counts.load_launchpad", lambda path, read_only: pad)
    assert "1 READY, 2 WAITING" in status(scribe, "-l", "my_launchpad.yaml").stdout
    found = json.loads(status(scribe, "-l", "my_launchpad.yaml", "--json").stdout)
    assert found["fireworks"] == {"READY": 1, "WAITING": 2}


def test_one_that_is_damaged_does_not_hide_the_others(tmp_path, monkeypatch):
    for name in ("one", "two"):
        Scribe(tmp_path / name).begin((A, B))
    (tmp_path / "two" / "campaign.yaml").write_text("campaign: [")
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(app, ["status"], env={"COLUMNS": "200"})
    assert said.exit_code == 0
    assert "cu-story" in said.stdout
    assert "can't be read" in said.stdout


class Clock:
    """Lets a campaign go on while somebody sleeps."""

    def __init__(self, *turns):
        self.turns = list(turns)

    def __call__(self, seconds):
        self.slept = seconds
        self.turns.pop(0)()


def test_watched_in_a_file_it_is_lines_that_differ(scribe, capsys):
    clock = Clock(lambda: scribe.explore(0, 2), lambda: None, scribe.end)
    assert watch(scribe.directory, 0.5, lambda: None, sleep=clock) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in lines] == ["INTERRUPTED:", "INTERRUPTED:", "CONVERGED:"]
    assert "2 halts, 4 labels, 3 generations; walker 0 waiting for a worker at step 400" in lines[0]
    assert "3 halts" in lines[1]
    assert clock.slept == 0.5


@pytest.fixture
def terminal():
    return Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)


def test_watched_in_a_terminal_it_changes_in_place(scribe, terminal):
    clock = Clock(lambda: scribe.explore(0, 2, outcome=None), scribe.end)
    assert watch(scribe.directory, 0.1, lambda: {"RUNNING": 1}, console=terminal, sleep=clock) == 0
    assert clock.slept == 0.1
    said = terminal.file.getvalue()
    assert "explore, waits for a worker" in said
    assert "1 RUNNING" in said
    assert "Ctrl-C stops watching; the campaign continues" in said
    assert "\x1b[1A" in said, "it goes back to its first line"
    last = said.rpartition("cu-story")[2]
    assert "CONVERGED" in last
    assert "Ctrl-C" not in last


def test_watched_while_the_database_is_away_it_goes_on(scribe, terminal):
    counts = iter([{"READY": 1}, "the LaunchPad database at db1 does not answer", {"READY": 2}])
    clock = Clock(lambda: None, scribe.end)
    assert watch(scribe.directory, 0.1, lambda: next(counts), console=terminal, sleep=clock) == 0
    said = terminal.file.getvalue()
    assert said.index("1 READY") < said.index("db1 does not answer") < said.index("2 READY")


def test_ctrl_c_is_a_clean_end(scribe, terminal):
    def interrupted():
        raise KeyboardInterrupt

    code = watch(scribe.directory, 0.1, lambda: None, console=terminal, sleep=Clock(interrupted))
    assert code == 130, "what a script would do next is not done"
    assert "cu-story" in terminal.file.getvalue()


@pytest.mark.parametrize(("outcome", "code"), [("CONVERGED", 0), ("STOPPED", 3)])
def test_who_has_watched_exits_as_the_run_did(scribe, outcome, code, terminal):
    clock = Clock(lambda: scribe.end(outcome, None))
    assert watch(scribe.directory, 0.1, lambda: None, sleep=clock) == code
    assert watch(scribe.directory, 0.1, lambda: None, console=terminal) == code
    assert status(scribe, "--watch").exit_code == code


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_who_only_asks_is_answered(scribe, options):
    scribe.end("STOPPED", "max_cycles")
    assert status(scribe, *options).exit_code == 0


def test_watch_and_json_are_two_things(scribe):
    said = status(scribe, "--watch", "--json")
    assert said.exit_code == 2
    assert "--watch and --json" in said.output


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([], ""),
        ([5], "▅"),
        ([1, 1, 1], "▅▅▅"),
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        ([1, float("nan"), 2], "▁ █"),
        ([1, 10, 1000], "▁▃█"),
        (range(100), None),
    ],
)
def test_sparklines(values, drawn):
    found = sparkline(list(values))
    assert found == drawn if drawn is not None else len(found) == MAX_BARS


def test_plain_text_is_ascii():
    assert encodable("γ 3 Å → 4 µ", plain=True) == "gamma 3 A -> 4 \\xb5"
    assert sparkline([1, 2], plain=True) == "_@"


def test_a_launchpad_counts_those_of_this_directory_only(tmp_path, monkeypatch):
    """Another campaign of the same name, added elsewhere, is none of this one."""
    pad = embedded_launchpad()
    for name in ("one", "two"):
        scribe = Scribe(tmp_path / name)
        scribe.begin((A, B))
        pad.add_wf(campaign_workflow(scribe.campaign, scribe.directory.root))
    pad.add_wf(campaign_workflow(scribe.campaign, tmp_path / "elsewhere"))
    Scribe(tmp_path / "three").begin((A, B))
    monkeypatch.setattr("mlip_fw.cli.firework_counts.load_launchpad", lambda path, read_only: pad)
    monkeypatch.chdir(tmp_path)
    found = json.loads(CliRunner().invoke(app, ["status", "--json", "-l", "x.yaml"]).stdout)
    assert [one["fireworks"] for one in found] == [{"READY": 1, "WAITING": 2}, {}, {"READY": 1, "WAITING": 2}]
    said = CliRunner().invoke(app, ["status", "-l", "x.yaml"], env={"COLUMNS": "200"}).stdout
    assert said.count("1 READY, 2 WAITING") == 2
    assert said.count("none: the campaign is not on this LaunchPad") == 1
