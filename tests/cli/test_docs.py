"""What the documentation tells users to type is typed here; and the site builds, with its pictures."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from mlip_fw.engines.md.script import DUMP
from mlip_fw.io.lammps import read_dump
from mlip_fw.layout import CampaignDirectory
from mlip_fw.models.campaign import Campaign
from mlip_fw.validation.rdf import distribution
from tests.helpers.pages import DOCS, blocks_in, pages
from tests.helpers.programs import ROOT, check_contract, require

TUTORIAL = DOCS / "tutorial.md"
RUNNABLE, CONTINUED = "runnable", "continued"
"""Words behind the language: run this block; run it in one go with the one before."""
EXAMPLES = ROOT / "examples"
QUICK = ("al-pressure", "argon", "cu-melt", "cu-surface", "cu-two-phases", "cuau-alloy", "ni-defects")
"""Examples that the build of the site runs."""
_TIMEOUT_S = 600
_SITE_TIMEOUT_S = 1200
_SYSTEM = ("/usr/local/bin", "/usr/bin", "/bin")
_KEPT = ("PYTHONPATH", "TMPDIR", "OMP_NUM_THREADS")


@dataclass(frozen=True)
class Block:
    """A fenced block that is run."""

    page: Path
    line: int
    language: str
    code: str

    @property
    def command(self) -> list[str]:
        """What runs the block."""
        program = [sys.executable] if self.language == "python" else ["bash", "-euo", "pipefail"]
        return [*program, "-c", self.code]


def blocks_of(page: Path, text: str, *, marked_only: bool) -> list[Block]:
    """Return the blocks of bash, console and python; only those marked ``runnable`` if ``marked_only``."""
    found = []
    for line, words, code in blocks_in(text):
        if words[0] in ("bash", "console", "python") and (RUNNABLE in words[1:] or not marked_only):
            before = found.pop().code if CONTINUED in words[1:] else ""
            found.append(Block(page, line, words[0], before + _typed(words[0], code)))
    return found


def _typed(language: str, code: str) -> str:
    """Return what a user types: of a console block the lines after ``$``."""
    if language != "console":
        return code
    return "".join(line.removeprefix("$ ") for line in code.splitlines(keepends=True) if line.startswith("$ "))


def run_all(blocks: list[Block], folder: Path) -> None:
    """Run ``blocks`` in order; the first that fails is shown with its exit code and output."""
    with tempfile.TemporaryDirectory(prefix="home-") as home:
        for block in blocks:
            run(block, folder, clean_environment(home))


def clean_environment(home: str) -> dict[str, str]:
    """Return what a newcomer has: the programs of the system and of the virtual environment, and an empty home."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    path = os.pathsep.join([str(Path(sys.executable).parent), *_SYSTEM])
    return {**kept, "PATH": path, "HOME": home, "LANG": "C.UTF-8"}


