"""The espresso oracle with the stand-in pw.x: what is repaired, what is set aside, and why."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from mlip_fw.engines.oracle.answer import OutOfTime
from mlip_fw.engines.oracle.espresso.handlers import TINY_WIDTH_RY
from mlip_fw.engines.oracle.espresso.oracle import label_with_espresso, require_espresso
from mlip_fw.errors import CampaignError, LabelError, WorkerError
from mlip_fw.models.oracle import EspressoOracle
from mlip_fw.models.worker import Worker

UPF = '<UPF version="2.0.1"><PP_HEADER element="{}" z_valence="3.0" functional="PBE"/></UPF>'


@pytest.fixture
def worker(tmp_path, lent_pw):
    """Return a function that makes a worker whose pw.x is the stand-in."""
    (tmp_path / "pseudos").mkdir()
    for element in ("Al", "Cu"):
        (tmp_path / "pseudos" / f"{element}.UPF").write_text(UPF.format(element))

    def make(options="", **env):
        return Worker(pw_cmd=f"{lent_pw} {options}", pseudo_dir=str(tmp_path / "pseudos"), **env)

    return make


def oracle(**settings):
    return EspressoOracle(**{"kind": "espresso", "ecutwfc_ry": 30.0, "max_scf_steps": 50, **settings})


def copper(seed=1):
    atoms = bulk("Cu", cubic=True)
    atoms.symbols[1] = "Al"
    atoms.rattle(0.05, seed=seed)
    return atoms


def corrections(answer):
    return json.loads(answer.facts["corrections_made"])


def test_happy_label(worker, tmp_path):
    atoms = copper()
    answer = label_with_espresso(atoms, oracle(), worker(), tmp_path / "label")
    atoms.calc = EMT()
    assert answer.atoms.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
    assert np.allclose(answer.atoms.get_forces(), atoms.get_forces(), atol=1e-6)
    assert np.allclose(answer.atoms.get_stress(), atoms.get_stress(), atol=1e-6)
    assert (answer.facts["code"], answer.facts["version"], answer.facts["corrections"]) == (
        "Quantum ESPRESSO pw.x",
        "v6.7MaX",
        0,
    )
    assert answer.facts["label_seconds"] > 0
    assert json.loads(answer.facts["convergence"])["scf_steps"] == 9
    left = sorted(path.name for path in (tmp_path / "label").iterdir())
    assert left == ["custodian.json", "pw.err", "pw.in", "pw.out"]


@pytest.mark.parametrize(
    ("fate", "namelist", "changed"),
    [
        ("scf_not_converged", "electrons", {"mixing_beta": 0.28}),
        ("too_few_steps", "electrons", {"electron_maxstep": 150}),
        ("eigenvalues", "electrons", {"diagonalization": "cg"}),
        ("not_positive_definite", "electrons", {"diagonalization": "ppcg"}),
        ("too_few_bands", "system", {"nbnd": 12}),
        ("few_bands_smeared", "system", {"nbnd": 14}),
        ("out_of_memory", "control", {"disk_io": "medium"}),
        ("killed", "control", {"disk_io": "medium"}),
    ],
)
def test_repaired(worker, tmp_path, fate, namelist, changed):
    answer = label_with_espresso(copper(), oracle(), worker(f"--fail {fate}+ok"), tmp_path / "label")
    last = corrections(answer)[-1]["actions"]
    assert any(changed.items() <= action.get(namelist, {}).items() for action in last)
    assert answer.facts["corrections"] == len(corrections(answer))
    assert changed.items() <= json.loads(answer.facts["convergence"])["changes"][namelist].items()
    assert (tmp_path / "label" / "attempt_1_pw.out").exists()


def test_crash_is_tried_again(worker, tmp_path):
    answer = label_with_espresso(copper(), oracle(), worker("--fail cg_crash+ok"), tmp_path / "label")
    assert corrections(answer)[0] == {"errors": ["crashed: by SIGSEGV"], "actions": ["from scratch, as before"]}


def test_fixed_occupations_are_smeared_by_very_little(worker, tmp_path):
    answer = label_with_espresso(copper(), oracle(smearing="none"), worker("--fail odd_electrons+ok"), tmp_path / "x")
    change = json.loads(answer.facts["convergence"])["changes"]["system"]
    assert change["degauss"] == TINY_WIDTH_RY == 0.001
    with pytest.raises(LabelError, match="smearing is needed"):
        label_with_espresso(copper(), oracle(), worker("--fail odd_electrons"), tmp_path / "y")


@pytest.mark.parametrize(
    ("fate", "attempts", "said"),
    [
        ("scf_not_converged", 6, r"SCF not converged: not converged after 25 steps; tried: .*local-TF"),
        ("eigenvalues", 3, "diagonalisation failed: c_bands: too many bands"),
        ("too_few_bands", 4, "too few bands: setup"),
        ("out_of_memory", 3, "out of memory: .*Cannot allocate memory"),
        ("killed", 3, "killed: by SIGKILL"),
        ("mpirun_killed", 3, "killed: by SIGKILL"),
        ("cg_crash", 3, "crashed: by SIGSEGV"),
        ("exit_file", 1, "stopped by an EXIT file"),
        ("radial_fft", 1, "cell too far from its first"),
        ("nan", 2, "incomplete output: energy, forces or stress are not finite"),
        ("short", 2, "incomplete output: energy, forces or stress are missing"),
        ("scf_absurd", 2, "incomplete output: 2 atoms in the output, 4 in the structure"),
    ],
)
def test_set_aside(worker, tmp_path, fate, attempts, said):
    with pytest.raises(LabelError, match=said) as failed:
        label_with_espresso(copper(), oracle(), worker(f"--fail {fate}"), tmp_path / "label")
    assert len(failed.value.corrections) == attempts - 1
    names = [path.name for path in failed.value.files]
    assert {"pw.in", "pw.out", "pw.err"} <= set(names)
    assert len([name for name in names if name.endswith("_pw.out")]) == attempts - 1
    assert not (tmp_path / "label" / "tmp").exists()


@pytest.mark.parametrize(
    ("fate", "error", "said"),
    [
        ("missing_upf", WorkerError, "pseudopotential unreadable"),
        ("truncated_upf", WorkerError, "pseudopotential unreadable"),
        ("foreign_upf", LabelError, "2 atoms"),
        ("disk_full", WorkerError, "disk full: write_rhog"),
        ("mpirun_root", WorkerError, "OMPI_ALLOW_RUN_AS_ROOT=1"),
        ("mpirun_missing", WorkerError, "did not start"),
        ("unknown_key", CampaignError, "pw.x refuses its input"),
    ],
)
def test_not_the_structures_fault(worker, tmp_path, fate, error, said):
    with pytest.raises(error, match=said):
        label_with_espresso(copper(), oracle(), worker(f"--fail {fate}"), tmp_path / "label")


def test_hanging_run_is_ended_with_its_group(worker, tmp_path):
    with pytest.raises(LabelError, match="took too long: more than timeout_s = 2 s over all attempts"):
        label_with_espresso(copper(), oracle(timeout_s=2.0), worker("--fail hang"), tmp_path / "label")


def test_time_limit_counts_all_attempts(worker, tmp_path):
    with pytest.raises(LabelError, match="more than timeout_s") as failed:
        label_with_espresso(copper(), oracle(timeout_s=0.3), worker("--fail scf_not_converged"), tmp_path / "label")
    assert len(failed.value.corrections) < 4


def test_walltime_and_the_next_firework(worker, tmp_path):
    """The repairs and the time of the first Firework are known to the second."""
    folder, scratch = tmp_path / "label", tmp_path / "scratch"
    first = label_with_espresso(
        copper(), oracle(), worker("--fail max_seconds+ok", label_walltime_s=60.0, scratch=str(scratch)), folder
    )
    assert isinstance(first, OutOfTime)
    assert "max_seconds = 5" in (folder / "pw.in").read_text()
    assert len(list(scratch.glob("*/label.save"))) == 1
    second = label_with_espresso(
        copper(), oracle(), worker("--fail max_seconds+ok", label_walltime_s=60.0, scratch=str(scratch)), folder
    )
    assert "restart_mode = 'restart'" in (folder / "pw.in").read_text()
    assert second.facts["label_seconds"] > first.seconds
    assert list(scratch.iterdir()) == []
    assert not (folder / "unfinished.json").exists()


def test_walltime_that_is_over_just_after_convergence(worker, tmp_path):
    """pw.x saves the density then, but not where it stood between two steps: as seen of 6.7."""
    folder, command = tmp_path / "label", worker("--fail just_converged+ok", label_walltime_s=60.0)
    assert isinstance(label_with_espresso(copper(), oracle(), command, folder), OutOfTime)
    assert "convergence has been achieved" in (folder / "pw.out").read_text()
    assert not list(folder.glob("tmp/*restart_scf*"))
    assert label_with_espresso(copper(), oracle(), command, folder).facts["corrections"] == 0
    assert "restart_mode = 'restart'" in (folder / "pw.in").read_text()


@pytest.mark.parametrize(
    "spoilt", ["halfway", "schema", "density", "moved", "other command", "other cutoff", "killed meanwhile"]
)
def test_what_can_not_be_trusted_is_not_continued(worker, tmp_path, spoilt):
    folder, atoms, settings = tmp_path / "label", copper(), {}
    command = worker("--fail max_seconds", label_walltime_s=60.0)
    assert isinstance(label_with_espresso(atoms, oracle(), command, folder), OutOfTime)
    save = folder / "tmp" / "label.save"
    if spoilt == "schema":
        (save / "data-file-schema.xml").write_text("<qes:espresso><")
    elif spoilt == "halfway":
        (folder / "tmp" / "label.restart_scf").unlink()
    elif spoilt == "density":
        (save / "charge-density.dat").write_text("")
    elif spoilt == "moved":
        atoms.positions[0] += 0.01
    elif spoilt == "other command":
        command = worker("--fail max_seconds ", label_walltime_s=60.0)
    elif spoilt == "other cutoff":
        settings["ecutwfc_ry"] = 31.0
    else:
        (folder / "unfinished.json").unlink()
    label_with_espresso(atoms, oracle(**settings), command, folder)
    assert "restart_mode = 'from_scratch'" in (folder / "pw.in").read_text()


def test_restart_that_fails_begins_again(worker, tmp_path):
    folder = tmp_path / "label"
    flip = tmp_path / "pw.sh"
    flip.write_text(
        "#!/bin/sh\ngrep -q \"'restart'\" pw.in && kind=cg_crash || kind=max_seconds\n"
        f"[ -e {tmp_path}/done ] && [ $kind = max_seconds ] && kind=scf; touch {tmp_path}/done\n"
        f'exec {sys.executable} -m mlip_fw.testing.pw --fail $kind "$@"\n'
    )
    flip.chmod(0o755)
    command = worker(label_walltime_s=60.0).model_copy(update={"pw_cmd": str(flip)})
    assert isinstance(label_with_espresso(copper(), oracle(), command, folder), OutOfTime)
    answer = label_with_espresso(copper(), oracle(), command, folder)
    assert corrections(answer) == [
        {"errors": ["continuing failed: crashed: by SIGSEGV"], "actions": ["from scratch, as before"]}
    ]


def test_stale_output_is_not_believed(worker, tmp_path):
    folder = tmp_path / "label"
    label_with_espresso(copper(), oracle(), worker(), folder)
    with pytest.raises(LabelError):
        label_with_espresso(copper(), oracle(), worker("--fail killed"), folder)
    with pytest.raises(WorkerError, match="correct env.pw_cmd"):
        label_with_espresso(copper(), oracle(), Worker(pw_cmd="no-such-pw", pseudo_dir=worker().pseudo_dir), folder)


@pytest.mark.parametrize(
    ("edit", "error", "said"),
    [
        ("s/convergence has been achieved/so far/", LabelError, "exit code 0, but no convergence was reported"),
        ("s/MD5 check sum: ../MD5 check sum: 00/", WorkerError, "pw.x read other files than it was given"),
    ],
)
def test_exit_code_0_is_not_enough(worker, tmp_path, edit, error, said):
    wrapper = tmp_path / "pw.sh"
    wrapper.write_text(f'#!/bin/sh\n{sys.executable} -m mlip_fw.testing.pw "$@" | sed "{edit}"\n')
    wrapper.chmod(0o755)
    with pytest.raises(error, match=said):
        label_with_espresso(copper(), oracle(), worker().model_copy(update={"pw_cmd": str(wrapper)}), tmp_path / "x")


def test_time_of_earlier_fireworks_counts(worker, tmp_path):
    command = worker("--fail max_seconds", label_walltime_s=60.0)
    assert isinstance(label_with_espresso(copper(), oracle(timeout_s=100.0), command, tmp_path), OutOfTime)
    note = json.loads((tmp_path / "unfinished.json").read_text())
    (tmp_path / "unfinished.json").write_text(json.dumps({**note, "seconds": 100.0}))
    begins = worker(label_walltime_s=60.0).model_copy(update={"pw_cmd": "sh -c 'touch has-begun'"})
    with pytest.raises(LabelError, match="more than timeout_s = 100 s over all attempts"):
        label_with_espresso(copper(), oracle(timeout_s=100.0), begins, tmp_path)
    assert not (tmp_path / "has-begun").exists()


def test_dry_run(worker):
    assert require_espresso(oracle(), worker(), ["Al", "Cu"]) == "6.7MaX"
    with pytest.raises(WorkerError, match="does not run here: .*exit code 0, nothing of pw.x"):
        require_espresso(oracle(), worker().model_copy(update={"pw_cmd": "true"}), ["Al"])


# ---- the stand-in itself


def test_stand_in_refuses_what_pw_would_not_take(worker, tmp_path):
    label_with_espresso(copper(), oracle(), worker(), tmp_path)
    (tmp_path / "tmp").mkdir()
    shutil.copytree(tmp_path / "pseudos", tmp_path / "pseudo")
    text = (tmp_path / "pw.in").read_text()

    def said(changed):
        (tmp_path / "other.in").write_text(changed)
        command = [sys.executable, "-m", "mlip_fw.testing.pw", "-in", "other.in"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stderr

    assert said(text) == ""
    assert "control.tprnfor is False" in said(text.replace("tprnfor = .true.", "tprnfor = .false."))
    assert "system lacks ecutrho" in said(text.replace("  ecutrho = 120\n", ""))
    assert "there is no pseudo/Au.UPF" in said(text.replace("Cu.UPF", "Au.UPF"))
    assert "nat or ntyp is not that of 4 atoms" in said(text.replace("nat = 4", "nat = 3"))


def test_plan_gives_every_fate_its_number(worker, tmp_path):
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"scf": 3, "killed": 2, "eigenvalues+ok": 2}))

    def fate(seed):
        try:
            answer = label_with_espresso(copper(seed), oracle(), worker(f"--plan {plan}"), tmp_path / f"label-{seed}")
        except LabelError as error:
            return str(error).partition(":")[0]
        return "repaired" if answer.facts["corrections"] else "sound"

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with ThreadPoolExecutor(3) as pool:
        fates = sorted(pool.map(fate, range(9)))
    assert fates == ["killed"] * 2 + ["repaired"] * 2 + ["sound"] * 5
