"""A halt with some hundred labels: each is computed once, and none pays for the others in questions or bytes."""

from collections import Counter
from itertools import pairwise

import bson
import pytest
from fireworks import FWAction, FWorker, LaunchPad, Workflow
from pymongo.monitoring import CommandListener

from mlip_fw.database.control import start_server, stop_server
from mlip_fw.fireworks.build import candidates_firework, md_firework, train_firework
from mlip_fw.io.safe_yaml import load_yaml
from mlip_fw.models.handoff import CandidatesHandoff, MDHandoff, TrainHandoff
from mlip_fw.models.label import LabelState
from mlip_fw.models.selection import Choice, Selection
from mlip_fw.workflows.rockets import launch_quietly, raise_if_fizzled

FEW, MANY = 8, 200


class Counting(CommandListener):
    """Counts what is asked of the database."""

    asked = 0

    def started(self, event):
        self.asked += 1

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


@pytest.fixture
def fan(small, tmp_path, monkeypatch):
    """Return a function that runs a halt with n labels, and gives what ran, questions by Firework, and bytes."""
    folder = tmp_path / "launchpad"
    listener, ran = Counting(), Counter()
    server = start_server(folder, with_this_process=True)
    settings = load_yaml(server.launchpad_file.read_text())
    settings["mongoclient_kwargs"] = {**(settings.get("mongoclient_kwargs") or {}), "event_listeners": [listener]}
    settings["strm_lvl"] = "ERROR"
    pad = LaunchPad.from_dict(settings)
    monkeypatch.chdir(tmp_path)

    def label(handoff, _):
        ran[handoff.hash] += 1
        return LabelState.DONE

    def note(name):
        ran[name] += 1
        return FWAction()

    monkeypatch.setattr("mlip_fw.firetasks.label.label_structure", label)
    monkeypatch.setattr("mlip_fw.firetasks.train.TrainPotential.work", lambda *_: note("train"))
    monkeypatch.setattr("mlip_fw.firetasks.md.RunMD.work", lambda *_: note("md"))

    def run(n_labels):
        pad.reset("", require_password=False, max_reset_wo_password=10_000)
        ran.clear()
        root = tmp_path / f"campaign-{n_labels}"
        root.mkdir()
        monkeypatch.setattr("mlip_fw.firetasks.candidates.select_in_cycle", lambda *_: selection_of(n_labels))
        pad.add_wf(mending(small(), root))
        marks = [listener.asked]
        while launch_quietly(pad, FWorker()):
            marks.append(listener.asked)
        raise_if_fizzled(pad)
        documents = {"launch": pad.launches, "workflow": pad.workflows, "firework": pad.fireworks}
        sizes = {kind: max(len(bson.encode(d)) for d in found.find()) for kind, found in documents.items()}
        return dict(ran), [after - before for before, after in pairwise(marks)], sizes

    yield run
    pad.connection.close()
    stop_server(folder)


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
