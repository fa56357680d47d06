"""Labels from a real pw.x: what it says, and each repair on a case that fails without it."""

import contextlib
import json
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc100
from ase.io import read

from mlip_fw.engines.oracle.answer import Labelled, OutOfTime
from mlip_fw.engines.oracle.espresso.oracle import label_with_espresso, require_espresso
from mlip_fw.errors import CampaignError, LabelError, WorkerError
from mlip_fw.models.oracle import EspressoOracle
from mlip_fw.models.worker import Worker
from tests.helpers.programs import require

pytestmark = pytest.mark.real
FILES = {"Al": "Al.pz-vbc.UPF", "Si": "Si.pz-vbc.UPF", "Fe": "Fe.pbe-nd-rrkjus.UPF", "O": "O.pbe-rrkjus.UPF"}


@pytest.fixture(autouse=True)
def pw():
    require("qe", shutil.which("pw.x") and Path("/usr/share/espresso/pseudo/Si.pz-vbc.UPF").is_file())


def oracle(**settings):
    defaults = {"kind": "espresso", "ecutwfc_ry": 16.0, "kpoint_spacing_1_a": 1.0, "pseudopotentials": FILES}
    return EspressoOracle(**{**defaults, **settings})


def label(atoms, folder, worker=None, **settings):
    answer = label_with_espresso(atoms, oracle(**settings), worker or Worker(), folder)
    assert isinstance(answer, Labelled)
    return answer.atoms, answer.facts, json.loads(answer.facts["corrections_made"])


def actions(corrections):
    return [action for correction in corrections for action in correction["actions"]]


def silicon(*, cubic=False):
    atoms = bulk("Si", cubic=cubic)
    atoms.rattle(0.05, seed=1)
    return atoms


def slab(layers=6, vacuum=8.0):
    atoms = fcc100("Al", (1, 1, layers), a=4.05, vacuum=vacuum)
    atoms.pbc = True
    atoms.rattle(0.15, seed=3)
    return atoms


def test_label_is_what_pw_says(tmp_path):
    folder = tmp_path / "label"
    atoms, facts, corrections = label(silicon(), folder)
    as_ase_reads_it = read(folder / "pw.out", format="espresso-out")
    assert corrections == []
    assert np.allclose(atoms.get_forces(), as_ase_reads_it.get_forces(), atol=1e-6)
    assert np.allclose(atoms.get_stress(), as_ase_reads_it.get_stress(), atol=1e-7)
    assert atoms.get_potential_energy() == pytest.approx(as_ase_reads_it.get_potential_energy(), rel=1e-6)
    assert np.array_equal(atoms.positions, silicon().positions)
    assert facts["version"].startswith(("v6.", "v7."))
    assert json.loads(facts["convergence"])["scf_steps"] > 3
    assert sorted(path.name for path in folder.iterdir()) == ["custodian.json", "pw.err", "pw.in", "pw.out"]


def test_forces_and_stress_are_derivatives_of_the_energy(tmp_path):
    """The free energy of a smeared metal is what forces and stress belong to."""
    step, strain = 0.02, 0.002
    settings = {"smearing_width_ev": 0.5, "scf_accuracy_ev_atom": 1e-9, "ecutwfc_ry": 20.0}

    def energy(atoms, name):
        return label(atoms, tmp_path / name, **settings)[0].get_potential_energy()

    start = bulk("Al", cubic=True)
    start.positions[0, 0] += 0.2
    here, _, _ = label(start, tmp_path / "here", **settings)
    moved, squeezed = [], []
    for sign in (-1, 1):
        atoms = start.copy()
        atoms.positions[0, 0] += sign * step
        moved.append(energy(atoms, f"moved{sign}"))
        atoms = start.copy()
        shear = np.eye(3)
        shear[0, 1] = shear[1, 0] = sign * strain
        atoms.set_cell(atoms.cell.array @ shear, scale_atoms=True)
        squeezed.append(energy(atoms, f"squeezed{sign}"))
    assert here.get_forces()[0, 0] == pytest.approx((moved[0] - moved[1]) / (2 * step), rel=0.02, abs=1e-3)
    by_energy = (squeezed[1] - squeezed[0]) / (4 * strain) / start.get_volume()
    assert here.get_stress()[5] == pytest.approx(by_energy, rel=0.05, abs=2e-4)


