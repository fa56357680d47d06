"""What the documentation tells users to type is typed here; the site builds, with pictures of recorded campaigns."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import mlip_fw
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.models.campaign import Campaign
from tests.helpers.pages import DOCS, blocks_in, pages
from tests.helpers.programs import ROOT, check_contract, require

TUTORIAL = DOCS / "tutorial.md"
RUNNABLE, CONTINUED = "runnable", "continued"
"""Words behind the language: run this block; run it in one go with the one before."""
EXAMPLES = ROOT / "examples"
RECORDED = ("al-pressure", "argon", "cu-melt", "cu-surface", "cu-two-phases", "cuau-alloy", "ni-defects")
"""Examples whose pictures the gallery shows."""
RUN_HERE = ("cu-surface", "ni-defects")
"""Of these, the ones that are run by a test too: a slab, and three walkers with starts of their own."""
_TIMEOUT_S = 600
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
        monkeypatch.setenv("SECRET_OF_THIS_USER", "1")
        code = 'test -z "${SECRET_OF_THIS_USER:-}" && test -z "$(ls -A "$HOME")" && test "$PWD" = "$(pwd -P)"'
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


def recordings():
    """Return the module that knows where recorded campaigns are."""
    spec = importlib.util.spec_from_file_location("recordings", DOCS / "_ext" / "recordings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return the site, built from the recordings."""
    require("docs", all(importlib.util.find_spec(name) for name in ("sphinx", "myst_parser", "furo")))
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", folder / "trees", DOCS, folder / "html"],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


