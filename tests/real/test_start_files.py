"""What a start file says, kept by real MD: fixed atoms, velocities in their unit, masses."""

from dataclasses import replace

import numpy as np
import pytest
from ase import units
from ase.geometry import find_mic
from ase.io import read

from mlip_fw.engines.md.backtrack import backtrack
from mlip_fw.engines.structures.fixed_atoms import FixedAtoms, draw_velocities
from mlip_fw.io.lammps import read_dump, read_gamma_log
from mlip_fw.io.structures import read_frame
from mlip_fw.models.md import MDOutcome, Stage
from tests.helpers.campaigns import SMALL, merged
from tests.helpers.campaigns import write as write_yaml
from tests.helpers.programs import mlip_fw
from tests.helpers.start_files import CELL, SLAB, slab_in
from tests.helpers.structures import alloy_cell, apart

pytestmark = pytest.mark.real


def thermo(folder):
    """Return the rows of the log as {step: temperature}."""
    rows = [line.split() for line in (folder / "log.lammps").read_text().splitlines()]
    title = next(k for k, row in enumerate(rows) if row[:2] == ["Step", "Temp"])
    return {
        int(row[0]): [float(value) for value in row[1:]]
        for row in rows[title:]
        if len(row) == len(rows[title]) and row[0].isdigit()
    }


def moved(folder, start):
    """Return (n, 3) how far the atoms of all dumped frames, and the last, are from ``start`` at most."""
    frames = [atoms for name in ("dump.lammpstrj", "last.dump") for _, atoms in read_dump(folder / name)]
    return np.max([np.abs(atoms.positions - start.positions) for atoms in frames], axis=0)


def some_fixed(n):
    """Return (n, 3): ten atoms that do not move, some that move in a plane, and some along a line."""
    fixed = np.zeros((n, 3), dtype=bool)
    fixed[:10] = True
    fixed[12:17, 2] = True
    fixed[20, [0, 1]] = True
    return fixed


def fixed_plan(plan, fixed, temperature_k=600, **changes):
    atoms = alloy_cell(1)
    draw_velocities(atoms, fixed, temperature_k, seed=3)
    return atoms, plan(atoms, fixed=FixedAtoms.of(fixed), velocity_seed=None, **changes)


@pytest.mark.parametrize("ensemble", ["nvt", "nve"])
def test_fixed_atoms_and_components_stay(engine, plan, tmp_path, ensemble):
    """And the temperature is that of the degrees of freedom that are left."""
    stage = Stage(ensemble=ensemble, temperature_k=[600, 600], n_steps=60)
    fixed = some_fixed(32)
    _, made = fixed_plan(plan, fixed, stage=stage, n_steps=60)
    ending = engine(made, tmp_path / "md")
    assert ending.outcome is MDOutcome.FINISHED, ending.reason
    [(_, first), *_] = read_dump(tmp_path / "md" / "dump.lammpstrj")
    distance = moved(tmp_path / "md", first)
    # the trajectory has ten digits
    assert distance[fixed].max() < 1e-8
    assert (distance[~fixed] > 1e-3).all()
    assert (ending.frame.get_velocities()[fixed] == 0).all()
    # forces of the potential on what is held are kept: run_md has compared them with pyace's
    assert (ending.frame.arrays["md_forces"][fixed] != 0).all()
    rows = thermo(tmp_path / "md")
    assert rows[0][0] == pytest.approx(600, abs=0.01)
    freedom = int((~fixed).sum())
    speeds = ending.frame.get_velocities()
    energy = 0.5 * float((ending.frame.get_masses()[:, None] * speeds**2).sum())
    assert rows[60][0] == pytest.approx(2 * energy / (freedom * units.kB), rel=1e-4)
    if ensemble == "nve":
        total = [row[3] for row in rows.values()]
        assert max(total) - min(total) < 0.05


def test_fixed_atoms_stay_over_a_halt_and_an_exact_resume(engine, plan, tmp_path):
    fixed = some_fixed(32)
    stage = Stage(ensemble="nvt", temperature_k=[600, 900], n_steps=60)
    _, made = fixed_plan(plan, fixed, stage=stage, n_steps=60)
    whole = engine(made, tmp_path / "whole")
    [(_, first), *_] = read_dump(tmp_path / "whole" / "dump.lammpstrj")
    # a threshold below every gamma halts at the first check
    part = engine(replace(made, gamma_halt=1e-9, check_interval=30), tmp_path / "part")
    assert (part.outcome, part.step) == (MDOutcome.HALTED, 30), part.reason
    resumed = plan(tmp_path / "part" / "last.restart", fixed=made.fixed, stage=stage, n_steps=60, first_step=30)
    rest = engine(resumed, tmp_path / "rest")
    assert (rest.outcome, rest.step) == (MDOutcome.FINISHED, 60), rest.reason
    assert apart(rest, whole).max() < 1e-9
    assert moved(tmp_path / "rest", first)[fixed].max() < 1e-8
    stay = [ending.frame.positions[fixed] for ending in (whole, part, rest)]
    # in a triclinic cell LAMMPS turns to scaled coordinates and back, to the last bits
    assert np.abs(stay[0] - stay[1]).max() < 1e-12
    assert np.abs(stay[1] - stay[2]).max() < 1e-12