def test_two_elements_with_spin(tmp_path):
    atoms = Atoms("OFe", [[1.9, 0.1, 0], [0, 0, 0]], cell=[3.8, 3.6, 3.7], pbc=True)
    settings = {
        "starting_moments_mub": {"Fe": 3.0},
        "kpoint_spacing_1_a": None,
        "ecutwfc_ry": 25.0,
        "ecutrho_ry": 200.0,
    }
    labelled, facts, _ = label(atoms, tmp_path, scf_accuracy_ev_atom=1e-5, **settings)
    assert labelled.get_chemical_symbols() == ["O", "Fe"]
    assert abs(json.loads(facts["convergence"])["total_magnetization_mub"]) > 0.5


def test_mixing_is_repaired(tmp_path):
    """The charge sloshes through the slab: a smaller beta and local-TF don't help, a long history does."""
    settings = {"mixing_beta": 1.0, "max_scf_steps": 16, "scf_accuracy_ev_atom": 1.7e-5, "kpoint_spacing_1_a": 2.5}
    _, _, corrections = label(slab(8), tmp_path, **settings)
    assert corrections[0]["errors"] == ["SCF not converged: not converged after 16 steps"]
    tried = [action["electrons"] for action in actions(corrections)]
    assert tried[0] == {"mixing_beta": 0.4, "electron_maxstep": 32}
    ladder = [{"mixing_mode"}, {"mixing_mode", "mixing_ndim", "mixing_beta"}]
    # how far it must go hangs on the last digits of the library of linear algebra
    assert [set(change) - {"electron_maxstep"} for change in tried[1:]] == ladder[: len(tried) - 1]


def test_more_steps(tmp_path):
    _, _, corrections = label(silicon(), tmp_path, max_scf_steps=4)
    assert actions(corrections) == [{"electrons": {"electron_maxstep": 12}}]


def test_diagonalisation_is_repaired(tmp_path):
    cg = {"electrons": {"diagonalization": "cg", "diago_cg_maxiter": 1}}
    atoms, _, corrections = label(slab(3), tmp_path / "cg", namelists=cg)
    assert corrections[0]["errors"] == ["diagonalisation failed: c_bands: too many bands are not converged"]
    assert actions(corrections) == [{"electrons": {"diagonalization": "david"}}]
    same, _, _ = label(slab(3), tmp_path / "david")
    assert atoms.get_potential_energy() == pytest.approx(same.get_potential_energy(), abs=1e-5)


def test_odd_electrons(tmp_path):
    _, facts, corrections = label(bulk("Al"), tmp_path, smearing="none")
    assert corrections[0]["errors"] == ["fixed occupations do not fit: electrons: charge is wrong: smearing is needed"]
    change = actions(corrections)[0]["system"]
    assert (change["occupations"], change["smearing"], change["degauss"]) == ("smearing", "gaussian", 0.001)
    assert json.loads(facts["convergence"])["changes"]["system"]["degauss"] == 0.001


def test_tiny_smearing_of_an_insulator_is_no_other_level(tmp_path):
    fixed, _, _ = label(silicon(), tmp_path / "fixed", smearing="none", scf_accuracy_ev_atom=1e-9)
    tiny, _, _ = label(
        silicon(), tmp_path / "tiny", smearing="gaussian", smearing_width_ev=0.0136, scf_accuracy_ev_atom=1e-9
    )
    assert fixed.get_potential_energy() == pytest.approx(tiny.get_potential_energy(), abs=1e-6)
    assert np.allclose(fixed.get_forces(), tiny.get_forces(), atol=1e-4)


def test_metal_with_fixed_occupations(tmp_path):
    """It converges, but with empty bands below filled ones."""
    atoms = bulk("Si", a=4.2)
    _, _, corrections = label(atoms, tmp_path, smearing="none")
    assert corrections[0]["errors"][0].endswith("a metal")
    assert "occupations" in actions(corrections)[0]["system"]


def test_metal_that_does_not_converge_with_fixed_occupations(tmp_path):
    _, _, corrections = label(bulk("Al", cubic=True), tmp_path, smearing="none", max_scf_steps=15)
    assert corrections[0]["errors"][0].startswith("SCF not converged")
    assert "occupations" in actions(corrections)[-1]["system"]


