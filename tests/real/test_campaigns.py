"""Whole campaigns on real LAMMPS and real pyace, as a user starts them."""

import json
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.emt import EMT

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.generations import Generations
from mlip_fw.campaign.summary import md_results
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.io.structures import read_frame
from mlip_fw.models.md import MDOutcome
from tests.helpers.campaigns import TINY, merged, write
from tests.helpers.programs import ROOT, check_contract, mlip_fw

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Return (folder, standard output) of a small campaign that was run once."""
    folder = tmp_path_factory.mktemp("tiny")
    done = mlip_fw("run", write(TINY, folder / "c.yaml"), "--json", folder=folder)
    return folder, done.stdout


def test_campaign_learns_and_ends(tiny):
    folder, out = tiny
    summary = json.loads(out)
    assert summary["outcome"] == "CONVERGED"
    assert summary["halts"] >= 1
    assert summary["generations"] == summary["halts"] + 1
    assert summary["md_steps"] == 300
    assert summary["seconds"]["total"] >= summary["seconds"]["md"] > 0
    assert json.loads((folder / "small" / "summary.json").read_text())["labels"] == summary["labels"]


def test_contract_holds(tiny, tmp_path):
    folder, out = tiny
    check_contract(folder / "small", out, tmp_path)


def test_halts_continue_the_trajectory(tiny):
    results = md_results(CampaignDirectory(tiny[0] / "small"))
    for before, after in zip(results, results[1:], strict=False):
        assert before.outcome is MDOutcome.HALTED
        assert (after.first_step, after.start, after.cycle) == (before.step, before.restart, before.cycle + 1)
        assert after.generation == before.generation + 1


def test_temperatures_are_those_of_the_log(tiny):
    """Half of the kinetic energy goes into vibrations at first, whatever the thermostat's target is."""
    results = md_results(CampaignDirectory(tiny[0] / "small"))
    for result in results:
        log = Path(result.frame).with_name("log.lammps").read_text()
        (row,) = {line for line in log.splitlines() if line.split()[:1] == [str(result.step)]}
        assert result.measured_temperature_k == float(row.split()[1])
    assert results[0].measured_temperature_k < 0.8 * results[0].temperature_k


def test_halted_frame_is_labelled_and_then_interpolates(tiny):
    root = tiny[0] / "small"
    dataset, generations = Dataset(root), Generations(root)
    for result in md_results(CampaignDirectory(root)):
        if result.outcome is not MDOutcome.HALTED:
            continue
        frame = read_frame(Path(result.frame))
        assert frame.info["center"] == result.atom == frame.arrays["gamma"].argmax()
        assert frame.arrays["gamma"].max() == pytest.approx(result.gamma_max) and result.gamma_max > 5.0
        newest = AcePotential.from_files(generations.potential(result.generation + 1))
        assert newest.evaluate(frame).gamma.max() < 1.01
    assert len(dataset.hashes()) >= 3


def test_labels_are_what_the_oracle_says(tiny):
    dataset = Dataset(tiny[0] / "small")
    for name in dataset.hashes():
        atoms = dataset.read(name)
        energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        atoms.calc = EMT()
        assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-7)
        assert np.allclose(forces, atoms.get_forces(), atol=1e-7)
        assert np.allclose(stress, atoms.get_stress(), atol=1e-7)


def test_error_in_the_summary_is_the_error_of_the_potential(tiny):
    root, summary = tiny[0] / "small", json.loads(tiny[1])
    potential, record = (
        AcePotential.from_files(Path(summary["potential"])),
        Generations(root).record(summary["generations"] - 1),
    )
    forces, energies, stresses = [], [], []
    for name in Dataset(root).hashes():
        atoms = Dataset(root).read(name)
        answer = potential.evaluate(atoms)
        free = sum(record.reference_energy_ev[s] for s in atoms.get_chemical_symbols())
        forces.append(answer.forces_ev_a - atoms.get_forces())
        energies.append((answer.energy_ev + free - atoms.get_potential_energy()) / len(atoms))
        stresses.append(answer.stress_ev_a3(atoms.get_volume()) - atoms.get_stress())
        assert answer.gamma.max() < 1.01
    rmse = np.sqrt(np.mean(np.concatenate(forces) ** 2))
    assert summary["dataset_force_rmse_ev_a"] == pytest.approx(rmse, rel=1e-4)
    assert summary["dataset_energy_rmse_ev_atom"] == pytest.approx(np.sqrt(np.mean(np.square(energies))), rel=1e-3)
    assert record.dataset.stress_rmse_ev_a3 == pytest.approx(np.sqrt(np.mean(np.square(stresses))), rel=1e-3)


def test_potential_is_better_than_the_bootstrap_alone(tiny):
    root = tiny[0] / "small"
    generations = Generations(root)
    frame = read_frame(CampaignDirectory(root).cycles(0)[-1] / "end.extxyz")
    frame.calc = EMT()
    errors = [
        np.sqrt(
            np.mean(
                (AcePotential.from_files(generations.potential(n)).evaluate(frame).forces_ev_a - frame.get_forces())
                ** 2
            )
        )
        for n in (0, generations.newest())
    ]
    assert errors[1] < errors[0]


