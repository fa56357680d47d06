"""`check` says before the first label what labels will not follow, in text and in JSON."""

import json

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write
from ruamel.yaml import YAML
from typer.testing import CliRunner

from mlip_fw.cli.main import app
from mlip_fw.io.structures import with_labels
from tests.helpers.campaigns import SMALL, merged


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Return a function that checks a campaign whose start has moments of both signs."""
    monkeypatch.chdir(tmp_path)
    atoms = bulk("Cu", a=3.61, cubic=True) * (2, 2, 2)
    atoms.set_initial_magnetic_moments(np.resize([1.0, -1.0], 32))
    write(tmp_path / "start.extxyz", atoms)

    def go(*options, **oracle):
        data = merged(SMALL, {"structure": {"bulk": None, "file": "start.extxyz"}, "md": {"engine": "embedded"}})
        data["oracle"] = {**data["oracle"], **oracle}
        YAML(typ="safe").dump(data, tmp_path / "c.yaml")
        return CliRunner().invoke(app, ["check", "c.yaml", *options], env={"COLUMNS": "200"})

    return go


def test_notes_are_shown(check):
    said = "structure.file has magnetic moments, which are not passed to calculator emt"
    assert said in check().stdout
    assert json.loads(check("--json").stdout)["label_notes"] == [said]


def test_workflow_says_it_too(check):
    check()
    done = CliRunner().invoke(app, ["workflow", "c.yaml", "-o", "wf.yaml"])
    assert done.exit_code == 0
    assert "magnetic moments, which are not passed to calculator emt" in done.output


def test_units_of_a_dataset_that_contradict_each_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frames = []
    for k in range(8):
        atoms = bulk("Cu", a=3.61 * (0.98 + 0.005 * k), cubic=True) * (2, 2, 2)
        atoms.rattle(0.08, seed=k)
        atoms.calc = EMT()
        frames.append(with_labels(atoms, atoms.get_potential_energy(), atoms.get_forces(), -atoms.get_stress()))
    write(tmp_path / "flipped.extxyz", frames)
    for atoms in frames:
        atoms.calc.results["energy"] /= len(atoms)
    write(tmp_path / "per_atom.extxyz", frames)

    def check(dataset):
        changes = {"md": {"engine": "embedded"}, "bootstrap": {"dataset": dataset}}
        YAML(typ="safe").dump(merged(SMALL, changes), tmp_path / "c.yaml")
        done = CliRunner().invoke(app, ["check", "c.yaml", "--json"])
        return done.exception or json.loads(done.stdout)["dataset"]["notes"]

    assert check("flipped.extxyz")[-1].endswith("they seem to have the other sign (factor -1)")
    assert "energies seem to be per atom" in str(check("per_atom.extxyz"))
