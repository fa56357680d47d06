"""Every key, command, file, event, reason and page is documented, and what the pages show can be used."""

import importlib.util
import re
from typing import get_args

import numpy as np
import pytest
import typer
from ase.build import bulk
from pydantic import ValidationError
from ruamel.yaml import YAML

from mlip_fw import errors
from mlip_fw.campaign.events import Event
from mlip_fw.cli.main import app
from mlip_fw.engines.oracle.answer import facts_of
from mlip_fw.engines.oracle.espresso.trouble import PwTrouble
from mlip_fw.engines.sampling.cutout.cut import Cutout
from mlip_fw.io.campaign_file import read_campaign
from mlip_fw.models.base import Frozen
from mlip_fw.models.campaign import Campaign, CandidateSettings, UncertaintySettings
from mlip_fw.models.card import Domain, ModelCard, Recipe
from mlip_fw.models.label import LabelBalance, QuarantineRecord
from mlip_fw.models.md import MDResult
from mlip_fw.models.oracle import LabelLimits
from mlip_fw.models.selection import Choice, Selection
from mlip_fw.models.structure import StructureSettings
from mlip_fw.models.summary import CampaignSummary, StopReason
from mlip_fw.models.training import TrainingRecord
from mlip_fw.models.validation import ValidationReport
from mlip_fw.models.worker import Worker
from mlip_fw.plugins import ORACLES, PROPERTIES, STRATEGIES
from mlip_fw.views.notebook.tables import GENERATIONS, HALTS, LABELS
from tests.helpers.pages import DOCS, blocks_in, names_in, pages
from tests.helpers.programs import ROOT

SETTINGS = {name: backend.settings for name, backend in ORACLES.usable().items()}
REFERENCE, HOW_TO, EXPLANATION = DOCS / "reference", DOCS / "how-to", DOCS / "explanation"
WORKER_TEMPLATE = ROOT / "fw_configs" / "my_fworker.yaml"


