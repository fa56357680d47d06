"""Campaigns whose labels come from a real pw.x."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from ruamel.yaml import YAML

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.io.structures import read_frame
from tests.helpers.campaigns import SMALL, merged, write
from tests.helpers.programs import ROOT, check_contract, mlip_fw, require

pytestmark = pytest.mark.real
ALUMINIUM = merged(
    SMALL,
    {
        "campaign": "aluminium",
        "elements": ["Al"],
        "structure": {"bulk": {"symbol": "Al", "crystal": "fcc", "a": 3.98, "cubic": True, "repeat": [4, 4, 4]}},
        "md": {"engine": "embedded", "stages": [{"ensemble": "nvt", "temperature_k": [600, 1500], "n_steps": 150}]},
        "uncertainty": {"gamma_halt": 5.0},
        "candidates": {"max_labels_per_halt": 1, "cutout": {"max_atoms": 60}},
        "potential": {"cutoff_a": 4.5, "functions_per_element": 40},
    },
)
TARGETS = {"lattice constant a": 0.5, "bulk modulus": 5.0, "highest optical frequency at Γ": 5.0}
"""Largest difference from pw.x, in per cent."""
ALUMINIUM["oracle"] = {"kind": "espresso", "ecutwfc_ry": 12.0, "functional": "LDA", "smearing_width_ev": 0.5}


@pytest.fixture(scope="module", autouse=True)
def pw():
    require("qe", shutil.which("pw.x"))


@pytest.fixture(scope="module")
def silicon(tmp_path_factory):
    """Return (folder, standard output) of the silicon example."""
    folder = tmp_path_factory.mktemp("silicon")
    return folder, mlip_fw("run", ROOT / "examples" / "si-qe.yaml", "--json", folder=folder).stdout


def test_silicon_from_nothing_to_converged(silicon):
    folder, out = silicon
    summary = json.loads(out)
    assert (summary["outcome"], summary["labels_failed"]) == ("CONVERGED", 0)
    assert summary["halts"] >= 1
    assert summary["seconds"]["total"] < 1800
    assert summary["dataset_force_rmse_ev_a"] < 0.1
    dataset = Dataset(folder / "si-qe")
    levels = set()
    for name in dataset.hashes():
        atoms = dataset.read(name)
        assert atoms.info["code"] == "Quantum ESPRESSO pw.x"
        assert atoms.info["label_seconds"] > 0
        assert abs(atoms.get_forces().sum(axis=0)).max() < 0.01
        levels.add(atoms.info["level_of_theory"])
    assert len(levels) == 1
    level = json.loads((folder / "si-qe" / "level_of_theory.json").read_text())
    assert len(level["pseudopotentials"]["Si"]["sha256"]) == 64


def test_contract(silicon, tmp_path):
    folder, out = silicon
    check_contract(folder / "si-qe", out, tmp_path)


def test_silicon_has_the_crystal_of_pw(silicon):
    """The final potential against pw.x itself, in the cell that was learnt from."""
    folder, _ = silicon
    asked = ("--frames", 0, "--property", "equation_of_state", "--property", "phonons", "--json")
    report = json.loads(mlip_fw("validate", "si-qe", *asked, folder=folder).stdout)
    found = {q["name"]: q for q in report["quantities"]}
    assert set(TARGETS) <= set(found)
    for name, target in TARGETS.items():
        print(f"{name}: {found[name]['potential']:.5g}, pw.x {found[name]['oracle']:.5g} {found[name]['unit']}")
        assert abs(found[name]["difference_percent"]) < target, found[name]
    assert found["lattice constant a"]["oracle"] == pytest.approx(5.42, abs=0.02)
    assert report["labels"] == 8


def test_other_pseudopotential_is_another_level(silicon, tmp_path):
    """A directory in use refuses labels of other files, before any is made."""
    folder, _ = silicon
    shutil.copytree(folder / "si-qe", tmp_path / "si-qe", ignore=shutil.ignore_patterns("*.lock", "labels"))
    pseudo_dir = tmp_path / "pseudos"
    pseudo_dir.mkdir()
    source = next(p for p in ("/usr/share/espresso/pseudo/Si.pz-vbc.UPF",) if os.path.isfile(p))
    with open(source, encoding="utf-8") as handle:
        (pseudo_dir / "Si.pz-vbc.UPF").write_text(handle.read() + "\n")
    done = mlip_fw("run", ROOT / "examples" / "si-qe.yaml", folder=tmp_path, code=1, ESPRESSO_PSEUDO=str(pseudo_dir))
    assert "another level of theory than the campaign began with: pseudopotentials differ" in done.stderr


@pytest.fixture(scope="module")
def aluminium(tmp_path_factory):
    """Return (folder, standard output) of a campaign of 256 atoms that was killed while pw.x ran, and taken up."""
    folder = tmp_path_factory.mktemp("aluminium")
    campaign = write(ALUMINIUM, folder / "c.yaml")
    command = [sys.executable, "-m", "mlip_fw", "run", str(campaign)]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL, start_new_session=True)
    while not list((folder / "aluminium").glob("labelling/*/pw.out")):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return folder, mlip_fw("run", campaign, "--json", folder=folder).stdout


def test_killed_labelling_is_taken_up(aluminium):
    folder, out = aluminium
    summary = json.loads(out)
    assert (summary["outcome"], summary["labels_failed"]) == ("CONVERGED", 0)
    assert not list((folder / "aluminium" / "labelling").iterdir())
    running = subprocess.run(["pgrep", "-f", str(folder)], capture_output=True, text=True, check=False).stdout
    assert not running


def test_cut_outs_of_aluminium_are_small(aluminium):
    folder, out = aluminium
    dataset = Dataset(folder / "aluminium")
    assert max(len(dataset.read(name)) for name in dataset.hashes()) <= 60
    cut = list((folder / "aluminium").glob("walkers/00/cycle_*/selected.extxyz"))
    assert cut
    assert all("mask" in read_frame(path).arrays for path in cut)


def test_examples_for_real_dft_are_valid():
    for name in ("si-qe.yaml", "al-qe-cutout.yaml"):
        data = YAML(typ="safe").load((ROOT / "examples" / name).read_text())
        assert data["oracle"]["kind"] == "espresso"
        mlip_fw("check", ROOT / "examples" / name, folder=ROOT)
