"""Quantum ESPRESSO without Quantum ESPRESSO: input, recorded outputs, settings, pseudopotentials."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, fcc111
from ase.io import read

from mlip_fw.engines.oracle.espresso import command, install
from mlip_fw.engines.oracle.espresso.command import find_command
from mlip_fw.engines.oracle.espresso.oracle import espresso_level, require_espresso
from mlip_fw.engines.oracle.espresso.pseudo import choose_pseudopotentials, pseudo_dir, read_upf
from mlip_fw.engines.oracle.espresso.settings import first_namelists, for_species, require_own_keys_untouched
from mlip_fw.engines.oracle.espresso.trouble import PwTrouble, Traces, diagnose, wrong_bands
from mlip_fw.errors import CampaignError, WorkerError
from mlip_fw.io.espresso import read_pw_output, write_pw_input
from mlip_fw.io.kpoints import kpoint_grid
from mlip_fw.models.worker import Worker
from mlip_fw.runtime.subprocesses import CommandResult
from tests.helpers.espresso import UPF, UPF_1, oracle, upf_of

RECORDED = Path(__file__).parent.parent / "data" / "pw"


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """Return a worker with a directory of made-up pseudopotentials."""
    monkeypatch.delenv("ESPRESSO_PSEUDO", raising=False)
    folder = tmp_path / "pseudos"
    folder.mkdir()
    for element, charge in (("Fe", 16.0), ("O", 6.0), ("Si", 4.0)):
        text = UPF.format(element=element, charge=charge, functional="SLA PW PBX PBC")
        (folder / f"{element}.pbe.UPF").write_text(text)
    return Worker(pseudo_dir=str(folder))


def recorded(name):
    def text(file):
        path = RECORDED / name / file
        return path.read_text() if path.exists() else ""

    ended = json.loads(text("ended.json"))
    return Traces(CommandResult(ended["exit_code"], False, 1.0), text("pw.out"), text("pw.err"), text("CRASH"))


# ---- k-points and input


@pytest.mark.parametrize(
    ("cell", "spacing", "grid"),
    [
        (np.diag([4.0, 4.0, 20.0]), 0.3, (6, 6, 2)),
        (np.diag([4.0, 4.0, 20.0]), None, None),
        (np.diag([100.0, 100.0, 100.0]), 0.3, (1, 1, 1)),
        (np.eye(3) * 2 * math.pi, 0.5, (2, 2, 2)),
        (np.eye(3) * 2 * math.pi, 0.5 - 1e-6, (3, 3, 3)),
    ],
)
def test_kpoint_grid(cell, spacing, grid):
    assert kpoint_grid(cell, spacing) == grid


def test_kpoint_grid_of_a_cutout_is_as_dense():
    """A cell repeated n times has an n times smaller grid, skewed cells included."""
    cell = np.array([[4.0, 0.3, 0], [-1.0, 5.0, 0.2], [0.4, 0.1, 6.0]])
    whole, double = kpoint_grid(cell, 0.1), kpoint_grid(cell * [[2], [1], [1]], 0.1)
    assert whole[1:] == double[1:]
    assert double[0] == math.ceil(whole[0] / 2)


def test_input_is_what_ase_reads(tmp_path, worker):
    atoms = fcc111("Si", (2, 1, 2), a=5.0, vacuum=6.0)
    atoms.pbc = True
    atoms.symbols[[0, 2]] = "Fe"
    atoms.positions += np.random.default_rng(1).normal(size=(4, 3))
    pseudos = choose_pseudopotentials(oracle(), worker, ["Fe", "Si"])
    namelists = first_namelists(atoms, oracle(starting_moments_mub={"Fe": 4.0}), pseudos)
    write_pw_input(tmp_path / "pw.in", atoms, namelists, {e: p.path.name for e, p in pseudos.items()}, (3, 2, 1))
    found = read(tmp_path / "pw.in", format="espresso-in")
    assert found.get_chemical_symbols() == ["Fe", "Si", "Fe", "Si"]
    assert np.allclose(found.positions, atoms.positions, atol=1e-11, rtol=0)
    assert np.allclose(found.cell.array, atoms.cell.array, atol=1e-11, rtol=0)
    text = (tmp_path / "pw.in").read_text()
    for line in (
        "starting_magnetization(1) = 0.25",
        "starting_magnetization(2) = 0",
        "nspin = 2",
        "K_POINTS automatic\n  3 2 1 0 0 0",
        "ecutrho = 120",
        "tstress = .true.",
        "smearing = 'marzari-vanderbilt'",
        f"conv_thr = {4e-7 / units.Ry:.12g}",
    ):
        assert line in text


def test_namelists(worker):
    silicon = bulk("Si", cubic=True)
    pseudos = choose_pseudopotentials(oracle(), worker, ["Si"])
    plain = first_namelists(silicon, oracle(starting_moments_mub={"Fe": 4.0}), pseudos)
    assert "nspin" not in plain["system"]
    fixed = first_namelists(silicon, oracle(smearing="none"), pseudos)["system"]
    assert (fixed["occupations"], fixed["nbnd"]) == ("fixed", 20)
    assert "degauss" not in fixed
    large = first_namelists(silicon, oracle(starting_moments_mub={"Si": -9.0}), pseudos)["system"]
    assert large["starting_magnetization(1)"] == -1.0
    own = first_namelists(
        silicon, oracle(namelists={"system": {"nosym": True}, "electrons": {"mixing_ndim": 4}}), pseudos
    )
    assert own["system"]["nosym"] is True
    assert own["electrons"]["mixing_ndim"] == 4


# ---- outputs


@pytest.mark.parametrize("name", ["scf", "scf_metal", "scf_spin", "scf_negative_rho", "scf_absurd", "qe72_scf"])
def test_output_is_what_ase_reads(name):
    found = read_pw_output((RECORDED / name / "pw.out").read_text())
    expected = read(RECORDED / name / "pw.out", format="espresso-out")
    assert found.scf_steps == len(found.accuracies_ry)
    assert found.n_atoms == len(expected)
    assert found.energy_ev == pytest.approx(expected.get_potential_energy(), rel=1e-6)
    assert np.allclose(found.forces_ev_a, expected.get_forces(), rtol=1e-6)
    assert np.allclose(found.stress_ev_a3, expected.get_stress(), rtol=1e-5, atol=1e-9)


def test_facts_of_outputs():
    assert read_pw_output((RECORDED / "scf" / "pw.out").read_text()).version == "6.7MaX"
    assert read_pw_output((RECORDED / "qe72_scf" / "pw.out").read_text()).version == "7.2"
    assert read_pw_output((RECORDED / "scf_negative_rho" / "pw.out").read_text()).negative_charge == 0.02859
    assert read_pw_output((RECORDED / "scf_spin" / "pw.out").read_text()).magnetization_mub != 0
    failed = read_pw_output((RECORDED / "scf_not_converged" / "pw.out").read_text())
    assert (failed.scf_steps, failed.energy_ev, failed.forces_ev_a) == (None, None, None)


def test_damaged_output():
    text = (RECORDED / "scf" / "pw.out").read_text()
    lines = text.splitlines()
    forces = [line for line in lines if line.startswith("     atom ")]
    assert read_pw_output(text.replace(forces[3] + "\n", "")).forces_ev_a is None
    assert len(read_pw_output(text.replace(forces[-1] + "\n", "")).forces_ev_a) == 7
    assert np.isnan(read_pw_output(text.replace(forces[0][40:48], "********")).forces_ev_a).any()
    assert math.isnan(read_pw_output(text.replace("-63.26090898 Ry", "NaN Ry")).energy_ev)
    assert read_pw_output(text[: text.find("(kbar)") + 60]).stress_ev_a3 is None
    twice = text + text.replace("-63.26090898", "-60.00000000")
    assert read_pw_output(twice).energy_ev == pytest.approx(-60 * units.Ry)
    unfinished = text + text[: text.find("iteration #  3")]
    assert read_pw_output(unfinished).energy_ev is None


TROUBLES = {
    "scf_not_converged": (PwTrouble.NOT_CONVERGED, "not converged after 25 steps"),
    "too_few_steps": (PwTrouble.NOT_CONVERGED, "after 4 steps"),
    "metallic": (PwTrouble.NOT_CONVERGED, "after 15 steps"),
    "max_seconds": (PwTrouble.OUT_OF_TIME, "max_seconds"),
    "exit_file": (PwTrouble.EXIT_FILE, "user request"),
    "missing_upf": (PwTrouble.PSEUDOPOTENTIAL, "not found"),
    "truncated_upf": (PwTrouble.PSEUDOPOTENTIAL, "End of file"),
    "text_upf": (PwTrouble.PSEUDOPOTENTIAL, "not readable"),
    "unknown_key": (PwTrouble.INPUT, "ecutwf"),
    "bad_value": (PwTrouble.INPUT, "not implemented"),
    "bad_cards": (PwTrouble.INPUT, "end of file reading atomic positions"),
    "bad_kpoints": (PwTrouble.INPUT, "nk1"),
    "fixed_spin": (PwTrouble.INPUT, "tot_magnetization"),
    "not_positive_definite": (PwTrouble.DIAGONALISATION, "exit code 45"),
    "ppcg_dsygvd": (PwTrouble.DIAGONALISATION, "dsygvd failed"),
    "eigenvalues": (PwTrouble.DIAGONALISATION, "too many bands are not converged"),
    "cg_crash": (PwTrouble.CRASHED, "SIGSEGV"),
    "odd_electrons": (PwTrouble.NEEDS_SMEARING, "charge is wrong"),
    "no_occupations": (PwTrouble.NEEDS_SMEARING, "smearing is needed"),
    "too_few_bands": (PwTrouble.TOO_FEW_BANDS, "too few bands"),
    "out_of_memory": (PwTrouble.MEMORY, "Cannot allocate memory"),
    "disk_full": (PwTrouble.DISK, "error writing file"),
    "killed": (PwTrouble.KILLED, "SIGKILL"),
    "terminated": (PwTrouble.TERMINATED, "SIGTERM"),
    "mpirun_killed": (PwTrouble.KILLED, "SIGKILL"),
    "mpirun_root": (PwTrouble.NOT_STARTED, "OMPI_ALLOW_RUN_AS_ROOT=1"),
    "mpirun_slots": (PwTrouble.NOT_STARTED, "smaller -np"),
    "mpirun_missing": (PwTrouble.NOT_STARTED, "pw.x-of-no-such-name"),
    "radial_fft": (PwTrouble.RADIAL_FFT, "radial FFT"),
    "qe72_not_positive_definite": (PwTrouble.DIAGONALISATION, "S matrix not positive definite"),
    "qe72_max_seconds": (PwTrouble.OUT_OF_TIME, ""),
}
SOUND = {
    "scf",
    "scf_metal",
    "scf_spin",
    "scf_negative_rho",
    "scf_absurd",
    "c_bands",
    "few_bands_smeared",
    "foreign_upf",
}


@pytest.mark.parametrize("name", sorted(path.name for path in RECORDED.iterdir() if path.is_dir()))
def test_every_recorded_failure_is_recognised(name):
    found = diagnose(recorded(name))
    if name.removeprefix("qe72_") in SOUND:
        assert found is None
        return
    trouble, said = TROUBLES.get(name) or (TROUBLES[name.removeprefix("qe72_")][0], "")
    assert found.trouble is trouble
    assert said in found.message
    assert "\n" not in found.message


def test_job_done_says_nothing():
    for name in ("scf_not_converged", "too_few_steps", "max_seconds", "exit_file"):
        assert "JOB DONE." in recorded(name).out


NO_LIBRARY = "error while loading shared libraries"
CANNOT_ALLOCATE = (
    "Program PWSCF v.7.2\n %%%\n     Error in routine  cegterg (5014):\n      cannot allocate hpsi\n %%%\n"
)


@pytest.mark.parametrize(
    ("traces", "trouble"),
    [
        (Traces(CommandResult(-9, True, 5.0), "Program PWSCF v.7.2"), PwTrouble.HUNG),
        (Traces(CommandResult(-4, False, 5.0), "Program PWSCF v.7.2"), PwTrouble.NOT_STARTED),
        (
            Traces(CommandResult(1, False, 5.0), "Program PWSCF v.7.2", "rank 3 exited on signal 9 (Killed)."),
            PwTrouble.KILLED,
        ),
        (Traces(CommandResult(1, False, 5.0), CANNOT_ALLOCATE), PwTrouble.MEMORY),
        (Traces(CommandResult(0, False, 5.0), "hello"), PwTrouble.NOT_STARTED),
        (Traces(CommandResult(3, False, 5.0), "Program PWSCF v.7.2"), PwTrouble.OTHER),
        (
            Traces(CommandResult(1, False, 5.0), "", "pw.x: error while loading shared libraries: libx.so"),
            PwTrouble.NOT_STARTED,
        ),
        (Traces(CommandResult(1, False, 5.0), "", "/bin/python: No module named qepy"), PwTrouble.NOT_STARTED),
        (Traces(CommandResult(2, False, 5.0), "Program PWSCF v.7.2", "write: No space left on device"), PwTrouble.DISK),
    ],
)
def test_failures_that_were_not_recorded(traces, trouble):
    assert diagnose(traces).trouble is trouble


def test_bands():
    def found(name, smearing, width=0.2):
        return wrong_bands((RECORDED / name / "pw.out").read_text(), smearing, width)

    assert found("few_bands_smeared", "marzari-vanderbilt").trouble is PwTrouble.TOO_FEW_BANDS
    assert found("scf", "marzari-vanderbilt") is None
    assert found("scf_metal", "marzari-vanderbilt") is None
    assert found("scf_metal", "fermi-dirac", 3.0).trouble is PwTrouble.TOO_FEW_BANDS
    text = (RECORDED / "c_bands" / "pw.out").read_text()
    assert wrong_bands(text, "marzari-vanderbilt", 0.2) is None
    late = text.replace(
        "     End of self-consistent", "     c_bands:  3 eigenvalues not converged\n     End of self-consistent"
    )
    assert wrong_bands(late, "marzari-vanderbilt", 0.2).trouble is PwTrouble.DIAGONALISATION
    levels = "End of self-consistent calculation\n     highest occupied, lowest unoccupied level (ev):     {}\n"
    assert wrong_bands(levels.format("6.2345    6.5"), None, 0.0) is None
    assert wrong_bands(levels.format("6.2345    6.1"), None, 0.0).trouble is PwTrouble.NEEDS_SMEARING


# ---- keys by species, exact exchange


def test_dipole_correction_is_no_field(worker):
    slab = {"control": {"tefield": True, "dipfield": True}, "system": {"eamp": 0.0, "edir": 3}}
    made = oracle(namelists=slab)
    require_own_keys_untouched(made)
    written = first_namelists(bulk("Si"), made, choose_pseudopotentials(made, worker, ["Si"]))
    assert (written["control"]["tefield"], written["system"]["edir"]) == (True, 3)


def test_keys_by_species_follow_the_element():
    """A cut-out without the first element must not give its U to the second."""
    keys = {"lda_plus_u": True, "Hubbard_U(1)": 4.0, "Hubbard_U(3)": 2.0, "starting_ns_eigenvalue(1,2,3)": 0.5}
    keys |= {"Hubbard_J(1,3)": 0.7, "nr1": 40, "celldm_like(2)": 1.0}
    given = oracle(namelists={"system": keys, "electrons": {"tqr": True}})
    whole = for_species(given, ["Si", "Fe", "O"], ["Fe", "O", "Si"])
    assert whole.namelists == given.namelists
    without = for_species(given, ["Si", "Fe", "O"], ["O", "Si"]).namelists
    assert without["electrons"] == {"tqr": True}
    assert without["system"] == {
        "lda_plus_u": True,
        "Hubbard_U(2)": 2.0,
        "starting_ns_eigenvalue(1,2,2)": 0.5,
        "Hubbard_J(1,2)": 0.7,
        "nr1": 40,
        "celldm_like(2)": 1.0,
    }
    [key] = (key for key in for_species(given, ["Fe", "O", "Si"], ["Fe"]).namelists["system"] if "Hubbard_U" in key)
    assert key == "Hubbard_U(1)"


def test_keys_in_capitals_are_the_same_keys(worker):
    atoms = bulk("Si", cubic=True)
    chosen = choose_pseudopotentials(oracle(), worker, ["Si"])
    given = oracle(smearing="none", namelists={"system": {"TOT_CHARGE": 2.0, "NBND": 30}})
    system = first_namelists(atoms, given, chosen)["system"]
    assert system["nbnd"] == 30
    assert "NBND" not in system
    charged = oracle(smearing="none", namelists={"system": {"TOT_CHARGE": 2.0}})
    assert first_namelists(atoms, charged, chosen)["system"]["nbnd"] == 15 + 4


def test_energy_with_exact_exchange_is_the_last_one():
    text = """
     Program PWSCF v.6.7 starts
     Self-consistent Calculation
     convergence has been achieved in   8 iterations
