"""The shape of the package: imports run one way."""

import ast

import pytest

from tests.helpers.programs import ROOT

LAYERS = [
    {
        "errors",
        "seeds",
        "processes",
        "interrupts",
        "jobtime",
        "cores",
        "firework_names",
        "stdout",
        "surroundings",
        "__init__",
    },
    {"models"},
    {"io", "mongo_errors"},
    {"mongo_sentences", "looking"},
    {"attendance", "shelving", "store", "layout", "dataset", "generations", "database"},
    {"travel"},
    {"engines"},
    {"summary"},
    {"validation", "story"},
    {"firetasks"},
    {"fireworks"},
    {"recovery"},
    {"workflows", "doctor", "report", "export", "testing"},
    {"web"},
    {"cli", "notebook"},
    {"__main__", "__init__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
MODULES = sorted((ROOT / "mlip_fw").rglob("*.py"))


def part_of(path):
    inner = path.relative_to(ROOT / "mlip_fw")
    return inner.parts[0].removesuffix(".py")


def imported_parts(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module != "mlip_fw" else [f"mlip_fw.{a.name}" for a in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.startswith("mlip_fw."):
                yield name.split(".")[1]


def test_every_part_has_a_level():
    assert {part_of(path) for path in MODULES} == set(LEVEL)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    own = LEVEL[part_of(path)]
    upward = [name for name in imported_parts(path) if LEVEL.get(name, 0) > own]
    assert not upward, f"{path.name} imports {upward}"


def test_nothing_of_this_machine_in_the_project():
    import re
    import subprocess

    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    pattern = re.compile(r"/w[o]rk/|pypi\.o[r]g|deb\.deb[i]an|registry\.npm[j]s")
    texts = [f for f in files if f.endswith((".py", ".md", ".yaml", ".toml", ".cfg", ".html")) or f == "Makefile"]
    found = [f for f in texts if pattern.search((ROOT / f).read_text())]
    assert not found