def run(block: Block, folder: Path, environment: dict[str, str]) -> None:
    """Run one block; if it fails it is shown with its exit code and output."""
    done = subprocess.run(
        block.command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        where = f"{block.page.relative_to(ROOT)}:{block.line}"
        pytest.fail(f"{where} ended with exit code {done.returncode}\n{block.code}\n{done.stdout}", pytrace=False)


def pages_with_marked_blocks() -> list[Path]:
    """Return the pages, besides the tutorial, that have blocks to run."""
    found = [ROOT / "README.md", *pages()]
    return [p for p in found if p != TUTORIAL and blocks_of(p, p.read_text(), marked_only=True)]


@pytest.fixture(scope="module")
def tutorial_folder(tmp_path_factory):
    """Return the folder in which all blocks of the tutorial have run."""
    folder = tmp_path_factory.mktemp("tutorial")
    run_all(blocks_of(TUTORIAL, TUTORIAL.read_text(), marked_only=False), folder)
    return folder


class TestBlocks:
    def test_blocks_see_nothing_of_this_user(self, tmp_path, monkeypatch):
        monkeypatch.setenv("MLIP_FW_SECRET", "1")
        code = 'test -z "${MLIP_FW_SECRET:-}" && test -z "$(ls -A "$HOME")" && test "$PWD" = "$(pwd -P)"'
        run_all([Block(TUTORIAL, 7, "bash", code)], tmp_path)

    def test_marked_blocks_are_found(self):
        text = (
            "```bash\nno\n```\n```bash runnable\nyes\n```\n"
            "````console runnable\n$ one\nsaid\n$ two\n````\n```text\nno\n```\n"
        )
        found = blocks_of(Path("x.md"), text, marked_only=True)
        assert [(b.language, b.line, b.code) for b in found] == [("bash", 4, "yes\n"), ("console", 7, "one\ntwo\n")]

    def test_continued_block_is_run_with_the_one_before(self):
        text = "```python runnable\na = 1\n```\nthen\n```python runnable continued\nprint(a)\n```\n"
        assert [b.code for b in blocks_of(Path("x.md"), text, marked_only=True)] == ["a = 1\nprint(a)\n"]

    def test_all_blocks_are_found(self):
        text = "```bash\none\n```\n\n```python\ntwo\n```\n```yaml\nno: 1\n```\n"
        assert [b.code for b in blocks_of(Path("x.md"), text, marked_only=False)] == ["one\n", "two\n"]

    @pytest.mark.parametrize(
        ("language", "code"), [("bash", "echo said; exit 3"), ("python", "print('said'); exit(3)")]
    )
    def test_failing_block_is_shown(self, tmp_path, language, code):
        with pytest.raises(pytest.fail.Exception, match=r"(?s)tutorial\.md:7 ended with exit code 3.*\nsaid"):
            run_all([Block(TUTORIAL, 7, language, code)], tmp_path)

    def test_tutorial_has_blocks_of_both_kinds(self):
        languages = [b.language for b in blocks_of(TUTORIAL, TUTORIAL.read_text(), marked_only=False)]
        assert languages.count("bash") > 3
        assert languages.count("python") > 1


@pytest.fixture(scope="module")
def site(tutorial_folder, tmp_path_factory):
    """Return the site, whose pictures of the tutorial are of the campaign that was just run by its words."""
    require("docs", all(importlib.util.find_spec(name) for name in ("sphinx", "myst_parser", "furo")))
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", folder / "trees", DOCS, folder / "html"],
        env={**os.environ, "MLIP_FW_DOCS_CAMPAIGN": str(tutorial_folder / "cu-first")},
        capture_output=True,
        text=True,
        timeout=_SITE_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


def drawn_in(picture: Path) -> list[str]:
    """Return all lines of an SVG picture, without the names that differ each time."""
    return re.findall(r' d="([^"]+)"', picture.read_text())


def frames_of(campaign: Path, walker: int) -> dict[int, Atoms]:
    """Return the frames of a walker's trajectory by step."""
    return {
        step: frame for folder in CampaignDirectory(campaign).cycles(walker) for step, frame in read_dump(folder / DUMP)
    }


def motion(campaign: Path, walker: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (n,) steps, mean-square displacements (Å²) from the first frame, and volumes (Å³) per atom."""
    frames = dict(sorted(frames_of(campaign, walker).items()))
    places = np.array([frame.get_scaled_positions(wrap=False) for frame in frames.values()])
    moves = np.diff(places, axis=0)
    moves -= np.round(moves)
    moves -= moves.mean(axis=1, keepdims=True)
    gone = np.concatenate([0 * places[:1], np.cumsum(moves, axis=0)])
    cells = np.array([frame.cell.array for frame in frames.values()])
    squares = (np.einsum("tni,tij->tnj", gone, cells) ** 2).sum(axis=2).mean(axis=1)
    return np.array(list(frames)), squares, np.abs(np.linalg.det(cells)) / places.shape[1]


@pytest.mark.real
class TestWhatUsersType:
    def test_tutorial(self, tutorial_folder):
        assert (tutorial_folder / "report.html").is_file()
        assert (tutorial_folder / "cu-first" / "summary.json").is_file()

    def test_tutorial_tells_what_happened(self, tutorial_folder):
        told = re.findall(r"^[\d:]+ walker 0 cycle \d: (halted|finished)", TUTORIAL.read_text(), re.MULTILINE)
        events = [e["event"].removeprefix("md_") for e in CampaignDirectory(tutorial_folder / "cu-first").events()]
        assert [*told, "finished"] == [event for event in events if event in ("halted", "finished")]

    @pytest.mark.parametrize("page", pages_with_marked_blocks(), ids=lambda p: p.name)
    def test_page_after_the_tutorial(self, tutorial_folder, page):
        run_all(blocks_of(page, page.read_text(), marked_only=True), tutorial_folder)


@pytest.mark.real
class TestSite:
    def test_keys_of_the_campaign_file_are_in_the_page(self, site):
        page = (site / "reference" / "campaign-file.html").read_text()
        assert all(name in page for name in Campaign.model_fields)

    def test_tutorial_ends_with_the_picture_that_its_last_command_draws(self, site, tutorial_folder):
        shown = drawn_in(site / "_images" / "tutorial-gamma.svg")
        assert len(shown) > 10
        assert drawn_in(tutorial_folder / "gamma.svg") == shown
        page = (site / "tutorial.html").read_text()
        after_the_last_command = page.rpartition("savefig")[2]
        assert re.search(r'<img alt="[^"]{40,}"[^>]* src="_images/tutorial-gamma.svg"', after_the_last_command)

    def test_quick_examples_converged(self, site):
        page = (site / "gallery.html").read_text()
        assert page.count("In this build: CONVERGED") == len(QUICK)
        assert all(f"_images/{name}-gamma.svg" in page for name in QUICK)

    @pytest.mark.parametrize("name", QUICK)
    def test_campaign_of_an_example_keeps_the_contract(self, site, tmp_path, name):
        folder = DOCS / "_build" / "campaigns" / name / "run"
        summary = (folder / "summary.json").read_text()
        assert json.loads(summary)["halts"] >= 1
        check_contract(folder, summary, tmp_path)

    def test_copper_melts(self, site):
        """Solid while it is heated: no diffusion. Then the volume jumps, and in the melt the atoms diffuse."""
        steps, displacement, volume = motion(DOCS / "_build" / "campaigns" / "cu-melt" / "run", walker=0)
        solid, melt, end = steps <= 3000, steps >= 5500, steps >= 7000
        assert displacement[solid].max() < 0.5
        assert displacement[melt].min() > 5
        assert np.polyfit(steps[melt] * 0.002, displacement[melt], 1)[0] > 1, "Å²/ps: six times the diffusivity"
        assert volume[melt].mean() > 1.05 * volume[(steps >= 3300) & (steps < 3500)].mean()
        assert volume[end].mean() == pytest.approx(14.3, rel=0.03), "Å³ per atom of EMT's melt at 1600 K"

    def test_melt_has_lost_the_shells_of_the_crystal(self, site):
        """The second neighbours of fcc, at 1.41 times the first distance, are a maximum of the crystal's g(r) alone."""
        frames = frames_of(DOCS / "_build" / "campaigns" / "cu-melt" / "run", walker=0)
        crystal, melt = (
            distribution([frames[step] for step in part], 5.0) for part in (range(500, 1000, 20), range(7000, 8000, 20))
        )
        peak, second = ((crystal.r_a > low) & (crystal.r_a < high) for low, high in ((2.4, 2.8), (3.4, 3.9)))
        assert crystal.g[peak].max() > 4 > 3 > melt.g[peak].max()
        assert crystal.g[second].max() > 1
        assert melt.g[second].max() < 0.85

    @pytest.mark.parametrize(("walker", "lasts"), [(0, True), (1, False)])
    def test_crystal_and_melt_stay_what_they_are(self, site, walker, lasts):
        steps, displacement, _ = motion(DOCS / "_build" / "campaigns" / "cu-two-phases" / "run", walker)
        late = displacement[steps >= 700]
        assert late.max() < 0.4 if lasts else late.min() > 1

    def test_every_picture_says_what_is_seen(self, site):
        texts = re.findall(r"<img [^>]*_images/[^>]*>", "".join(page.read_text() for page in site.rglob("*.html")))
        assert len(texts) > 5
        assert [tag for tag in texts if not re.search(r'alt="[^"]{30,}"', tag)] == []


class TestGallery:
    def test_every_example_is_in_the_gallery(self):
        text = (DOCS / "gallery.md").read_text()
        names = [p.name for p in EXAMPLES.glob("*.yaml")]
        assert len(names) > 8
        assert [n for n in names if f"literalinclude}} ../examples/{n}" not in text] == []
        assert [n for n in names if f"[`examples/{n}`](#" not in text] == []

    def test_examples_that_the_site_runs_have_pictures(self):
        text = (DOCS / "gallery.md").read_text()
        assert sorted(set(re.findall(r"{campaign-figure} ([\w-]+) gamma", text))) == sorted(QUICK)

    def test_every_structure_file_is_used(self):
        used = " ".join(p.read_text() for p in EXAMPLES.glob("*.yaml"))
        assert [p.name for p in (EXAMPLES / "structures").iterdir() if f"structures/{p.name}" not in used] == []


class TestPages:
    def test_nothing_of_this_machine_is_in_the_pages(self):
        for page in pages():
            assert not re.search(r"/(tmp|root|home|work)/", page.read_text()), page
