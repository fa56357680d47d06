"""Real LAMMPS with real pyace: the same numbers, halts where it should, exact resumption."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from ase.build import bulk
from pyace import PyACECalculator

from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.md.backtrack import backtrack, exceeds_ceiling
from mlip_fw.engines.md.run import run_md
from mlip_fw.errors import WorkerError
from mlip_fw.io.lammps import read_dump, read_gamma_log, thermo_in_log
from mlip_fw.models.md import MDOutcome, Stage
from mlip_fw.models.worker import Worker
from tests.helpers.structures import alloy_cell, apart

pytestmark = pytest.mark.real
NVT = Stage(ensemble="nvt", temperature_k=[300, 900], n_steps=200)
NPT = Stage(ensemble="npt", temperature_k=300, pressure_bar=[0, 5000], n_steps=100, pressure_coupling="tri")


def pyace_calculator(path):
    calculator = PyACECalculator(str(path))
    calculator.set_active_set(str(path.with_suffix(".asi")))
    return calculator


def test_evaluation_equals_pyace(alloy):
    potential, calculator = AcePotential.from_files(alloy), pyace_calculator(alloy)
    for seed, repeat in ((1, (2, 2, 2)), (2, (1, 2, 3)), (3, (1, 1, 1))):
        atoms = alloy_cell(seed, repeat)
        atoms.calc = calculator
        for gamma in (True, False):
            answer = potential.evaluate(atoms, gamma=gamma)
            assert answer.energy_ev == pytest.approx(atoms.get_potential_energy(), abs=1e-8)
            assert np.abs(answer.forces_ev_a - atoms.get_forces()).max() < 1e-8
            assert np.abs(answer.stress_ev_a3(atoms.get_volume()) - atoms.get_stress()).max() < 1e-8
        graded = potential.evaluate(atoms)
        assert np.abs(graded.gamma / calculator.results["gamma"] - 1).max() < 1e-8


def test_forces_and_stress_are_derivatives_of_the_energy(alloy):
    potential, atoms, h = AcePotential.from_files(alloy), alloy_cell(4), 1e-4
    answer = potential.evaluate(atoms, gamma=False)
    for atom, axis in ((0, 0), (7, 1), (20, 2)):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * h
            energies.append(potential.evaluate(moved, gamma=False).energy_ev)
        assert answer.forces_ev_a[atom, axis] == pytest.approx(-(energies[0] - energies[1]) / (2 * h), abs=1e-4)
    for k, (i, j) in enumerate(((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))):
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[i, j] += sign * h / 2
            strain[j, i] += sign * h / 2
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            energies.append(potential.evaluate(strained, gamma=False).energy_ev)
        slope = (energies[0] - energies[1]) / (2 * h) / atoms.get_volume()
        assert answer.stress_ev_a3(atoms.get_volume())[k] == pytest.approx(slope, abs=1e-6)


def test_kept_neighbour_list_is_exact_in_a_moving_shearing_cell(alloy):
    potential, atoms = AcePotential.from_files(alloy), alloy_cell(5)
    neighbours, rng = potential.neighbours(atoms, skin_a=1.0), np.random.default_rng(6)
    for step in range(40):
        atoms.positions += rng.normal(scale=0.03, size=atoms.positions.shape)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.002 * rng.normal(size=(3, 3))), scale_atoms=True)
        if step % 7 == 0:
            atoms.wrap()
        kept = potential.evaluate_moving(neighbours, atoms.positions, atoms.cell.array, gamma=False)
        fresh = potential.evaluate(atoms, gamma=False)
        assert np.abs(kept.forces_ev_a - fresh.forces_ev_a).max() < 1e-9
        assert kept.energy_ev == pytest.approx(fresh.energy_ev, abs=1e-9)
    assert 2 <= neighbours.builds < 30


@pytest.mark.parametrize("stage", [NVT, NPT, Stage(ensemble="nve", temperature_k=600, n_steps=100)])
def test_last_frame_is_what_pyace_says(engine, plan, alloy, tmp_path, stage):
    ending = engine(plan(alloy_cell(1), n_steps=stage.n_steps, stage=stage), tmp_path / "md")
    assert (ending.outcome, ending.step) == (MDOutcome.FINISHED, stage.n_steps), ending.reason
    frame, calculator = ending.frame, pyace_calculator(alloy)
    forces = frame.arrays["md_forces"]
    frame.calc = calculator
    assert np.abs(forces - frame.get_forces()).max() < 1e-8
    assert np.abs(frame.arrays["gamma"] / calculator.results["gamma"] - 1).max() < 1e-6
    log = [line.split() for line in (tmp_path / "md" / "log.lammps").read_text().splitlines()]
    header = next(k for k, fields in enumerate(log) if fields[:2] == ["Step", "Temp"])
    last = [fields for fields in log[header:] if fields and fields[0] == str(stage.n_steps)][0]
    assert float(last[2]) == pytest.approx(frame.get_potential_energy(), abs=1e-6)
    # pressure = kinetic + virial part, bar
    kinetic = 2 * frame.get_kinetic_energy() / (3 * frame.get_volume())
    pressure = (kinetic - frame.get_stress()[:3].mean()) * 1.602176634e6
    assert float(last[5]) == pytest.approx(pressure, rel=1e-4, abs=1.0)


def test_energy_drifts_no_more_than_with_pyace(plan, tmp_path):
    """Total energy along the same nve run: slope per atom (eV/ps), spread about that line (eV), and energies (eV)."""
    hot, atoms = Stage(ensemble="nve", temperature_k=900, n_steps=1000), alloy_cell(1)
    found = {}
    for kind in ("pyace", "kernel"):
        folder = tmp_path / kind
        ending = run_md(
            plan(atoms, n_steps=1000, stage=hot, timestep_fs=1.0), folder, "embedded", Worker(md_evaluator=kind)
        )
        assert ending.outcome is MDOutcome.FINISHED, ending.reason
        series = thermo_in_log((folder / "log.lammps").read_text(), "TotEng")
        assert list(series) == list(range(0, 1001, 10))
        times_ps, energies = np.array(list(series)) / 1000, np.array(list(series.values())) / len(atoms)
        slope, at_start = np.polyfit(times_ps, energies, 1)
        found[kind] = abs(slope), np.std(energies - at_start - slope * times_ps), energies
    drift, spread, energies = found["kernel"]
    assert drift <= found["pyace"][0] + 1e-8
    assert spread <= 1.001 * found["pyace"][1]
    assert np.abs(energies - found["pyace"][2]).max() < 1e-8
    # of the time step: a quarter of what 2 fs gives
    assert drift < 2e-6 and spread < 6e-6


def test_dump_and_log_carry_gamma(engine, plan, alloy, tmp_path):
    engine(plan(alloy_cell(1), n_steps=50), tmp_path / "md")
    series = read_gamma_log(tmp_path / "md" / "gamma.dat")
    frames = read_dump(tmp_path / "md" / "dump.lammpstrj")
    assert series[:, 0].tolist() == [0, 10, 20, 30, 40, 50]
    assert [step for step, _ in frames] == [0, 10, 20, 30, 40, 50]
    potential = AcePotential.from_files(alloy)
    for step, frame in frames[1:]:
        expected = potential.evaluate(frame).gamma
        assert np.allclose(frame.arrays["gamma"], expected, rtol=1e-4)
        assert series[series[:, 0] == step, 1][0] == pytest.approx(expected.max(), rel=1e-4)


def test_tiny_threshold_halts_at_the_first_check(engine, plan, tmp_path):
    ending = engine(plan(alloy_cell(1), gamma_halt=1e-9, check_interval=7), tmp_path / "md")
    assert (ending.outcome, ending.step) == (MDOutcome.HALTED, 7)
    assert ending.gamma_max == ending.frame.arrays["gamma"].max()
    assert ending.atom == ending.frame.arrays["gamma"].argmax()
    stepped = engine(plan(alloy_cell(1), n_steps=7), tmp_path / "seven")
    assert apart(ending, stepped).max() < 1e-10


def test_halt_is_where_gamma_first_passes_the_threshold(engine, plan, tmp_path):
    hot = Stage(ensemble="nve", temperature_k=3000, n_steps=300)
    free = plan(alloy_cell(1), n_steps=300, stage=hot)
    engine(free, tmp_path / "free")
    series = read_gamma_log(tmp_path / "free" / "gamma.dat")
    threshold = float(np.median(series[3:, 1]))
    first = series[series[:, 1] > threshold][0]
    ending = engine(plan(alloy_cell(1), n_steps=300, stage=hot, gamma_halt=threshold), tmp_path / "watched")
    assert (ending.outcome, ending.step) == (MDOutcome.HALTED, int(first[0]))
    assert ending.gamma_max == pytest.approx(first[1], rel=1e-4)


def resumed(engine, plan, folder, stage, cut):
    """Run to ``cut``, resume from the restart file, and run the whole without a break."""
    from dataclasses import replace

    atoms = alloy_cell(1)
    whole = engine(plan(atoms, n_steps=200, stage=stage), folder / "whole")
    # a threshold below every gamma halts at the first check: at the cut
    first = plan(atoms, n_steps=200, stage=stage, gamma_halt=1e-9, check_interval=cut)
    halted = engine(first, folder / "first")
    assert (halted.outcome, halted.step) == (MDOutcome.HALTED, cut)
    rest = plan(folder / "first" / "last.restart", n_steps=200, stage=stage, first_step=cut)
    ending = engine(rest, folder / "rest")
    assert ending.outcome is MDOutcome.FINISHED, ending.reason
    free = engine(replace(rest, check_interval=50), folder / "free")
    assert apart(free, ending).max() < 1e-7
    return whole, ending


def test_resuming_is_exact_nve(engine, plan, tmp_path):
    whole, ending = resumed(engine, plan, tmp_path, Stage(ensemble="nve", temperature_k=600, n_steps=200), 100)
    difference = whole.frame.positions - ending.frame.positions
    difference -= np.round(difference @ np.linalg.inv(whole.frame.cell.array)) @ whole.frame.cell.array
    assert np.abs(difference).max() < 1e-8
    assert np.abs(whole.frame.get_velocities() - ending.frame.get_velocities()).max() < 1e-8


def test_resuming_keeps_ramp_and_thermostat(engine, plan, tmp_path):
    whole, ending = resumed(engine, plan, tmp_path, NVT, 100)
    assert np.abs(whole.frame.get_velocities() - ending.frame.get_velocities()).max() < 1e-6
    assert whole.frame.get_temperature() == pytest.approx(ending.frame.get_temperature(), rel=1e-5)


@pytest.mark.parametrize("coupling", ["aniso", "tri"])
def test_resuming_keeps_the_barostat(engine, plan, tmp_path, coupling):
    stage = Stage(ensemble="npt", temperature_k=300, pressure_bar=[0, 5000], n_steps=200, pressure_coupling=coupling)
    whole, ending = resumed(engine, plan, tmp_path, stage, 100)
    assert np.abs(whole.frame.cell.array - ending.frame.cell.array).max() < 1e-6


def test_run_that_starts_above_the_threshold_halts_there(engine, plan, tmp_path):
    engine(plan(alloy_cell(1), gamma_halt=1e-9), tmp_path / "first")
    again = plan(tmp_path / "first" / "last.restart", first_step=10, gamma_halt=1e-9)
    ending = engine(again, tmp_path / "again")
    assert (ending.outcome, ending.step) == (MDOutcome.HALTED, 10)


def test_run_that_is_resumed_at_its_last_step_finishes(engine, plan, tmp_path):
    halted = engine(plan(alloy_cell(1), n_steps=20, gamma_halt=1e-9, check_interval=20), tmp_path / "first")
    assert (halted.outcome, halted.step) == (MDOutcome.HALTED, 20)
    again = plan(tmp_path / "first" / "last.restart", n_steps=20, first_step=20)
    ending = engine(again, tmp_path / "again")
    assert (ending.outcome, ending.step) == (MDOutcome.FINISHED, 20)


def test_steps_need_not_be_multiples_of_the_interval(engine, plan, tmp_path):
    ending = engine(plan(alloy_cell(1), n_steps=23), tmp_path / "first")
    assert (ending.outcome, ending.step) == (MDOutcome.FINISHED, 23)
    stage = Stage(ensemble="nve", n_steps=30)
    following = plan(
        tmp_path / "first" / "last.restart",
        n_steps=30,
        stage=stage,
        first_step=23,
        stage_first_step=23,
        stage_last_step=53,
    )
    ending = engine(following, tmp_path / "second")
    assert (ending.outcome, ending.step) == (MDOutcome.FINISHED, 53)


def test_exploding_run_is_a_crash(engine, plan, tmp_path):
    ending = engine(plan(alloy_cell(1), timestep_fs=500.0), tmp_path / "md")
    assert ending.outcome is MDOutcome.CRASHED
    assert ending.reason


def test_stale_files_are_not_believed(engine, plan, tmp_path):
    engine(plan(alloy_cell(1), n_steps=20), tmp_path / "md")
    ending = engine(plan(tmp_path / "nothing.restart", n_steps=20), tmp_path / "md")
    assert ending.outcome is MDOutcome.CRASHED


def test_time_limit(engine, plan, tmp_path):
    big = bulk("Cu", cubic=True, a=3.8) * (4, 4, 4)
    ending = engine(plan(big, n_steps=100_000, walltime_s=3.0), tmp_path / "md")
    assert ending.outcome is MDOutcome.WALLTIME
    assert 0 < ending.step < 100_000
    assert (tmp_path / "md" / "last.restart").is_file()


@pytest.mark.parametrize(("what", "n_steps"), [("gamma", 20), ("gamma", 23), ("forces_ev_a", 20), ("energy_ev", 20)])
def test_engine_that_differs_from_pyace_is_refused(engine, plan, tmp_path, monkeypatch, what, n_steps):
    plain = AcePotential.evaluate
    monkeypatch.setattr(AcePotential, "evaluate", lambda self, atoms: _changed(plain(self, atoms), what))
    with pytest.raises(WorkerError, match="does not evaluate the potential rightly"):
        engine(plan(alloy_cell(1), n_steps=n_steps), tmp_path / "md")


def _changed(answer, what):
    from dataclasses import replace

    return replace(answer, **{what: getattr(answer, what) * 1.01})


def test_killed_child_is_started_again(plan, tmp_path):
    """Kill the embedded engine's process in the middle of a run."""
    folder = tmp_path / "md"

    def kill():
        while not (folder / "gamma.dat").exists():
            time.sleep(0.02)
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{pid}/cwd") == str(folder):
                    os.kill(int(pid), signal.SIGKILL)
            except OSError:
                continue

    thread = threading.Thread(target=kill)
    thread.start()
    ending = run_md(plan(alloy_cell(1), n_steps=1000), folder, "embedded", Worker())
    thread.join()
    assert (ending.outcome, ending.step) == (MDOutcome.FINISHED, 1000)


