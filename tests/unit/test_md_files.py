"""The LAMMPS script and what its files say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read

from mlip_fw.engines.md import script
from mlip_fw.engines.md.outcome import classify
from mlip_fw.io.lammps import (
    error_in_log,
    halt_in_log,
    read_dump,
    read_gamma_log,
    temperatures_in_log,
    thermo_in_log,
    write_data,
)
from mlip_fw.models.md import MDOutcome
from tests.helpers.structures import PLAN

DUMP = """ITEM: TIMESTEP
{step}
ITEM: NUMBER OF ATOMS
2
ITEM: BOX BOUNDS xy xz yz pp pp pp
-1.0 7.5 0.5
0.0 5.0 0.0
0.0 6.0 0.0
ITEM: ATOMS id element x y z vx vy vz fx fy fz d_gamma
1 Cu 0.25 0 0 1 0 0 0 0 0.5 0.5
2 Au {x} 2 2 0 1 0 0 0 0 {gamma}
"""


def lines_of(plan, field=script.native_force_field):
    return script.write_script(plan, field(plan)).splitlines()


def test_only_the_force_field_differs():
    native, embedded = lines_of(PLAN), lines_of(PLAN, script.embedded_force_field)
    fields = [set(script.native_force_field(PLAN).commands), set(script.embedded_force_field(PLAN).commands)]
    rest = [
        [line.replace("f_gamma", "GAMMA").replace("d_gamma", "GAMMA") for line in lines if line not in field]
        for lines, field in zip((native, embedded), fields, strict=True)
    ]
    assert rest[0] == rest[1]


def test_native_commands():
    lines = lines_of(PLAN)
    assert "pair_style pace/extrapolation" in lines
    assert "pair_coeff * * /c/gen_0000/potential.yaml /c/gen_0000/potential.asi Au Cu" in lines
    assert "fix gamma all pair 10 pace/extrapolation gamma 1" in lines
    assert "fix watchdog all halt 10 v_max_gamma > 5 error soft message yes" in lines


def test_ramps_belong_to_the_stage_not_to_the_run():
    resumed = replace(PLAN, start=Path("/c/halt.restart"), is_restart=True, velocity_seed=None, first_step=820)
    text = "\n".join(lines_of(resumed))
    assert "run 1500 upto start 500 stop 1500" in text
    assert "fix integrate all npt temp 300 900 0.1 iso 0 1000 1" in text
    assert "velocity" not in text
    assert "timestep 0.002" in text


def test_rectangular_cell_may_tilt_if_the_barostat_is_to_tilt_it():
    stage = PLAN.stage.model_copy(update={"pressure_coupling": "tri"})
    lines = lines_of(replace(PLAN, stage=stage))
    assert lines[lines.index("read_data /c/start.data") + 1] == "change_box all triclinic"
    assert "change_box all triclinic" not in lines_of(PLAN)


def test_resumed_run_checks_where_it_starts():
    resumed = replace(PLAN, is_restart=True, first_step=820, velocity_seed=None)
    assert "run 0 post no" in lines_of(resumed)
    assert "run 0 post no" not in lines_of(PLAN)
    assert "run 0 post no" not in lines_of(replace(resumed, first_step=823))


def test_time_limit():
    assert "timer timeout 3600 every 10" in lines_of(replace(PLAN, walltime_s=3600.0))


def test_paths_with_blanks_are_quoted():
    assert "read_data '/my data/start.data'" in lines_of(replace(PLAN, start=Path("/my data/start.data")))


def run_folder(tmp_path, *, log="Loop time of 1\n", dump=None, restart=True):
    (tmp_path / script.LOG).write_text(log)
    if dump is not None:
        (tmp_path / script.LAST_DUMP).write_text(dump)
    if restart:
        (tmp_path / script.LAST_RESTART).write_text("x")
    return tmp_path


HALT = "Fix halt condition for fix-id watchdog met on step 720 with value 8.5\nLoop time of 1\n"


def test_halt(tmp_path):
    ending = classify(run_folder(tmp_path, log=HALT, dump=DUMP.format(step=720, gamma=8.5, x=2)), 0, PLAN)
    assert (ending.outcome, ending.step, ending.gamma_max, ending.atom) == (MDOutcome.HALTED, 720, 8.5, 1)


def test_halt_at_start_of_a_resumed_run(tmp_path):
    log = f"{script.HALTED_AT_START}: step 720 gamma 8.5\n"
    plan = replace(PLAN, is_restart=True, first_step=720)
    ending = classify(run_folder(tmp_path, log=log, dump=DUMP.format(step=720, gamma=8.5, x=2)), 0, plan)
    assert (ending.outcome, ending.step) == (MDOutcome.HALTED, 720)


def test_finish(tmp_path):
    ending = classify(run_folder(tmp_path, dump=DUMP.format(step=1500, gamma=0.5, x=2)), 0, PLAN)
    assert (ending.outcome, ending.step) == (MDOutcome.FINISHED, 1500)


def test_halt_at_the_last_step_is_a_halt(tmp_path):
    log = HALT.replace("720", "1500")
    ending = classify(run_folder(tmp_path, log=log, dump=DUMP.format(step=1500, gamma=8.5, x=2)), 0, PLAN)
    assert ending.outcome is MDOutcome.HALTED


def test_walltime(tmp_path):
    folder = run_folder(tmp_path, log="Wall time limit reached\n", dump=DUMP.format(step=700, gamma=0.5, x=2))
    assert classify(folder, 0, PLAN).outcome is MDOutcome.WALLTIME


@pytest.mark.parametrize(
    ("exit_code", "files", "said"),
    [
        (1, {"log": "ERROR: Lost atoms: original 32 current 31 (src/thermo.cpp:1)\n"}, "Lost atoms"),
        (1, {"log": "ERROR on proc 0: Non-numeric pressure - simulation unstable (src/x.cpp:1)\n"}, "Non-numeric"),
        (-9, {"log": HALT, "dump": DUMP.format(step=720, gamma=8.5, x=2)}, "killed by SIGKILL"),
        (-11, {"log": ""}, "killed by SIGSEGV"),
        (0, {"log": HALT, "dump": None}, "no last frame"),
        (0, {"log": HALT, "dump": ""}, "no last frame"),
        (0, {"log": HALT, "dump": DUMP.format(step=720, gamma=8.5, x=2)[:-20]}, "no last frame"),
        (0, {"dump": DUMP.format(step=1500, gamma=0.5, x=2), "restart": False}, "no last frame"),
        (0, {"dump": DUMP.format(step=1500, gamma=0.5, x="nan")}, "not finite"),
        (0, {"log": HALT, "dump": DUMP.format(step=710, gamma=0.5, x=2)}, "without saying why"),
    ],
)
def test_crash_is_never_a_result(tmp_path, exit_code, files, said):
    ending = classify(run_folder(tmp_path, **files), exit_code, PLAN)
    assert ending.outcome is MDOutcome.CRASHED
    assert said in ending.reason


def test_dump_of_a_triclinic_cell_with_an_origin(tmp_path):
    (tmp_path / "d").write_text(DUMP.format(step=3, gamma=2.5, x=2))
    [(step, atoms)] = read_dump(tmp_path / "d")
    assert step == 3
    assert np.allclose(atoms.cell.array, [[8.0, 0, 0], [0.5, 5, 0], [0, 0, 6]])
    assert atoms.positions[0, 0] == 1.25
    assert atoms.arrays["gamma"].tolist() == [0.5, 2.5]
    assert atoms.get_velocities()[0, 0] == pytest.approx(1 / (1000 * 0.09822694743391452))
    assert atoms.arrays["md_forces"][0, 2] == 0.5


def test_unfinished_last_frame_is_left_out(tmp_path):
    whole = DUMP.format(step=10, gamma=1, x=2)
    (tmp_path / "d").write_text(whole + DUMP.format(step=20, gamma=1, x=2)[:200])
    assert [step for step, _ in read_dump(tmp_path / "d")] == [10]


def test_data_file_keeps_types_and_velocities(tmp_path):
    atoms = bulk("CuAu", "cesiumchloride", a=3.2) * (2, 2, 2)
    atoms.set_velocities(np.arange(48).reshape(16, 3) * 0.01)
    write_data(tmp_path / "d", atoms, ("Au", "Cu"))
    back = read(tmp_path / "d", format="lammps-data", units="metal", atom_style="atomic")
    assert isinstance(back, Atoms)
    assert [("Au", "Cu")[t - 1] for t in back.arrays["type"]] == atoms.get_chemical_symbols()
    assert np.allclose(back.get_velocities(), atoms.get_velocities(), atol=1e-6)


def test_logs(tmp_path):
    assert halt_in_log(HALT + HALT.replace("720", "730"), "watchdog") == (730, 8.5)
    assert halt_in_log(HALT, "other") is None
    assert halt_in_log("", "watchdog") is None
    assert error_in_log("all well") is None
    (tmp_path / "g").write_text("# step max_gamma\n0 1.5\n10 2.5\n20")
    assert read_gamma_log(tmp_path / "g").tolist() == [[0, 1.5], [10, 2.5]]
    assert read_gamma_log(tmp_path / "none").shape == (0, 2)


LOG = """variable x equal f_ace[1]
Step is not a heading here
   Step          Temp          PotEng         KinEng         Press
       340  310.5         -3.7  4.1  100
Loop time of 0.1 on 1 procs
   Step          Temp          PotEng         KinEng         Press        v_max_gamma
       340  310.5         -3.7  4.1  100  3.2
   Step          Temp          PotEng         KinEng         Press
       340  311.5         -3.6  4.2  100
       350  nan           -3.5  4.3  100
WARNING: 12 of something
       360  295           -3.4  4.4  100
       370  29
"""


class TestThermo:
    def test_a_column_by_step_the_later_value_of_a_step_written_twice(self):
        assert thermo_in_log(LOG, "PotEng") == {340: -3.6, 350: -3.5, 360: -3.4}
        assert thermo_in_log(LOG, "Volume") == {}

    def test_temperatures_are_numbers(self, tmp_path):
        (tmp_path / "log.lammps").write_text(LOG)
        assert temperatures_in_log(tmp_path / "log.lammps") == {340: 311.5, 360: 295.0}
        assert temperatures_in_log(tmp_path / "none") == {}
