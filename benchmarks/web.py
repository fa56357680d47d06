"""What the pages of `mlip-fw web` cost, at 100 and at 10,000 Fireworks.

::

    PYTHONPATH=. python benchmarks/web.py                    both sizes, about three minutes
    PYTHONPATH=. python benchmarks/web.py --sizes 100 --json only one, as JSON on standard output

A campaign directory and the documents of its Fireworks are written as the loop would write them, on the LaunchPad
server of one machine; nothing is run. The server is the real command in its own process. Of each page: its first
answer, which may say that files are still being read; the time until it is whole; the median of the answers after that,
and the processor seconds of one; the one right after a change (a new label and its event); and from a command of its
own, the time until it is whole with a database that is 50 ms away, and the median after that. FireWorks' own GUI
answers on the same server. Besides the one campaign, 150 others wait on the LaunchPad.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fireworks import Firework, LaunchPad, Workflow

from mlip_fw.launchpad.server.control import start_server, stop_server
from mlip_fw.models.handoff import CandidatesHandoff, LabelHandoff, MDHandoff, TrainHandoff
from mlip_fw.workflows.build import candidates_firework, label_firework, md_firework, train_firework
from mlip_fw.workflows.campaign import campaign_workflow
from tests.helpers.relay import Relay
from tests.helpers.written_campaigns import Scribe, campaign, hashed

_CYCLES = {100: 10, 10_000: 200}
_REPEATS = 5
_UNREAD = b"for the first time"
"""What a page says as long as files are still being read."""
_PER_WORKFLOW = 90
"""Finished Fireworks are moved to workflows of their own, of about so many."""
_OPEN = 12
"""Label Fireworks that wait."""
_OTHERS = 150
_ROUND_TRIP_S = 0.05
_PAGES = {
    "campaign list": "/",
    "campaign": "/campaign/cu-story/",
    "campaign, data": "/campaign/cu-story/data.json",
    "campaign, charts": "/campaign/cu-story/charts.json",
    "halt": "/campaign/cu-story/halt/0/3",
    "generation": "/campaign/cu-story/generation/3",
    "FireWorks: home": "/fireworks/",
    "FireWorks: Fireworks": "/fireworks/fw/",
    "FireWorks: a Firework": "/fireworks/fw/{fw}",
}


def main() -> None:
    """Measure what is asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(_CYCLES), choices=list(_CYCLES))
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    found = {size: _measured(size, _CYCLES[size]) for size in arguments.sizes}
    if arguments.json:
        print(json.dumps(found, indent=1))
        return
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}; seconds")
    for size, pages in found.items():
        print(f"\n{size:,} Fireworks, {_CYCLES[size]} cycles")
        print(
            f"{'page':24}"
            + "".join(f"{column:>9}" for column in ("first", "whole", "again", "cpu", "changed", "far", "again", "kB"))
        )
        for name, row in pages.items():
            changed = f"{row['changed']:9.3f}" if "changed" in row else f"{'':9}"
            print(
                f"{name:24}{row['first']:9.3f}{row['whole']:9.3f}{row['again']:9.3f}{row['cpu']:9.3f}{changed}"
                f"{row['far']:9.3f}{row['far_again']:9.3f}{row['kB']:9.0f}"
            )
    if len(found) == 2:
        small, large = found.values()
        print(
            "\nlarge against small, repeated: "
            + ", ".join(f"{n} {large[n]['again'] / small[n]['again']:.1f}" for n in small)
        )


def _measured(size: int, cycles: int) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scribe = write_campaign_of(folder / "cu-story", size, cycles)
        facts = start_server(folder / "database", with_this_process=True)
        pad = LaunchPad.from_file(str(facts.launchpad_file))
        pad.m_logger.setLevel("ERROR")
        newest = write_fireworks_of(pad, scribe, size, cycles)
        for number in range(_OTHERS):
            pad.fw_id_assigner.update_one({}, {"$max": {"next_fw_id": newest + 1}})
            pad.add_wf(campaign_workflow(campaign(campaign=f"cu-{number:03}"), Path(f"/nowhere/cu-{number:03}")))
        try:
            with serving(folder, facts.launchpad_file) as (address, pid):
                found = _pages(address, pid, scribe, newest)
            with Relay(facts.port, _ROUND_TRIP_S / 2) as relay:
                file = relay.launchpad_file(facts.launchpad_file, folder)
                with serving(folder, file) as (address, _):
                    for page, times in _far_pages(address, newest).items():
                        found[page] |= times
            return found
        finally:
            pad.connection.close()
            stop_server(folder / "database")


