"""A campaign with the real pacemaker: it converges, fits no worse than the linear potential, and starts warm."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from pyace import ACEBBasisSet, BBasisConfiguration
from ruamel.yaml import YAML

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.train import schedule
from mlip_fw.engines.train.pacemaker import trainer
from mlip_fw.engines.train.pacemaker.metrics import METRICS, read_metrics
from mlip_fw.io.campaign_file import read_campaign
from mlip_fw.models.worker import Worker
from tests.helpers.campaigns import SMALL, merged
from tests.helpers.programs import check_contract, require

pytestmark = pytest.mark.real
ALLOY = merged(
    SMALL,
    {
        "elements": ["Au", "Cu"],
        "structure": {
            "bulk": {**SMALL["structure"]["bulk"], "a": 3.85, "substitute": {"Au": 0.5}},
        },
        "md": {"engine": "embedded", "stages": [{"ensemble": "nvt", "temperature_k": [300, 800], "n_steps": 400}]},
        "uncertainty": {"gamma_halt": 5.0},
        "potential": {
            "kind": "pacemaker",
            "functions_per_element": 30,
            "pacemaker": {"every": 2, "iterations": 10, "functions_per_element": 40},
        },
    },
)
COLD_STEPS = 60


@pytest.fixture(scope="module")
def command():
    """Return the command of a pacemaker with TensorFlow: ``MLIP_FW_PACEMAKER``, or the one that is installed here."""
    given = os.environ.get("MLIP_FW_PACEMAKER", "")
    require("pacemaker", schedule.is_installed() or (given and shutil.which(shlex.split(given)[0])))
    return given or str(Path(sys.executable).with_name("pacemaker"))


@pytest.fixture(scope="module")
def campaign(command, tmp_path_factory):
    """Return (campaign directory, what the run printed, seconds)."""
    folder = tmp_path_factory.mktemp("pacemaker")
    worker = {"name": "w", "category": "", "query": "{}", "env": {"pacemaker_cmd": command}}
    YAML(typ="safe").dump(ALLOY, folder / "c.yaml")
    YAML(typ="safe").dump(worker, folder / "w.yaml")
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "mlip_fw", "run", "c.yaml", "--dir", "c", "-w", "w.yaml", "--json"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder / "c", done.stdout, time.monotonic() - started


def polished(root):
    generations = Generations(root)
    found = [generations.record(n) for n in generations.numbers() if generations.trainer(n) == "pacemaker"]
    return generations, found


def test_alloy_converges(campaign, tmp_path):
    root, summary, seconds = campaign
    assert json.loads(summary)["outcome"] == "CONVERGED"
    assert json.loads(summary)["potential"].startswith(str(polished(root)[0].folder(polished(root)[1][-1].generation)))
    print(f"a campaign with pacemaker took {seconds:.0f} s")
    check_contract(root, summary, tmp_path)


def test_it_fits_no_worse_than_the_linear_potential(campaign):
    generations, records = polished(campaign[0])
    assert records
    for record in records:
        linear = generations.record(record.parent)
        assert record.labels == linear.labels
        print(
            f"{len(record.labels)} labels: linear {1000 * linear.dataset.force_rmse_ev_a:.3f} meV/Å, "
            f"pacemaker {1000 * record.dataset.force_rmse_ev_a:.3f} meV/Å"
        )
        assert record.dataset.force_rmse_ev_a <= 1.001 * linear.dataset.force_rmse_ev_a
        assert {"pacemaker", "tensorpotential"} == set(record.versions)


def test_basis_grows_from_the_linear_one(campaign):
    """The first polishing adds functions, which pacemaker's ``-ip`` is for; the next starts from what it made."""
    generations, records = polished(campaign[0])
    assert [record.functions_per_element for record in records] == [{"Au": 40, "Cu": 40}] * len(records)
    assert generations.record(records[0].parent).functions_per_element == {"Au": 30, "Cu": 30}


def test_gamma_of_the_labels_is_at_most_one(campaign):
    generations, records = polished(campaign[0])
    potential = AcePotential.from_files(generations.potential(records[-1].generation))
    assert {e.ndensity for e in potential.basis.map_embedding_specifications.values()} == {2}
    dataset = Dataset(campaign[0])
    assert max(potential.evaluate(dataset.read(n)).gamma.max() for n in records[-1].labels) <= 1.01


def test_warm_start_is_faster_than_a_cold_one(campaign, command, tmp_path):
    """A step costs the same in both, so a cold fit is asked for what the campaign reached by one."""
    generations, records = polished(campaign[0])
    source = generations.record(records[-1].parent)
    shutil.copy(generations.folder(records[-1].generation) / "pacemaker.txt", tmp_path / METRICS)
    warm = read_metrics(tmp_path)[1]
    fit = trainer._prepared(
        generations,
        source,
        [Dataset(campaign[0]).read(name) for name in source.labels],
        BBasisConfiguration(str(generations.potential(source.generation))),
        read_campaign(campaign[0] / "campaign.yaml"),
        Worker(pacemaker_cmd=command),
        tmp_path,
    )
    blank = ACEBBasisSet(fit.form)
    blank.basis_coeffs = np.zeros(len(blank.basis_coeffs))
    fit.begin, fit.iterations = blank.to_BBasisConfiguration(), COLD_STEPS
    fit.prepare()
    assert fit.attempt() is None
    cold = read_metrics(tmp_path)[-1]
    seconds = float(re.search(r"Fitting took\s+(\S+) seconds", fit.output()).group(1))
    print(
        f"loss {warm.loss:.2e} after 1 step warm, {cold.loss:.2e} after {cold.iteration} steps and {seconds:.0f} s "
        f"cold: more than {cold.iteration} times as fast, to 1/{cold.loss / warm.loss:.0f} of the loss"
    )
    assert warm.iteration == 1 < cold.iteration
    assert warm.loss < cold.loss
