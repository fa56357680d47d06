"""Runs of the stand-in: what is repaired, what is refused, what is the machine's fault, and what ends on time."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from custodian.custodian import CustodianError
from pymatgen.core import SETTINGS

from mlip_fw.engines.oracle.answer import Labelled, OutOfTime
from mlip_fw.engines.oracle.vasp import handlers, run
from mlip_fw.engines.oracle.vasp.faults import blame
from mlip_fw.engines.oracle.vasp.oracle import label_with_vasp
from mlip_fw.errors import DirectoryError, LabelError, WorkerError
from mlip_fw.models.worker import Worker
from mlip_fw.runtime import supervised_run
from mlip_fw.runtime.signals import signals_as_exceptions
from mlip_fw.testing.vasp_files import write_fake_potcars
from tests.helpers.programs import ROOT
from tests.helpers.vasp import POTCARS, alloy, oracle, worker


@pytest.fixture(autouse=True)
def potcars(tmp_path, monkeypatch):
    write_fake_potcars(tmp_path / "psp", POTCARS)
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", str(tmp_path / "psp"))
    monkeypatch.setattr(run, "_POLL_S", 0.05)
    monkeypatch.setattr(run, "_POLLS_PER_LOOK", 2)


HANGS = "#!/bin/sh\nsleep 3600 &\necho $! > rank.pid\nwait\n"
"""With a rank that knows nothing of it; it hangs at once, however busy the machine is."""


@pytest.fixture
def hangs(tmp_path):
    """Return the command of a VASP that hangs."""
    script = tmp_path / "hangs"
    script.write_text(HANGS)
    script.chmod(0o755)
    return str(script)


@pytest.fixture
def label(tmp_path, lent_vasp, hangs):
    """Return a function that labels the alloy with a stand-in that does as its options say."""

    def go(options="", *, env=None, atoms=None, **settings):
        command = hangs if "hang" in options else f"{lent_vasp} {options}"
        # not validated: a walltime of seconds is no worker's
        given = Worker(vasp_cmd=command).model_copy(update=env or {})
        return label_with_vasp(alloy() if atoms is None else atoms, oracle(**settings), given, tmp_path / "run")

    return go


def expect_emt(labelled, atoms):
    atoms = atoms.copy()
    atoms.calc = EMT()
    assert labelled.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-8)
    assert np.allclose(labelled.get_forces(), atoms.get_forces(), atol=1e-8)
    assert np.allclose(labelled.get_stress(), atoms.get_stress(), atol=1e-8)
    assert np.array_equal(labelled.numbers, atoms.numbers)
    assert np.array_equal(labelled.positions, atoms.positions)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] != "Z"


def test_forces_come_back_in_the_order_of_the_structure(label):
    answer = label()
    expect_emt(answer.atoms, alloy())
    assert (answer.facts["code"], answer.facts["corrections"]) == ("vasp", 0)
    assert json.loads(answer.facts["convergence"]) == {
        "converged": True,
        "scf_steps": 9,
        "ediff_ev": 1e-6,
        "kpoints": [4, 4, 4],
    }


def test_triclinic_left_handed_cell_with_atoms_outside(label):
    atoms = Atoms("CuAuCu", [[0, 0, 0], [2, 2, 9], [-2, 1, 2]], cell=[[5, 0, 0], [1, 1, 6], [0, 5, 1]], pbc=True)
    assert np.linalg.det(atoms.cell.array) < 0
    expect_emt(label(atoms=atoms).atoms, atoms)


@pytest.mark.parametrize(
    ("kind", "errors", "changes"),
    [
        ("unconverged", ["Unconverged"], {"ALGO": "Normal"}),
        ("brmix", ["brmix"], {"IMIX": 1}),
        ("edddav", ["edddav"], {"ALGO": "All", "ISEARCH": 1}),
        ("eddrmm", ["eddrmm"], {"ALGO": "Normal"}),
        ("zhegv", ["eddiag"], {"ALGO": "Normal"}),
        ("too-few-bands", ["too_few_bands"], {"NBANDS": 36}),
    ],
)
def test_repaired_and_recorded(label, kind, errors, changes):
    answer = label(f"--fail {kind}")
    expect_emt(answer.atoms, alloy())
    assert answer.facts["corrections"] == 1
    [made] = json.loads(answer.facts["corrections_made"])
    assert made["errors"] == errors
    assert changes in [action["action"].get("_set") for action in made["actions"]]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("stopped", "did not converge: VASP says .*hard stop was set"),
        ("subspace", "custodian has no answer to subspacematrix"),
        ("zpotrf", "custodian has no answer to zpotrf"),
        ("real-optlay", "would be another level of theory .LREAL from Auto to False"),
        ("memory", "ran out of memory: .*insufficient virtual memory"),
        ("killed", "killed by SIGKILL; was memory short"),
        ("segfault", "killed by SIGSEGV"),
        ("silent", "OUTCAR has no closing lines"),
        ("empty", r"there is no vasprun\.xml"),
        ("nan", "not a finite number: force"),
        ("another", "of another structure"),
    ],
)
def test_no_trustworthy_label(label, tmp_path, kind, said):
    settings = {"incar": {"LREAL": "Auto"}} if kind == "real-optlay" else {}
    with pytest.raises(LabelError, match=said) as caught:
        label(f"--fail {kind}", **settings)
    names = {path.name for path in caught.value.files if path.is_file()}
    assert {"INCAR", "POSCAR", "vasp.out", "custodian.json"} <= names
    assert "POTCAR" not in names


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("disk-full", "No space left on device"),
        ("no-library", "error while loading shared libraries"),
        ("bad-incar", "can't read INCAR; correct oracle.incar"),
    ],
)
def test_fault_of_the_machine_or_the_settings(label, kind, said):
    with pytest.raises(WorkerError, match=said):
        label(f"--fail {kind}")


def test_corrections_are_told_when_it_was_of_no_use(label):
    with pytest.raises(LabelError, match=r"VASP still fails after 5 corrections \(Unconverged\)") as caught:
        label("--fail never-converges")
    assert [c["errors"] for c in caught.value.corrections] == [["Unconverged"]] * 5
    assert caught.value.corrections[0]["handler"] == "UnconvergedErrorHandler"


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (None, 0o755, "No such file"),
        ("#!/bin/sh\n", 0o644, "Permission denied"),
        ("\x7fELF nonsense", 0o755, "Exec format error"),
        ("#!/bin/sh\nexit 127\n", 0o755, "it or a library of it was not found"),
        ("#!/bin/sh\nkill -ILL $$\n", 0o755, "built for another processor"),
    ],
)
def test_program_that_can_not_run_here(tmp_path, content, mode, said):
    program = tmp_path / "vasp_std"
    if content is not None:
        program.write_text(content)
        program.chmod(mode)
    with pytest.raises(WorkerError, match=f"{said}.*correct env.vasp_cmd"):
        label_with_vasp(alloy(), oracle(), Worker(vasp_cmd=str(program)), tmp_path / "run")


def test_outputs_of_an_earlier_run_are_not_believed(label, tmp_path):
    label()
    with pytest.raises(LabelError, match="no closing lines"):
        label("--fail silent")
    assert not (tmp_path / "run" / "vasprun.xml").exists()


def test_orbitals_of_an_earlier_calculation_are_not_taken_up(label, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "WAVECAR").write_text("of somebody else")
    assert json.loads(label().facts["convergence"])["scf_steps"] == 9
    assert not (tmp_path / "run" / "WAVECAR").exists()


def test_what_custodian_lets_pass_is_checked_again(label, monkeypatch):
    monkeypatch.setattr(supervised_run.Custodian, "run", lambda self: [])
    with pytest.raises(LabelError, match="no closing lines"):
        label()


def test_custodian_does_not_judge_by_what_it_read_before(label, monkeypatch):
    monkeypatch.setattr(run, "_POLLS_PER_LOOK", 1000)
    label()
    assert label("--fail unconverged").facts["corrections"] == 1


def test_outputs_of_a_failed_attempt_are_not_believed(tmp_path):
    """The second attempt, after a correction, writes nothing: the first's outputs must be gone."""
    script = tmp_path / "vasp_std"
    stand_in = f"{sys.executable} -m mlip_fw.testing.vasp --fail unconverged"
    script.write_text(f"#!/bin/sh\n[ -f again ] && exit 0\ntouch again\nexec {stand_in}\n")
    script.chmod(0o755)
    with pytest.raises(LabelError, match="no closing lines"):
        label_with_vasp(alloy(), oracle(), Worker(vasp_cmd=str(script)), tmp_path / "run")


