"""A label of a campaign: made once, at one level of theory, or set aside with what explains it."""

import json
import re
import threading
from pathlib import Path

import pytest
from ase.build import bulk

from mlip_fw.campaign.dataset import Dataset, label_name
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.engines.oracle.answer import Labelled, OutOfTime, facts_of
from mlip_fw.engines.oracle.level import campaign_level
from mlip_fw.errors import DirectoryError, LabelError, WorkerError
from mlip_fw.io.structures import canonical, with_labels, write_frames
from mlip_fw.launcher.retry import retry_handoffs, retry_locally
from mlip_fw.models.handoff import LabelHandoff
from mlip_fw.models.label import LabelState
from mlip_fw.models.worker import Worker
from mlip_fw.steps import label as step_label
from mlip_fw.steps.label import label_structure
from mlip_fw.steps.step import Step

CORRECTION = {"errors": ["scf"], "actions": [{"mixing_beta": 0.3}]}


@pytest.fixture
def handoff(small, tmp_path):
    """Return a function that makes the hand-off of a structure with a mask."""
    directory = CampaignDirectory(tmp_path / "c")
    directory.claim(small())

    def make(seed=0, **changes):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.05, seed=seed)
        atoms = canonical(atoms)
        atoms.arrays["mask"] = atoms.positions[:, 0] > 1.0
        path = directory.bootstrap / f"{seed}.extxyz"
        write_frames(path, [atoms])
        name = label_name(atoms, campaign_level(directory.level_file, small(), Worker()))
        data = {"hash": name, "structures": str(path), "index": 0, **changes}
        return LabelHandoff(campaign=small(), directory=str(directory.root), **data)

    return make


@pytest.fixture
def oracle(monkeypatch):
    """Return a function that sets what the oracle does, and the list of its calls."""
    calls = []

    def play(answer):
        def make_label(atoms, oracle, worker, elements, folder, peers=()):
            calls.append(folder)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "pw.out").write_text("the story")
            if isinstance(answer, Exception):
                raise answer
            return answer(atoms) if callable(answer) else answer

        monkeypatch.setattr(step_label, "make_label", make_label)
        return calls

    return play


def label(handoff):
    return label_structure(Step(handoff), Worker())


def good(atoms):
    facts = facts_of(code="x", version="1", seconds=2.5, corrections=[CORRECTION], convergence={"scf_steps": 9})
    return Labelled(with_labels(atoms, -1.0, 0 * atoms.positions, None), facts)


def test_label_carries_how_it_was_made(handoff, oracle):
    oracle(good)
    given = handoff()
    assert label(given) is LabelState.DONE
    directory = CampaignDirectory(given.directory)
    atoms = Dataset(directory.root).read(given.hash)
    assert atoms.info["code"] == "x"
    assert atoms.info["version"] == "v1"
    assert atoms.info["label_seconds"] == 2.5
    assert atoms.info["corrections"] == 1
    made = atoms.info["corrections_made"]
    assert (json.loads(made) if isinstance(made, str) else made) == [CORRECTION]
    told = atoms.info["convergence"]
    assert (json.loads(told) if isinstance(told, str) else told) == {"converged": True, "scf_steps": 9}
    assert re.fullmatch("level-[0-9a-f]{12}", atoms.info["level_of_theory"])
    assert atoms.arrays["mask"].tolist() == (atoms.positions[:, 0] > 1.0).tolist()
    assert not directory.labelling(given.hash).exists()


def test_label_is_made_once(handoff, oracle):
    calls = oracle(good)
    assert label(handoff()) is LabelState.DONE
    assert label(handoff()) is LabelState.EXISTED
    assert len(calls) == 1