!    total energy              =      -2.25767133 Ry
     Self-consistent Calculation
     convergence has been achieved in   2 iterations
!    total energy              =      -2.25769111 Ry
     est. exchange err (dexx)  =       0.00001000 Ry
!!   total energy              =      -2.25769147 Ry
     EXX self-consistency reached
"""
    found = read_pw_output(text)
    assert found.energy_ev == pytest.approx(-2.25769147 * units.Ry, abs=1e-9)
    assert found.scf_steps == 2


# ---- pseudopotentials, level of theory, command


@pytest.mark.parametrize("template", [UPF, UPF_1])
def test_header(tmp_path, template):
    path = tmp_path / "x.upf"
    path.write_text(template.format(element="Si", charge="4.0", functional="pz"))
    found = read_upf(path, "Si")
    assert (found.z_valence, found.functional) == (4.0, "SLA PZ NOGX NOGC")
    with pytest.raises(WorkerError, match="is of Si"):
        read_upf(path, "S")
    path.write_text(path.read_text()[:-12])
    with pytest.raises(WorkerError, match="no whole UPF file"):
        read_upf(path, "Si")


def test_pseudopotential_by_name(worker, tmp_path):
    folder = tmp_path / "pseudos"
    for name in ("SI.upf", "Si_r.upf", "Sim.UPF", "S.pbe.UPF", "Si.txt"):
        (folder / name).write_text(UPF.format(element="Si", charge="4", functional="PBE"))
    with pytest.raises(CampaignError, match=r"several pseudopotentials of Si: SI.upf, Si.pbe.UPF, Si_r.upf; say which"):
        choose_pseudopotentials(oracle(), worker, ["Si"])
    chosen = choose_pseudopotentials(oracle(pseudopotentials={"Si": "Si_r.upf"}), worker, ["Fe", "Si"])
    assert [p.path.name for p in chosen.values()] == ["Fe.pbe.UPF", "Si_r.upf"]
    with pytest.raises(WorkerError, match="no pseudopotential of Al"):
        choose_pseudopotentials(oracle(), worker, ["Al"])
    with pytest.raises(WorkerError, match="can't read"):
        choose_pseudopotentials(oracle(pseudopotentials={"Si": "gone.upf"}), worker, ["Si"])


def test_one_functional(worker, tmp_path):
    lda = UPF.format(element="O", charge="6", functional=" SLA  PZ   NOGX NOGC")
    (tmp_path / "pseudos" / "O.pbe.UPF").write_text(lda)
    with pytest.raises(CampaignError, match="different functionals: Fe: Fe.pbe.UPF .SLA PW PBX PBC., O: "):
        choose_pseudopotentials(oracle(), worker, ["O", "Fe"])
    choose_pseudopotentials(oracle(namelists={"system": {"input_dft": "pbe"}}), worker, ["O", "Fe"])


def test_where_pseudopotentials_are(tmp_path, monkeypatch):
    for name in "abc":
        (tmp_path / name).mkdir()
    monkeypatch.setenv("ESPRESSO_PSEUDO", str(tmp_path / "c"))
    monkeypatch.setenv("HERE", str(tmp_path))
    assert pseudo_dir(oracle(pseudo_dir="$HERE/a"), Worker(pseudo_dir=str(tmp_path / "b"))).name == "a"
    assert pseudo_dir(oracle(), Worker(pseudo_dir=str(tmp_path / "b"))).name == "b"
    assert pseudo_dir(oracle(), Worker()).name == "c"
    with pytest.raises(WorkerError, match=r"env.pseudo_dir is .*gone, which is not a directory"):
        pseudo_dir(oracle(), Worker(pseudo_dir=str(tmp_path / "gone")))


def test_level_of_theory(worker, tmp_path):
    level = espresso_level(oracle(), worker, ["Si", "O"])
    assert json.loads(json.dumps(level)) == level
    assert str(tmp_path) not in json.dumps(level)
    assert list(level["pseudopotentials"]) == ["O", "Si"]
    assert len(level["pseudopotentials"]["Si"]["sha256"]) == 64
    same = [
        {"timeout_s": 5.0},
        {"mixing_beta": 0.2},
        {"max_scf_steps": 7},
        {"max_force_ev_a": 7.0},
        {"ecutrho_ry": 120.0},
        {"namelists": {"electrons": {"diagonalization": "cg", "diago_david_ndim": 4}, "control": {"title": "x"}}},
    ]
    for settings in same:
        assert espresso_level(oracle(**settings), worker, ["Si", "O"]) == level
    different = [
        {"ecutwfc_ry": 31.0},
        {"ecutrho_ry": 200.0},
        {"smearing": "none"},
        {"smearing_width_ev": 0.1},
        {"kpoint_spacing_1_a": None},
        {"starting_moments_mub": {"O": 1.0}},
        {"scf_accuracy_ev_atom": 1e-5},
        {"namelists": {"system": {"nosym": True}}},
    ]
    for settings in different:
        assert espresso_level(oracle(**settings), worker, ["Si", "O"]) != level
    path = tmp_path / "pseudos" / "Si.pbe.UPF"
    path.write_text(path.read_text() + " ")
    assert espresso_level(oracle(), worker, ["Si", "O"]) != level


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"namelists": {"system": {"ECUTWFC": 1.0}}}, "system.ECUTWFC is written by mlip_fw"),
        ({"namelists": {"system": {"starting_magnetization(2)": 1.0}}}, "is written by mlip_fw"),
        ({"namelists": {"control": {"restart_mode": "restart"}}}, "is written by mlip_fw"),
        ({"namelists": {"electrons": {"scf_must_converge": False}}}, "is written by mlip_fw"),
        ({"namelists": {"control": {"calculation": "relax"}}}, "control.calculation is written by mlip_fw"),
        ({"namelists": {"control": {"nstep": 50}}}, "control.nstep is written by mlip_fw"),
        ({"namelists": {"control": {"lelfield": True}}}, "control.lelfield can't be set: an external field"),
        (
            {"namelists": {"control": {"tefield": True}, "system": {"edir": 3}}},
            "for a dipole correction set system.eamp",
        ),
        ({"namelists": {"system": {"Hubbard_V(1,2,1)": 1.0}}}, "names atoms by number"),
        ({"namelists": {"system": {"Hubbard_U(4)": 1.0}}}, "names no species: they are 1 = Si"),
        (
            {"smearing": "none", "starting_moments_mub": {"Si": 1.0}},
            "with smearing none needs a smearing, or namelists.system.tot_",
        ),
    ],
)
def test_settings_that_are_refused(settings, said, worker):
    with pytest.raises(CampaignError, match=said.replace("(", r"\(")):
        require_espresso(oracle(**settings), worker, ["Si"])


def test_command(monkeypatch, tmp_path):
    assert find_command(Worker(pw_cmd="mpirun pw.x")) == "mpirun pw.x"
    monkeypatch.setenv(install.HOME_VARIABLE, str(tmp_path / "q e"))
    monkeypatch.setattr(command.shutil, "which", lambda name: None)
    with pytest.raises(WorkerError, match="doctor --install-qe"):
        find_command(Worker())
    (tmp_path / "q e" / "bin").mkdir(parents=True)
    (tmp_path / "q e" / "bin" / "python").touch()
    with pytest.raises(WorkerError, match="doctor --install-qe"):
        find_command(Worker())
    (tmp_path / "q e" / "installed.json").write_text("{}")
    assert find_command(Worker()) == f"'{tmp_path}/q e/bin/python' -m qepy --pw.x"
    monkeypatch.setattr(command.shutil, "which", lambda name: "/usr/bin/pw.x")
    assert find_command(Worker()) == "pw.x"


def test_threads(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert command.environment() == {"OMP_NUM_THREADS": "1"}
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert command.environment() == {"OMP_NUM_THREADS": "4"}


def test_install_needs_a_python_with_binaries(monkeypatch, tmp_path):
    monkeypatch.setattr(install.sys, "version_info", (3, 14, 0))
    with pytest.raises(WorkerError, match="3.8 to 3.13"):
        install.install_qe(tmp_path)


def test_atoms_without_electrons_to_spare(worker):
    """An odd number of electrons is left to pw.x, which says so."""
    pseudos = choose_pseudopotentials(oracle(), worker, ["O"])
    atoms = Atoms("O", cell=[5] * 3, pbc=True)
    charged = oracle(smearing="none", namelists={"system": {"tot_charge": 1.0}})
    assert first_namelists(atoms, charged, pseudos)["system"]["nbnd"] == 7


def test_functional_chooses_among_several_files(tmp_path):
    for name, functional in (("Si.pz.UPF", "SLA PZ NOGX NOGC"), ("Si.pbe.UPF", "PBE"), ("Si.sol.UPF", "PBESOL")):
        upf_of(tmp_path, name, functional)
    here = Worker(pseudo_dir=str(tmp_path))
    for functional, name in (("LDA", "Si.pz.UPF"), ("PBE", "Si.pbe.UPF"), ("PBEsol", "Si.sol.UPF")):
        assert choose_pseudopotentials(oracle(functional=functional), here, ["Si"])["Si"].path.name == name
    upf_of(tmp_path, "Si.pw.UPF", "SLA PW NOGX NOGC")
    with pytest.raises(CampaignError, match=r"several pseudopotentials of Si of functional LDA: Si.pw.UPF, Si.pz.UPF"):
        choose_pseudopotentials(oracle(functional="LDA"), here, ["Si"])
    named = oracle(functional="PBE", pseudopotentials={"Si": "Si.pz.UPF"})
    with pytest.raises(CampaignError, match=r"oracle.functional is PBE, but not that of Si.pz.UPF"):
        choose_pseudopotentials(named, here, ["Si"])


def test_functional_that_no_file_has(tmp_path):
    upf_of(tmp_path, "Si.pbe.UPF", "PBE")
    with pytest.raises(WorkerError, match="no pseudopotential of Si of functional LDA"):
        choose_pseudopotentials(oracle(functional="LDA"), Worker(pseudo_dir=str(tmp_path)), ["Si"])


def test_usual_directory_is_the_one_that_has_the_elements(tmp_path, monkeypatch):
    from mlip_fw.engines.oracle.espresso import pseudo

    monkeypatch.delenv("ESPRESSO_PSEUDO", raising=False)
    system, installed = tmp_path / "system", tmp_path / "installed"
    for folder in (system, installed):
        folder.mkdir()
    monkeypatch.setattr(pseudo, "_SYSTEM_DIR", system)
    monkeypatch.setattr(pseudo, "installed_pseudo_dir", lambda functional: installed)
    upf_of(system, "Si.pbe.UPF", "PBE")
    upf_of(installed, "Si.UPF", "SLA PW NOGX NOGC")
    assert pseudo_dir(oracle(functional="PBE"), Worker(), ["Si"]) == system
    assert pseudo_dir(oracle(functional="LDA"), Worker(), ["Si"]) == installed