@pytest.mark.parametrize("given", [6, 5])
def test_too_few_bands(tmp_path, given):
    """With 6 bands for 12 electrons pw.x converges, to something else; with 5 it refuses."""
    few, _, corrections = label(bulk("Al", cubic=True), tmp_path / "few", namelists={"system": {"nbnd": given}})
    enough, _, none = label(bulk("Al", cubic=True), tmp_path / "enough")
    assert corrections[0]["errors"][0].startswith("too few bands")
    assert none == []
    assert few.get_potential_energy() == pytest.approx(enough.get_potential_energy(), abs=1e-4)


CUT = r"""
import pathlib, socket, subprocess, sys, threading

# pw.x can write a few lines ahead of whoever reads them, and no more: whatever the machine is busy with,
# it is within an iteration or two of the one that is to be the last
theirs, ours = socket.socketpair()
theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
folder = pathlib.Path.cwd()
if (folder / "cut").exists():
    process = subprocess.Popen(["pw.x", *sys.argv[1:]], stdout=theirs)
    theirs.close()
    for line in ours.makefile("r"):
        if "iteration #  3" in line:
            # pw.x looks for this file where it looks at its clock
            (folder / "label.EXIT").touch()
        print(line.replace("Program stopped by user request", "Maximum CPU time exceeded"), end="", flush=True)
    sys.exit(process.wait())
sys.exit(subprocess.run(["pw.x", *sys.argv[1:]]).returncode)
"""
"""A pw.x whose time is over in its third iteration as long as there is a file ``cut`` beside its input."""


@pytest.fixture
def cut_worker(tmp_path):
    """Return a worker whose calculations are over their walltime when the test says so."""
    (tmp_path / "cut.py").write_text(CUT)
    command = f"{sys.executable} {tmp_path / 'cut.py'}"
    return Worker(pw_cmd=command, label_walltime_s=3600.0, scratch=str(tmp_path / "scratch"))


def test_walltime_and_restart(tmp_path, cut_worker):
    """Cut by its walltime, the run goes on in the next Firework and ends with the same label."""
    atoms, settings = silicon(cubic=True), {"kpoint_spacing_1_a": 0.6, "scf_accuracy_ev_atom": 1e-8}
    whole, _, _ = label(atoms, tmp_path / "whole", **settings)
    folder = tmp_path / "cut"
    folder.mkdir()
    (folder / "cut").touch()
    first = label_with_espresso(atoms, oracle(**settings), cut_worker, folder)
    assert isinstance(first, OutOfTime)
    assert 3 <= (folder / "pw.out").read_text().count("iteration #") <= 5
    assert len(list((tmp_path / "scratch").iterdir())) == 1
    (folder / "cut").unlink()
    answer = label_with_espresso(atoms, oracle(**settings), cut_worker, folder)
    assert "The initial density is read from file" in (folder / "pw.out").read_text()
    assert np.allclose(answer.atoms.get_forces(), whole.get_forces(), atol=1e-4)
    assert answer.atoms.get_potential_energy() == pytest.approx(whole.get_potential_energy(), abs=1e-6)
    assert answer.facts["label_seconds"] > first.seconds > 0
    assert list((tmp_path / "scratch").iterdir()) == []


def test_only_a_sound_save_is_continued(tmp_path, cut_worker):
    settings = {"kpoint_spacing_1_a": 0.6, "scf_accuracy_ev_atom": 1e-8}
    atoms, folder = silicon(cubic=True), tmp_path / "cut"
    folder.mkdir()
    (folder / "cut").touch()
    assert isinstance(label_with_espresso(atoms, oracle(**settings), cut_worker, folder), OutOfTime)
    (schema,) = (tmp_path / "scratch").glob("*/label.save/data-file-schema.xml")
    schema.write_text(schema.read_text()[:-200])
    assert isinstance(label_with_espresso(atoms, oracle(**settings), cut_worker, folder), OutOfTime)
    assert "restart_mode = 'from_scratch'" in (folder / "pw.in").read_text()
    atoms.positions[0] += 0.01
    assert isinstance(label_with_espresso(atoms, oracle(**settings), cut_worker, folder), OutOfTime)
    assert "restart_mode = 'from_scratch'" in (folder / "pw.in").read_text()


