"""A stand-in for pw.x: ``pw_cmd: python -m mlip_fw.testing.pw --fail killed``.

It reads the ``pw.in`` that mlip_fw wrote, checks that it says what a real run needs, and
answers with the energy and forces of a toy potential in the words of a recorded output, or plays one of the
recorded failures (``tests/data/pw`` of the checkout). Nothing that it makes is a result.

A failure is played for ever, or with ``+ok`` after its name only until the input holds a correction that
helps, as ``--fail not_converged+ok``. A plan, ``--plan plan.json``, says how many labels meet which fate:
``{"scf": 70, "killed": 3, "too_few_steps+ok": 10, …}``. Each label draws its own, in an order that is shuffled
but always the same, and keeps it for all attempts; it is noted beside the plan, safe with any number of runs
at a time. Labels beyond the plan succeed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from mlip_fw.testing.pw_text import Input, answer, read_input

_RECORDED = Path(__file__).parents[2] / "tests" / "data" / "pw"
_HELPS: dict[str, Callable[[Input], bool]] = {
    "scf_not_converged": lambda given: given.electrons["mixing_beta"] < 0.3,
    "too_few_steps": lambda given: given.electrons["electron_maxstep"] >= 100,
    "eigenvalues": lambda given: given.electrons.get("diagonalization") == "cg",
    "not_positive_definite": lambda given: given.electrons.get("diagonalization") == "ppcg",
    "odd_electrons": lambda given: given.system["occupations"] == "smearing",
    "too_few_bands": lambda given: "nbnd" in given.system,
    "few_bands_smeared": lambda given: "nbnd" in given.system,
    "out_of_memory": lambda given: given.control["disk_io"] == "medium",
    "killed": lambda given: given.control["disk_io"] == "medium",
    "max_seconds": lambda given: given.control["restart_mode"] == "restart",
    "just_converged": lambda given: given.control["restart_mode"] == "restart",
    "cg_crash": lambda given: bool(given.control) and Path("attempt_1_pw.out").exists(),
}
"""Whether the input holds the correction that ends a failure; without an entry none does."""
_ADAPTED = {"scf": "scf", "nan": "scf", "short": "scf", "few_bands_smeared": "few_bands_smeared"}
"""Fates with exit code 0, and the recorded output that becomes one of the structure at hand."""
_WHOLE = {"save/charge-density.dat": "1", "save/data-file-schema.xml": "</qes:espresso>\n"}


def main() -> None:
    """Play pw.x."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-in", dest="input", type=Path, required=True)
    parser.add_argument(
        "--fail", default="scf", help="a recorded failure, hang, nan, short or just_converged; with +ok until corrected"
    )
    parser.add_argument("--plan", type=Path, help="JSON file: how many labels meet which fate")
    parser.add_argument("--recorded", type=Path, default=_RECORDED, help="directory of the recorded outputs")
    options = parser.parse_args()
    given = read_input(options.input)
    if given.control.get("nstep") == 0:
        print((options.recorded / "scf" / "pw.out").read_text().partition("Current dimensions")[0])
        return
    fate = _drawn(options.plan, given) if options.plan else options.fail
    kind, _, until = fate.partition("+")
    if until == "ok" and kind in _HELPS and _HELPS[kind](given):
        kind = "scf"
    _play(kind, given, options.recorded)


def _drawn(plan: Path, given: Input) -> str:
    """Return the fate of a label, drawn once."""
    counts: dict[str, int] = json.loads(plan.read_text())
    fates = [fate for fate, count in sorted(counts.items()) for _ in range(count)]
    random.Random(len(fates)).shuffle(fates)
    notes = plan.with_suffix(".drawn")
    notes.mkdir(exist_ok=True)
    mine = notes / f"label-{given.identity}"
    if mine.exists():
        return mine.read_text()
    for number, fate in enumerate(fates):
        try:
            (notes / f"slot-{number:04d}").open("x").close()
        except FileExistsError:
            continue
        mine.write_text(fate)
        return fate
    mine.write_text("scf")
    return "scf"


def _play(kind: str, given: Input, recorded: Path) -> None:
    if kind == "hang":
        time.sleep(10_000)
    if kind in _ADAPTED:
        text = answer(given, (recorded / _ADAPTED[kind] / "pw.out").read_text())
        if kind == "short":
            text = re.sub(r"     atom    1 type .*\n", "", text)
        if kind == "nan":
            text = re.sub(r"(     atom    1 type .*) -?\d+\.\d+\n", r"\1  NaN\n", text)
        sys.stdout.write(text)
        return
    if kind == "just_converged":
        _end_before_the_forces(given, recorded)
    _play_recorded(recorded / kind, given)


def _end_before_the_forces(given: Input, recorded: Path) -> NoReturn:
    """Play a run whose time is over when it has just converged; what it saves lacks ``restart_scf``."""
    solved = (recorded / "scf" / "pw.out").read_text().partition("     convergence has been achieved")
    stopped = (recorded / "max_seconds" / "pw.out").read_text().partition("     Maximum CPU time exceeded")
    sys.stdout.write("".join([*solved[:2], solved[2].partition("\n")[0], "\n\n", *stopped[1:]]))
    _save(Path(given.control["outdir"]) / given.control["prefix"], _WHOLE)
    raise SystemExit(255)


def _play_recorded(folder: Path, given: Input) -> None:
    if not folder.is_dir():
        known = ", ".join(sorted(path.name for path in folder.parent.iterdir() if path.is_dir()))
        raise SystemExit(f"no recorded {folder.name}; known are hang, nan, short, {known}")
    for name, stream in (("pw.out", sys.stdout), ("pw.err", sys.stderr)):
        if (folder / name).is_file():
            stream.write((folder / name).read_text())
        stream.flush()
    if (folder / "CRASH").is_file():
        Path("CRASH").write_text((folder / "CRASH").read_text())
    if folder.name == "max_seconds":
        _save(Path(given.control["outdir"]) / given.control["prefix"], {"restart_scf": "1", **_WHOLE})
    ended: dict[str, Any] = json.loads((folder / "ended.json").read_text())
    if ended["exit_code"] < 0:
        os.kill(os.getpid(), -ended["exit_code"])
    raise SystemExit(ended["exit_code"])


def _save(prefix: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = Path(f"{prefix}.{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
