"""Pictures of the pages for the documentation, from campaigns that run while they are taken: ``make screenshots``."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.text import Text
from ruamel.yaml import YAML

from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.launchpad.server.control import start_server, stop_server

DOCS = Path(__file__).parent
PICTURES = DOCS / "_static" / "screenshots"
MAX_BYTES = 150_000
MLIP_FW = [sys.executable, "-m", "mlip_fw"]
CHROMIUM = shutil.which(os.environ.get("MLIP_FW_CHROMIUM", "chromium"))
OPTIONS = ["--no-sandbox", "--disable-dev-shm-usage", "--enable-unsafe-swiftshader"]
CUTOUTS = {
    "campaign": "al-cutouts",
    "seed": 3,
    "elements": ["Al"],
    "structure": {"bulk": {"symbol": "Al", "crystal": "fcc", "a": 4.0, "cubic": True, "repeat": [4, 4, 4]}},
    "md": {
        "walkers": 3,
        "timestep_fs": 2.0,
        "stages": [{"ensemble": "nvt", "temperature_k": [300, 1000], "n_steps": 600, "damp_fs": 100}],
    },
    "uncertainty": {"gamma_select": 2.0, "gamma_halt": 4.0, "check_interval": 10},
    "candidates": {"max_labels_per_halt": 2, "cutout": {"max_atoms": 90}},
    "oracle": {"kind": "ase", "calculator": "emt"},
    "potential": {"kind": "linear", "cutoff_a": 5.0, "functions_per_element": 60},
}
HALTS_BEFORE_PICTURES = 6


def main() -> None:
    """Run a campaign to its end and another one, and take pictures of both."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        launchpad = start_server(folder / "launchpad", with_this_process=True).launchpad_file
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        try:
            add(shortened(DOCS.parent / "examples" / "cu-melt.yaml"), folder, launchpad)
            with worker(folder, launchpad) as working:
                working.wait()
            add(CUTOUTS, folder, launchpad)
            with worker(folder, launchpad) as working, site(folder, launchpad) as address:
                wait_for(lambda: n_halts(folder / "al-cutouts") >= HALTS_BEFORE_PICTURES)
                take_of_running(browser, address, folder)
                working.wait()
                take_of_finished(browser, address, folder)
        finally:
            browser.close()
            stop_server(folder / "launchpad")


def take_of_running(browser: Browser, address: str, folder: Path) -> None:
    """Take pictures of the list and of a campaign while it runs."""
    take(browser, f"{address}/", "list", 1150, 330)
    take(browser, f"{address}/campaign/al-cutouts/", "campaign", 1200, 1180)
    take(browser, f"{address}/campaign/al-cutouts/", "campaign-dark", 1200, 1180, color_scheme="dark")
    take(browser, f"{address}/campaign/al-cutouts/", "phone", 360, 740, is_mobile=True, has_touch=True)
    take_terminal(browser, "status", ["status", "al-cutouts"], folder)


def take_of_finished(browser: Browser, address: str, folder: Path) -> None:
    """Take pictures of the halt with the most atoms left out, and of the generation that learnt from it."""
    halt = max(CampaignDirectory(folder / "al-cutouts").cycles(), key=n_left_out)
    walker, cycle = int(halt.parent.name), int(halt.name.removeprefix("cycle_"))
    take(browser, f"{address}/campaign/al-cutouts/halt/{walker}/{cycle}", "halt", 1200, 1900)
    take(browser, f"{address}/campaign/cu-melt/generation/1", "generation", 1200, 1000)


def take(browser: Browser, address: str, name: str, width: int, height: int, **options: Any) -> None:
    """Take a picture of a page, no higher than it is."""
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    page = context.new_page()
    page.goto(address, wait_until="networkidle")
    page.get_by_text("Evaluating its labels").wait_for(state="hidden", timeout=180_000)
    for chart in page.locator("[data-chart]").all():
        chart.locator(".main-svg, canvas").first.wait_for()
    whole = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": width, "height": min(height, whole)})
    page.wait_for_timeout(1000)
    keep(page.screenshot(), name)
    context.close()


def take_terminal(browser: Browser, name: str, words: list[str], folder: Path) -> None:
    """Take a picture of what a command prints first."""
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": "100"}
    said = subprocess.run(
        [*MLIP_FW, *words], cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    console = Console(record=True, width=100, file=io.StringIO())
    first, _, _ = said.partition("\n\n")
    console.print(Text.from_ansi(f"$ mlip-fw {' '.join(words)}\n{first}"))
    context = browser.new_context(viewport={"width": 1000, "height": 600})
    page = context.new_page()
    page.set_content(console.export_html(inline_styles=True))
    page.add_style_tag(content="pre { display: inline-block; padding: 12px; margin: 0; font-size: 15px; }")
    keep(page.locator("pre").screenshot(), name)
    context.close()


def keep(screenshot: bytes, name: str) -> None:
    """Write a picture with as few colours as make it small."""
    picture = Image.open(io.BytesIO(screenshot)).convert("RGB")
    path = PICTURES / f"{name}.png"
    for colours in (256, 128, 64, 32):
        picture.quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size <= MAX_BYTES:
            return
    raise SystemExit(f"{path} has {path.stat().st_size} bytes, expected {MAX_BYTES} at most; show less of the page")


def shortened(path: Path, n_steps: int = 2000) -> dict[str, Any]:
    """Return a campaign with the first stage only, and less of it."""
    campaign: dict[str, Any] = YAML(typ="safe").load(path)
    campaign["md"]["stages"] = [{**campaign["md"]["stages"][0], "n_steps": n_steps}]
    return campaign


def add(campaign: dict[str, Any], folder: Path, launchpad: Path) -> None:
    """Add a campaign to the LaunchPad."""
    path = folder / f"{campaign['campaign']}.yaml"
    YAML(typ="safe").dump(campaign, path)
    subprocess.run([*MLIP_FW, "add", path, "-l", launchpad], cwd=folder, check=True)


@contextmanager
def worker(folder: Path, launchpad: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Have a worker run what is there."""
    words = ["rlaunch", "-s", "-l", str(launchpad), "rapidfire"]
    with subprocess.Popen([*MLIP_FW, *words], cwd=folder, stdout=subprocess.DEVNULL) as working:
        yield working


@contextmanager
def site(folder: Path, launchpad: Path) -> Iterator[str]:
    """Have the pages at an address."""
    words = ["web", "-l", str(launchpad), "--port", "0"]
    with subprocess.Popen([*MLIP_FW, *words], cwd=folder, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        found = next(found for line in serving.stdout if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
        yield found[0]
        serving.terminate()


def n_halts(directory: Path) -> int:
    """Return how often a campaign has halted."""
    return sum(event["event"] == "halted" for event in CampaignDirectory(directory).events())


def n_left_out(cycle: Path) -> int:
    """Return how many atoms of what was cut out after a cycle are not trained on."""
    from mlip_fw.io.files import read_model
    from mlip_fw.models.selection import Selection

    selection = read_model(cycle / "selection.json", Selection)
    cutout = selection.cutout if selection is not None else None
    return int(cutout["n_atoms"] - cutout["n_trained"]) if cutout else 0


def wait_for(is_so: Callable[[], bool], timeout_s: float = 600.0) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > deadline:
            raise SystemExit("the campaign does not come as far as the pictures need it")
        time.sleep(0.5)


if __name__ == "__main__":
    main()
