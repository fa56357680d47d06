"""Whole campaigns with a stand-in LAMMPS: Fireworks, their links, states and order."""

import json
from collections import Counter

import pytest

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.generations import Generations
from mlip_fw.campaign.records import CampaignRecords
from mlip_fw.campaign.summary import md_results
from mlip_fw.engines.structures.geometry import too_close
from mlip_fw.errors import MlipError
from mlip_fw.launcher import runner
from mlip_fw.launcher.retry import retry_handoffs, retry_locally
from mlip_fw.launcher.runner import run_campaign
from mlip_fw.models.worker import Worker
from tests.helpers.campaigns import fireworks


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs a campaign and gives its summary, directory and LaunchPad."""
    pads = []
    plain = runner.embedded_launchpad

    def remember():
        pads.append(plain())
        return pads[-1]

    monkeypatch.setattr(runner, "embedded_launchpad", remember)

    def go(campaign, fworker):
        directory = CampaignDirectory(tmp_path / "c")
        return run_campaign(campaign, directory, fworker), directory, pads[-1]

    return go


def selections(directory):
    """Return what was selected, the bootstrap first."""
    records = CampaignRecords(directory)
    return [records.first_selection, *records.selections.values()]


def counted_events(directory):
    return Counter(e["event"] for e in directory.events())


def test_three_halts(small, stand_in, run):
    summary, directory, pad = run(small(candidates={"max_labels_per_halt": 2}), stand_in("--halt-at 20,50,80"))
    assert (summary.outcome, summary.reason) == ("CONVERGED", None)
    assert (summary.halts, summary.cycles, summary.generations) == (3, 3, 4)
    assert summary.labels == 2 + sum(len(s.chosen) for s in selections(directory)[1:])
    assert [(r.outcome.value, r.first_step, r.step) for r in md_results(directory)] == [
        ("halted", 0, 20),
        ("halted", 20, 50),
        ("halted", 50, 80),
        ("finished", 80, 100),
    ]
    assert [r.generation for r in md_results(directory)] == [0, 1, 2, 3]

    states, links = fireworks(pad)
    assert set(states.values()) == {"COMPLETED"}
    chosen = [[f"label {choice.hash}" for choice in s.chosen] for s in selections(directory)]
    assert links["bootstrap"] == sorted([*chosen[0], "md w00 s0 c0000"])
    for label in chosen[0]:
        assert links[label] == ["train bootstrap"]
    assert links["train bootstrap"] == ["md w00 s0 c0000"]
    for k in range(3):
        candidates, train = f"candidates w00 c{k:04d}", f"train w00 c{k:04d}"
        assert candidates in links[f"md w00 s0 c{k:04d}"]
        assert links[candidates] == sorted([*chosen[k + 1], train])
        for label in chosen[k + 1]:
            assert links[label] == [train]
        assert links[train] == [f"md w00 s0 c{k + 1:04d}"]
    assert links["md w00 s0 c0003"] == ["summary"]
    assert links["summary"] == []
    kinds = [name.split()[0] for name in states]
    assert kinds.count("candidates") == 3
    assert kinds.count("train") == 4


def test_order_of_events(small, stand_in, run):
    _, directory, _ = run(small(), stand_in("--halt-at 50"))
    kinds = [e["event"] for e in directory.events()]
    assert kinds == [
        "run_started",
        "labelled",
        "labelled",
        "trained",
        "md_started",
        "halted",
        "selected",
        "labelled",
        "trained",
        "md_started",
        "md_finished",
        "finished",
    ]


def test_always_halting_stops_with_max_cycles(small, stand_in, run):
    summary, directory, pad = run(small(budget={"max_cycles": 4}), stand_in("--halt-every 10"))
    assert (summary.outcome, summary.reason) == ("STOPPED", "max_cycles")
    assert (summary.cycles, summary.halts) == (4, 5)
    assert set(fireworks(pad)[0].values()) == {"COMPLETED"}
    assert (directory.root / "summary.json").is_file()


def test_max_cycles_zero_stops_at_the_first_halt(small, stand_in, run):
    summary, _, _ = run(small(budget={"max_cycles": 0}), stand_in("--halt-at 20"))
    assert (summary.reason, summary.cycles, summary.halts, summary.generations) == ("max_cycles", 0, 1, 1)


def test_stopped_campaign_goes_on_with_a_larger_budget(small, stand_in, run):
    worker = stand_in("--halt-at 20,50,80")
    first, directory, _ = run(small(budget={"max_cycles": 1}), worker)
    assert first.reason == "max_cycles"
    labels = {p: p.stat().st_mtime_ns for p in (directory.root / "labels").iterdir()}
    second, _, _ = run(small(budget={"max_cycles": 9}), worker)
    assert (second.outcome, second.halts, second.generations) == ("CONVERGED", 3, 4)
    assert all(p.stat().st_mtime_ns == t for p, t in labels.items())


def test_max_labels_stops(small, stand_in, run):
    budget = {"max_labels": 4}
    summary, _, _ = run(small(budget=budget, candidates={"max_labels_per_halt": 1}), stand_in("--halt-every 10"))
    assert (summary.outcome, summary.reason, summary.labels) == ("STOPPED", "max_labels", 4)


def test_campaign_that_used_its_last_label_converges_again(small, stand_in, run):
    campaign, worker = small(budget={"max_labels": 3}), stand_in("--halt-at 50")
    assert [run(campaign, worker)[0].outcome for _ in range(2)] == ["CONVERGED", "CONVERGED"]


def test_max_labels_counts_the_bootstrap(small, stand_in, run):
    summary, _, _ = run(small(budget={"max_labels": 1}), stand_in("--halt-at 50"))
    assert (summary.reason, summary.labels) == ("max_labels", 1)


def test_threshold_that_nothing_passes_is_named(small, stand_in, run):
    summary, _, _ = run(small(uncertainty={"gamma_select": 0.2, "gamma_halt": 0.5}), stand_in("--stuck-at 10"))
    assert summary.reason == "no_progress" and summary.hint.startswith("uncertainty.gamma_halt is 0.5")


def test_no_progress_rewinds_and_then_stops(small, stand_in, run):
    summary, directory, _ = run(small(), stand_in("--halt-at 30 --stuck-at 60"))
    assert (summary.outcome, summary.reason, summary.hint) == ("STOPPED", "no_progress", None)
    steps = [(r.first_step, r.step) for r in md_results(directory)]
    assert steps == [(0, 60), (60, 60), (60, 60), (0, 60), (60, 60), (60, 60)]
    rewound = [e for e in directory.events() if e["event"] == "rewound"]
    assert [(e["step"], e["to_step"]) for e in rewound] == [(60, 0)]


def test_repeated_halt_tries_harder(small, stand_in, run):
    changes = {"uncertainty": {"gamma_select": 1e-4, "gamma_halt": 1e6}}
    _, directory, _ = run(small(**changes), stand_in("--stuck-at 60"))
    strategies = [[c.strategy for c in s.chosen] for s in selections(directory)[1:]]
    assert strategies[0] == ["halt_frame"]
    assert strategies[1][0] == "rattle"
    assert all(len(chosen) <= 4 for chosen in strategies)


def test_two_stages_and_two_walkers(small, stand_in, run):
    stages = [
        {"ensemble": "nvt", "temperature_k": 300, "n_steps": 40},
        {"ensemble": "nve", "n_steps": 60},
    ]
    summary, directory, pad = run(small(md={"stages": stages, "walkers": 2}), stand_in("--halt-at 20,70"))
    assert (summary.outcome, summary.halts, summary.md_steps) == ("CONVERGED", 4, 200)
    for walker in (0, 1):
        mine = [(r.cycle, r.stage, r.first_step, r.step) for r in md_results(directory) if r.walker == walker]
        assert mine == [(0, 0, 0, 20), (1, 0, 20, 40), (2, 1, 40, 70), (3, 1, 70, 100)]
    seeds = [
        next(line for line in (directory.cycle(w, 0) / "in.lammps").read_text().splitlines() if "velocity" in line)
        for w in (0, 1)
    ]
    assert seeds[0] != seeds[1]
    states, links = fireworks(pad)
    assert sum(name == "summary" for name in states) == 1
    assert {name for name, children in links.items() if "summary" in children} == {
        f"md w{walker:02d} {rest}" for walker in (0, 1) for rest in ("s1", "s1 c0003")
    }


def test_failed_labels_are_set_aside_and_stop_the_campaign(small, stand_in, run):
    oracle = {"kind": "ase", "calculator": "emt", "max_force_ev_a": 1e-9}
    summary, directory, _ = run(small(oracle=oracle), stand_in())
    assert (summary.outcome, summary.reason) == ("STOPPED", "label_failures")
    assert (summary.labels, summary.labels_failed, summary.generations) == (0, 2, 0)
    reasons = [json.loads(p.read_text())["reason"] for p in (directory.root / "quarantine").glob("*.json")]
    assert all("more than oracle.max_force_ev_a" in reason for reason in reasons)
    assert not md_results(directory)


@pytest.mark.parametrize(
    ("how", "said"),
    [("lost-atoms", "Lost atoms"), ("silent", "no last frame"), ("nan", "not finite"), ("killed", "SIGKILL")],
)
def test_crashed_md_is_an_error_and_goes_on_afterwards(small, stand_in, run, how, said):
    with pytest.raises(MlipError, match=said):
        run(small(), stand_in(f"--misbehave {how}"))
    summary, _, _ = run(small(), stand_in("--halt-at 50"))
    assert (summary.outcome, summary.halts) == ("CONVERGED", 1)


def test_exploded_md_is_mended_from_its_last_sound_frame(small, stand_in, run, tmp_path):
    worker = stand_in(f"--misbehave explode --once {tmp_path / 'done'} --halt-at 50")
    summary, directory, _ = run(small(), worker)
    assert (summary.outcome, summary.halts, summary.cycles) == ("CONVERGED", 1, 2)
    results = md_results(directory)
    assert [(r.outcome.value, r.first_step, r.step, r.generation) for r in results] == [
        ("crashed", 0, 20, 0),
        ("halted", 0, 50, 1),
        ("finished", 50, 100, 2),
    ]
    assert "Lost atoms" in results[0].reason
    assert results[0].gamma_max > 2
    assert selections(directory)[1].chosen[0].strategy == "halt_frame"


def test_explosion_with_nothing_left_to_learn_is_an_error(small, stand_in, run):
    """The second time the frame before the crash interpolates: the potential is not to blame."""
    with pytest.raises(MlipError, match="Lost atoms"):
        run(small(), stand_in("--misbehave explode"))


def test_killed_once_runs_again_by_itself(small, stand_in, run, tmp_path):
    summary, _, _ = run(small(), stand_in(f"--misbehave killed --once {tmp_path / 'done'}"))
    assert (tmp_path / "done").exists()
    assert summary.outcome == "CONVERGED"


def test_lammps_without_pace_is_refused(small, stand_in, run):
    with pytest.raises(MlipError, match="no pair style pace/extrapolation"):
        run(small(), stand_in("--no-pace"))


def test_missing_lammps_is_named(small, stand_in, run):
    from fireworks import FWorker

    with pytest.raises(MlipError, match=r"can't run lmp_cmd '/no/such/lmp'"):
        run(small(), FWorker(env={"lmp_cmd": "/no/such/lmp"}))


def test_typo_in_worker_file(small, stand_in, run):
    with pytest.raises(MlipError, match=r"lmp_command.*known keys are lmp_cmd"):
        run(small(), stand_in("", lmp_command="x"))


def test_same_campaign_again_gives_the_same_result(small, stand_in, tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        run_campaign(small(), CampaignDirectory(folder), stand_in("--halt-at 20,50"))
    one, two = (sorted(p.name for p in (f / "labels").iterdir()) for f in folders)
    assert one == two
    texts = [Generations(f).potential(2).read_text() for f in folders]
    assert texts[0] == texts[1]


def test_finished_campaign_again_changes_nothing(small, stand_in, run):
    first, directory, _ = run(small(), stand_in("--halt-at 50"))
    files = {p: p.stat().st_mtime_ns for p in directory.root.rglob("*/*") if p.is_file() and p.name != "FW.json"}
    journal = counted_events(directory)
    second, _, _ = run(small(), stand_in("--misbehave lost-atoms"))
    assert counted_events(directory) - journal == {"run_started": 1, "finished": 1}
    assert first.model_dump(exclude={"seconds"}) == second.model_dump(exclude={"seconds"})
    assert all(p.stat().st_mtime_ns == t for p, t in files.items())


def test_initial_potential_and_dataset_are_taken_up(small, stand_in, tmp_path):
    first = CampaignDirectory(tmp_path / "first")
    run_campaign(small(), first, stand_in("--halt-at 50"))
    initial = str(Generations(first.root).potential(1))
    second = CampaignDirectory(tmp_path / "second")
    summary = run_campaign(small(potential={"initial": initial}), second, stand_in("--halt-at 50"))
    assert (summary.outcome, summary.labels, summary.generations) == ("CONVERGED", 1, 2)
    assert Generations(second.root).potential(0).read_text() == Generations(first.root).potential(1).read_text()

    from ase.io import write

    from mlip_fw.campaign.dataset import Dataset

    old = Dataset(first.root)
    write(tmp_path / "d.extxyz", [old.read(name) for name in old.hashes()])
    third = CampaignDirectory(tmp_path / "third")
    summary = run_campaign(small(bootstrap={"dataset": str(tmp_path / "d.extxyz")}), third, stand_in())
    assert (summary.outcome, summary.labels, summary.generations) == ("CONVERGED", 3, 1)


def test_time_limit_continues_in_a_new_firework(small, stand_in, run, monkeypatch):
    from mlip_fw.engines.md import outcome
    from mlip_fw.engines.md.engine_check import TITLE
    from mlip_fw.models.md import MDOutcome

    plain = outcome.classify

    def out_of_time(folder, exit_code, plan):
        ending = plain(folder, exit_code, plan)
        halted = ending.outcome is MDOutcome.HALTED and plan.title != TITLE
        return outcome.Ending(MDOutcome.WALLTIME, ending.step, ending.frame) if halted else ending

    monkeypatch.setattr("mlip_fw.engines.md.run.classify", out_of_time)
    summary, directory, _ = run(small(), stand_in("--halt-at 40"))
    assert (summary.outcome, summary.halts, summary.generations) == ("CONVERGED", 0, 1)
    assert [(r.first_step, r.step) for r in md_results(directory)] == [(0, 40), (40, 100)]


def test_canary_is_heard_once_before_the_first_md(small, stand_in, run, tmp_path):
    _, directory, _ = run(small(), stand_in("--halt-at 50"))
    record = json.loads((directory.root / "canary" / "lammps" / "canary.json").read_text())
    assert (record["engine"], record["gamma_max"] > 1.5) == ("lammps", True)
    before = (directory.root / "canary" / "lammps" / "in.lammps").stat().st_mtime_ns
    run(small(), stand_in("--halt-at 50"))
    assert (directory.root / "canary" / "lammps" / "in.lammps").stat().st_mtime_ns == before


def test_engine_that_lies_about_gamma_never_starts(small, stand_in, run, monkeypatch):
    from dataclasses import replace

    from mlip_fw.engines.ace.potential import AcePotential

    plain = AcePotential.evaluate

    def doubled(self, atoms, *, gamma=True):
        answer = plain(self, atoms, gamma=gamma)
        return answer if answer.gamma is None else replace(answer, gamma=2 * answer.gamma)

    monkeypatch.setattr(AcePotential, "evaluate", doubled)
    with pytest.raises(MlipError, match="does not evaluate the potential rightly"):
        run(small(), stand_in())


BROKEN_LABELS = """
from ase.calculators.emt import EMT

