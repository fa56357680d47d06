"""The benchmark of materials: its sets, its water, and what its tables call a fault."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from mlip_fw.models.campaign import Campaign

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
HONEST = {"audit_force_rmse_ev_a": 0.02}


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module
    for name in ("material_list", "material_test", "material_table"):
        sys.modules.pop(name, None)


def found(*, true=0.02, share=0.05, outcome="CONVERGED", error=None, changed=0, lost=0, labels=8):
    return {
        "material": "mgo",
        "used_to": "judge",
        "seed": 1,
        "summary": {"outcome": outcome, "reason": None, "labels": labels, "halts": 3, "seconds": {"total": 10.4}},
        "error": error,
        "basis": None,
        "coverage": None,
        "tested_on": "potential",
        "true": {"frames": 4, "force_rmse_ev_a": true, "force_share": share, "energy_rmse_ev_atom": 0.001},
        "frames_lost": lost,
        "changed_molecules": changed,
    }


def test_both_sets_have_metals_an_ionic_and_a_molecular_material(benchmark):
    materials = benchmark("material_list").MATERIALS
    for used_to in ("choose", "judge"):
        kinds = [m.kind for m in materials.values() if m.used_to == used_to]
        assert kinds.count("metal") > 1
        assert {"ionic", "molecular"} <= set(kinds)


@pytest.mark.parametrize("name", ["cu", "cu-au", "argon", "si", "nacl", "benzene", "ni-defects", "spinel"])
def test_campaign_files_say_no_default(benchmark, name):
    material = benchmark("material_list").MATERIALS[name]
    starts = [f"start-{index}.extxyz" for index in range(len(material.starts()))]
    campaign = Campaign.model_validate(material.campaign(2, starts))
    assert campaign.seed == 2
    assert campaign.md.walkers == len(starts)
    assert "potential" not in campaign.model_fields_set


def test_springs_hold_water_with_forces_that_are_the_derivative(benchmark):
    atoms = molecule("H2O")
    atoms.rattle(0.05, seed=1)
    atoms.calc = benchmark("material_list").Springs()
    forces = atoms.get_forces()
    atoms.positions[1, 2] += 1e-4
    up = atoms.get_potential_energy()
    atoms.positions[1, 2] -= 2e-4
    assert (atoms.get_potential_energy() - up) / 2e-4 == pytest.approx(forces[1, 2], rel=1e-4)
    assert np.abs(forces.sum(axis=0)).max() < 1e-12


def test_a_proton_that_moves_on_changes_two_molecules(benchmark):
    molecules = benchmark("material_test").molecules
    start = Atoms(cell=[12.0] * 3, pbc=True)
    for x in (0.0, 3.0, 6.0):
        one = molecule("H2O")
        one.translate([x, 0, 0])
        start += one
    end = start.copy()
    end.positions[1] = end.positions[3] + [0, 0, 0.96]
    assert len(molecules(start)) == 3
    assert (molecules(start) - molecules(end)).total() == 2
    across = start.copy()
    across.positions[2] += [12.0, -12.0, 0]
    assert molecules(across) == molecules(start)


@pytest.mark.parametrize(
    ("one", "faults"),
    [
        (found(error=HONEST), []),
        (found(true=0.027, error=HONEST), ["above the stated error"]),
        (found(share=0.11), ["above the target"]),
        (found(share=0.11, outcome="STOPPED"), []),
        (found(changed=4), ["4 molecules changed"]),
        (found(lost=2), ["MD runs away"]),
    ],
)
def test_what_is_called_a_fault(benchmark, one, faults):
    assert benchmark("material_table").faults(one) == faults


def test_the_table_gives_errors_in_mev(benchmark):
    line = benchmark("material_table").table([found(error=HONEST)]).splitlines()[-1]
    assert line == (
        "| mgo | judge | 1 | CONVERGED | 8 | 3 | – | – | 20.0 | 20.0 | 5.0 % | 1.0 | – | 4 of potential |  | 10 |"
    )


def test_the_comparison_takes_means_over_seeds_and_the_frames_of_before(benchmark):
    before = [found(true=0.1, labels=8), found(true=0.12, labels=10)]
    after = found(true=0.2, labels=9) | {"true_on_given_frames": {"force_rmse_ev_a": 0.055}}
    comparison = benchmark("material_table").comparison
    assert comparison(before, [after]).splitlines()[-1] == (
        "| mgo | judge | 9.0 → 9.0 | 3.0 → 3.0 | 110.0 → 200.0 | 55.0 | 5.0 % → 5.0 % | 0.50 times |"
    )
    assert comparison(before, [found(true=0.13, labels=4)]).endswith("| 1.18 times WORSE, with fewer labels |")
    assert "–" in comparison(before, [found(true=None)])