def test_status_and_report(tiny, tmp_path):
    folder = tiny[0]
    assert "CONVERGED" in mlip_fw("status", folder=folder).stdout
    assert json.loads(mlip_fw("status", "small", "--json", folder=folder).stdout)["outcome"] == "CONVERGED"
    mlip_fw("report", "small", "-o", tmp_path / "r.html", folder=folder)
    page = (tmp_path / "r.html").read_text()
    assert "CONVERGED" in page
    drawn = ("gamma", "errors", "halt-intervals", "ledger", "calibration", "parity")
    assert {p.name for p in tmp_path.iterdir()} == {"r.html", *(f"r-{name}.png" for name in drawn)}
    assert page.count("data:image/png;base64") >= len(drawn)


def test_tiny_threshold_halts_at_the_first_check(tmp_path):
    data = merged(TINY, {"uncertainty": {"gamma_select": 1e-7, "gamma_halt": 1e-6}, "budget": {"max_cycles": 0}})
    out = mlip_fw("run", write(data, tmp_path / "c.yaml"), "--json", folder=tmp_path, code=3).stdout
    assert json.loads(out)["reason"] == "max_cycles"
    [result] = md_results(CampaignDirectory(tmp_path / "small"))
    assert (result.outcome, result.step) == (MDOutcome.HALTED, 10)


def test_fireworks_own_commands_run_the_workflow_file(tmp_path):
    """`lpad add` and `rlaunch rapidfire`, as installed with FireWorks, on a LaunchPad in a file."""
    bin_folder = Path(sys.executable).parent
    pad = {"MONGOMOCK_SERVERSTORE_FILE": str(tmp_path / "pad.json"), "PYTHONUNBUFFERED": "1"}
    (tmp_path / "pad.json").write_text("{}")
    environment = {**os.environ, **pad}

    def command(*arguments):
        done = subprocess.run(
            [bin_folder / arguments[0], *arguments[1:]], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    mlip_fw("workflow", write(TINY, tmp_path / "c.yaml"), "-o", "wf.yaml", folder=tmp_path)
    assert not (tmp_path / "small").exists()
    command("lpad", "reset", "--password", datetime.now().strftime("%Y-%m-%d"))
    command("lpad", "add", "wf.yaml")
    command("rlaunch", "rapidfire")
    listed = command("lpad", "get_fws", "-d", "less")
    states = json.loads(listed[listed.index("[") :])
    assert {fw["state"] for fw in states} == {"COMPLETED"}
    assert len(states) > 8
    assert json.loads(mlip_fw("status", "small", "--json", folder=tmp_path).stdout)["outcome"] == "CONVERGED"


def test_add_to_the_launchpad(tmp_path):
    pad = {"MONGOMOCK_SERVERSTORE_FILE": str(tmp_path / "pad.json")}
    (tmp_path / "pad.json").write_text("{}")
    (tmp_path / "my_launchpad.yaml").write_text((ROOT / "my_launchpad.yaml").read_text())
    write(TINY, tmp_path / "c.yaml")
    assert "lpad reset" in mlip_fw("add", "c.yaml", folder=tmp_path, code=1, **pad).stderr
    lpad = [Path(sys.executable).parent / "lpad", "reset", "--password", datetime.now().strftime("%Y-%m-%d")]
    subprocess.run(lpad, cwd=tmp_path, env={**os.environ, **pad}, check=True, capture_output=True)
    out = mlip_fw("add", "c.yaml", folder=tmp_path, **pad).stdout
    assert "added small as Fireworks" in out
    assert "{{mlip_fw.firetasks.md.RunMD}}" in (tmp_path / "pad.json").read_text()


def test_doctor(tmp_path):
    done = mlip_fw("doctor", "--json", folder=tmp_path)
    assert re.sub(r"compiling the ACE kernel .*\ncompiled in \d+ s; .*\n", "", done.stderr) == ""
    findings = json.loads(done.stdout)
    assert {f["what"]: f["ok"] for f in findings} == dict.fromkeys(
        [
            "worker file",
            "MD engine",
            "ACE kernel",
            "gamma canary",
            "oracle (EMT)",
            "Quantum ESPRESSO",
            "VASP",
            "pacemaker",
            "file locks",
            "queue",
        ],
        True,
    )


def test_database_that_is_not_there(tmp_path):
    (tmp_path / "pad.yaml").write_text(
        "host: 127.0.0.1\nport: 1\nname: x\nmongoclient_kwargs: {serverSelectionTimeoutMS: 300}\n"
    )
    write(TINY, tmp_path / "c.yaml")
    said = mlip_fw("add", "c.yaml", "-l", "pad.yaml", folder=tmp_path, code=1).stderr
    assert said.startswith("error: the LaunchPad database at 127.0.0.1")
    assert len(said.strip().splitlines()) == 1
