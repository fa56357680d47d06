"""Whole campaigns that miss their target of accuracy for a known reason, and what they say of it."""

import json
import re

import pytest
from ase.build import bulk
from ase.io import write as write_atoms

from mlip_fw.models.campaign import Campaign
from tests.helpers.campaigns import merged, write
from tests.helpers.programs import ROOT, mlip_fw

pytestmark = pytest.mark.real
ORACLE = "tests.helpers.calculators:Unconverged"
PLAIN = {
    "campaign": "missed",
    "seed": 5,
    "elements": ["Cu"],
    "structure": {"bulk": {"symbol": "Cu", "crystal": "fcc", "a": 3.61, "cubic": True, "repeat": [2, 2, 2]}},
    "md": {
        "engine": "embedded",
        "timestep_fs": 2.0,
        "stages": [{"ensemble": "nvt", "temperature_k": [300, 1000], "n_steps": 100}],
    },
    # the first labels are all that there are: MD does not halt, and the audit finds the budget spent
    "uncertainty": {"gamma_select": 1e3, "gamma_halt": 1e4, "check_interval": 10},
    "bootstrap": {"n_structures": 8, "rattle_a": 0.15},
    "budget": {"max_labels": 8},
    "oracle": {"kind": "ase", "calculator": "emt"},
    "potential": {"kind": "linear", "basis": "ChebExpCos", "cutoff_a": 5.0, "functions_per_element": 60},
    "accuracy": {"force_relative": 0.01},
}
ALLOY = {"elements": ["Au", "Cu"], "structure": {"files": ["start.extxyz"]}}


def hint_of(folder, **changes):
    """Return the headline and the first cause that a campaign names when it is over."""
    data = merged(PLAIN, changes)
    if "oracle" in changes:
        data["oracle"] = changes["oracle"]
    if "files" in data["structure"]:
        data["structure"] = {"files": ["start.extxyz"]}
        atoms = bulk("Cu", cubic=True, a=3.75) * (2, 2, 2)
        atoms.numbers[::4] = 79
        write_atoms(folder / "start.extxyz", atoms)
    file = write(data, folder / "c.yaml")
    out = mlip_fw("run", file, "--json", "--dir", "run", folder=folder, code=3, PYTHONPATH=str(ROOT)).stdout
    summary = json.loads(out)
    assert (summary["outcome"], summary["reason"], summary["error"]["met"]) == ("STOPPED", "accuracy", False)
    headline, first, *_ = re.split(r"(?<=[.]) (?=[A-Z])", summary["hint"])
    return headline, first


def unconverged(**parameters):
    """Return the section of an oracle whose forces have a random part."""
    return {"kind": "ase", "calculator": ORACLE, "parameters": parameters}


AUTO = {"basis": "auto", "cutoff_a": "auto", "functions_per_element": "auto"}
# a change of the campaign, and how the first cause begins with the key that its hint names
CASES = {
    "labels": (
        {
            "bootstrap": {"n_structures": 3},
            "budget": {"max_labels": 3},
            "accuracy": {"force_relative": 0.002},
            "potential": AUTO,
        },
        "There are too few labels",
        "budget.max_labels",
    ),
    "functions": (
        {
            "bootstrap": {"rattle_a": 0.05},
            "accuracy": {"force_relative": 0.001},
            "potential": {"functions_per_element": 12},
        },
        "The basis is too small: 24 functions per element instead of 12",
        "potential.functions_per_element",
    ),
    "cutoff": (
        {"bootstrap": {"rattle_a": 0.05}, "potential": {"cutoff_a": 3.0}},
        "The cutoff is too short: 3.75 Å instead of 3",
        "potential.cutoff_a",
    ),
    "noise": ({"oracle": unconverged(noise_ev_a=0.2)}, "Labels contradict each other", "oracle"),
    "element": (
        {**ALLOY, "oracle": unconverged(noise_ev_a=0.5, element=79)},
        "Element Au is what fails",
        "structure.files",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_first_cause_and_its_remedy(case, tmp_path):
    changes, cause, key = CASES[case]
    headline, first = hint_of(tmp_path, **changes)
    assert re.match(r"The force error of \d+ audited frames is [\d.]+ meV/Å, the target ", headline)
    assert first.startswith(cause), first
    assert key in first and has_key(key)


def has_key(key):
    """Return whether the campaign file has such a key."""
    kind = Campaign
    for name in key.split("."):
        if name not in kind.model_fields:
            return False
        kind = kind.model_fields[name].annotation
    return True