class Picky(EMT):
    def calculate(self, atoms=None, *args, **kwargs):
        if {condition}:
            raise {error}
        super().calculate(atoms, *args, **kwargs)
"""


@pytest.fixture
def picky(tmp_path, monkeypatch):
    """Return a function that writes a calculator that fails under some condition, and gives the oracle."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    from mlip_fw.runtime.fork_server import fork_server

    fork_server().close()

    def make(condition, error, name="picky"):
        (tmp_path / f"{name}.py").write_text(BROKEN_LABELS.format(condition=condition, error=error))
        return {"kind": "ase", "calculator": f"{name}:Picky"}

    yield make
    fork_server().close()


def test_one_failed_label_is_set_aside_and_the_campaign_goes_on(small, stand_in, run, picky, tmp_path):
    flag = tmp_path / "failed-once"
    condition = f"__import__('os').path.exists({str(flag)!r}) is False and (open({str(flag)!r}, 'w') or True)"
    budget = {"max_failed_label_fraction": 0.5}
    campaign = small(oracle=picky(condition, "RuntimeError('no SCF')"), md={"walkers": 2}, budget=budget)
    worker = stand_in("--halt-at 30,60")
    first, directory, _ = run(campaign, worker)
    assert (first.outcome, first.labels_failed) == ("CONVERGED", 1)
    # a replay decides as the first run did, whatever was labelled since
    second, _, _ = run(campaign, worker)
    assert second.model_dump(exclude={"seconds"}) == first.model_dump(exclude={"seconds"})
    [record] = [json.loads(p.read_text()) for p in (directory.root / "quarantine").glob("*.json")]
    assert record["reason"] == "RuntimeError: no SCF"


