"""One hundred labels of a campaign, thirty of them made to fail in different ways by a stand-in for pw.x."""

import json
import re

import numpy as np
import pytest
from ase.calculators.emt import EMT
from fireworks import FWorker

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.launcher.runner import run_campaign
from mlip_fw.testing.pw_text import identity_of

UPF = '<UPF version="2.0.1"><PP_HEADER element="Cu" z_valence="11.0" functional="PBE"/></UPF>'
REPAIRED = {
    "scf_not_converged+ok": (3, "mixing_beta"),
    "too_few_steps+ok": (2, "electron_maxstep"),
    "eigenvalues+ok": (2, "diagonalization"),
    "not_positive_definite+ok": (2, "diagonalization"),
    "few_bands_smeared+ok": (2, "nbnd"),
    "out_of_memory+ok": (2, "disk_io"),
    "killed+ok": (2, "disk_io"),
    "cg_crash+ok": (1, "as before"),
}
SET_ASIDE = {
    "scf_not_converged": (3, "SCF not converged"),
    "eigenvalues": (1, "diagonalisation failed"),
    "not_positive_definite": (1, "diagonalisation failed"),
    "few_bands_smeared": (1, "too few bands"),
    "out_of_memory": (1, "out of memory"),
    "killed": (2, "killed"),
    "exit_file": (1, "EXIT file"),
    "nan": (1, "not (?:a )?finite|incomplete"),
    "short": (1, "incomplete|forces"),
    "cg_crash": (1, "crashed"),
    "hang": (1, "took too long"),
}


@pytest.fixture(scope="module")
def hundred(small_campaign, tmp_path_factory, lent_lmp, lent_pw):
    """Return (summary, directory, folder of the fates) of the campaign."""
    folder = tmp_path_factory.mktemp("hundred")
    (folder / "pseudos").mkdir()
    (folder / "pseudos" / "Cu.UPF").write_text(UPF)
    counts = {fate: count for fates in (REPAIRED, SET_ASIDE) for fate, (count, _) in fates.items()}
    (folder / "plan.json").write_text(json.dumps({**counts, "scf": 100 - sum(counts.values())}))
    oracle = {"kind": "espresso", "ecutwfc_ry": 30.0, "max_scf_steps": 50, "timeout_s": 20.0}
    campaign = small_campaign(
        oracle=oracle, bootstrap={"n_structures": 100}, budget={"max_labels": 120, "max_failed_label_fraction": 0.3}
    )
    env = {
        "lmp_cmd": f"{lent_lmp} --halt-at 50",
        "pw_cmd": f"{lent_pw} --plan {folder / 'plan.json'}",
        "pseudo_dir": str(folder / "pseudos"),
    }
    directory = CampaignDirectory(folder / "c")
    return run_campaign(campaign, directory, FWorker(name="stand-in", env=env)), directory, folder


def test_thirty_fail_and_the_campaign_finishes(hundred):
    summary, directory, folder = hundred
    fates = [path.read_text() for path in (folder / "plan.drawn").glob("label-*")]
    assert sum(fate != "scf" for fate in fates) == 30
    assert (summary.outcome, summary.reason) == ("CONVERGED", None)
    assert summary.labels_failed == sum(count for count, _ in SET_ASIDE.values())
    assert summary.labels + summary.labels_failed == len(fates) >= 100
    assert not list((directory.root / "labelling").rglob("*.*"))


def test_every_failure_has_its_reason_and_its_story(hundred):
    _, directory, folder = hundred
    found = {}
    for record in Dataset(directory.root).quarantined():
        place = directory.root / "quarantine" / record.hash
        assert {f"{record.hash}/pw.in", f"{record.hash}/pw.out"} <= set(record.files)
        assert all((directory.root / "quarantine" / name).is_file() for name in record.files)
        fate = fate_of(place / "pw.in", folder)
        found.setdefault(fate, []).append(record)
    assert {fate: len(records) for fate, records in found.items()} == {f: n for f, (n, _) in SET_ASIDE.items()}
    for fate, records in found.items():
        for record in records:
            assert re.search(SET_ASIDE[fate][1], record.reason), (fate, record.reason)
    assert all(record.corrections for record in found["scf_not_converged"])


def test_every_repaired_label_says_how(hundred):
    _, directory, _ = hundred
    dataset = Dataset(directory.root)
    made = [dataset.read(name).info for name in dataset.hashes()]
    repaired = [info for info in made if info["corrections"]]
    assert len(repaired) == sum(count for count, _ in REPAIRED.values())
    told = [json.dumps(info["corrections_made"]) for info in repaired]
    for fate, (count, word) in REPAIRED.items():
        assert sum(word in text for text in told) >= count, fate


def test_no_label_is_wrong(hundred):
    """Every accepted label is what the stand-in's toy potential says of that structure, and none other."""
    _, directory, _ = hundred
    dataset = Dataset(directory.root)
    for name in dataset.hashes():
        atoms = dataset.read(name)
        again = atoms.copy()
        again.calc = EMT()
        assert atoms.get_potential_energy() == pytest.approx(again.get_potential_energy(), abs=1e-5)
        assert np.allclose(atoms.get_forces(), again.get_forces(), atol=1e-5)


def fate_of(path, folder):
    """Return the fate that the stand-in drew for the structure of an input."""
    return (folder / "plan.drawn" / f"label-{identity_of(path.read_text())}").read_text()
