"""Record what pw.x says when it works and when it fails: ``python record.py [NAME ...]``.

Needs pw.x on the PATH and a directory of pseudopotentials (``ESPRESSO_PSEUDO``, default Debian's
``/usr/share/espresso/pseudo``). Every case is a folder beside this file; see README.md there.
"""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk, fcc100

from mlip_fw.io.espresso import write_pw_input
from mlip_fw.io.kpoints import kpoint_grid

HERE = Path(__file__).parent
PSEUDO = Path(os.environ.get("ESPRESSO_PSEUDO", "/usr/share/espresso/pseudo"))
FILES = {"Si": "Si.pz-vbc.UPF", "Al": "Al.pz-vbc.UPF", "O": "O.pbe-rrkjus.UPF", "Fe": "Fe.pbe-nd-rrkjus.UPF"}
METAL = {"occupations": "smearing", "smearing": "mv", "degauss": 0.0147}
FIXED = {"occupations": "fixed"}


@dataclass
class Case:
    """One calculation: what differs from a sound one, and what is done to it while it runs."""

    atoms: Atoms
    control: dict = field(default_factory=dict)
    system: dict = field(default_factory=lambda: dict(METAL))
    electrons: dict = field(default_factory=dict)
    spacing: float | None = None
    edit: tuple[str, str] | None = None
    """Pattern and replacement in the written input."""
    files: dict = field(default_factory=dict)
    damage: str | None = None
    """What is wrong with the pseudopotential: missing, truncated, text."""
    signal: int | None = None
    exit_file_after: float | None = None
    memory_mb: int | None = None
    disk: str | None = None
    command: tuple[str, ...] = ("pw.x",)
    stripped_env: bool = False


def si(rattle=0.05):
    atoms = bulk("Si", cubic=True)
    atoms.rattle(rattle, seed=1)
    return atoms


def al_slab():
    slab = fcc100("Al", (1, 1, 6), a=4.05, vacuum=8.0)
    slab.pbc = True
    return slab


def rattled_slab():
    slab = fcc100("Al", (1, 1, 8), a=4.05, vacuum=10.0)
    slab.pbc = True
    slab.rattle(0.15, seed=3)
    return slab


def fe():
    atoms = bulk("Fe")
    atoms.rattle(0.03, seed=1)
    return atoms


def close(symbol, distance, box=5.0):
    return Atoms([symbol] * 2, [[0, 0, 0], [distance, 0, 0]], cell=[box] * 3, pbc=True)