@pytest.mark.slow
def test_hanging_vasp_is_ended_with_its_ranks(label, tmp_path):
    with pytest.raises(LabelError, match=r"took longer than oracle\.timeout_s = 3 s"):
        label("--fail hang", timeout_s=3.0)
    assert not alive(int((tmp_path / "run" / "rank.pid").read_text()))


@pytest.mark.slow
def test_vasp_that_ignores_polite_signals_is_ended(tmp_path):
    script = tmp_path / "vasp_std"
    script.write_text("#!/bin/sh\ntrap '' TERM\necho $$ > rank.pid\nwhile :; do sleep 1; done\n")
    script.chmod(0o755)
    with pytest.raises(LabelError, match="took longer"):
        label_with_vasp(alloy(), oracle(timeout_s=2.0), Worker(vasp_cmd=str(script)), tmp_path / "run")
    assert not alive(int((tmp_path / "run" / "rank.pid").read_text()))


@pytest.mark.slow
def test_silent_vasp_is_ended(label, tmp_path, monkeypatch):
    monkeypatch.setattr(handlers, "_FROZEN_S", 4.0)
    with pytest.raises(LabelError, match=r"no answer to Frozen job"):
        label("--fail hang", incar={"ALGO": "Normal"})
    assert not alive(int((tmp_path / "run" / "rank.pid").read_text()))


