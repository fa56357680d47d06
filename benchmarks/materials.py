"""How good the potentials of whole campaigns are, on materials of every kind.

::

    python benchmarks/materials.py --results before                      all materials, two seeds: hours
    python benchmarks/materials.py --results before --materials cu mgo   some of them
    python benchmarks/materials.py --results after --compare before/materials.json

Each campaign is run by `mlip-fw run` with the defaults of the campaign file, in a folder of its own below
``--results``; what is there already is not run again, and an interrupted campaign goes on. Its final potential is
then tested on frames of MD at the campaign's temperatures, which the oracle labels: MD by the oracle
where that is cheap, by the potential where it is not (column "frames"). With ``--frames-of`` they are tested on the
frames of an earlier folder as well.

Oracles are EMT, Lennard-Jones, pw.x of Quantum ESPRESSO, GFN2-xTB (`pip install tblite`) and CHGNet
(`pip install mlip-fw[universal]`). Materials whose oracle is not installed are left out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ase import Atoms
from material_list import MATERIALS, Material
from material_table import comparison, table
from material_test import Oracle, changed_molecules, final_potential, test_frames, true_errors

import mlip_fw
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.io.files import write_json
from mlip_fw.io.structures import write_frames

_ENDS = (0, 3)
"""Exit codes of a campaign that ended by itself: converged, stopped with a reason."""


def measure(material: Material, seed: int, results: Path, frames_of: Path | None) -> dict[str, Any]:
    """Return what one campaign came to; that of ``results`` if it is there."""
    folder = results / material.name / f"seed-{seed}"
    kept = folder / "result.json"
    found: dict[str, Any] = json.loads(kept.read_text()) if kept.is_file() else {}
    if not found:
        found = judged(material, seed, run_campaign(material, seed, folder), folder)
        write_json(kept, found)
    if frames_of is not None and material.tested_on == "potential":
        given = frames_of / material.name / f"seed-{seed}"
        directory = CampaignDirectory(folder / "run")
        _, source = final_potential(directory)
        found["true_on_given_frames"] = true_errors(source, frames_for(material, directory, given))
    return found


def run_campaign(material: Material, seed: int, folder: Path) -> dict[str, Any]:
    """Run a campaign to its end, or go on with it; return its summary."""
    starts = material.starts() if not (folder / "campaign.yaml").is_file() else []
    folder.mkdir(parents=True, exist_ok=True)
    for index, atoms in enumerate(starts):
        write_frames(folder / f"start-{index}.extxyz", [atoms])
    if starts:
        names = [f"start-{index}.extxyz" for index in range(len(starts))]
        write_json(folder / "campaign.yaml", material.campaign(seed, names))
    command = [sys.executable, "-m", "mlip_fw", "run", "campaign.yaml", "--dir", "run", "--json"]
    with (folder / "log.txt").open("a") as log:
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True, check=False)
    if done.returncode not in _ENDS:
        raise RuntimeError(f"mlip-fw run ended with exit code {done.returncode}; see {folder / 'log.txt'}")
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def judged(material: Material, seed: int, summary: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the summary of a campaign with the true errors of its final potential."""
    directory = CampaignDirectory(folder / "run")
    _, source = final_potential(directory)
    # frames of the oracle's MD serve all seeds
    frames = frames_for(material, directory, folder if material.tested_on == "potential" else folder.parent)
    wanted = len(material.starts()) * len(material.test_k) * material.frames_per_start
    return {
        "material": material.name,
        "used_to": material.used_to,
        "kind": material.kind,
        "seed": seed,
        "version": mlip_fw.__version__,
        "tested_on": material.tested_on,
        "summary": summary,
        "error": summary.get("error"),
        "basis": summary.get("basis"),
        "coverage": summary.get("coverage"),
        "true": true_errors(source, frames),
        "frames_lost": wanted - len(frames),
        "changed_molecules": changed_molecules(directory) if material.kind == "molecular" else None,
    }


def frames_for(material: Material, directory: CampaignDirectory, folder: Path) -> list[Atoms]:
    """Return the frames that are kept in ``folder``, made now if they are not there."""
    path, _ = final_potential(directory)
    return test_frames(material, Oracle.of(directory.read_campaign()), path, folder)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("materials"), help="folder of campaigns and results")
    parser.add_argument("--materials", nargs="+", choices=MATERIALS, default=list(MATERIALS), help="which materials")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2], help="seeds of the campaigns")
    parser.add_argument("--json", action="store_true", help="print all numbers instead of the table")
    parser.add_argument("--frames-of", type=Path, help="folder of earlier results: test on its frames as well")
    parser.add_argument("--compare", type=Path, help="materials.json of earlier results: print what has changed")
    return parser.parse_args()


def main() -> None:
    """Run the campaigns that are not there yet, and print what all of them came to."""
    arguments = _arguments()
    found: list[dict[str, Any]] = []
    for material in (MATERIALS[name] for name in arguments.materials):
        if material.missing is not None:
            print(f"{material.name}: left out, {material.missing} is not installed", file=sys.stderr)
            continue
        for seed in arguments.seeds:
            print(f"{material.name}, seed {seed}", file=sys.stderr, flush=True)
            try:
                found.append(measure(material, seed, arguments.results, arguments.frames_of))
            except RuntimeError as error:
                print(f"  {error}", file=sys.stderr, flush=True)
    write_json(arguments.results / "materials.json", found)
    print(json.dumps(found, indent=1) if arguments.json else table(found))
    if arguments.compare is not None:
        print(f"\n{comparison(json.loads(arguments.compare.read_text()), found)}")


if __name__ == "__main__":
    main()
