"""`check` says before the first label what labels will not follow, in text and in JSON."""

import json

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write
from ruamel.yaml import YAML
from typer.testing import CliRunner

from mlip_fw.cli.main import app
from tests.conftest import SMALL, merged


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
