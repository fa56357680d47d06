"""How long commands take before they do anything: processor time against that of an empty Python.

Each command runs in turn with the others, several times, so that all meet the same other work of the machine; of
each the least time counts. ``whole`` imports all modules before the command line is parsed, as was done once.
"""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

CAMPAIGN = """\
campaign: small
elements: [Cu]
structure: {bulk: {symbol: Cu, cubic: true, repeat: [2, 2, 2]}}
md: {engine: embedded, stages: [{ensemble: nve, n_steps: 20}]}
oracle: {kind: ase, calculator: emt}
potential: {basis: SBessel, cutoff_a: 5.0, functions_per_element: 30}
"""
WHOLE = "import ase.io, fireworks, pyace, pymongo, scipy.integrate; from mlip_fw.cli.main import main; main()"
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "--version": ["-m", "mlip_fw", "--version"],
    "--help": ["-m", "mlip_fw", "--help"],
    "--help, whole": ["-c", WHOLE, "--help"],
    "status, no campaign": ["-m", "mlip_fw", "status"],
    "status small": ["-m", "mlip_fw", "status", "small"],
    "check c.yaml": ["-m", "mlip_fw", "check", "c.yaml"],
}
_RUNS = 7


def processor_s(arguments: list[str], folder: str) -> float:
    """Return user and system time of one run, s."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], cwd=folder, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure, and print a table."""
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "c.yaml").write_text(CAMPAIGN)
        subprocess.run([sys.executable, "-m", "mlip_fw", "run", "c.yaml"], cwd=folder, check=True, capture_output=True)
        (Path(folder) / "empty").mkdir()
        least = dict.fromkeys(COMMANDS, float("inf"))
        for _ in range(_RUNS):
            for name, arguments in COMMANDS.items():
                where = f"{folder}/empty" if name == "status, no campaign" else folder
                least[name] = min(least[name], processor_s(arguments, where))
    nothing = least["python -c pass"]
    print("| command | processor time, s | times an empty Python |\n|---|---|---|")
    for name, seconds in least.items():
        print(f"| {name} | {seconds:.2f} | {seconds / nothing:.0f} |")


if __name__ == "__main__":
    main()
