"""Validations of potentials that were learnt on real trajectories."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.emt import EMT

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.generations import Generations
from mlip_fw.io.lammps import temperatures_in_log
from mlip_fw.io.structures import write_frames
from mlip_fw.models.validation import ValidationSettings
from mlip_fw.validation.rdf import distributions
from tests.helpers.campaigns import TINY, merged, write
from tests.helpers.programs import mlip_fw

pytestmark = pytest.mark.real
CAMPAIGN = merged(TINY, {"validation": {"n_frames": 4, "properties": ["rdf"], "oracle_md_steps": 60}})


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """Return the folder of a small campaign that ended with a validation."""
    folder = tmp_path_factory.mktemp("validated")
    mlip_fw("run", write(CAMPAIGN, folder / "c.yaml"), folder=folder)
    return folder


def report_of(folder):
    return json.loads((folder / "small" / "validation" / "validation.json").read_text())


def test_held_out_frames_were_never_learnt_and_are_what_the_oracle_says(learnt):
    root = learnt / "small"
    apart, trained = Dataset(root / "validation"), Generations(root).record(Generations(root).newest()).labels
    held = json.loads((root / "validation" / "holdout.json").read_text())["frames"]
    assert [f["hash"] for f in held] and not {f["hash"] for f in held} & set(trained)
    for frame in held:
        atoms = apart.read(frame["hash"])
        forces = atoms.get_forces()
        atoms.calc = EMT()
        assert np.allclose(forces, atoms.get_forces(), atol=1e-7)


def test_report_tells_errors_by_temperature_and_how_gamma_knew(learnt):
    report = report_of(learnt)
    assert report["holdout"]["n_frames"] == 4
    assert 0 < report["holdout"]["force_rmse_ev_a"] < 0.1
    assert set(report["by_element"]) == {"Cu"}
    assert sum(part["n_frames"] for part in report["by_temperature"]) == 4
    bins = report["calibration"]["bins"]
    assert sum(part["n_atoms"] for part in bins) > 4 * 32
    assert {q["name"] for q in report["quantities"]} == {"first peak of g(r)", "height of that peak"}
    assert 0.1 < report["gamma_max"]["rdf"] < 100
    for name in ("parity", "calibration", "rdf"):
        assert (learnt / "small" / "validation" / f"{name}.svg").is_file()


def test_export_tells_the_errors_on_held_out_frames(learnt):
    mlip_fw("export", "small", "-o", "pot", folder=learnt)
    error = 1000 * report_of(learnt)["holdout"]["force_rmse_ev_a"]
    assert (
        f"error on 4 held-out frames, never trained on | force RMSE {error:.2f} meV/Å"
        in (learnt / "pot/README.md").read_text()
    )
    assert (learnt / "pot" / "validation.json").is_file()
    low, high = json.loads((learnt / "pot" / "model.json").read_text())["domain"]["measured_temperature_k"]
    assert 50 < low < 300 < high < 1300


def test_frames_are_sorted_by_the_temperature_that_lammps_measured(learnt):
    root = learnt / "small"
    held = json.loads((root / "validation" / "holdout.json").read_text())["frames"]
    for frame in held:
        log = CampaignDirectory(root).cycle(frame["walker"], frame["cycle"]) / "log.lammps"
        assert frame["measured_temperature_k"] == temperatures_in_log(log)[frame["step"]]
    ranges = report_of(learnt)["by_temperature"]
    measured = [frame["measured_temperature_k"] for frame in held]
    assert (ranges[0]["from_k"], ranges[-1]["to_k"]) == (min(measured), max(measured))


def test_interrupted_validation_goes_on(learnt):
    """What was labelled before the interruption is not labelled again."""
    command = [
        sys.executable,
        "-m",
        "mlip_fw",
        "validate",
        "small",
        "--frames",
        "12",
        "--property",
        "elastic",
        "--json",
    ]
    process = subprocess.Popen(command, cwd=learnt, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    apart = Dataset(learnt / "small" / "validation")
    before = len(apart.hashes())
    while len(apart.hashes()) < before + 3:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=240)
    assert process.returncode == 1
    assert "interrupted. Run the same command to resume" in said
    kept = {path: path.stat().st_mtime_ns for path in (learnt / "small/validation/labels").iterdir()}
    report = json.loads(mlip_fw(*command[3:], folder=learnt).stdout)
    assert report["holdout"]["n_frames"] == 12
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_distribution_is_compared_with_a_given_trajectory(learnt, tmp_path):
    directory = CampaignDirectory(learnt / "small")
    apart = Dataset(directory.validation)
    write_frames(tmp_path / "oracle.extxyz", [apart.read(name) for name in apart.hashes()])
    asked = ValidationSettings(properties=["rdf"], reference_trajectory=str(tmp_path / "oracle.extxyz"))
    campaign = directory.read_campaign().model_copy(update={"validation": asked})
    mine, theirs = distributions(directory, campaign, Path("no potential is needed"))
    assert mine.peak[0] == pytest.approx(theirs.peak[0], abs=0.15)
    assert mine.r_a[-1] < 3.61