def test_fixed_atoms_stay_where_a_halt_is_traced_back(engine, plan, tmp_path):
    fixed = some_fixed(32)
    hot = Stage(ensemble="nvt", temperature_k=[3000, 3000], n_steps=120)
    _, made = fixed_plan(plan, fixed, temperature_k=3000, stage=hot, n_steps=120, check_interval=6)
    engine(made, tmp_path / "free")
    series = read_gamma_log(tmp_path / "free" / "gamma.dat")
    threshold = float(series[:12, 1].max()) * 0.999
    watched = replace(made, gamma_halt=threshold)
    halted = engine(watched, tmp_path / "md")
    assert halted.outcome is MDOutcome.HALTED, halted.reason
    earlier = backtrack(halted, watched, tmp_path / "md", threshold * 0.5, engine.name, engine.worker)
    assert earlier is not None
    [(_, first), *_] = read_dump(tmp_path / "md" / "dump.lammpstrj")
    assert np.abs(earlier.frame.positions - first.positions)[fixed].max() < 1e-8
    assert np.abs(earlier.frame.positions - halted.frame.positions)[fixed].max() < 1e-12


CAMPAIGN = merged(
    SMALL,
    {
        "md": {
            "engine": "embedded",
            "timestep_fs": 1.0,
            "stages": [{"ensemble": "nvt", "temperature_k": 600, "n_steps": 60}],
        }
    },
)


def test_campaign_keeps_what_a_poscar_fixes(tmp_path):
    """Over halts, labels, training and resumed MD."""
    slab_in(tmp_path / "POSCAR", "vasp")
    changes = {
        "structure": {"bulk": None, "file": "POSCAR"},
        "uncertainty": {"gamma_halt": 1.5, "gamma_select": 1.0, "check_interval": 5},
        "potential": {"functions_per_element": 10},
    }
    path = write_yaml(merged(CAMPAIGN, changes), tmp_path / "c.yaml")
    done = mlip_fw("run", path, "--dir", "c", folder=tmp_path)
    assert "structure.file fixes 18 of 36 atoms: they stay where they are in MD" in done.stderr
    cycles = sorted((tmp_path / "c" / "walkers" / "00").glob("cycle_*"))
    assert len(cycles) > 1
    frames = [read_frame(path) for cycle in cycles for path in cycle.glob("*.extxyz") if path.stem in ("halt", "end")]
    for frame in frames:
        distance = np.abs(find_mic(frame.positions - SLAB.positions, SLAB.cell)[0])
        # the file and the frame hold eight decimals
        assert distance[:18].max() < 2e-8
        assert (frame.get_velocities()[:18] == 0).all()
        assert not frame.constraints
    assert distance[18:].min() > 1e-3
    drawn = thermo(cycles[0])[0][0]
    assert drawn == pytest.approx(600, abs=0.01)


def test_lammps_data_in_real_units_with_a_heavy_isotope(tmp_path):
    """The MD starts at the temperature of the file, and the kept frame has that of the log at the end.

    LAMMPS counts three degrees of freedom less than ASE.
    """
    speeds = np.random.default_rng(4).normal(scale=0.002, size=(32, 3))
    rows = [f"{k + 1} 1 {x:.8f} {y:.8f} {z:.8f}" for k, (x, y, z) in enumerate(CELL.positions)]
    moves = [f"{k + 1} {x:.12f} {y:.12f} {z:.12f}" for k, (x, y, z) in enumerate(speeds)]
    box = "".join(f"0 7.4 {axis}lo {axis}hi\n" for axis in "xyz")
    head = f"LAMMPS data file via write_data, units = real\n\n32 atoms\n1 atom types\n\n{box}\nMasses\n\n1 200.0 # Cu\n"
    sections = ["Atoms # atomic\n", *rows, "", "Velocities\n", *moves, ""]
    (tmp_path / "heavy.data").write_text("\n".join([head, *sections]))
    changes = {
        "structure": {"bulk": None, "file": "heavy.data"},
        "md": {"stages": [{"ensemble": "nve", "n_steps": 40}]},
        "uncertainty": {"gamma_halt": 1000.0},
    }
    path = write_yaml(merged(CAMPAIGN, changes), tmp_path / "c.yaml")
    mlip_fw("run", path, "--dir", "c", folder=tmp_path)
    cycle = tmp_path / "c" / "walkers" / "00" / "cycle_0000"
    rows = thermo(cycle)
    # m v² over 3 N - 3 degrees of freedom, in SI units
    kelvin = 200.0 * 1.66053906660e-27 * ((speeds * 1e5) ** 2).sum() / 93 / 1.380649e-23
    assert rows[0][0] == pytest.approx(kelvin, rel=1e-5)
    frame = read(cycle / "end.extxyz")
    assert frame.get_masses() == pytest.approx(200.0)
    assert frame.get_temperature() * 32 / 31 == pytest.approx(rows[40][0], rel=1e-5)