def _pages(address: str, pid: int, scribe: Scribe, fw_id: int) -> dict[str, dict[str, float]]:
    found = {}
    for name, path in _PAGES.items():
        whole = address + path.format(fw=fw_id)
        begun = time.perf_counter()
        first, content = _timed(whole)
        while _UNREAD in content:
            _, content = _timed(whole)
        until_whole = time.perf_counter() - begun
        worked = _processor_seconds(pid)
        again = statistics.median(_timed(whole)[0] for _ in range(_REPEATS))
        cpu = (_processor_seconds(pid) - worked) / _REPEATS
        found[name] = {"first": first, "whole": until_whole, "again": again, "cpu": cpu, "kB": len(content) / 1000}
    for number, (name, path) in enumerate(_PAGES.items()):
        if not path.startswith("/fireworks"):
            scribe.label(hashed(10**9 + number), n=108)
            found[name]["changed"] = _timed(address + path)[0]
    return found


def _far_pages(address: str, fw_id: int) -> dict[str, dict[str, float]]:
    """Return how long pages take whose database is far away: the first time, and when much is known."""
    found = {}
    for name, path in _PAGES.items():
        whole = address + path.format(fw=fw_id)
        begun = time.perf_counter()
        while _UNREAD in _timed(whole)[1]:
            pass
        until_whole = time.perf_counter() - begun
        found[name] = {
            "far": until_whole,
            "far_again": statistics.median(_timed(whole)[0] for _ in range(_REPEATS)),
        }
    return found


def write_campaign_of(root: Path, size: int, cycles: int) -> Scribe:
    """Write the directory of a campaign with so many Fireworks, its last halt still being labelled."""
    scribe = Scribe(root, md={"walkers": 1, "stages": [{"ensemble": "nvt", "n_steps": 10**6, "temperature_k": 300.0}]})
    scribe.begin()
    per_halt = (size - 2) // cycles - 3
    for cycle in range(cycles - 1):
        scribe.turn(0, cycle, _names(cycle, per_halt), steps=1000)
    folder = scribe.explore(0, cycles - 1, steps=1000)
    scribe.choose(folder, _names(cycles - 1, per_halt), 0, cycles - 1, scribe.number - 1)
    return scribe


def write_fireworks_of(pad: LaunchPad, scribe: Scribe, size: int, cycles: int) -> int:
    """Write the documents of its Fireworks as the loop leaves them, and return the number of the newest."""
    per_halt = (size - 2) // cycles - 3
    made = [firework for cycle in range(cycles) for firework in _fireworks(scribe, cycle, per_halt)]
    for number, firework in enumerate(made, start=1):
        firework.fw_id = number
    open_ones = set(range(len(made) - min(_OPEN, per_halt), len(made) + 1))
    documents = []
    for firework in made:
        document = firework.to_db_dict()
        documents.append({**document, "state": "READY" if firework.fw_id in open_ones else "COMPLETED"})
    pad.fireworks.insert_many(documents)
    metadata = {"mlip_fw": True, "directory": str(scribe.directory.root)}
    for first in range(0, len(made), _PER_WORKFLOW):
        part = documents[first : first + _PER_WORKFLOW]
        name = "cu-story" if first + _PER_WORKFLOW >= len(made) else "cu-story, finished part"
        plain = Workflow(made[first : first + _PER_WORKFLOW], name=name, metadata=metadata).to_db_dict()
        pad.workflows.insert_one({**plain, "fw_states": {str(d["fw_id"]): d["state"] for d in part}})
    return len(made)


def _fireworks(scribe: Scribe, cycle: int, per_halt: int) -> Iterator[Firework]:
    common: dict[str, Any] = {"campaign": scribe.campaign, "directory": str(scribe.directory.root)}
    folder = scribe.directory.cycle(0, cycle)
    yield md_firework(MDHandoff(**common, walker=0, cycle=cycle, turns=cycle, start=str(folder / "halt.restart")))
    yield candidates_firework(CandidatesHandoff(**common, walker=0, cycle=cycle))
    for index, name in enumerate(_names(cycle, per_halt)):
        handoff = LabelHandoff(**common, hash=name, structures=str(folder / "selected.extxyz"), index=index)
        yield label_firework(handoff)
    yield train_firework(TrainHandoff(**common, walker=0, cycle=cycle))


def _names(cycle: int, per_halt: int) -> list[str]:
    return [hashed(1000 * (cycle + 1) + k) for k in range(per_halt)]


@contextmanager
def serving(folder: Path, launchpad: Path) -> Iterator[tuple[str, int]]:
    """Run the command in a folder and give its address and its process."""
    command = [sys.executable, "-m", "mlip_fw", "web", "--port", "0", "-l", str(launchpad)]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        address = re.search(r"http://[0-9.:]+", process.stdout.readline())
        assert address is not None
        yield address[0], process.pid
    finally:
        process.terminate()
        process.wait(30)


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _timed(address: str) -> tuple[float, bytes]:
    begun = time.perf_counter()
    try:
        with urllib.request.urlopen(address, timeout=300) as answer:
            content = answer.read()
    except urllib.error.HTTPError as error:
        content = error.read()
        if _UNREAD not in content:
            raise SystemExit(f"{address}: {error.code} {content[:300]!r}") from error
    return time.perf_counter() - begun, content


if __name__ == "__main__":
    main()