def test_two_at_once_make_one_label(handoff, oracle):
    slow = threading.Event()

    def wait(atoms):
        slow.wait(0.3)
        return good(atoms)

    calls, states = oracle(wait), []
    given = handoff()
    threads = [threading.Thread(target=lambda: states.append(label(given))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(states) == ["done", "existed", "existed"]
    assert len(calls) == 1


def test_failure_goes_to_quarantine_with_its_story(handoff, oracle, tmp_path):
    output = tmp_path / "pw.out"
    output.write_text("the story")
    huge = tmp_path / "huge.out"
    huge.write_bytes(b"a" * 3_000_000 + b"the end")
    error = LabelError("no convergence", corrections=[CORRECTION], files=[output, huge, tmp_path / "none"])
    calls = oracle(error)
    given = handoff()
    assert label(given) is LabelState.QUARANTINED
    dataset = Dataset(tmp_path / "c")
    [record] = dataset.quarantined()
    assert (record.reason, record.corrections, record.n_atoms) == ("no convergence", [CORRECTION], 4)
    assert record.files == [f"{given.hash}/huge.out", f"{given.hash}/pw.out"]
    kept = tmp_path / "c" / "quarantine" / given.hash
    assert (kept / "pw.out").read_text() == "the story"
    assert 2_000_000 < (kept / "huge.out").stat().st_size < 2_000_100
    assert (kept / "huge.out").read_bytes().endswith(b"the end")
    assert label_name(dataset.quarantined_structure(given.hash), record.level_of_theory) == given.hash
    assert label(given) is LabelState.QUARANTINED
    assert len(calls) == 1


def test_retry_takes_a_label_out_of_quarantine(handoff, oracle, tmp_path):
    oracle(LabelError("no convergence"))
    given = handoff()
    label(given)
    directory = CampaignDirectory(given.directory)
    again = retry_handoffs(directory, [])
    assert [h.hash for h in again] == [given.hash]
    assert dict(retry_locally(again, Worker())) == {given.hash: LabelState.QUARANTINED}
    answers = iter([OutOfTime(3.0), OutOfTime(6.0)])
    oracle(lambda atoms: next(answers, None) or good(atoms))
    assert dict(retry_locally(retry_handoffs(directory, [given.hash]), Worker())) == {given.hash: LabelState.DONE}
    dataset = Dataset(directory.root)
    assert dataset.has(given.hash)
    assert not dataset.quarantined()
    assert not list((directory.root / "quarantine").iterdir())
    assert dataset.read(given.hash).arrays["mask"].any()


def test_retry_of_a_label_of_the_audit_stays_in_the_audit(handoff, oracle):
    oracle(LabelError("no convergence"))
    given = handoff().model_copy(update={"audit": True})
    assert label(given) is LabelState.QUARANTINED
    directory = CampaignDirectory(given.directory)
    [again] = retry_handoffs(directory, [])
    assert (again.hash, again.audit, again.retry) == (given.hash, True, True)
    oracle(good)
    assert dict(retry_locally([again], Worker())) == {given.hash: LabelState.DONE}
    audited = Dataset(directory.audit)
    assert audited.has(given.hash) and not audited.quarantined() and not Dataset(directory.root).has(given.hash)


def test_retry_of_an_unknown_label(handoff):
    directory = CampaignDirectory(handoff().directory)
    with pytest.raises(DirectoryError, match="abc not in the quarantine of .* holds nothing"):
        retry_handoffs(directory, ["abc"])
    assert retry_handoffs(directory, []) == []


def test_out_of_time_is_neither_label_nor_failure(handoff, oracle):
    oracle(OutOfTime(60.0))
    given = handoff()
    assert label(given) is LabelState.UNFINISHED
    directory, dataset = CampaignDirectory(given.directory), Dataset(CampaignDirectory(given.directory).root)
    assert (dataset.hashes(), dataset.quarantined()) == ([], [])
    assert (directory.labelling(given.hash) / "pw.out").is_file()


def test_fault_of_the_machine_leaves_no_trace(handoff, oracle):
    oracle(WorkerError("no pw.x"))
    given = handoff()
    with pytest.raises(WorkerError):
        label(given)
    assert not Dataset(CampaignDirectory(given.directory).root).quarantined()
    oracle(good)
    assert label(given) is LabelState.DONE


def test_changed_structure_file_is_noticed(handoff, oracle):
    oracle(good)
    given = handoff()
    atoms = bulk("Cu", cubic=True)
    write_frames(Path(given.structures), [atoms])
    with pytest.raises(WorkerError, match="was changed after selection"):
        label(given)


def test_other_level_of_theory_is_refused(handoff, oracle):
    oracle(good)
    given = handoff()
    path = CampaignDirectory(given.directory).level_file
    level = json.loads(path.read_text())
    path.write_text(json.dumps({**level, "calculator": "lj"}))
    with pytest.raises(WorkerError, match="another level of theory than the campaign began with: calculator differ"):
        label(given)
    path.write_text("{")
    with pytest.raises(DirectoryError, match="damaged"):
        label(given)


def test_what_a_killed_process_left_is_removed(handoff, oracle):
    """Killed after the label was there and before its folder was gone."""
    oracle(good)
    given = handoff()
    label(given)
    left = CampaignDirectory(given.directory).labelling(given.hash)
    left.mkdir()
    (left / "WAVECAR").write_text("large")
    assert label(given) is LabelState.EXISTED
    assert not left.exists()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(good, "labelled"), (LabelError("no SCF"), "quarantined")],
    ids=["label", "failure"],
)
@pytest.mark.parametrize("killed", ["before the journal", "after the journal"])
def test_the_journal_hears_of_each_label_once(handoff, oracle, monkeypatch, answer, kind, killed):
    """A process is killed when a label is stored, on either side of the line in the journal."""
    calls, given = oracle(answer), handoff()
    directory = CampaignDirectory(given.directory)
    log_event = CampaignDirectory.log_event

    def killed_there(*arguments, **facts):
        if killed == "after the journal":
            log_event(*arguments, **facts)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(CampaignDirectory, "log_event", killed_there)
        label(given)
    assert label(given) in (LabelState.EXISTED, LabelState.QUARANTINED)
    assert label(given) in (LabelState.EXISTED, LabelState.QUARANTINED)
    assert [(e["event"], e["label"]) for e in directory.events()] == [(kind, given.hash)]
    assert len(calls) == 1, "and it is computed once"
    assert not directory.labelling(given.hash).exists()


