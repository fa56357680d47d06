"""Labels by a VASP that plays recorded runs, alone and in a whole campaign."""

import json
import sys

import numpy as np
import pytest
from ase.calculators.emt import EMT
from pymatgen.core import SETTINGS

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.engines.oracle.vasp import run
from mlip_fw.engines.oracle.vasp.oracle import label_with_vasp
from mlip_fw.errors import LabelError
from mlip_fw.io.campaign_file import parse_campaign
from mlip_fw.launcher.runner import run_campaign
from mlip_fw.models.worker import Worker
from mlip_fw.testing.vasp_files import write_fake_potcars
from tests.helpers.campaigns import SMALL
from tests.helpers.programs import ROOT
from tests.helpers.vasp import POTCARS, alloy, oracle

RECORDED = ROOT / "tests" / "data" / "vasp"


@pytest.fixture(autouse=True)
def potcars(tmp_path, monkeypatch):
    write_fake_potcars(tmp_path / "psp", POTCARS)
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", str(tmp_path / "psp"))
    monkeypatch.setattr(run, "_POLL_S", 0.05)
    monkeypatch.setattr(run, "_POLLS_PER_LOOK", 2)


@pytest.fixture
def label(tmp_path):
    """Return a function that labels with a VASP that plays a recorded case."""

    def go(case, atoms=None, **settings):
        worker = Worker(vasp_cmd=f"{sys.executable} -m mlip_fw.testing.vasp --reference {RECORDED / case}")
        return label_with_vasp(alloy() if atoms is None else atoms, oracle(**settings), worker, tmp_path / "run")

    return go


@pytest.mark.parametrize(
    ("case", "corrections"),
    [("converged", []), ("unconverged", ["Unconverged"]), ("brmix", ["brmix"]), ("too-few-bands", ["too_few_bands"])],
)
def test_recorded_run_becomes_a_label(label, case, corrections):
    answer = label(case)
    expected = alloy()
    expected.calc = EMT()
    assert np.allclose(answer.atoms.get_forces(), expected.get_forces(), atol=1e-8)
    made = json.loads(answer.facts["corrections_made"])
    assert [name for correction in made for name in correction["errors"]] == corrections


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("zpotrf", "no answer to zpotrf"),
        ("memory", "ran out of memory"),
        ("killed", "killed by SIGKILL"),
    ],
)
def test_recorded_failure_has_its_reason(label, case, said):
    with pytest.raises(LabelError, match=said):
        label(case)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"encut_ev": 500.0}, "INCAR|ENCUT = 500"),
        ({"incar": {"PREC": "Normal"}}, "PREC = Normal, not Accurate"),
        ({"potcars": {"Cu": "Cu"}}, "POTCAR"),
    ],
)
def test_other_inputs_are_noticed(label, tmp_path, settings, said):
    write_fake_potcars(tmp_path / "psp", {"Cu": 11})
    with pytest.raises(LabelError, match=f"inputs differ from the recorded ones: .*{said}"):
        label("converged", **settings)


def test_another_structure_is_noticed(label):
    moved = alloy()
    moved.positions[1] += 0.01
    with pytest.raises(LabelError, match="inputs differ from the recorded ones: POSCAR"):
        label("converged", atoms=moved)


def test_no_file_is_a_potcar():
    assert [path.name for path in RECORDED.rglob("*POTCAR*") if path.name != "POTCAR.symbols"] == []


@pytest.mark.parametrize(("fail", "corrections"), [("", 0), ("--fail unconverged", 1)])
def test_campaign(stand_in, tmp_path, fail, corrections):
    campaign = parse_campaign({**SMALL, "oracle": {"kind": "vasp"}}, "test")
    worker = stand_in("--halt-at 50", vasp_cmd=f"{sys.executable} -m mlip_fw.testing.vasp {fail}")
    directory = CampaignDirectory(tmp_path / "c")
    summary = run_campaign(campaign, directory, worker)
    assert (summary.outcome, summary.labels, summary.labels_failed) == ("CONVERGED", 3, 0)
    dataset = Dataset(directory.root)
    for name in dataset.hashes():
        atoms = dataset.read(name)
        assert (atoms.info["code"], atoms.info["corrections"]) == ("vasp", corrections)
        known = atoms.copy()
        known.calc = EMT()
        assert np.allclose(atoms.get_forces(), known.get_forces(), atol=1e-6)


def test_campaign_sets_failed_labels_aside(stand_in, tmp_path):
    campaign = parse_campaign({**SMALL, "oracle": {"kind": "vasp"}}, "test")
    worker = stand_in("--halt-at 50", vasp_cmd=f"{sys.executable} -m mlip_fw.testing.vasp --fail zpotrf")
    directory = CampaignDirectory(tmp_path / "c")
    summary = run_campaign(campaign, directory, worker)
    assert summary.outcome == "STOPPED"
    [record, *_] = [json.loads(path.read_text()) for path in sorted((directory.root / "quarantine").glob("*.json"))]
    assert "zpotrf" in record["reason"]
    assert any(name.endswith("vasp.out") for name in record["files"])