def peak_mb(text, folder):
    """Return the largest address space of a dry run, polled until it ends, MB."""
    (folder / "dry.in").write_text(text)
    process, peak = subprocess.Popen(["pw.x", "-in", "dry.in"], cwd=folder, stdout=subprocess.DEVNULL), 0
    while process.poll() is None:
        with contextlib.suppress(OSError):
            sizes = re.findall(r"VmPeak:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
            peak = max([peak, *map(int, sizes)])
        time.sleep(0.002)
    return peak / 1024


def test_memory_is_saved(tmp_path):
    """Many k-points whose wave functions don't fit into memory, but do fit on the disk."""
    many = {"system": {"nbnd": 24, "nosym": True}}
    settings = {"kpoint_spacing_1_a": 0.6, "ecutwfc_ry": 40.0, "namelists": many, "scf_accuracy_ev_atom": 0.05}
    with pytest.raises(WorkerError):
        label(bulk("Si"), tmp_path / "only-input", Worker(pw_cmd="true"), **settings)
    text = (tmp_path / "only-input" / "pw.in").read_text().replace("&CONTROL", "&CONTROL\n  nstep = 0")
    text = text.replace("./pseudo", "/usr/share/espresso/pseudo")
    less = text.replace("disk_io = 'low'", "disk_io = 'medium'")
    less = less.replace("&ELECTRONS", "&ELECTRONS\n  mixing_ndim = 4\n  diago_david_ndim = 2")
    whole_mb, less_mb = (peak_mb(given, tmp_path) for given in (text, less))
    assert less_mb < whole_mb - 5
    limit = f"resource.setrlimit(resource.RLIMIT_AS, ({int((0.3 * less_mb + 0.7 * whole_mb) * 2**20)},) * 2)"
    script = f"import os, resource, sys; {limit}; os.execvp('pw.x', ['pw.x', *sys.argv[1:]])"
    worker = Worker(pw_cmd=shlex.join([sys.executable, "-c", script]))
    _, _, corrections = label(bulk("Si"), tmp_path / "limited", worker, **settings)
    assert corrections[0]["errors"][0].startswith(("out of memory", "crashed"))
    assert {"control": {"disk_io": "medium"}} in actions(corrections)


def test_absurd_structure_converges_happily(tmp_path):
    """Why structures are looked at before and after: pw.x finds nothing wrong with atoms 0.3 Å apart."""
    atoms = Atoms("Si2", [[0, 0, 0], [0.3, 0, 0]], cell=[5] * 3, pbc=True)
    labelled, _, _ = label(atoms, tmp_path, kpoint_spacing_1_a=None)
    assert np.abs(labelled.get_forces()).max() > 1000


def test_overlap_that_no_method_diagonalises(tmp_path):
    atoms = Atoms("Fe2", [[0, 0, 0], [0.3, 0, 0]], cell=[4] * 3, pbc=True)
    with pytest.raises(LabelError, match="tried: .*diagonalization") as failed:
        label(atoms, tmp_path, kpoint_spacing_1_a=None, ecutwfc_ry=15.0, ecutrho_ry=120.0)
    assert failed.value.corrections[0]["errors"][0].startswith("diagonalisation failed")
    assert {"pw.in", "pw.out", "attempt_1_pw.out"} <= {path.name for path in failed.value.files}


def test_machine_check():
    assert require_espresso(oracle(), Worker(), ["Al", "Si"])[0] in "67"


@pytest.mark.parametrize(
    ("settings", "worker", "error", "said"),
    [
        ({"namelists": {"system": {"ecutwf": 1.0}}}, {}, CampaignError, "bad line in namelist"),
        ({"namelists": {"electrons": {"diagonalization": "x"}}}, {}, CampaignError, "not implemented"),
        ({}, {"pw_cmd": "/bin/false"}, WorkerError, "nothing of pw.x in its output"),
        ({}, {"pw_cmd": "no-such-pw.x"}, WorkerError, "env.pw_cmd"),
        ({"pseudopotentials": {"Al": "absent.UPF", "Si": FILES["Si"]}}, {}, WorkerError, "absent.UPF"),
        ({"pseudopotentials": {"Al": FILES["Si"], "Si": FILES["Si"]}}, {}, WorkerError, "is of Si"),
        ({"pseudopotentials": {"Si": FILES["Si"], "Fe": FILES["Fe"]}}, {}, CampaignError, "different functionals"),
    ],
)
def test_machine_check_finds(settings, worker, error, said):
    elements = ["Fe", "Si"] if "Fe" in settings.get("pseudopotentials", {}) else ["Al", "Si"]
    with pytest.raises(error, match=said):
        require_espresso(oracle(**settings), Worker(**worker), elements)