def test_fault_of_the_machine_is_no_failed_label(small, stand_in, run, picky, tmp_path):
    oracle = picky(f"not __import__('os').path.exists({str(tmp_path / 'room')!r})", "OSError(28, 'No space left')")
    with pytest.raises(MlipError, match="this machine can't label: OSError"):
        run(small(oracle=oracle), stand_in())
    (tmp_path / "room").touch()
    summary, _, _ = run(small(oracle=oracle), stand_in())
    assert (summary.outcome, summary.labels_failed) == ("CONVERGED", 0)


def test_imported_labels_cost_nothing(small, stand_in, run, tmp_path):
    from ase.io import write

    from tests.helpers.potentials import labelled

    write(tmp_path / "d.extxyz", [labelled(seed) for seed in range(4)])
    dataset = str(tmp_path / "d.extxyz")
    summary, _, _ = run(small(bootstrap={"dataset": dataset}, budget={"max_labels": 1}), stand_in("--halt-at 50"))
    assert (summary.outcome, summary.labels) == ("CONVERGED", 5)


def test_initial_potential_with_a_dataset_learns_from_it(small, stand_in, tmp_path):
    from ase.io import write

    from tests.helpers.potentials import labelled, teach

    generations, _, _ = teach(tmp_path / "made", range(2), small())
    write(tmp_path / "d.extxyz", [labelled(seed) for seed in (3, 4)])
    changes = {
        "potential": {"initial": str(generations.potential(0))},
        "bootstrap": {"dataset": str(tmp_path / "d.extxyz")},
    }
    directory = CampaignDirectory(tmp_path / "c")
    summary = run_campaign(small(**changes), directory, stand_in())
    assert (summary.outcome, summary.generations, summary.labels) == ("CONVERGED", 2, 2)


