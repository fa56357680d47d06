"""What the workflow costs: `mlip-fw run` against a plain loop, a retraining, the embedded engine.

::

    python benchmarks/loop.py                      all parts, about ten minutes
    python benchmarks/loop.py --loop --steps 2000  only the two loops, on a shorter campaign
    python benchmarks/loop.py --fit --json         only the retraining, as JSON on standard output

Parts: ``--loop`` runs a campaign as a plain in-process loop and then by `mlip-fw run`, both with the
embedded engine; ``--fit`` times one retraining at 50 labels of 108 atoms; ``--embedded`` times MD steps; ``--labels``
counts the labels of a campaign and tests its potential.
The plain loop is timed without the start of its Python and its imports, `mlip-fw run` with them.
On a machine that does other work, processor seconds say more than wall seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from embedded_speed import CHECKED, LARGE, SMALL, measure_embedded
from label_count import TEMPERATURES_K, measure_labels
from plain_loop import PlainLoop
from training_speed import labelled_copper, measure_training, median_s, teach
from workflow_loop import HaltTimes, run_workflow, spread

from mlip_fw.io.campaign_file import read_campaign
from mlip_fw.models.campaign import Campaign

_EXAMPLE = Path(__file__).with_name("cu-ramp.yaml")
_FORCE_TARGETS_MEV_A = (1.6, 3.7, 7.9)
_PHASES = ("halt_to_event", "candidates", "lammps_start", "fireworks", "label", "train")


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    found: float
    unit: str = ""
    at_most: float | None = None

    def text(self) -> str:
        """Return the line, with a verdict where there is a target."""
        value = f"{self.found:.0f}" if float(self.found).is_integer() else f"{self.found:.4g}"
        verdict = ""
        if self.at_most is not None:
            verdict = f"at most {self.at_most:g}: {'met' if self.found <= self.at_most else 'MISSED'}"
        return f"  {self.what:<64}{value:>9} {self.unit:<8}{verdict}".rstrip()


Part = tuple[list[Row], dict[str, Any]]


def loop_part(campaign: Campaign, _: Campaign) -> Part:
    """Run the campaign both ways."""
    plain = PlainLoop(campaign).run()
    with tempfile.TemporaryDirectory(prefix="workflow-loop-") as folder:
        ours = run_workflow(campaign, Path(folder))
    summary = ours.summary
    ratio, cpu_ratio = ours.wall_s / plain.wall_s, ours.cpu_s / plain.cpu_s
    rows = [
        Row(f"plain loop ({'finished' if plain.finished else 'stopped'})", plain.wall_s, "s"),
        *(Row(f"    of which {name}", value, "s") for name, value in plain.seconds.items()),
        Row("    processor seconds", plain.cpu_s, "s"),
        Row("    halts", plain.halts),
        Row("    labels", plain.labels),
        Row("    force RMSE (training set)", 1000 * plain.force_rmse_ev_a, "meV/Å"),
        Row(f"mlip-fw run ({summary['outcome']})", ours.wall_s, "s"),
        *(Row(f"    of which {name}", value, "s") for name, value in summary["seconds"].items() if name != "total"),
        Row("    start of Python, imports, first checks", ours.wall_s - summary["seconds"]["total"], "s"),
        Row("    processor seconds", ours.cpu_s, "s"),
        Row("    halts", summary["halts"]),
        Row("    labels", summary["labels"]),
        Row("    force RMSE (training set)", 1000 * summary["dataset_force_rmse_ev_a"], "meV/Å"),
        Row("mlip-fw run / plain loop", ratio, "", at_most=1.5),
        Row("    the same in processor seconds", cpu_ratio),
        *_overhead_rows(ours.halts),
    ]
    halts = [{**asdict(h), "fireworks": h.fireworks, "overhead": h.overhead} for h in ours.halts]
    return rows, {
        "plain": asdict(plain),
        "workflow": {"wall_s": ours.wall_s, "cpu_s": ours.cpu_s, "summary": summary, "halts": halts},
        "ratio": ratio,
        "cpu_ratio": cpu_ratio,
    }


def _overhead_rows(halts: list[HaltTimes]) -> list[Row]:
    if not halts:
        return []
    whole, after_event = spread([h.overhead for h in halts]), spread([h.overhead_after_event for h in halts])
    return [
        Row("halt to first resumed MD step, less label and training, median", whole["median"], "s", at_most=2.0),
        Row("    largest", whole["max"], "s", at_most=2.0),
        Row('    counted from the event "halted": median', after_event["median"], "s"),
        Row("    largest", after_event["max"], "s"),
        *(Row(f"    {name}, median", spread([getattr(h, name) for h in halts])["median"], "s") for name in _PHASES),
    ]


def fit_part(_: Campaign, copper: Campaign) -> Part:
    """Time a retraining at 50 labels."""
    with tempfile.TemporaryDirectory(prefix="training-speed-") as folder:
        times = measure_training(Path(folder), copper, labelled_copper())
    ours, reference = median_s(times), sum(times.from_scratch.values())
    rows = [
        Row("fit, rows, active set, files for the 50th label: median of 3", ours, "s", at_most=1.0),
        Row("    largest", max(times.one_more), "s"),
        Row("    force RMSE", 1000 * times.force_rmse_ev_a, "meV/Å"),
        Row("pyace from scratch on 50 labels (linearacefit, activelearning)", reference, "s"),
        *(Row(f"    {name}", value, "s") for name, value in times.from_scratch.items()),
        Row("one more label / from scratch", ours / reference),
    ]
    return rows, {**asdict(times), "median_s": ours, "from_scratch_s": reference, "ratio": ours / reference}


def embedded_part(_: Campaign, copper: Campaign) -> Part:
    """Time MD steps of the embedded engine."""
    with tempfile.TemporaryDirectory(prefix="embedded-speed-") as folder:
        generations = teach(Path(folder), copper, labelled_copper())
        found = measure_embedded(generations.potential(0).absolute(), copper)
    size, check = found[LARGE.name] / found[SMALL.name], found[CHECKED.name] / found[SMALL.name]
    rows = [
        *(Row(f"embedded engine, {name}", value, "µs/atom/step") for name, value in found.items()),
        Row("2048 atoms / 108 atoms", size, "", at_most=1.3),
        Row("gamma on every step / on every 10th", check),
    ]
    return rows, {"us_per_atom_step": found, "size_ratio": size, "check_ratio": check}


def labels_part(_: Campaign, copper: Campaign) -> Part:
    """Count the labels at gamma_halt 5, and test the potential on MD of the oracle."""
    with tempfile.TemporaryDirectory(prefix="label-count-") as folder:
        found = measure_labels(Path(folder), copper)
    targets = dict(zip(TEMPERATURES_K, _FORCE_TARGETS_MEV_A, strict=True))
    rows = [
        Row("gamma_halt 5, 300 to 1600 K in 2,000 steps: halts", found.halts),
        Row("    labels", found.labels, "", at_most=16),
        *(
            Row(f"    force RMSE on MD of the oracle at {t} K", error, "meV/Å", at_most=targets[t])
            for t, error in found.force_rmse_mev_a.items()
        ),
    ]
    return rows, asdict(found)


PARTS: dict[str, Callable[[Campaign, Campaign], Part]] = {
    "loop": loop_part,
    "fit": fit_part,
    "embedded": embedded_part,
    "labels": labels_part,
}


def shortened(campaign: Campaign, steps: int | None) -> Campaign:
    """Return the campaign on the embedded engine, no stage longer than ``steps``."""
    data = campaign.model_dump(mode="json")
    data["md"]["engine"] = "embedded"
    for stage in data["md"]["stages"]:
        stage["n_steps"] = stage["n_steps"] if steps is None else min(stage["n_steps"], steps)
    return Campaign.model_validate(data)


def _load() -> float:
    """Return the mean number of running processes of the last minute: what else the machine does counts too."""
    return round(os.getloadavg()[0], 2)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--campaign", type=Path, default=_EXAMPLE, help="campaign file of --loop")
    parser.add_argument("--steps", type=int, help="longest stage of --loop, in MD steps")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    for name, part in PARTS.items():
        parser.add_argument(f"--{name}", action="store_true", help=(part.__doc__ or "").rstrip("."))
    return parser.parse_args()


def main() -> None:
    """Run the wanted parts, or all, and print what was found."""
    arguments = _arguments()
    wanted = [name for name in PARTS if getattr(arguments, name)] or list(PARTS)
    campaign = shortened(read_campaign(arguments.campaign), arguments.steps)
    copper = shortened(read_campaign(_EXAMPLE), None)
    found: dict[str, Any] = {"machine": {"processors": os.cpu_count(), "python": platform.python_version()}}
    for name in wanted:
        before = _load()
        print(f"{name}: running", file=sys.stderr, flush=True)
        rows, facts = PARTS[name](campaign, copper)
        found[name] = {**facts, "load_before": before, "load_after": _load()}
        if not arguments.json:
            heading = f"{name} (load of {os.cpu_count()} processors {before:g} before, {_load():g} after)"
            print("\n".join([heading, *(row.text() for row in rows), ""]), flush=True)
    if arguments.json:
        print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
