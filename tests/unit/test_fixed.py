"""Atoms that stay where they are: the commands for LAMMPS, and velocities of exactly the temperature asked for."""

from dataclasses import replace

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.lammps import Prism

from mlip_fw.engines.md import script
from mlip_fw.engines.structures.fixed_atoms import FixedAtoms, draw_velocities, temperature_of
from mlip_fw.models.md import Stage
from tests.helpers.structures import PLAN

NVT = replace(PLAN, stage=Stage(ensemble="nvt", temperature_k=300, n_steps=1000), velocity_seed=None)
TRICLINIC = bulk("Cu") * (3, 3, 3)


def mask(n, **rows):
    fixed = np.zeros((n, 3), dtype=bool)
    for axis, atoms in rows.items():
        fixed[atoms, "xyz".index(axis)] = True
    return fixed


def lines_of(fixed):
    plan = replace(NVT, fixed=FixedAtoms.of(fixed))
    return script.write_script(plan, script.native_force_field(plan)).splitlines()


def test_fixed_atoms_are_in_no_integrator_and_no_temperature():
    fixed = np.zeros((40, 3), dtype=bool)
    fixed[:18] = fixed[20] = True
    lines = lines_of(fixed)
    k = lines.index("group fixed id 1:18 21")
    assert lines[k + 1 : k + 4] == [
        "group mobile subtract all fixed",
        "compute mobile_temp mobile temp",
        "compute_modify mobile_temp extra/dof 0",
    ]
    k = lines.index("fix integrate mobile nvt temp 300 300 0.1")
    assert lines[k + 1] == "fix_modify integrate temp mobile_temp"
    assert "thermo_modify flush yes lost error format float %.10g temp mobile_temp" in lines
    text = "\n".join(lines)
    assert "setforce" not in text
    assert [line for line in lines if line.startswith("velocity")] == ["velocity fixed set 0.0 0.0 0.0"]
    assert "fx fy fz" in text


def test_held_components_keep_the_forces_of_the_potential_in_the_last_frame():
    lines = lines_of(mask(40, z=[3, 4, 7], x=[3]))
    assert "group fixed_x id 4" in lines
    assert "group fixed_z id 4:5 8" in lines
    assert "group mobile union all" in lines
    # four held components, and the total momentum along y
    assert "compute_modify mobile_temp extra/dof 5" in lines
    k = lines.index("fix true_force all store/force")
    assert k > lines.index("fix gamma all pair 10 pace/extrapolation gamma 1")
    assert lines[k + 1 : k + 3] == [
        "fix hold_x fixed_x setforce 0.0 NULL NULL",
        "fix hold_z fixed_z setforce NULL NULL 0.0",
    ]
    assert "velocity fixed_z set NULL NULL 0.0" in lines
    assert "vx vy vz f_true_force[1] f_true_force[2] f_true_force[3]" in lines[-2]


def test_long_lists_are_several_lines():
    fixed = np.zeros((1000, 3), dtype=bool)
    fixed[::2] = True
    groups = [line for line in lines_of(fixed) if line.startswith("group fixed id")]
    assert len(groups) == 13
    assert max(map(len, groups)) < 256
    ids = [int(name) for line in groups for name in line.split()[3:]]
    assert ids == list(range(1, 1001, 2))


def test_campaigns_without_constraints_have_the_script_that_they_had():
    text = script.write_script(PLAN, script.native_force_field(PLAN))
    for word in ("group", "mobile", "store/force", "fix_modify integrate"):
        assert word not in text
    assert "velocity all create 300 12 mom yes rot no dist gaussian" in text
    assert "fix integrate all npt temp 300 900 0.1 iso 0 1000 1" in text


@pytest.mark.parametrize("rows", [{"x": [0], "y": [0], "z": [0, 5]}, {"z": [*range(27)]}, {"x": [3], "y": [4]}])
def test_drawn_velocities(rows):
    atoms, fixed = TRICLINIC.copy(), mask(27, **rows)
    draw_velocities(atoms, fixed, 450.0, seed=1)
    assert temperature_of(atoms, fixed) == pytest.approx(450.0, rel=1e-12)
    speeds = Prism(atoms.cell.array).vector_to_lammps(atoms.get_velocities())
    assert np.abs(speeds[fixed]).max() < 1e-15
    kept = ~fixed.any(axis=0)
    assert np.abs(speeds.sum(axis=0)[kept]).max(initial=0.0) < 1e-12
    freedom = 81 - int(fixed.sum()) - int(kept.sum())
    energy = 0.5 * 63.546 * float((speeds**2).sum())
    assert 2 * energy / (freedom * units.kB) == pytest.approx(450.0, rel=1e-9)
    again = TRICLINIC.copy()
    draw_velocities(again, fixed, 450.0, seed=1)
    assert (again.get_velocities() == atoms.get_velocities()).all()
