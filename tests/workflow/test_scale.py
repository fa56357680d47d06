"""A halt with some hundred labels, and many halts: each Firework runs once, and none pays for the others."""

import threading
from collections import Counter
from itertools import pairwise

import bson
import pytest
from fireworks import FWAction, FWorker, LaunchPad, Workflow
from pymongo.monitoring import CommandListener

from mlip_fw.io.safe_yaml import load_yaml
from mlip_fw.launcher.recover import recover
from mlip_fw.launcher.rockets import launch_one, raise_if_fizzled
from mlip_fw.launchpad import archiving
from mlip_fw.launchpad.server.control import start_server, stop_server
from mlip_fw.models.handoff import CandidatesHandoff, MDHandoff, TrainHandoff
from mlip_fw.models.label import LabelState
from mlip_fw.models.md import MDOutcome, MDResult
from mlip_fw.models.selection import Choice, Selection
from mlip_fw.workflows.build import candidates_firework, md_firework, train_firework
from mlip_fw.workflows.campaign import campaign_workflow

FEW, MANY = 8, 100


class Counting(CommandListener):
    """Counts what is asked of the database, but for pings: threads of their own send them, and may end late."""

    asked = 0

    def started(self, event):
        self.asked += threading.current_thread() is threading.main_thread()

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


@pytest.fixture
def listener():
    """Return what counts the questions to the database."""
    return Counting()


@pytest.fixture
def pad(tmp_path, monkeypatch, listener):
    """Return the LaunchPad of a server."""
    folder = tmp_path / "launchpad"
    server = start_server(folder, with_this_process=True)
    settings = load_yaml(server.launchpad_file.read_text())
    settings["mongoclient_kwargs"] = {**(settings.get("mongoclient_kwargs") or {}), "event_listeners": [listener]}
    settings["strm_lvl"] = "ERROR"
    pad = LaunchPad.from_dict(settings)
    monkeypatch.chdir(tmp_path)
    yield pad
    pad.connection.close()
    stop_server(folder)


@pytest.fixture
def ran(monkeypatch):
    """Have engines that do nothing, and return how often which of them ran."""
    ran = Counter()

    def label(step, _):
        ran[step.handoff.hash] += 1
        return LabelState.DONE

    def note(name):
        ran[name] += 1
        return FWAction()

    monkeypatch.setattr("mlip_fw.steps.label.label_structure", label)
    monkeypatch.setattr("mlip_fw.firetasks.bootstrap.Bootstrap.work", lambda *_: note("bootstrap"))
    monkeypatch.setattr("mlip_fw.firetasks.train.TrainPotential.work", lambda *_: note("train"))
    monkeypatch.setattr("mlip_fw.firetasks.summary.Summarize.work", lambda *_: note("summary"))
    return ran


@pytest.fixture
def fan(small, tmp_path, monkeypatch, pad, listener, ran):
    """Return a function that runs a halt with n labels, and gives what ran, questions by Firework, and bytes."""

    def md(*_):
        ran["md"] += 1
        return FWAction()

    monkeypatch.setattr("mlip_fw.firetasks.md.RunMD.work", md)

    def run(n_labels):
        pad.reset("", require_password=False, max_reset_wo_password=10_000)
        ran.clear()
        root = tmp_path / f"campaign-{n_labels}"
        root.mkdir()
        monkeypatch.setattr("mlip_fw.firetasks.candidates.select_candidates", lambda *_: selection_of(n_labels))
        pad.add_wf(mending(small(), root))
        marks = [listener.asked]
        while launch_one(pad, FWorker()):
            marks.append(listener.asked)
        raise_if_fizzled(pad)
        documents = {"launch": pad.launches, "workflow": pad.workflows, "firework": pad.fireworks}
        sizes = {kind: max(len(bson.encode(d)) for d in found.find()) for kind, found in documents.items()}
        return dict(ran), [after - before for before, after in pairwise(marks)], sizes

    return run


def selection_of(n_labels):
    """Return a Selection of structures that nobody looks at."""
    chosen = [Choice(hash=f"{index:016x}", strategy="rattle", reason="stand-in") for index in range(n_labels)]
    return Selection(walker=0, cycle=0, generation=0, center=0, n_candidates=n_labels, rejected={}, chosen=chosen)


