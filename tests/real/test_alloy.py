"""Four elements, learned to the end."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.emt import EMT

from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.train.dimers import pairs_of, repulsion_curve
from mlip_fw.io.structures import read_frame
from tests.helpers.campaigns import SMALL, merged, write
from tests.helpers.programs import check_contract, mlip_fw

pytestmark = pytest.mark.real
ALLOY = merged(
    SMALL,
    {
        "campaign": "alloy",
        "elements": ["Ag", "Au", "Cu", "Pd"],
        "structure": {
            "bulk": {
                "symbol": "Cu",
                "crystal": "fcc",
                "a": 3.95,
                "cubic": True,
                "repeat": [2, 2, 2],
                "substitute": {"Ag": 0.25, "Au": 0.25, "Pd": 0.25},
            }
        },
        "md": {"engine": "embedded", "stages": [{"ensemble": "nvt", "temperature_k": [300, 900], "n_steps": 300}]},
        "uncertainty": {"gamma_halt": 5.0},
        # with 50 the MD halts no more while forces are wrong by a quarter
        "potential": {"functions_per_element": 100},
    },
)


@pytest.fixture(scope="module")
def alloy(tmp_path_factory):
    """Return (folder, standard output, standard error) of a campaign of four elements."""
    folder = tmp_path_factory.mktemp("alloy")
    done = mlip_fw("run", write(ALLOY, folder / "c.yaml"), "--json", folder=folder)
    return folder, done.stdout, done.stderr


def newest(alloy):
    return AcePotential.from_files(Path(json.loads(alloy[1])["potential"]))


def test_learned_to_the_end(alloy, tmp_path):
    summary = json.loads(alloy[1])
    assert summary["outcome"] == "CONVERGED"
    assert summary["halts"] >= 2
    assert summary["generations_refused"] == 0
    check_contract(alloy[0] / "alloy", alloy[1], tmp_path)


def test_every_element_has_its_active_set(alloy):
    summary = json.loads(alloy[1])
    generations = Generations(alloy[0] / "alloy")
    record = generations.record(summary["generations"] - 1)
    potential = AcePotential.from_files(generations.potential(record.generation))
    assert {name: len(inverse) for name, inverse in potential.inverses.items()} == record.functions_per_element
    assert set(record.n_environments.values()) == {8 * summary["labels"]}
    assert set(record.reference_energy_ev) == set(ALLOY["elements"])


def test_forces_of_the_last_frame_are_right_to_a_twentieth(alloy):
    """That frame was never labelled."""
    frame = read_frame(CampaignDirectory(alloy[0] / "alloy").cycles(0)[-1] / "end.extxyz")
    first = AcePotential.from_files(Generations(alloy[0] / "alloy").potential(0))
    found = [potential.evaluate(frame).forces_ev_a for potential in (first, newest(alloy))]
    frame.calc = EMT()
    before, after = (np.sqrt(np.mean((forces - frame.get_forces()) ** 2)) for forces in found)
    whole = np.sqrt(np.mean(frame.get_forces() ** 2))
    print(f"force RMSE {1000 * before:.0f}, in the end {1000 * after:.0f} meV/Å of {1000 * whole:.0f}")
    assert after < min(0.2 * before, 0.05 * whole)


def test_all_ten_dimer_curves_rise(alloy):
    potential = newest(alloy)
    slopes = {pair: repulsion_curve(potential, pair)[1].min() for pair in pairs_of(potential.elements)}
    assert len(slopes) == 10
    assert min(slopes.values()) > 0


def test_size_is_said_before_it_is_used(alloy):
    lines = alloy[2].splitlines()
    [size] = [k for k, line in enumerate(lines) if "basis functions (" in line and "in memory: active sets" in line]
    [first] = [k for k, line in enumerate(lines) if "generation 0:" in line]
    assert size < first
    said = json.loads(mlip_fw("check", "c.yaml", "--json", folder=alloy[0]).stdout)["potential"]
    assert f"{said['coefficients']} basis functions" in lines[size]
