"""The shape of the package: imports run one way, between packages and inside of them."""

import ast
from collections import defaultdict
from graphlib import TopologicalSorter

import pytest

from mlip_fw.campaign.events import Event
from mlip_fw.errors import CampaignError
from mlip_fw.firetasks.continuations import continuation_named
from tests.helpers.programs import ROOT

LAYERS = [
    {"errors"},
    {"plugins"},
    {"models"},
    {"io"},
    {"runtime"},
    {"campaign"},
    {"launchpad"},
    {"engines"},
    {"validation"},
    {"steps"},
    {"firetasks"},
    {"views"},
    {"workflows"},
    {"launcher"},
    {"export", "doctor", "testing"},
    {"cli"},
    {"__main__", "__init__"},
]
INSIDE = {
    "engines": ["ace", "structures", "oracle", "sampling", "md", "train"],
    "launchpad": [
        *("server", "names", "driver_errors", "advice", "read_only", "archiving", "queries", "filepad", "recovery"),
    ],
    "views": ["analysis", "report", "web", "notebook"],
}
"""Order of packages inside of packages: each imports only those before it."""
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
MODULES = sorted((ROOT / "mlip_fw").rglob("*.py"))


def part_of(path):
    inner = path.relative_to(ROOT / "mlip_fw")
    return inner.parts[0].removesuffix(".py")


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from [node.module] if node.module != "mlip_fw" else [f"mlip_fw.{a.name}" for a in node.names]
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def imported_parts(path):
    return [name.split(".")[1] for name in imported_modules(path) if name.startswith("mlip_fw.")]


def test_engines_know_no_campaign_directory():
    """They take paths, labels and generations; what was handed to a Firework is the steps' to know."""
    engines = [path for path in MODULES if part_of(path) == "engines"]
    unknown = {"mlip_fw.models.handoff", *(f"mlip_fw.campaign.{name}" for name in ("directory", "events", "journal"))}
    assert engines
    assert [str(path) for path in engines if unknown & set(imported_modules(path))] == []


def test_what_follows_is_found_in_one_place():
    """Firetasks name the functions that follow them by what a spec stores; one module looks them up."""
    below = [path for path in MODULES if LEVEL[part_of(path)] < LEVEL["workflows"]]
    texts = {
        path: [n.value for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Constant)] for path in below
    }
    naming = [path for path, found in texts.items() if "mlip_fw.workflows.loop" in found]
    assert [str(path.relative_to(ROOT)) for path in naming] == ["mlip_fw/firetasks/continuations.py"]
    for name in ("bootstrap", "md", "selection", "label", "training", "polish", "validation"):
        assert continuation_named(f"mlip_fw.workflows.loop:after_{name}").__name__ == f"after_{name}"
    with pytest.raises(CampaignError, match="must be mlip_fw.workflows.loop:after_…, not"):
        continuation_named("mlip_fw.workflows.loop:once")


def test_events_are_those_of_the_enum():
    """Each is recorded somewhere, with its line of the log, and none is written past the Enum."""
    attributes = [n for p in MODULES for n in ast.walk(ast.parse(p.read_text())) if isinstance(n, ast.Attribute)]
    recorded = {n.attr for n in attributes if isinstance(n.value, ast.Name) and n.value.id == "Event"}
    assert recorded == set(Event.__members__)
    assert [ast.unparse(n) for n in attributes if n.attr == "log_event"] == ["self.log_event"]


STEPS = {
    "audit": "audit_potential",
    "bootstrap": "bootstrap_campaign",
    "label": "label_structures",
    "md": "run_dynamics",
    "refine": "refine_potential",
    "select": "select_candidates",
    "summarize": "summarize_campaign",
    "train": "train_potential",
    "validate": "validate_potential",
}


def test_every_step_has_one_signature():
    """(Step, Worker) -> result; what else there is has to be named."""
    modules = {
        path.stem: ast.parse(path.read_text()) for path in sorted((ROOT / "mlip_fw" / "steps").glob("[a-z]*.py"))
    }
    assert set(modules) == {*STEPS, "step"}
    for stem, name in STEPS.items():
        (step,) = (node for node in modules[stem].body if isinstance(node, ast.FunctionDef) and node.name == name)
        first, *others = (ast.unparse(argument.annotation) for argument in step.args.args)
        assert first.startswith("Step["), name
        assert others == ["Worker"], name


def test_every_part_has_a_level():
    assert {part_of(path) for path in MODULES} == set(LEVEL)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    own = LEVEL[part_of(path)]
    upward = [name for name in imported_parts(path) if LEVEL.get(name, 0) > own]
    assert not upward, f"{path.name} imports {upward}"


@pytest.mark.parametrize("package", INSIDE)
def test_imports_point_down_inside_of_packages(package):
    level = {name: place for place, name in enumerate(INSIDE[package])}
    paths = [
        path for path in MODULES if part_of(path) == package and path.parent.name + path.stem != package + "__init__"
    ]
    assert {inner_part(path) for path in paths} == set(level)
    prefix = f"mlip_fw.{package}."
    upward = [
        (str(path.relative_to(ROOT)), name)
        for path in paths
        for name in imported_modules(path)
        if name.startswith(prefix) and level[name.split(".")[2]] > level[inner_part(path)]
    ]
    assert not upward


def inner_part(path):
    return path.relative_to(ROOT / "mlip_fw").parts[1].removesuffix(".py")


def test_no_two_modules_import_each_other():
    """Not even by way of others, and not inside of functions either."""
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in MODULES}
    graph = {}
    for path in MODULES:
        own = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        found = [
            f"{node.module}.{alias.name}" if f"{node.module}.{alias.name}" in names else node.module
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        ]
        graph[own] = {name for name in found if name in names and name != own}
    assert len(list(TopologicalSorter(graph).static_order())) == len(names)


def test_a_class_name_exists_once():
    where = defaultdict(list)
    for path in MODULES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                where[node.name].append(str(path.relative_to(ROOT)))
    assert {name: found for name, found in where.items() if len(found) > 1} == {}


def test_nothing_of_this_machine_in_the_project():
    import re
    import subprocess

    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    pattern = re.compile(r"/w[o]rk/|pypi\.o[r]g|deb\.deb[i]an|registry\.npm[j]s")
    texts = [f for f in files if f.endswith((".py", ".md", ".yaml", ".toml", ".cfg", ".html")) or f == "Makefile"]
    found = [f for f in texts if pattern.search((ROOT / f).read_text())]
    assert not found