def mending(campaign, root):
    """Return Candidates → Train → MD, as a halt adds them."""
    common = {"campaign": campaign, "directory": str(root), "walker": 0}
    candidates = candidates_firework(CandidatesHandoff(**common, cycle=0))
    train = train_firework(TrainHandoff(**common, cycle=0), parents=[candidates])
    md = md_firework(MDHandoff(**common, cycle=1), parents=[train])
    return Workflow([candidates, train, md])


def test_wide_fan_is_computed_once_and_stays_cheap(fan):
    few, questions_of_few, _ = fan(FEW)
    many, questions, sizes = fan(MANY)

    assert few == {**{f"{i:016x}": 1 for i in range(FEW)}, "train": 1, "md": 1}
    assert many == {**{f"{i:016x}": 1 for i in range(MANY)}, "train": 1, "md": 1}

    # the first is Candidates; then come the labels, of which the last makes Train ready
    assert max(questions[1:MANY]) <= max(questions_of_few[1:FEW]), "a label asks the database no more in a wide fan"
    assert questions[0] / MANY < questions_of_few[0] / FEW, "nor does adding one"
    assert sizes["firework"] < 4_000
    assert sizes["launch"] < 3_000 * MANY, "Candidates' action holds the labels; 16 MB would be 5,000 of them"
    assert sizes["workflow"] < 120 * MANY


def test_long_campaign_keeps_its_workflow_short(pad, ran, small, tmp_path, monkeypatch):
    """Two walkers halt three times in each of two stages: 54 Fireworks, of which the workflow holds some at a time."""
    monkeypatch.setattr(archiving, "MAX_FINISHED", 10)
    monkeypatch.setattr(archiving, "KEPT_FINISHED", 3)
    stages = [{"ensemble": "nvt", "temperature_k": 300, "n_steps": n} for n in (40, 40)]
    campaign = small(md={"walkers": 2, "stages": stages})

    def halting(handed, _):
        """Halt three times in a stage, a step of ten further on each."""
        handoff = handed.handoff
        ran["md", handoff.walker, handoff.stage, handoff.cycle] += 1
        step = handoff.first_step + 10
        finished = step == 40 * (handoff.stage + 1)
        return MDResult(
            outcome=MDOutcome.FINISHED if finished else MDOutcome.HALTED,
            **{"engine": "lammps", "walker": handoff.walker, "cycle": handoff.cycle, "stage": handoff.stage},
            **{"generation": 0, "first_step": handoff.first_step, "step": step, "start": "s", "gamma_max": 12.0},
            restart=str(tmp_path / "c" / "halt.restart"),
        )

    def select(handed, _):
        handoff = handed.handoff
        chosen = [Choice(hash=f"{handoff.walker:08x}{handoff.cycle:08x}", strategy="rattle", reason="stand-in")]
        return selection_of(1).model_copy(update={"chosen": chosen})

    monkeypatch.setattr("mlip_fw.firetasks.md.run_dynamics", halting)
    monkeypatch.setattr("mlip_fw.firetasks.candidates.select_candidates", select)
    pad.add_wf(campaign_workflow(campaign, tmp_path / "c"))
    lengths = []
    while launch_one(pad, FWorker()):
        lengths.append(len(pad.workflows.find_one({"name": "small"})["nodes"]))
    raise_if_fizzled(pad)

    assert max(lengths) <= 10 + 2 * 4 + 4, "those that are finished, a halt of each walker, and what waits for both"
    assert (ran["summary"], ran["bootstrap"], ran["train"]) == (1, 1, 12)
    assert set(ran.values()) == {1, 12}
    runs = [key for key in ran if key[0] == "md"]
    assert len(runs) == 16
    held = [fw_id for workflow in pad.workflows.find() for fw_id in workflow["nodes"]]
    assert sorted(held) == sorted(pad.get_fw_ids()), "each Firework is in one workflow"
    assert pad.get_fw_ids({"state": {"$ne": "COMPLETED"}}) == []
    assert list(recover(pad, timeout_s=0.0)) == []