SI2 = bulk("Si")
CASES = {
    "scf": Case(si(), spacing=0.6),
    "scf_metal": Case(bulk("Al", cubic=True), spacing=0.6),
    "scf_spin": Case(
        fe(),
        system={**METAL, "nspin": 2, "starting_magnetization(1)": 0.4, "ecutwfc": 25.0, "ecutrho": 200.0},
        spacing=1.0,
    ),
    "scf_negative_rho": Case(close("O", 1.21, 6.0), system={**METAL, "ecutwfc": 20.0, "ecutrho": 120.0}),
    "scf_absurd": Case(close("Si", 0.3)),
    "scf_not_converged": Case(rattled_slab(), electrons={"mixing_beta": 0.9, "electron_maxstep": 25}, spacing=1.3),
    "too_few_steps": Case(si(), electrons={"electron_maxstep": 4}),
    "max_seconds": Case(si() * (2, 1, 1), control={"max_seconds": 1.5}, spacing=0.6),
    "exit_file": Case(si() * (2, 1, 1), spacing=0.6, exit_file_after=1.0),
    "missing_upf": Case(SI2, damage="missing", edit=(r"Si\.pz-vbc\.UPF", "Si.of-no-such-name.UPF")),
    "foreign_upf": Case(SI2, damage="missing"),
    "truncated_upf": Case(SI2, damage="truncated"),
    "text_upf": Case(SI2, damage="text"),
    "unknown_key": Case(SI2, system={**METAL, "ecutwf": 16.0}),
    "bad_value": Case(SI2, electrons={"diagonalization": "nonsense"}),
    "bad_cards": Case(SI2, edit=(r"ATOMIC_POSITIONS angstrom\n.*\n", "ATOMIC_POSITIONS angstrom\n")),
    "bad_kpoints": Case(SI2, edit=("K_POINTS gamma", "K_POINTS automatic\n  0 2 2 0 0 0")),
    "not_positive_definite": Case(close("Fe", 0.3, 4.0), system={**METAL, "ecutwfc": 15.0, "ecutrho": 120.0}),
    "cg_crash": Case(
        close("Fe", 0.3, 4.0),
        system={**METAL, "ecutwfc": 15.0, "ecutrho": 120.0},
        electrons={"diagonalization": "cg"},
    ),
    "ppcg_dsygvd": Case(
        close("Fe", 0.3, 4.0),
        system={**METAL, "ecutwfc": 15.0, "ecutrho": 120.0},
        electrons={"diagonalization": "ppcg"},
    ),
    "no_occupations": Case(bulk("Al"), system={}, spacing=0.6),
    "odd_electrons": Case(bulk("Al"), system=FIXED, spacing=0.6),
    "metallic": Case(
        al_slab(), system={**FIXED, "ecutwfc": 10.0, "nbnd": 13}, electrons={"electron_maxstep": 15}, spacing=1.0
    ),
    "fixed_spin": Case(SI2, system={**FIXED, "nspin": 2, "starting_magnetization(1)": 0.1}),
    "too_few_bands": Case(SI2, system={**METAL, "nbnd": 3}),
    "few_bands_smeared": Case(bulk("Al", cubic=True), system={**METAL, "nbnd": 6}, spacing=0.6),
    "eigenvalues": Case(al_slab(), electrons={"diagonalization": "cg", "diago_cg_maxiter": 1}, spacing=0.6),
    "c_bands": Case(al_slab(), electrons={"diago_david_ndim": 2, "diago_thr_init": 1e-13}, spacing=0.6),
    "out_of_memory": Case(si() * (2, 2, 2), system={**METAL, "ecutwfc": 40.0}, spacing=0.3, memory_mb=700),
    "disk_full": Case(si(), disk="200k", spacing=0.6),
    "killed": Case(si(), signal=signal.SIGKILL, spacing=0.6),
    "terminated": Case(si(), signal=signal.SIGTERM, spacing=0.6),
    "mpirun_root": Case(SI2, command=("mpirun", "-np", "1", "pw.x"), stripped_env=True),
    "mpirun_slots": Case(SI2, command=("mpirun", "-np", "64", "pw.x")),
    "mpirun_missing": Case(SI2, command=("mpirun", "-np", "1", "pw.x-of-no-such-name")),
    "mpirun_killed": Case(si(), command=("mpirun", "-np", "1", "pw.x"), signal=signal.SIGKILL, spacing=0.6),
    "radial_fft": Case(
        si(),
        control={"calculation": "vc-relax", "nstep": 4},
        edit=("K_POINTS gamma", "&CELL press=3000.0, cell_factor=0.9 /\n"),
    ),
}
IN_7 = [
    "scf", "too_few_steps", "max_seconds", "exit_file", "missing_upf", "truncated_upf", "text_upf", "unknown_key",
    "bad_value", "bad_cards", "not_positive_definite", "odd_electrons", "too_few_bands", "eigenvalues", "out_of_memory",
    "disk_full",
]  # fmt: skip
"""What is recorded with pw.x 7.2 as well: ``QEPY_PYTHON=… python record.py``."""


def namelists(case):
    control = {"calculation": "scf", "restart_mode": "from_scratch", "prefix": "label", "outdir": "./tmp"}
    control |= {"pseudo_dir": "./pseudo", "tprnfor": True, "tstress": True, "disk_io": "low", **case.control}
    return {
        "control": control,
        "system": {"ecutwfc": 16.0, **case.system},
        "electrons": {"conv_thr": 1e-8, "mixing_beta": 0.7, **case.electrons},
    }


