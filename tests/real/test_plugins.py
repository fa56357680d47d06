"""A distribution that adds an oracle, a strategy and a property, installed beside mlip_fw."""

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from ruamel.yaml import YAML

from tests.helpers.campaigns import SMALL
from tests.helpers.programs import ROOT

pytestmark = pytest.mark.real
CAMPAIGN = {
    **SMALL,
    "md": {
        "engine": "embedded",
        "timestep_fs": 2.0,
        "stages": [{"ensemble": "nvt", "temperature_k": [300, 900], "n_steps": 300}],
    },
    "uncertainty": {"gamma_halt": 5.0},
    "oracle": {"kind": "morse-crystal", "depth_ev": 0.35},
    "candidates": {"strategies": ["sheared"], "gamma_worth": 2.0},
    "validation": {"properties": ["cold_pressure"]},
}


def wheel_of(source: Path, folder: Path) -> Path:
    """Build the distribution without a build backend, which not every environment has without a network."""
    project = tomllib.loads((source / "pyproject.toml").read_text())
    name, version = project["project"]["name"].replace("-", "_"), project["project"]["version"]
    groups = project["project"]["entry-points"].items()
    lines = [line for group, points in groups for line in (f"[{group}]", *(f"{k} = {v}" for k, v in points.items()))]
    modules = project["tool"]["setuptools"]["py-modules"]
    info = f"{name}-{version}.dist-info"
    files = {f"{module}.py": (source / f"{module}.py").read_text() for module in modules}
    files |= {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {project['project']['name']}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "\n".join(lines),
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in files.items():
            archive.writestr(member, text)
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with a campaign, and a function that runs a command with or without the plug-in."""
    folder = tmp_path_factory.mktemp("plugin")
    wheel = wheel_of(ROOT / "tests" / "data" / "plugin", folder)
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--target"]
    done = subprocess.run([*install, folder / "site", wheel], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name, data in {
        "c.yaml": CAMPAIGN,
        "my_fworker.yaml": {"name": "w", "category": "", "query": "{}", "env": {"morse_log": str(folder / "log.txt")}},
    }.items():
        YAML(typ="safe").dump(data, folder / name)

    def run(*words, code=0, plugged=True):
        environment = {**os.environ, "PYTHONPATH": str(folder / "site") if plugged else ""}
        command = [sys.executable, "-m", "mlip_fw", *words]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        return done

    return SimpleNamespace(folder=folder, run=run)


def test_campaign_with_a_foreign_oracle_and_strategy_converges(place):
    summary = json.loads(place.run("run", "c.yaml", "-w", "my_fworker.yaml", "--json").stdout)
    root = place.folder / "small"
    assert summary["outcome"] == "CONVERGED"
    assert summary["halts"] >= 1
    assert json.loads((root / "level_of_theory.json").read_text())["depth_ev"] == 0.35
    chosen = [
        choice["strategy"]
        for path in root.glob("walkers/00/cycle_*/selection.json")
        for choice in json.loads(path.read_text())["chosen"]
    ]
    assert set(chosen) == {"sheared"}
    report = json.loads((root / "validation" / "validation.json").read_text())
    (pressure,) = report["quantities"]
    assert (pressure["property"], pressure["unit"]) == ("cold_pressure", "GPa")
    assert pressure["potential"] == pytest.approx(pressure["oracle"], rel=0.2)
    assert pressure["oracle"] > 1.0
    n_labels = summary["labels"] + report["labels"]
    assert len((place.folder / "log.txt").read_text().splitlines()) == n_labels
    (place.folder / "out").mkdir()
    place.run("export", "small", "-o", "out/cu")
    card = json.loads((place.folder / "out" / "cu" / "model.json").read_text())
    assert card["versions"]["mlip-fw-morse"] == "1.0"
    assert "Girifalco1959" in (place.folder / "out" / "cu" / "citations.bib").read_text()


def test_without_the_plug_in_one_sentence_says_what_is_missing(place):
    said = place.run("check", "c.yaml", code=1, plugged=False).stderr
    assert "oracle.kind can't be 'morse-crystal'; installed are ase, espresso, vasp; another one comes with" in said
    assert "an entry point of this name in mlip_fw.oracles" in said
    assert "candidates.strategies.0 can't be 'sheared'" in said
    assert "Traceback" not in said
    said = place.run("status", "small", code=1, plugged=False).stderr
    assert "oracle.kind can't be 'morse-crystal'" in said
    assert len(said.splitlines()) == 1