@pytest.mark.native
def test_native_and_embedded_follow_the_same_trajectory(plan, native_lmp, tmp_path):
    ends = [
        run_md(plan(alloy_cell(1), stage=NVT), tmp_path / name, name, Worker(lmp_cmd=native_lmp))
        for name in ("lammps", "embedded")
    ]
    assert np.abs(ends[0].frame.positions - ends[1].frame.positions).max() < 1e-6
    assert np.allclose(ends[0].frame.arrays["gamma"], ends[1].frame.arrays["gamma"], rtol=1e-5)


@pytest.mark.native
def test_native_with_two_ranks(plan, native_lmp, tmp_path):
    mpirun = os.environ.get("MLIP_FW_MPIRUN", "mpirun")
    worker = Worker(lmp_cmd=f"{mpirun} -np 2 {native_lmp}")
    ending = run_md(plan(alloy_cell(1, (3, 3, 3)), gamma_halt=1e-9), tmp_path / "md", "lammps", worker)
    assert (ending.outcome, ending.step) == (MDOutcome.HALTED, 10)
    assert "1 by 1 by 2 MPI processor grid" in (tmp_path / "md" / "log.lammps").read_text()


def test_thresholds_by_element(engine, plan, alloy, tmp_path):
    """The run halts where an atom first passes the threshold of its own element."""
    hot = Stage(ensemble="nve", temperature_k=3000, n_steps=300)
    engine(plan(alloy_cell(1), n_steps=300, stage=hot), tmp_path / "free")
    frames = read_dump(tmp_path / "free" / "dump.lammpstrj")[1:]
    of_gold = {step: frame.arrays["gamma"][frame.symbols == "Au"].max() for step, frame in frames}
    threshold = float(np.median(list(of_gold.values())))
    first = next(step for step, gamma in of_gold.items() if gamma > threshold)
    watched = plan(alloy_cell(1), n_steps=300, stage=hot, gamma_halt={"Au": threshold, "Cu": 1e6})
    ending = engine(watched, tmp_path / "watched")
    assert (ending.outcome, ending.step) == (MDOutcome.HALTED, first)
    assert ending.frame.symbols[ending.atom] == "Au"
    assert ending.gamma_max == pytest.approx(of_gold[first], rel=1e-4)