def test_changed_input_file_is_refused(small, stand_in, tmp_path):
    from ase.build import bulk
    from ase.io import write

    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    write(tmp_path / "s.extxyz", atoms)
    campaign = small(structure={"file": str(tmp_path / "s.extxyz"), "bulk": None})
    directory = CampaignDirectory(tmp_path / "c")
    run_campaign(campaign, directory, stand_in())
    atoms.rattle(0.1)
    write(tmp_path / "s.extxyz", atoms)
    with pytest.raises(MlipError, match=r"structure\.file changed since the campaign"):
        run_campaign(campaign, directory, stand_in())


def test_walkers_differ_even_if_the_structure_moves(small, stand_in, tmp_path):
    from ase.build import bulk
    from ase.io import write

    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms.set_velocities([[0.01, 0, 0], [-0.01, 0, 0]] * 16)
    write(tmp_path / "s.extxyz", atoms)
    campaign = small(structure={"file": str(tmp_path / "s.extxyz"), "bulk": None}, md={"walkers": 3})
    directory = CampaignDirectory(tmp_path / "c")
    run_campaign(campaign, directory, stand_in())
    scripts = [(directory.cycle(w, 0) / "in.lammps").read_text() for w in range(3)]
    lines = [[line for line in text.splitlines() if line.startswith("velocity")] for text in scripts]
    assert lines[0] == []
    assert lines[1] and lines[2] and lines[1] != lines[2]


