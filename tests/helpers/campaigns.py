"""Small campaigns, and what is asked of their workflows."""

import copy

from ruamel.yaml import YAML

from mlip_fw.io.campaign_file import parse_campaign

SMALL = {
    "campaign": "small",
    "seed": 5,
    "elements": ["Cu"],
    "structure": {"bulk": {"symbol": "Cu", "crystal": "fcc", "a": 3.61, "cubic": True, "repeat": [2, 2, 2]}},
    "md": {
        "engine": "lammps",
        "timestep_fs": 2.0,
        "stages": [{"ensemble": "nvt", "temperature_k": [300, 600], "n_steps": 100}],
    },
    "uncertainty": {"gamma_select": 2.0, "gamma_halt": 10.0, "check_interval": 10},
    "oracle": {"kind": "ase", "calculator": "emt"},
    "potential": {"kind": "linear", "basis": "SBessel", "cutoff_a": 5.0, "functions_per_element": 20},
    "accuracy": {"force_relative": None},
}
"""It has no target, so that no frame is audited: numbers of labels and Fireworks are those of what a test is about."""


def merged(data: dict, changes: dict) -> dict:
    """Return ``data`` with ``changes`` taken over, section by section."""
    result = copy.deepcopy(data)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict) and "bulk" not in value
        result[key] = merged(result[key], value) if both else copy.deepcopy(value)
    return result


TINY = merged(
    SMALL,
    {
        "md": {"engine": "embedded", "stages": [{"ensemble": "nvt", "temperature_k": [300, 1000], "n_steps": 300}]},
        "uncertainty": {"gamma_halt": 5.0},
    },
)
"""It learns in seconds with the embedded engine."""
SLOW_ORACLE = """
import os, time
from ase.calculators.emt import EMT as Plain

class Slow(Plain):
    is_asked = False

    def calculate(self, *args, **kwargs):
        if not self.is_asked:  # and not about displaced atoms of the same label
            self.is_asked = True
            with open(os.environ["LABEL_LOG"], "a") as log:
                log.write("label\\n")
            time.sleep(0.3)
        while os.path.exists(os.environ.get("LABEL_HOLD", "")):
            time.sleep(0.05)
        super().calculate(*args, **kwargs)
"""


def make_small(**changes):
    """Return a small campaign with changes; an oracle of another kind replaces the whole section."""
    data = merged(SMALL, changes)
    if "oracle" in changes:
        data["oracle"] = changes["oracle"]
    return parse_campaign(data, "test")


def write(data, path):
    YAML(typ="safe").dump(data, path)
    return path


def fireworks(pad):
    """Return {short name: (fw_id, state)} and {parent: sorted children} by short name."""
    found = [pad.get_fw_by_id(i) for i in pad.get_fw_ids({})]
    names = {fw.fw_id: fw.name.split(": ")[1] for fw in found}
    states = {names[fw.fw_id]: fw.state for fw in found}
    [workflow] = [pad.get_wf_by_fw_id(i) for i in pad.get_wf_ids({})]
    links = {names[p]: sorted(names[c] for c in children) for p, children in workflow.links.items()}
    return states, links