def test_halt_that_went_too_far_is_traced_back(engine, plan, alloy, tmp_path):
    """The frame is one of the same trajectory, just above the geometric mean of the thresholds."""
    hot = Stage(ensemble="nvt", temperature_k=[3000, 3000], n_steps=300)
    wanted = {"n_steps": 300, "stage": hot, "check_interval": 6}
    engine(plan(alloy_cell(1), **{**wanted, "check_interval": 1}), tmp_path / "fine")
    fine = read_gamma_log(tmp_path / "fine" / "gamma.dat")
    checked = fine[6::6]
    threshold = float(checked[:25, 1].max()) * 0.999
    watched = plan(alloy_cell(1), **wanted, gamma_halt=threshold)
    ending = engine(watched, tmp_path / "md")
    assert ending.outcome is MDOutcome.HALTED
    assert ending.step == int(checked[checked[:, 1] > threshold][0, 0]) > 60
    limit = ending.gamma_max / max(threshold, 10.0)
    assert exceeds_ceiling(ending, watched, limit * 0.99)
    assert not exceeds_ceiling(ending, watched, limit * 1.01)
    select = threshold * 0.9
    between = np.sqrt(select * threshold)
    found = backtrack(ending, watched, tmp_path / "md", select, engine.name, engine.worker)
    before = (ending.step - 1) // 30 * 30
    expected = next(int(step) for step, gamma in fine if step >= before and gamma > between)
    assert found.step == expected <= ending.step
    assert found.gamma_max == pytest.approx(float(fine[fine[:, 0] == expected, 1][0]), rel=1e-3)
    assert (tmp_path / "md" / "closer" / "last.restart").is_file()