@pytest.fixture
def interruptible():
    """Heed SIGINT, which a shell's background jobs ignore, as workers do."""
    with signals_as_exceptions(lambda _: True):
        yield


def test_interrupted_worker_leaves_no_vasp(label, tmp_path, interruptible):
    path = tmp_path / "run" / "rank.pid"

    def interrupt():
        while not (path.is_file() and path.read_text()):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        label("--fail hang")
    assert not alive(int(path.read_text()))


@pytest.mark.slow
def test_vasp_dies_with_a_killed_worker(tmp_path):
    code = (
        "import pathlib, sys\n"
        "from mlip_fw.engines.oracle.vasp.oracle import label_with_vasp\n"
        "from tests.helpers.vasp import alloy, oracle, worker\n"
        "label_with_vasp(alloy(), oracle(), worker('--fail hang'), pathlib.Path(sys.argv[1]) / 'run')\n"
    )
    environment = {**os.environ, "PMG_VASP_PSP_DIR": str(tmp_path / "psp")}
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path], env=environment, cwd=ROOT)
    path = tmp_path / "run" / "rank.pid"
    assert within(200, lambda: path.is_file() and path.read_text())
    rank = int(path.read_text())
    leader = parent_of(rank)
    try:
        process.kill()
        process.wait()
        assert within(200, lambda: not alive(leader))
    finally:
        if alive(rank):
            os.kill(rank, signal.SIGKILL)


def within(seconds, condition):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def parent_of(pid):
    return int(open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[1])


def at_last(again):
    """Go on until there is a label: on a busy machine a calculation may be cut more than once."""
    answer = again()
    for _ in range(20):
        if not isinstance(answer, OutOfTime):
            break
        answer = again()
    return answer


