"""Run the campaigns that pages show, and record what the pages are drawn from: ``make docs-campaigns``.

Each campaign is run as a user runs it, ``mlip-fw run``, with the real LAMMPS, pyace and oracle, in
``docs/_build/campaigns``. What :mod:`recordings` says is copied to ``docs/campaigns``, with paths relative to the
campaign's directory. Run it after a change of an example, or when figures should show what a new version does::

    python docs/record_campaigns.py [NAME ...] [--from DIRECTORY]
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import matplotlib as mpl
import numpy as np
from ase import Atoms

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import recordings

import mlip_fw
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.engines.md.script import DUMP
from mlip_fw.io.files import write_json, write_text
from mlip_fw.io.lammps import read_dump
from mlip_fw.validation.rdf import distribution

BUILD = recordings.DOCS / "_build" / "campaigns"
COMMAND = ("run", "campaign.yaml", "--dir", "run")
PACKAGES = ("mlip-fw", "ase", "lammps", "numpy", "python-ace", "scipy")
_KEPT = (
    "campaign.yaml",
    "events.jsonl",
    "summary.json",
    "level_of_theory.json",
    "labels/*.extxyz",
    "audit/*.json",
    "audit/labels/*.extxyz",
    "potentials/gen_*/training.json",
    "walkers/*/cycle_*/gamma.dat",
    "walkers/*/cycle_*/result.json",
    "walkers/*/cycle_*/selection.json",
    "validation/validation.json",
)
_WITH_MOTION = {"cu-melt": range(7000, 8000, 20), "cu-two-phases": None}
"""Campaigns whose pages say what melts, and the steps of the melt whose g(r) is recorded."""
_CRYSTAL = range(500, 1000, 20)
_REACH_A = 5.0


def run(name: str) -> Path:
    """Run a campaign from its beginning and return its directory."""
    folder = BUILD / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(recordings.EXAMPLES / "structures", folder / "structures")
    write_text(folder / "campaign.yaml", recordings.campaign_file(name))
    subprocess.run([sys.executable, "-m", "mlip_fw", *COMMAND], cwd=folder, stdin=subprocess.DEVNULL, check=True)
    return folder / "run"


def record(name: str, source: Path) -> None:
    """Copy what pages need of the finished campaign directory ``source``."""
    outcome = mlip_fw.load(source).summary.outcome
    if outcome != "CONVERGED":
        raise SystemExit(f"{name} ended as {outcome}: pages show campaigns that converged")
    target = recordings.RECORDINGS / name
    shutil.rmtree(target, ignore_errors=True)
    for pattern in _KEPT:
        for path in sorted(source.glob(pattern)):
            copy = target / "run" / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(_without_absolute_paths(path.read_text(), source, copy.parent))
    for campaign, kind in sorted(recordings.figures()):
        if campaign == name:
            _record_picture(name, kind, source)
    if name in _WITH_MOTION:
        write_json(target / recordings.MOTION, motions(source, _WITH_MOTION[name]))
    facts = {
        "command": " ".join(["mlip-fw", *COMMAND]),
        "campaign_sha256": recordings.fingerprint(name),
        "packages": {package: version(package) for package in PACKAGES} | {"mlip-fw": mlip_fw.__version__},
    }
    write_json(target / recordings.RECORD, facts)


def _without_absolute_paths(text: str, source: Path, beside: Path) -> str:
    """Return ``text`` with paths in the campaign directory relative to it, and those of structures to ``beside``."""
    up = len(beside.relative_to(recordings.DOCS.parent).parts)
    structures = Path(*[".."] * up, "examples", "structures")
    text = text.replace(f"{source}/", "").replace(f"{source.parent}/structures/", f"{structures.as_posix()}/")
    if str(recordings.DOCS.parent) in text:
        raise SystemExit(f"an absolute path is left in {beside}")
    return text


def _record_picture(name: str, kind: str, source: Path) -> None:
    """Record a figure that can't be drawn from the recording; validation has drawn its own figures."""
    picture, validated = recordings.recorded_picture(name, kind), source / "validation" / f"{kind}.svg"
    if validated.is_file():
        shutil.copyfile(validated, picture)
    elif kind in recordings.FINISHED_KINDS:
        getattr(mlip_fw.load(source), f"plot_{kind}")().savefig(picture)


def frames_of(campaign: Path, walker: int) -> dict[int, Atoms]:
    """Return the frames of a walker's trajectory by step."""
    frames = {
        step: frame for folder in CampaignDirectory(campaign).cycles(walker) for step, frame in read_dump(folder / DUMP)
    }
    return dict(sorted(frames.items()))


def motions(campaign: Path, melt: range | None) -> dict[str, list]:
    """Return how the atoms of each walker moved; where steps of a ``melt`` are given, g(r) of it and of the crystal."""
    walkers = sorted(int(path.name) for path in (campaign / "walkers").iterdir())
    trajectories = {walker: frames_of(campaign, walker) for walker in walkers}
    found: dict[str, list] = {"walkers": [_motion(frames) for frames in trajectories.values()]}
    if melt is not None:
        found["g"] = [_g_of_r([trajectories[0][step] for step in part]) for part in (_CRYSTAL, melt)]
    return found


def _motion(frames: dict[int, Atoms]) -> dict[str, list[float]]:
    """Return steps, mean-square displacements (Å²) from the first frame, and volumes (Å³) per atom."""
    scaled = np.array([frame.get_scaled_positions(wrap=False) for frame in frames.values()])
    moves = np.diff(scaled, axis=0)
    moves -= np.round(moves)
    moves -= moves.mean(axis=1, keepdims=True)
    gone = np.concatenate([0 * scaled[:1], np.cumsum(moves, axis=0)])
    cells = np.array([frame.cell.array for frame in frames.values()])
    squares = (np.einsum("tni,tij->tnj", gone, cells) ** 2).sum(axis=2).mean(axis=1)
    volumes = np.abs(np.linalg.det(cells)) / scaled.shape[1]
    return {
        "step": list(frames),
        "mean_square_displacement_a2": squares.round(4).tolist(),
        "volume_a3_atom": volumes.round(4).tolist(),
    }


def _g_of_r(frames: list[Atoms]) -> dict[str, list[float]]:
    found = distribution(frames, _REACH_A)
    return {"r_a": found.r_a.round(4).tolist(), "g": found.g.round(4).tolist()}


def main() -> None:
    """Record the campaigns that are named, or all."""
    parser = argparse.ArgumentParser(description="Record the campaigns that pages show.")
    parser.add_argument("names", nargs="*", help="campaigns; without any, all that pages ask for")
    parser.add_argument("--from", dest="source", type=Path, help="a folder with NAME/run of each: record, don't run")
    chosen = parser.parse_args()
    mpl.use("agg")
    for name in chosen.names or recordings.campaigns():
        sys.stdout.write(f"{name}\n")
        record(name, (chosen.source.absolute() / name / "run") if chosen.source else run(name))
    sys.stdout.write(json.dumps({"outdated": recordings.outdated()}) + "\n")


if __name__ == "__main__":
    main()
