"""What the documentation tells users to type is typed here; and the site builds without a warning."""

import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlip_fw.models.campaign import Campaign
from tests.cli.pages import DOCS, blocks_in, pages
from tests.conftest import ROOT, require

TUTORIAL = DOCS / "tutorial.md"
RUNNABLE = "runnable"
_TIMEOUT_S = 120


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
            found.append(Block(page, line, words[0], _typed(words[0], code)))
    return found


def _typed(language: str, code: str) -> str:
    """Return what a user types: of a console block the lines after ``$``."""
    if language != "console":
        return code
    return "".join(line.removeprefix("$ ") for line in code.splitlines(keepends=True) if line.startswith("$ "))


def run_all(blocks: list[Block], folder: Path) -> None:
    """Run ``blocks`` in order; the first that fails is shown with its exit code and output."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for block in blocks:
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
    def test_marked_blocks_are_found(self):
        text = (
            "```bash\nno\n```\n```bash runnable\nyes\n```\n"
            "````console runnable\n$ one\nsaid\n$ two\n````\n```text\nno\n```\n"
        )
        found = blocks_of(Path("x.md"), text, marked_only=True)
        assert [(b.language, b.line, b.code) for b in found] == [("bash", 4, "yes\n"), ("console", 7, "one\ntwo\n")]

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


@pytest.mark.real
class TestWhatUsersType:
    def test_tutorial(self, tutorial_folder):
        assert (tutorial_folder / "report.html").is_file()
        assert (tutorial_folder / "cu-first" / "summary.json").is_file()

    @pytest.mark.parametrize("page", pages_with_marked_blocks(), ids=lambda p: p.name)
    def test_page_after_the_tutorial(self, tutorial_folder, page):
        run_all(blocks_of(page, page.read_text(), marked_only=True), tutorial_folder)


class TestSite:
    def test_site_builds_without_a_warning(self, tmp_path):
        require("docs", all(importlib.util.find_spec(name) for name in ("sphinx", "myst_parser")))
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "sphinx",
                "-W",
                "--keep-going",
                "-q",
                "-d",
                tmp_path / "trees",
                DOCS,
                tmp_path / "html",
            ],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        page = (tmp_path / "html" / "reference" / "campaign-file.html").read_text()
        assert all(name in page for name in Campaign.model_fields)

    def test_nothing_of_this_machine_is_in_the_pages(self):
        for page in pages():
            assert not re.search(r"/(tmp|root|home|work)/", page.read_text()), page