def test_names_of_levels_and_versions_survive_the_file(handoff, oracle):
    """Extended XYZ gives back as a number what looks like one."""
    facts = facts_of(
        code="x",
        version="7.10",
        seconds=1.0,
        corrections=[{"errors": ['said "no" \\ “oh”'], "actions": []}],
        convergence={},
    )
    oracle(lambda atoms: Labelled(with_labels(atoms, -1.0, 0 * atoms.positions, None), facts))
    given = handoff()
    label(given)
    info = Dataset(CampaignDirectory(given.directory).root).read(given.hash).info
    assert info["version"] == "v7.10"
    assert isinstance(info["level_of_theory"], str)
    made = info["corrections_made"]
    assert (json.loads(made) if isinstance(made, str) else made)[0]["errors"] == ["said 'no' / “oh”"]


def test_first_to_record_the_level_wins(small, tmp_path, monkeypatch):
    from mlip_fw.engines.oracle import level

    directory = CampaignDirectory(tmp_path / "c")
    directory.claim(small())

    def slower(*arguments):
        directory.level_file.write_text('{"kind": "first"}')
        return {"kind": "second"}

    monkeypatch.setattr(level, "level_of_theory", slower)
    assert campaign_level(directory.level_file, small(), Worker()) == {"kind": "first"}
    assert [p.name for p in directory.root.iterdir() if "level" in p.name] == ["level_of_theory.json"]


def test_lock_survives_many_at_once(tmp_path):
    directory, seen, errors = CampaignDirectory(tmp_path), [], []

    def work():
        try:
            for _ in range(60):
                with directory.labelling_locked("x"):
                    seen.append(1)
                    assert len(seen) == 1
                    seen.pop()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
