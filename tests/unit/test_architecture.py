"""ARCHITECTURE.md and CONTRIBUTING.md name what is there, and all of it."""

import importlib
import re

import pytest
from fireworks import FireTaskBase

import mlip_fw.firetasks
from tests.helpers.programs import ROOT

ARCHITECTURE, CONTRIBUTING = ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md"
TABLE_HEAD = "| step | Firetask | step function | what follows | reads | writes |"
CODE_NAME = re.compile(r"`((?:\w+\.)*\w+):([A-Za-z_]\w*)`")
VARIABLE = re.compile(r"\bMLIP_FW_[A-Z0-9_]*[A-Z0-9]\b")


def rows_below(head: str) -> list[list[str]]:
    """Return the cells of the rows of the table that begins with the line ``head``."""
    lines = ARCHITECTURE.read_text().partition(f"{head}\n")[2].splitlines()[1:]
    rows = lines[: next((k for k, line in enumerate(lines) if not line.startswith("|")), len(lines))]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def object_named(module: str, name: str) -> object:
    """Return what a document calls ``module:name``, below mlip_fw."""
    return getattr(importlib.import_module(f"mlip_fw.{module}"), name)


def named_in(text: str) -> list[tuple[str, str]]:
    """Return every (module, name) that a document names, except FireWorks' whole dotted paths."""
    return [(module, name) for module, name in CODE_NAME.findall(text) if not module.startswith("mlip_fw.")]


LOOP = rows_below(TABLE_HEAD)


class TestLoop:
    def test_table_has_all_steps(self):
        steps = ["bootstrap", "md", "select", "label", "train", "refine", "audit", "validate", "summarize"]
        assert [row[0] for row in LOOP] == steps

    @pytest.mark.parametrize("row", LOOP, ids=lambda row: row[0])
    def test_firetask_step_and_continuation_are_there(self, row):
        step, firetask, function, follows = row[:4]
        (task,) = CODE_NAME.findall(firetask)
        assert issubclass(object_named(*task), FireTaskBase)
        (work,) = CODE_NAME.findall(function)
        assert callable(object_named(*work))
        assert work[0] == f"steps.{step}"
        assert follows == "nothing" or [callable(object_named(*name)) for name in CODE_NAME.findall(follows)] == [True]

    def test_every_firetask_is_in_the_table(self):
        folder = ROOT / "mlip_fw" / "firetasks"
        modules = [importlib.import_module(f"mlip_fw.firetasks.{path.stem}") for path in folder.glob("[!_]*.py")]
        names = {
            f"{module.__name__.removeprefix('mlip_fw.')}:{name}"
            for module in modules
            for name, thing in vars(module).items()
            if isinstance(thing, type)
            and issubclass(thing, FireTaskBase)
            and thing.__module__ == module.__name__
            and name != "CampaignTask"
        }
        assert names == {":".join(CODE_NAME.findall(row[1])[0]) for row in LOOP}
        assert mlip_fw.firetasks.__doc__

    def test_files_are_those_of_the_reference(self):
        reference = (ROOT / "docs" / "reference" / "files.md").read_text()
        paths = re.findall(r"`([^`]+)`", " ".join(cell for row in LOOP for cell in row[4:]))
        files = {path.rstrip("/").rpartition("/")[2].partition(".")[0] for path in paths if "NNNN" not in path}
        assert len(files) > 15
        assert sorted(name for name in files if name.replace("gen_0000", "gen_") not in reference) == []


class TestNames:
    @pytest.mark.parametrize("document", [ARCHITECTURE, CONTRIBUTING], ids=lambda path: path.name)
    def test_everything_that_is_named_is_there(self, document):
        found = named_in(document.read_text())
        assert len(found) >= 5
        for module, name in found:
            assert object_named(module, name) is not None

    def test_a_name_that_is_gone_is_noticed(self):
        with pytest.raises(AttributeError):
            object_named("steps.md", "no_such_function")
        with pytest.raises(ModuleNotFoundError):
            object_named("steps.no_such_module", "run_dynamics")

    def test_layers_are_the_packages(self):
        rows = rows_below("| layer | packages | holds |")
        named = [name for row in rows for name in re.findall(r"`(\w+)`", row[1])]
        beside = re.findall(r"`(\w+)`", ARCHITECTURE.read_text().partition("\nBeside them, ")[2].partition("Inside")[0])
        parts = {
            path.name.removesuffix(".py") for path in (ROOT / "mlip_fw").iterdir() if not path.name.startswith("_")
        }
        # a checkout that was updated may still have empty folders of packages that have moved
        folders = {name for name in parts if (ROOT / "mlip_fw" / name / "__init__.py").is_file()}
        assert sorted(folders - {*named, *beside}) == []
        assert sorted({*named, *beside} - parts) == []

    def test_packages_of_the_engines_are_those_of_the_text(self):
        folders = (path for path in (ROOT / "mlip_fw" / "engines").iterdir() if (path / "__init__.py").is_file())
        assert sorted(engines_in_order()) == sorted(path.name for path in folders)

    def test_packages_of_the_engines_import_those_before_them(self):
        order, engines = engines_in_order(), ROOT / "mlip_fw" / "engines"
        backward = []
        for path in sorted(engines.rglob("*/*.py")):
            own = order.index(path.relative_to(engines).parts[0])
            for name in re.findall(r"^\s*from mlip_fw\.engines\.(\w+)[. ]", path.read_text(), re.MULTILINE):
                if order.index(name) > own:
                    backward.append(f"{path.relative_to(engines)} imports {name}")
        assert backward == []


def engines_in_order() -> list[str]:
    """Return the packages of the engines as the text lists them: each imports only from those before it."""
    text = ARCHITECTURE.read_text().partition("imports point one way too:")[2].partition("\n\n")[0]
    return re.findall(r"`(\w+)` \(", text)


class TestContributing:
    def test_every_variable_is_explained(self):
        table = CONTRIBUTING.read_text()
        explained = set(re.findall(r"^\| `(MLIP_FW_\w+)` \|", table, re.MULTILINE))
        assert used_variables() == explained

    def test_variables_are_found(self):
        assert {"MLIP_FW_JOB_END", "MLIP_FW_REQUIRE", "MLIP_FW_LMP"} <= used_variables()


def used_variables() -> set[str]:
    """Return every environment variable of this project that is named anywhere in it."""
    folders = ("mlip_fw", "tests", "benchmarks", "docs", "fw_configs", ".ci")
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*")) if path.is_file()]
    files += [ROOT / name for name in ("Makefile", "pyproject.toml", "setup.cfg", "README.md")]
    skipped = ("_build", "__pycache__", "campaigns", "data")
    found = set()
    for path in files:
        if not set(skipped) & set(path.relative_to(ROOT).parts):
            found |= set(VARIABLE.findall(path.read_bytes().decode(errors="ignore")))
    return found