def generator():
    """Return the module that writes the reference pages."""
    spec = importlib.util.spec_from_file_location("campaign_reference", DOCS / "_ext" / "campaign_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _typed(text: str) -> str:
    """Return what a page shows as something to type: blocks of code, and code spans."""
    blocks = [code for _, words, code in blocks_in(text) if words[0] in ("bash", "console", "text")]
    return "\n".join([*blocks, *re.findall(r"`(mlip-fw [^`\n]+)`", text)])


def _options(command: typer.core.TyperCommand) -> set[str]:
    return {"--help", "--traceback", *(name for parameter in command.params for name in parameter.opts)}


def _unknown(command: typer.core.TyperCommand, options: set[str]) -> set[str]:
    """Return the options that a command does not have; one that passes all on takes any."""
    return set() if command.context_settings.get("ignore_unknown_options") else options - _options(command)


def commands():
    """Return all commands by name; those of a group have its name before theirs."""
    return dict(generator().commands_of(typer.main.get_command(app)))


def rows_below(heading: str) -> str:
    """Return the generated part of the campaign reference under a heading."""
    return generator().campaign_markdown().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def shown_yaml() -> list:
    """Return every block of YAML of every page, as a test's parameter."""
    found = []
    for page in [ROOT / "README.md", *pages()]:
        for line, words, code in blocks_in(page.read_text()):
            if words[0] == "yaml":
                found.append(pytest.param(YAML(typ="safe").load(code), id=f"{page.name}:{line}"))
    return found


def faults_of(shown: dict) -> list[str]:
    """Return what is wrong with a part of a campaign or of a worker file, besides what it leaves out."""
    if "_fw_q_type" in shown:
        return []
    if set(shown) <= {"name", "category", "query", "env"}:
        return _faults(Worker, shown.get("env", {}))
    return _faults(Campaign, shown)


def _faults(model: type[Frozen], shown: dict) -> list[str]:
    try:
        model.model_validate(shown)
    except ValidationError as error:
        return [str(fault) for fault in error.errors() if fault["type"] != "missing"]
    return []


class TestKeys:
    @pytest.mark.parametrize("model", [Campaign, Worker, *SETTINGS.values()])
    def test_every_key_is_described(self, model):
        assert generator().undescribed(model) == []

    def test_key_without_description_stops_the_build(self):
        class Undescribed(StructureSettings):
            secret: int = 1

        module = generator()
        with pytest.raises(module.MissingDescriptionError, match="secret"):
            module.model_markdown(Undescribed, "x")

    def test_every_campaign_key_has_a_row(self):
        text = generator().campaign_markdown()
        keys = ("campaign", "timestep_fs", "temperature_k", "gamma_halt", "max_labels", "substitute", "core_a")
        assert [key for key in keys if f"| `{key}` |" not in text] == []

    @pytest.mark.parametrize("kind", SETTINGS)
    def test_every_key_of_an_oracle_has_a_row_under_its_kind(self, kind):
        rows = rows_below(f"`oracle`, kind `{kind}`")
        assert [key for key in SETTINGS[kind].model_fields if f"| `{key}` |" not in rows] == []

    def test_a_choice_of_sections_names_all_kinds(self):
        (row,) = [line for line in rows_below("Top level").splitlines() if line.startswith("| `oracle` |")]
        assert [kind for kind in SETTINGS if f"[{kind}](#key-oracle-{kind})" not in row] == []
        assert "Quantum ESPRESSO" in row
        assert "VASP" in row

    def test_every_worker_key_is_in_the_table_in_the_text_and_in_the_template(self):
        text, table = (HOW_TO / "configure-worker.md").read_text(), generator().worker_markdown()
        assert "<!-- generated: worker -->" in text
        template = WORKER_TEMPLATE.read_text()
        for key in Worker.model_fields:
            assert f"| `{key}` |" in table
            assert key in text, f"{key} is not explained"
            assert f"#  {key}: " in template

    def test_keys_that_may_change_are_listed(self):
        text = (REFERENCE / "campaign-file.md").read_text().partition("## What may change")[2]
        assert [
            key for model in SETTINGS.values() for key in model.free_to_change if f"`oracle.{key}`" not in text
        ] == []
        assert [
            key for key in ("budget", "accuracy", "validation", "candidates.cutout") if f"all of `{key}`" not in text
        ] == []
        fixed = read_campaign(ROOT / "examples" / "cu-melt.yaml").identity()
        assert set(Campaign.model_fields) - set(fixed) == {"budget", "accuracy", "files", "validation"}
        assert "| `files` |" in text
        assert set(CandidateSettings.model_fields) - set(fixed["candidates"]) == {"cutout"}

    def test_every_threshold_and_strategy_is_discussed(self):
        discussed = {*UncertaintySettings.model_fields, "too_far", "max_labels_per_halt", *STRATEGIES.names()}
        assert discussed - names_in(HOW_TO / "choose-thresholds.md") == set()
        cutout = CandidateSettings.model_fields["cutout"].annotation.model_fields
        assert {*cutout} - {"mode", "relax_shell", "neutral"} - names_in(EXPLANATION / "cut-outs-and-masks.md") == set()
        page = (EXPLANATION / "cut-outs-and-masks.md").read_text()
        assert [key for key in ("mode: never", "relax_shell: true", "neutral: true") if key not in page] == []

    def test_every_choice_of_selection_is_explained(self):
        choices = get_args(CandidateSettings.model_fields["selection"].annotation)
        assert set(choices) - names_in(EXPLANATION / "label-efficiency.md") == set()


class TestCommandsAndErrors:
    @pytest.mark.parametrize("page", [ROOT / "README.md", *pages()], ids=lambda page: page.name)
    def test_commands_that_are_shown_exist_with_their_options(self, page):
        known = commands()
        names = "|".join(sorted(known, reverse=True))
        for name, rest in re.findall(
            rf"mlip-fw ((?:{names}|[a-z][a-z-]*)(?![a-z-]))((?: [^`\n|&]+)?)", _typed(page.read_text())
        ):
            assert name in known, f"mlip-fw {name}"
            options = set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", rest.partition("#")[0]))
            assert _unknown(known[name], options) == set(), f"mlip-fw {name}"

    def test_every_command_has_a_section(self):
        assert {"run", "check", "retry-labels", "db start"} <= set(commands())
        text = generator().cli_markdown()
        assert [c for c in commands() if f"## `mlip-fw {c}`" not in text] == []

    def test_every_error_is_explained(self):
        classes = {n for n, c in vars(errors).items() if isinstance(c, type) and issubclass(c, errors.MlipError)}
        assert classes - names_in(REFERENCE / "errors.md") == set()
        assert "<!-- generated: errors -->" in (REFERENCE / "errors.md").read_text()

    def test_tree_of_errors_has_all_of_them_below_their_bases(self):
        tree = generator().errors_markdown()
        assert tree.startswith("- `MlipError`: ")
        assert "\n  - `DirectoryError`: " in tree
        assert "\n    - `NumberTakenError`: " in tree

    @pytest.mark.parametrize("page", ["reference/errors.md", "how-to/resume-and-recover.md"])
    def test_every_reason_to_stop_is_explained(self, page):
        assert {reason.value for reason in StopReason} - names_in(DOCS / page) == set()

    def test_every_trouble_of_espresso_and_every_limit_is_explained(self):
        page = HOW_TO / "read-the-quarantine.md"
        assert {trouble.value for trouble in PwTrouble} - names_in(page) == set()
        limits = {f"oracle.{key}" for key in LabelLimits.model_fields}
        assert [key for key in limits if key not in page.read_text()] == []


class TestWrittenFiles:
    @pytest.mark.parametrize(
        ("page", "part", "model"),
        [("summary-json.md", "summary", CampaignSummary), ("validation-json.md", "validation", ValidationReport)],
    )
    def test_every_key_is_in_the_generated_table(self, page, part, model):
        module = generator()
        assert f"<!-- generated: {part} -->" in (REFERENCE / page).read_text()
        assert module.undescribed(model) == []
        assert [key for key in model.model_fields if f"| `{key}` |" not in module.PARTS[part]()] == []

    def test_every_reason_to_stop_is_in_the_summary(self):
        assert [reason for reason in StopReason if f"`{reason.value}`" not in generator().summary_markdown()] == []

    def test_key_that_is_written_without_description_stops_the_build(self):
        class Undescribed(Frozen):
            secret: int

        module = generator()
        with pytest.raises(module.MissingDescriptionError, match="secret"):
            module.written_markdown(Undescribed)

    def test_every_column_of_the_tables_is_explained(self):
        text = generator().tables_markdown()
        columns = [column.name for table in (LABELS, HALTS, GENERATIONS) for column in table]
        assert [name for name in columns if f"| `{name}` |" not in text] == []

    @pytest.mark.parametrize("model", [MDResult, Selection, Choice, TrainingRecord, LabelBalance, QuarantineRecord])
    def test_every_key_is_explained(self, model):
        assert set(model.model_fields) - names_in(REFERENCE / "files.md") == set()

    def test_every_key_of_a_quarantined_label_is_explained_where_it_is_read(self):
        assert set(QuarantineRecord.model_fields) - names_in(HOW_TO / "read-the-quarantine.md") == set()

    def test_every_property_is_explained(self):
        assert {*PROPERTIES.names()} - names_in(HOW_TO / "read-the-validation.md") == set()

    @pytest.mark.parametrize("model", [ModelCard, Domain, Recipe])
    def test_every_key_of_a_model_card_is_explained(self, model):
        assert set(model.model_fields) - names_in(HOW_TO / "publish-a-potential.md") == set()

    def test_every_fact_of_a_label_is_explained(self):
        facts = facts_of(code="x", version="1", seconds=1.0, corrections=[], convergence={})
        expected = {*facts, "label_hash", "level_of_theory", "mask"}
        assert expected - names_in(REFERENCE / "files.md") == set()

    def test_every_fact_of_a_cutout_is_explained(self):
        cut = Cutout(
            atoms=bulk("Cu"),
            center=0,
            origin=np.zeros(1, dtype=int),
            mask=np.ones(1, dtype=bool),
            md_composition="Cu",
            mismatch=0.0,
            n_removed=0,
            n_tried=1,
            relaxed=False,
            gamma_before=1.0,
            gamma=np.ones(1),
        )
        assert set(cut.facts()) - names_in(REFERENCE / "files.md") == set()

    def test_every_event_is_explained(self):
        assert {event.value for event in Event} - names_in(REFERENCE / "files.md") == set()


class TestPages:
    def test_every_page_is_in_the_index(self):
        index = (DOCS / "index.md").read_text()
        listed = {line for _, words, code in blocks_in(index) if words[0] == "{toctree}" for line in code.split()}
        names = {str(page.relative_to(DOCS).with_suffix("")) for page in pages()} - {"index"}
        assert names - listed == set()

    def test_every_guide_is_linked_where_readers_begin(self):
        text = (DOCS / "index.md").read_text().partition("## Words")[0]
        guides = [page for folder in (HOW_TO, EXPLANATION) for page in sorted(folder.glob("*.md"))]
        assert len(guides) > 8
        assert [page.name for page in guides if f"({page.relative_to(DOCS)})" not in text] == []

    def test_every_example_that_is_named_is_there(self):
        named = {word for page in [ROOT / "README.md", *pages()] for word in names_in(page)}
        examples = {word for word in named if word.startswith("examples/") and word.endswith(".yaml")}
        assert examples
        assert [name for name in examples if not (ROOT / name).is_file()] == []

    @pytest.mark.parametrize("shown", shown_yaml())
    def test_yaml_can_be_used(self, shown):
        assert faults_of(shown) == []

    def test_fault_in_yaml_is_seen(self):
        assert "gamma_hlt" in faults_of({"uncertainty": {"gamma_hlt": 5.0}})[0]
        assert "pw_comand" in faults_of({"env": {"pw_comand": "pw.x"}})[0]
        assert "orcale" in faults_of({"orcale": {}})[0]
