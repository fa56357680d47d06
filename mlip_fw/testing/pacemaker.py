"""A stand-in for pacemaker: ``pacemaker_cmd: python -m mlip_fw.testing.pacemaker --fail nan``.

It reads what mlip_fw wrote for pacemaker and does everything but fitting: the potential that it was to start
from comes out, and the errors in ``metrics.txt`` are true ones. Or it plays a failure, for ever, or with
``+ok`` after its name only at the first attempt. Nothing that it makes is a result.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

_METRICS, _OUTPUT, _INTERIM = "metrics.txt", "output_potential.yaml", "interim_potential_0.yaml"
_COLUMNS = ("ladder_step", "cycle_step", "iter_num", "loss", "rmse_epa", "rmse_f_comp")
_WORDS = {
    "no_tensorflow": "ModuleNotFoundError: No module named 'tensorflow'",
    "numpy": "TypeError: only 0-dimensional arrays can be converted to Python scalars",
    "no_space": "OSError: [Errno 28] No space left on device",
    "crash": "KeyError: 'who knows'",
}
_METADATA = {"pacemaker_version": "0.4", "tensorpot_version": "0.6"}


def main() -> None:
    """Play pacemaker."""
    parser = argparse.ArgumentParser()
    parser.add_argument("input", type=Path)
    parser.add_argument("-ip", dest="initial", type=Path)
    parser.add_argument("--no-predict", action="store_true")
    parser.add_argument("--fail", default="", help=f"{', '.join(_WORDS)}, nan, diverge, killed, silent or foreign")
    parser.add_argument("--step-s", type=float, default=0.0, help="time of one step, s")
    options = parser.parse_args()
    given: dict[str, Any] = YAML(typ="safe", pure=True).load(options.input)
    fate, _, until = options.fail.partition("+")
    if until == "ok" and list(Path().glob(f"attempt_*_{_METRICS}")):
        fate = ""
    if fate in ("", "foreign"):
        _fit(given, options.initial, 2.0 if fate else 1.0, options.step_s)
    else:
        _fail(given, fate)


def _fail(given: dict[str, Any], fate: str) -> None:
    """Make two steps of made-up numbers, then fail."""
    shutil.copy(given["potential"], _INTERIM)
    losses = {"nan": float("nan"), "diverge": 3.0}
    _tabulate([(1.0, 0.1, 0.1), (losses.get(fate, 1.0), 0.1, 0.1)])
    if fate == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if fate == "diverge":
        shutil.copy(given["potential"], _OUTPUT)
    if fate in _WORDS:
        raise SystemExit(_WORDS[fate])


def _fit(given: dict[str, Any], initial: Path | None, exaggeration: float, step_s: float) -> None:
    """Make all steps without moving."""
    # pyace and pandas take their time, which a failure does not need
    from mlip_fw.testing.pacemaker_fit import completed, errors_of

    potential = completed(given["potential"], initial)
    energy, force = errors_of(potential, given["data"]["filename"])
    rows = []
    for _ in range(given["fit"]["maxiter"] + 1):
        rows.append((energy**2 + force**2, energy, exaggeration * force))
        _tabulate(rows)
        potential.save(_INTERIM)
        time.sleep(step_s)
    for key, value in _METADATA.items():
        potential.metadata[key] = value
    potential.save(_OUTPUT)


def _tabulate(rows: list[tuple[float, float, float]]) -> None:
    lines = [f"0 0 {step} {loss} {energy} {force}" for step, (loss, energy, force) in enumerate(rows)]
    Path(_METRICS).write_text("\n".join([" ".join(_COLUMNS), *lines]) + "\n")


if __name__ == "__main__":
    main()
