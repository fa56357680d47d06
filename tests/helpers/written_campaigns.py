"""Campaign directories as they come out of the loop, written in a moment without running anything."""

import json

import numpy as np
from ase.build import bulk

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.io.files import write_json
from mlip_fw.io.structures import with_labels, write_frames
from mlip_fw.models.campaign import Campaign

START = 1_700_000_000.0
STEPS = 100
"""MD steps between two halts."""
HELD_OUT = {"force_rmse_ev_a": 0.02, "energy_rmse_ev_atom": 0.002, "n_frames": 10, "n_atoms": 40}


def campaign(**changes):
    """Return a small campaign of copper; it has no target for its error, and so no audit."""
    plain = {
        "campaign": "cu-story",
        "elements": ["Cu"],
        "structure": {"bulk": {"symbol": "Cu", "crystal": "fcc", "a": 3.61, "cubic": True, "repeat": [2, 2, 2]}},
        "md": {"walkers": 1, "stages": [{"ensemble": "nvt", "n_steps": 1000, "temperature_k": 300.0}]},
        "oracle": {"kind": "ase", "calculator": "emt"},
        "accuracy": {"force_relative": None},
    }
    return Campaign.model_validate({**plain, **changes})


class Scribe:
    """Writes what the Fireworks of a campaign would write; the clock goes on by what each says that it took."""

    def __init__(self, root, **changes):
        self.directory = CampaignDirectory(root)
        self.directory.root.mkdir(parents=True)
        self.campaign = campaign(**changes)
        self.directory.write_campaign(self.campaign)
        self.dataset = Dataset(self.directory.root)
        self.clock, self.number, self.seen, self.steps = START, 0, [], {}
        self.tell("run_started", campaign=self.campaign.campaign, process=1)

    def tell(self, kind, took=0.0, **facts):
        self.clock += took
        seconds = {"seconds": took} if took else {}
        line = json.dumps({"time": self.clock, "event": kind, **facts, **seconds})
        with self.directory.journal.open("a") as handle:
            handle.write(line + "\n")

    def choose(self, folder, names, walker=0, cycle=0, generation=None, took=1.0):
        chosen = [
            {"hash": name, "strategy": "halt_frame" if generation is not None else "bootstrap", "reason": "why not"}
            for name in names
        ]
        facts = {"walker": walker, "cycle": cycle, "generation": generation, "center": 0, "n_candidates": 4}
        write_json(folder / "selection.json", {**facts, "rejected": {}, "chosen": chosen, "seconds": took})
        if generation is not None:
            self.tell("selected", took, walker=walker, cycle=cycle, labels=len(names))

    def label(self, name, took=10.0, n=4, apart=False, mask=None, **facts):
        atoms = bulk("Cu", cubic=True).repeat((max(1, n // 4), 1, 1))
        labelled = with_labels(atoms, -1.0 * len(atoms), np.zeros((len(atoms), 3)), None)
        if mask is not None:
            labelled.arrays["mask"] = np.array(mask)
        dataset = Dataset(self.directory.validation) if apart else self.dataset
        dataset.add(name, labelled, {"code": "ase emt", "label_seconds": took, "corrections": 0, **facts})
        self.tell("labelled", took, label=name, atoms=len(atoms), corrections=0, **({"apart": True} if apart else {}))
        if not apart:
            self.seen.append(name)

    def fail(self, name, took=5.0):
        record = {"hash": name, "reason": "no SCF", "level_of_theory": {}, "n_atoms": 4, "seconds": took}
        write_json(self.directory.root / "quarantine" / f"{name}.json", record)
        self.tell("quarantined", took, label=name, reason="no SCF")

    def train(self, took=2.0, new=None, **changes):
        errors = {"force_rmse_ev_a": 0.01, "energy_rmse_ev_atom": 0.001}
        record = {
            "generation": self.number,
            "parent": self.number - 1 if self.number else None,
            "labels": sorted(self.seen),
            "new_labels": self.seen[-1:] if new is None else new,
            "n_atoms": 4 * len(self.seen),
            "n_environments": {"Cu": 4 * len(self.seen)},
            "functions_per_element": {"Cu": 20},
            "dataset": errors,
            "new_before": {"force_rmse_ev_a": 0.1 / (self.number + 1), "energy_rmse_ev_atom": 0.01},
            "reference_energy_ev": {"Cu": 0.0},
            "active_set_swaps": 1,
            "gamma_max_dataset": 1.0,
            "seconds": took,
            **changes,
        }
        write_json(self.directory.root / "potentials" / f"gen_{self.number:04d}" / "training.json", record)
        self.tell("trained", took, generation=self.number, labels=len(self.seen))
        self.number += 1

    def explore(self, walker, cycle, steps=STEPS, took=20.0, outcome="halted", stage=0, every=10, **changes):
        folder = self.directory.cycle(walker, cycle)
        folder.mkdir(parents=True)
        first = self.steps.get(walker, 0)
        last = first + steps
        self.tell("md_started", walker=walker, cycle=cycle, stage=stage, step=first, generation=self.number - 1)
        series = [f"{step} {1 + 10 * (step - first) / steps:.6g}" for step in range(first, last + 1, every)]
        (folder / "gamma.dat").write_text("\n".join(["# step max_gamma", *series]) + "\n")
        if outcome is None:
            return folder
        gamma = {"gamma_max": 11.0, "atom": 1, "frame": str(folder / "halt.extxyz")} if outcome == "halted" else {}
        result = {
            "outcome": outcome,
            "engine": "embedded",
            "walker": walker,
            "cycle": cycle,
            "stage": stage,
            "generation": self.number - 1,
            "first_step": first,
            "step": last,
            "start": str(folder / "start.data"),
            "seconds": took,
            **gamma,
            **changes,
        }
        write_json(folder / "result.json", result)
        if gamma:
            frame = bulk("Cu", cubic=True)
            frame.arrays["gamma"] = np.array([1.0, 11.0, 2.0, 3.0])
            write_frames(folder / "halt.extxyz", [frame])
        events = {"finished": "md_finished", "walltime": "md_out_of_time"}
        self.tell(events.get(outcome, outcome), took, walker=walker, cycle=cycle, step=last)
        self.steps[walker] = last
        return folder

    def begin(self, names=("a" * 16, "b" * 16)):
        """Label and learn the first structures."""
        self.choose(self.directory.bootstrap, names)
        for name in names:
            self.label(name)
        self.train(new=list(names), new_before=None)

    def turn(self, walker, cycle, names, **changes):
        """Halt, select, label and train."""
        folder = self.explore(walker, cycle, **changes)
        self.choose(folder, names, walker, cycle, self.number - 1)
        for name in names:
            self.label(name)
        self.train(new=list(names))
        return folder

    def validate(self, generation, holdout=HELD_OUT, **errors):
        """Write what a validation found."""
        report = {"campaign": self.campaign.campaign, "generation": generation, "level_of_theory": "level-1"}
        found = None if holdout is None else {**holdout, **errors}
        facts = {"settings": {"n_frames": 10}, "holdout": found, "labels": 10, "labels_failed": 0}
        write_json(self.directory.validation_report, {**report, **facts})

    def end(self, outcome="CONVERGED", reason=None):
        self.tell("finished", outcome=outcome, reason=reason)


def hashed(number):
    """Return a name as labels have."""
    return f"{number:016x}"