@pytest.mark.slow
class TestWalltime:
    WALLTIME = {"label_walltime_s": 7.0}

    @pytest.fixture
    def slow(self, label):
        """Return a function that labels with nine steps of a second and a walltime of seven."""
        return lambda options="": label(f"--step-s 1 {options}", env=self.WALLTIME)

    def test_cut_calculation_is_continued(self, slow, tmp_path):
        first = slow()
        assert isinstance(first, OutOfTime)
        assert first.seconds > 1
        assert (tmp_path / "run" / "WAVECAR").is_file()
        assert not (tmp_path / "run" / "STOPCAR").exists()
        second = at_last(slow)
        assert isinstance(second, Labelled)
        assert second.facts["label_seconds"] > first.seconds
        expect_emt(second.atoms, alloy())
        assert second.facts["corrections"] == 0

    def test_of_another_structure_it_is_begun_anew(self, slow, tmp_path):
        slow()
        other = alloy()
        other.positions[0] += 0.05
        answer = at_last(
            lambda: label_with_vasp(other, oracle(), worker().model_copy(update=self.WALLTIME), tmp_path / "run")
        )
        expect_emt(answer.atoms, other)
        assert not (tmp_path / "run" / "WAVECAR").exists()

    def test_timeout_is_over_all_parts(self, slow, tmp_path):
        answer = slow()
        progress = tmp_path / "run" / "progress.json"
        progress.write_text(json.dumps({"seconds": 1e6, "corrections": [{"errors": ["brmix"], "actions": []}]}))
        assert isinstance(answer, OutOfTime)
        with pytest.raises(LabelError, match="took longer than oracle.timeout_s") as caught:
            slow()
        assert [c["errors"] for c in caught.value.corrections] == [["brmix"]]
        assert not (tmp_path / "run" / "vasp.out").exists()

    def test_corrections_are_kept_over_the_cut(self, slow, tmp_path):
        answer = slow("--fail brmix")
        assert isinstance(answer, OutOfTime)
        answer = at_last(lambda: slow("--fail brmix"))
        assert answer.facts["corrections"] == 1

    def test_vasp_that_does_not_stop_is_ended_and_begun_anew(self, slow, tmp_path):
        assert isinstance(slow("--fail hang"), OutOfTime)
        assert not alive(int((tmp_path / "run" / "rank.pid").read_text()))


def test_walltime_that_is_not_reached_changes_nothing(label):
    assert isinstance(label(env={"label_walltime_s": 1000.0}), Labelled)


def test_stop_in_time_asks_once(tmp_path):
    handler = handlers.StopInTime(0.0)
    (tmp_path / "OSZICAR").write_text("DAV:   1    0.1E+01\n")
    time.sleep(0.001)
    assert handler.check(str(tmp_path))
    handler.correct(str(tmp_path))
    assert not handler.check(str(tmp_path))
    assert "LABORT" in (tmp_path / "STOPCAR").read_text()


def test_stop_in_time_leaves_three_steps(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(handlers.time, "monotonic", lambda: now[0])
    handler = handlers.StopInTime(100.0)
    (tmp_path / "OSZICAR").write_text("DAV:   1    0.1E+01\nRMM:   2    0.1E+01\n")
    now[0] = 39.0
    assert not handler.check(str(tmp_path))
    now[0] = 41.0
    assert handler.check(str(tmp_path))


def test_stop_in_time_measures_the_steps_of_this_attempt(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(handlers.time, "monotonic", lambda: now[0])
    handler = handlers.StopInTime(100.0)
    for seconds, steps in ((30.0, 9), (50.0, 1), (58.0, 4)):
        now[0] = seconds
        (tmp_path / "OSZICAR").write_text("DAV:   1    0.1E+01\n" * steps)
        assert not handler.check(str(tmp_path)), seconds
    now[0] = 94.0
    assert handler.check(str(tmp_path))


def test_full_disk_of_ours(label, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run.shutil, "copy", refuse)
    with pytest.raises((WorkerError, DirectoryError), match="No space left"):
        label()


def test_handler_that_breaks_is_no_fault_of_the_machine(tmp_path):
    error = blame(KeyError("NELECT"), 0, None, [], tmp_path)
    assert isinstance(error, LabelError)
    assert "could not judge the run (KeyError" in str(error)


def test_vasp_that_the_queue_ends_is_no_fault_of_the_structure(tmp_path):
    """custodian's failure with a SIGTERM that did not come from this side."""
    error = blame(CustodianError("failed"), -signal.SIGTERM, complaint=None, corrections=[], folder=tmp_path)
    assert isinstance(error, WorkerError)
    assert "ended from outside by SIGTERM" in str(error)
