"""The shape of the tests: a test module is imported by nobody, and what several share lives in ``tests/helpers/``."""

import ast

import pytest

from tests.helpers.programs import ROOT

TESTS = ROOT / "tests"
KINDS = ("browser", "cli", "faults", "real", "unit", "workflow")
MODULES = sorted(path for path in TESTS.rglob("*.py") if "earlier" not in path.parts)


def imported_from_tests(path):
    """Return the modules of ``tests`` that a module imports, inside functions as well."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return [name for name in found if name.split(".")[0] == "tests"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(TESTS)))
def test_modules_share_only_what_is_in_helpers(path):
    assert [name for name in imported_from_tests(path) if not name.startswith("tests.helpers.")] == []


@pytest.mark.parametrize("kind", KINDS)
def test_folders_of_tests_hold_tests_only(kind):
    others = [path.name for path in (TESTS / kind).glob("*.py") if not path.name.startswith("test_")]
    assert set(others) <= {"__init__.py", "conftest.py"}


def test_every_folder_of_tests_is_known():
    assert {path.parent.name for path in TESTS.glob("*/test_*.py")} == set(KINDS)