def prepare(case, folder):
    (folder / "pseudo").mkdir()
    elements = sorted(set(case.atoms.get_chemical_symbols()))
    for element in elements:
        text = (PSEUDO / FILES[element]).read_text()
        if case.damage == "missing":
            continue
        if case.damage:
            text = text[: len(text) // 2] if case.damage == "truncated" else "this is no pseudopotential\n"
        (folder / "pseudo" / FILES[element]).write_text(text)
    path = folder / "pw.in"
    grid = kpoint_grid(case.atoms.cell.array, case.spacing)
    write_pw_input(path, case.atoms, namelists(case), {e: FILES[e] for e in elements}, grid)
    if case.edit:
        text, n = re.subn(*case.edit, path.read_text())
        assert n == 1
        if "CELL" in case.edit[1]:
            text = text.replace("ATOMIC_SPECIES", "&IONS\n/\n" + case.edit[1].strip() + "\nATOMIC_SPECIES", 1).replace(
                case.edit[1].strip() + "\nCELL_PARAMETERS", "K_POINTS gamma\nCELL_PARAMETERS"
            )
        path.write_text(text)


def run(case, folder):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for name in ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"):
        environment.pop(name, None)
        if not case.stripped_env:
            environment[name] = "1"

    def limits():
        if case.memory_mb:
            resource.setrlimit(resource.RLIMIT_AS, (case.memory_mb * 2**20,) * 2)

    with (folder / "pw.out").open("w") as out, (folder / "pw.err").open("w") as err:
        process = subprocess.Popen(
            [*case.command, "-in", "pw.in"],
            cwd=folder,
            stdout=out,
            stderr=err,
            env=environment,
            preexec_fn=limits,  # noqa: PLW1509
        )
        if case.exit_file_after:
            time.sleep(case.exit_file_after)
            (folder / "tmp" / "label.EXIT").touch()
            (folder / "label.EXIT").touch()
        if case.signal:
            time.sleep(1.0)
            target = process.pid
            if case.command[0] == "mpirun":
                target = int(subprocess.check_output(["pgrep", "-P", str(process.pid), "pw.x"], text=True).split()[0])
            os.kill(target, case.signal)
        return process.wait(timeout=180)


def record(name, case, python=None):
    if python:
        name, case = f"qe72_{name}", replace(case, command=(python, "-m", "qepy", "--pw.x"))
    with tempfile.TemporaryDirectory(prefix="record-") as temporary:
        folder = Path(temporary)
        if case.disk:
            (folder / "tmp").mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={case.disk}", "tmpfs", folder / "tmp"], check=True)
        try:
            prepare(case, folder)
            started = time.perf_counter()
            code = run(case, folder)
            seconds = time.perf_counter() - started
        finally:
            if case.disk:
                subprocess.run(["umount", "-l", folder / "tmp"], check=True)
        target = HERE / name
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        for file in ("pw.in", "pw.out", "pw.err", "CRASH"):
            if (folder / file).is_file() and (text := clean((folder / file).read_text(errors="replace"), folder)):
                (target / file).write_text(text)
        facts = {
            "exit_code": code,
            "command": ["pw.x" if python else part for part in case.command][: 1 if python else None],
        }
        (target / "ended.json").write_text(json.dumps(facts) + "\n")
        print(f"{name:24s} exit {code:4d}  {seconds:5.1f} s", flush=True)


def clean(text, folder):
    """Take out what names the machine."""
    text = text.replace(str(folder), ".").replace(os.uname().nodename, "machine")
    text = re.sub(r"\[[\w.-]+:\d+\]", "[machine:1]", re.sub(r"PID \d+", "PID 1", text))
    return re.sub(r"^#\d+ +0x.*\n", "", text, flags=re.MULTILINE)


if __name__ == "__main__":
    np.random.seed(0)
    python = os.environ.get("QEPY_PYTHON")
    for chosen in sys.argv[1:] or (CASES if not python else IN_7):
        record(chosen, CASES[chosen], python)