def test_queue_of_the_worker_file_is_no_matter(small, stand_in, run):
    worker = stand_in()
    worker.category = "md"
    assert run(small(), worker)[0].outcome == "CONVERGED"


@pytest.mark.parametrize("name", ["with blank", "it's", "ünï", 'say "hi"'])
def test_awkward_directory_names(small, stand_in, tmp_path, name):
    directory = CampaignDirectory(tmp_path / name)
    from fireworks import FWorker

    stages = [{"ensemble": "nvt", "temperature_k": 300, "n_steps": 20}]
    summary = run_campaign(small(md={"engine": "embedded", "stages": stages}), directory, FWorker())
    assert summary.outcome == "CONVERGED"


def test_halt_that_went_too_far_is_labelled_earlier(small, stand_in, run):
    summary, directory, _ = run(small(), stand_in("--halt-at 40,80 --wild"))
    assert (summary.outcome, summary.halts) == ("CONVERGED", 2)
    told = [e for e in directory.events() if e["event"] == "went_too_far"]
    assert [(e["cycle"], e["step"]) for e in told] == [(0, 40), (1, 80)]
    halted = [e for e in directory.events() if e["event"] == "halted"]
    assert all(far["gamma_max"] > 5 * near["gamma_max"] for far, near in zip(told, halted, strict=True))
    labels = [Dataset(directory.root).read(c.hash) for s in selections(directory) for c in s.chosen]
    assert not any(too_close(atoms) for atoms in labels)
    assert (directory.cycle(0, 0) / "closer" / "in.lammps").is_file()
    assert (directory.cycle(0, 0) / "halt.restart").is_file()


