"""The shape of the package: imports run one way."""

import ast

import pytest

from mlip_fw.campaign.events import Event
from mlip_fw.errors import CampaignError
from mlip_fw.firetasks.continuations import continuation_named
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
    {"attendance", "shelving", "store", "campaign", "layout", "dataset", "generations", "database"},
    {"travel"},
    {"engines"},
    {"summary"},
    {"validation", "story"},
    {"steps"},
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
    unknown = {"mlip_fw.models.handoff", "mlip_fw.layout", "mlip_fw.campaign.directory", "mlip_fw.campaign.events"}
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


def test_nothing_of_this_machine_in_the_project():
    import re
    import subprocess

    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    pattern = re.compile(r"/w[o]rk/|pypi\.o[r]g|deb\.deb[i]an|registry\.npm[j]s")
    texts = [f for f in files if f.endswith((".py", ".md", ".yaml", ".toml", ".cfg", ".html")) or f == "Makefile"]
    found = [f for f in texts if pattern.search((ROOT / f).read_text())]
    assert not found