def motion_in(name: str, walker: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (n,) steps, mean-square displacements (Å²) from the first frame, and volumes (Å³) per atom."""
    found = json.loads((recordings().RECORDINGS / name / "motion.json").read_text())["walkers"][walker]
    return tuple(np.array(found[key]) for key in ("step", "mean_square_displacement_a2", "volume_a3_atom"))


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
class TestExamples:
    @pytest.mark.parametrize("name", RUN_HERE)
    def test_campaign_of_an_example_keeps_the_contract(self, tmp_path, name):
        example, folder = EXAMPLES / f"{name}.yaml", tmp_path / name
        command = f"mlip-fw run {example} --dir {folder} --json > {tmp_path}/summary.json"
        run_all([Block(example, 1, "bash", command)], tmp_path)
        summary = (folder / "summary.json").read_text()
        found = json.loads(summary)
        assert found["outcome"] == "CONVERGED"
        assert found["halts"] >= 1
        assert found["labels"] <= 2 * json.loads(recorded(name, "summary.json"))["labels"]
        check_contract(folder, summary, tmp_path)


def recorded(name: str, file: str) -> str:
    """Return the text of a file of a recorded campaign."""
    return (recordings().recorded_run(name) / file).read_text()


class TestRecordings:
    def test_every_recording_fits_its_campaign_file(self):
        module = recordings()
        assert module.campaigns() == sorted([*RECORDED, "tutorial"])
        assert module.outdated() == [], "run `make docs-campaigns` with these CAMPAIGNS"

    def test_changed_example_asks_for_a_new_recording(self, tmp_path, monkeypatch):
        module = recordings()
        before = module.fingerprint("cu-two-phases")
        shutil.copytree(EXAMPLES, tmp_path / "examples")
        monkeypatch.setattr(module, "EXAMPLES", tmp_path / "examples")
        example = tmp_path / "examples" / "cu-two-phases.yaml"
        example.write_text("# a comment\n" + example.read_text())
        assert module.fingerprint("cu-two-phases") == before
        assert module.outdated() == []
        melt = tmp_path / "examples" / "structures" / "cu-melt.extxyz"
        melt.write_text(melt.read_text().replace("Cu ", "Cu  ", 1))
        assert module.outdated() == ["cu-two-phases"]
        argon = tmp_path / "examples" / "argon.yaml"
        argon.write_text(argon.read_text().replace("seed: ", "seed: 1"))
        assert module.outdated() == ["argon", "cu-two-phases"]

    def test_missing_recording_is_outdated(self, tmp_path, monkeypatch):
        module = recordings()
        monkeypatch.setattr(module, "RECORDINGS", tmp_path)
        assert module.outdated() == module.campaigns()

    def test_every_figure_can_be_drawn_from_its_recording(self):
        module = recordings()
        for name, kind in module.figures():
            finished = module.recorded_picture(name, kind).is_file()
            assert finished or kind not in module.FINISHED_KINDS, (name, kind)

    def test_recordings_are_small_and_tell_nothing_of_the_machine(self):
        files = [path for path in recordings().RECORDINGS.rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in files) < 2_000_000
        assert [path for path in files if re.search(r'["\s\[]/(?!/)\w+/', path.read_text())] == []

    @pytest.mark.parametrize("name", [*RECORDED, "tutorial"])
    def test_recording_is_of_a_campaign_that_converged_and_halted(self, name):
        campaign = mlip_fw.load(recordings().recorded_run(name))
        written = json.loads(recorded(name, "summary.json"))
        assert campaign.summary.outcome == written["outcome"] == "CONVERGED"
        assert campaign.summary.halts == written["halts"] >= 1
        assert campaign.summary.labels == len(list((recordings().recorded_run(name) / "labels").iterdir()))

    def test_tutorial_tells_what_happened_in_the_recording(self):
        told = re.findall(r"^[\d:]+ walker 0 cycle \d: (halted|finished)", TUTORIAL.read_text(), re.MULTILINE)
        events = [json.loads(line)["event"] for line in recorded("tutorial", "events.jsonl").splitlines()]
        happened = [event.removeprefix("md_") for event in events]
        assert [*told, "finished"] == [event for event in happened if event in ("halted", "finished")]

    def test_copper_melts(self):
        """Solid while it is heated: no diffusion. Then the volume jumps, and in the melt the atoms diffuse."""
        steps, displacement, volume = motion_in("cu-melt", walker=0)
        solid, melt, end = steps <= 3000, steps >= 5500, steps >= 7000
        assert displacement[solid].max() < 0.5
        assert displacement[melt].min() > 5
        assert np.polyfit(steps[melt] * 0.002, displacement[melt], 1)[0] > 1, "Å²/ps: six times the diffusivity"
        assert volume[melt].mean() > 1.05 * volume[(steps >= 3300) & (steps < 3500)].mean()
        assert volume[end].mean() == pytest.approx(14.3, rel=0.03), "Å³ per atom of EMT's melt at 1600 K"

    def test_melt_has_lost_the_shells_of_the_crystal(self):
        """The second neighbours of fcc, at 1.41 times the first distance, are a maximum of the crystal's g(r) alone."""
        crystal, melt = json.loads((recordings().RECORDINGS / "cu-melt" / "motion.json").read_text())["g"]
        r_a, of_crystal, of_melt = np.array(crystal["r_a"]), np.array(crystal["g"]), np.array(melt["g"])
        peak, second = ((r_a > low) & (r_a < high) for low, high in ((2.4, 2.8), (3.4, 3.9)))
        assert of_crystal[peak].max() > 4 > 3 > of_melt[peak].max()
        assert of_crystal[second].max() > 1
        assert of_melt[second].max() < 0.85

    @pytest.mark.parametrize(("walker", "lasts"), [(0, True), (1, False)])
    def test_crystal_and_melt_stay_what_they_are(self, walker, lasts):
        steps, displacement, _ = motion_in("cu-two-phases", walker)
        late = displacement[steps >= 700]
        assert late.max() < 0.4 if lasts else late.min() > 1


class TestSite:
    def test_keys_of_the_campaign_file_are_in_the_page(self, site):
        page = (site / "reference" / "campaign-file.html").read_text()
        assert all(name in page for name in Campaign.model_fields)

    def test_tutorial_ends_with_the_picture_that_its_last_command_draws(self, site):
        assert "plot_gamma().savefig" in TUTORIAL.read_text().rpartition("```python")[2]
        page = (site / "tutorial.html").read_text()
        after_the_last_command = page.rpartition("savefig")[2]
        assert re.search(r'<img alt="[^"]{40,}"[^>]* src="_images/tutorial-gamma.svg"', after_the_last_command)
        assert (site / "_images" / "tutorial-gamma.svg").read_text().count("<path ") > 10

    def test_gallery_shows_what_was_recorded(self, site):
        page = (site / "gallery.html").read_text()
        assert page.count("CONVERGED after") == len(RECORDED)
        for name in RECORDED:
            summary = json.loads(recorded(name, "summary.json"))
            assert f"CONVERGED after {summary['md_steps']:,} MD steps, {summary['halts']} halt" in page
            assert f"_images/{name}-gamma.svg" in page

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

    def test_recorded_examples_have_pictures(self):
        text = (DOCS / "gallery.md").read_text()
        assert sorted(set(re.findall(r"{campaign-figure} ([\w-]+) gamma", text))) == sorted(RECORDED)

    def test_every_structure_file_is_used(self):
        used = " ".join(p.read_text() for p in EXAMPLES.glob("*.yaml"))
        assert [p.name for p in (EXAMPLES / "structures").iterdir() if f"structures/{p.name}" not in used] == []


class TestPages:
    def test_nothing_of_this_machine_is_in_the_pages(self):
        for page in pages():
            assert not re.search(r"/(tmp|root|home|work)/", page.read_text()), page