def test_label_cut_by_the_walltime_is_continued(small, stand_in, run, monkeypatch):
    from mlip_fw.engines.oracle.answer import OutOfTime
    from mlip_fw.steps import label as step_label

    real, turns = step_label.make_label, []

    def make_label(*arguments):
        turns.append(arguments[4].name)
        return OutOfTime(1.0) if turns.count(turns[-1]) < 3 else real(*arguments)

    monkeypatch.setattr(step_label, "make_label", make_label)
    summary, directory, pad = run(small(), stand_in("--halt-at 50"))
    assert (summary.outcome, summary.labels_failed) == ("CONVERGED", 0)
    states, links = fireworks(pad)
    first = selections(directory)[0].chosen[0].hash
    assert links[f"label {first}"] == [f"label {first} t1", "train bootstrap"]
    assert links[f"label {first} t1"] == [f"label {first} t2", "train bootstrap"]
    assert links[f"label {first} t2"] == ["train bootstrap"]
    assert set(states.values()) == {"COMPLETED"}
    assert counted_events(directory)["label_out_of_time"] == 2 * summary.labels


def test_failed_labels_are_made_again_after_a_fix(small, stand_in, run):
    tight = {"kind": "ase", "calculator": "emt", "max_force_ev_a": 1e-9}
    summary, directory, _ = run(small(oracle=tight), stand_in())
    assert (summary.outcome, summary.reason) == ("STOPPED", "label_failures")
    repaired = small()
    directory.claim(repaired)
    states = dict(retry_locally(retry_handoffs(directory, []), Worker()))
    assert set(states.values()) == {"done"}
    summary, _, _ = run(repaired, stand_in("--halt-at 50"))
    assert (summary.outcome, summary.labels_failed, summary.halts) == ("CONVERGED", 0, 1)
