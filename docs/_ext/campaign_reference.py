"""Reference pages that are made from the code at build time.

A page asks for its part with a comment on a line of its own::

    <!-- generated: campaign -->

``campaign`` gives every key of a campaign file, ``worker`` those of ``env:`` in a worker file, ``cli`` every command,
``errors`` the tree of exceptions, ``summary`` and ``validation`` the keys of these JSON files, ``tables`` the columns
of the tables of a loaded campaign. What has no description stops the build.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel

_MARKER = re.compile(r"^<!-- generated: ([\w-]+) -->$", re.MULTILINE)
_ROLE = re.compile(r":\w+:`~?([^`]+)`")
_WORDS = {"integer": "whole number", "number": "number", "string": "text", "boolean": "`true` or `false`"}
_BOUNDS = (("exclusiveMinimum", "> {}"), ("minimum", "≥ {}"), ("exclusiveMaximum", "< {}"), ("maximum", "≤ {}"))

Schema = dict[str, Any]


class MissingDescriptionError(ValueError):
    """Something that users write has no description."""


def campaign_markdown() -> str:
    """Return every key of a campaign file, section by section."""
    from mlip_fw.models.campaign import Campaign

    return model_markdown(Campaign, "Top level")


def worker_markdown() -> str:
    """Return every key of a worker file's ``env:``, with those that oracles and trainers add."""
    from mlip_fw.models.worker import Worker, declared_keys

    added = [model_markdown(model, f"Keys of `{kind}`") for kind, model in declared_keys().items()]
    return "\n".join([model_markdown(Worker, None), *added])


def summary_markdown() -> str:
    """Return every key of ``summary.json``."""
    from mlip_fw.models.summary import CampaignSummary

    return written_markdown(CampaignSummary)


def validation_markdown() -> str:
    """Return every key of ``validation.json``."""
    from mlip_fw.models.validation import ValidationReport

    return written_markdown(ValidationReport)


def dataset_audit_markdown() -> str:
    """Return every key of what ``mlip-fw check --json`` says of a dataset."""
    from mlip_fw.models.dataset import DatasetAudit

    return written_markdown(DatasetAudit)


def model_markdown(model: type[BaseModel], title: str | None) -> str:
    """Return the keys of a model and of all models in it, one table each.

    Raises
    ------
    MissingDescriptionError
        If a key has no description; all of them are named.
    """
    schema = model.model_json_schema()
    missing = undescribed(model)
    if missing:
        raise MissingDescriptionError(f"{model.__name__}: no description of {', '.join(missing)}")
    blocks = []
    for path, kind, section in _sections(schema, schema, ""):
        heading = f"`{path}`" if path else title
        if heading is not None:
            blocks.append(f"({_anchor(path, kind)})=\n## {heading}{f', kind `{kind}`' if kind else ''}")
        if path:
            blocks.append(_plain(section["description"]))
        blocks.append(_table(("key", "type", "default", "meaning"), _rows(section, schema, path)))
    return "\n\n".join(blocks) + "\n"


def written_markdown(model: type[BaseModel]) -> str:
    """Return the keys of a file that mlip_fw writes, and of the sections in it.

    Raises
    ------
    MissingDescriptionError
        If a key has no description; all of them are named.
    """
    schema = model.model_json_schema(mode="serialization")
    if missing := undescribed(model):
        raise MissingDescriptionError(f"{model.__name__}: no description of {', '.join(missing)}")
    blocks = []
    for path, _, section in _sections(schema, schema, ""):
        if path:
            blocks += [f"### `{path}`", _plain(section["description"])]
        rows = [(key, kind, meaning) for key, kind, _, meaning in _rows(section, schema, path, linked=False)]
        blocks.append(_table(("key", "type", "meaning"), rows))
    return "\n\n".join(blocks) + "\n"


def undescribed(model: type[BaseModel]) -> list[str]:
    """Return the keys of a model, and of all models in it, that have no description.

    A section is described by the docstring of its model.
    """
    schema = model.model_json_schema()
    missing = []
    for path, _, section in _sections(schema, schema, ""):
        if path and not section.get("description"):
            missing.append(path)
        for name, entry in section["properties"].items():
            if not entry.get("description") and not _references(entry):
                missing.append(f"{path}.{name}".removeprefix("."))
    return missing


def cli_markdown() -> str:
    """Return every command with its arguments and options.

    Raises
    ------
    MissingDescriptionError
        If a command, an argument or an option has no help text.
    """
    import typer

    from mlip_fw.cli.main import app

    group: Any = typer.main.get_command(app)
    commands = dict(commands_of(group))
    if missing := [name for name, command in commands.items() if not command.help]:
        raise MissingDescriptionError(f"no help text of mlip-fw {', '.join(missing)}")
    rows = ((f"[`mlip-fw {name}`](#{_command_anchor(name)})", _plain(one.help)) for name, one in commands.items())
    blocks = [_table(("command", "does"), rows), "## Options of every command", _parameters(group, "mlip-fw")]
    for name, command in commands.items():
        usage = " ".join(["mlip-fw", name, *filter(None, map(_usage, command.params))])
        blocks += [f"({_command_anchor(name)})=\n## `mlip-fw {name}`", f"```text\n{usage}\n```", command.help]
        blocks.append(_parameters(command, f"mlip-fw {name}"))
    return "\n\n".join(blocks) + "\n"


def _command_anchor(name: str) -> str:
    return f"command-{name.replace(' ', '-')}"


def commands_of(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield name and command of all commands, sorted; those of a group have its name before theirs."""
    for name, command in sorted(group.commands.items()):
        if hasattr(command, "commands"):
            yield from commands_of(command, f"{before}{name} ")
        else:
            yield before + name, command


def tables_markdown() -> str:
    """Return the columns of the tables of a loaded campaign.

    Raises
    ------
    MissingDescriptionError
        If a column has no description.
    """
    from mlip_fw.views.notebook.tables import GENERATIONS, HALTS, LABELS

    blocks = []
    for name, columns in (("labels", LABELS), ("halts", HALTS), ("generations", GENERATIONS)):
        if missing := [column.name for column in columns if not column.meaning]:
            raise MissingDescriptionError(f"{name}: no description of {', '.join(missing)}")
        rows = ((f"`{column.name}`", column.meaning) for column in columns)
        blocks += [f"### `{name}`", _table(("column", "meaning"), rows)]
    return "\n\n".join(blocks) + "\n"


def errors_markdown() -> str:
    """Return the tree of exceptions, each with the first sentence of its docstring."""
    from mlip_fw.errors import MlipError

    return "\n".join(_branch(MlipError, 0)) + "\n"


def _branch(error: type[Exception], depth: int) -> Iterator[str]:
    if not error.__doc__:
        raise MissingDescriptionError(f"{error.__name__} has no docstring")
    yield f"{'  ' * depth}- `{error.__name__}`: {_plain(error.__doc__)}"
    for child in error.__subclasses__():
        if child.__module__ == error.__module__:
            yield from _branch(child, depth + 1)


PARTS: dict[str, Callable[[], str]] = {
    "campaign": campaign_markdown,
    "worker": worker_markdown,
    "cli": cli_markdown,
    "errors": errors_markdown,
    "summary": summary_markdown,
    "dataset-audit": dataset_audit_markdown,
    "tables": tables_markdown,
    "validation": validation_markdown,
}


def setup(app: Any) -> dict[str, Any]:
    """Fill the markers of a page when Sphinx reads it."""
    app.connect("source-read", _fill)
    return {"version": "1", "parallel_read_safe": True}


def _fill(app: Any, name: str, content: list[str]) -> None:
    content[0] = _MARKER.sub(lambda found: PARTS[found.group(1)](), content[0])


def _sections(schema: Schema, root: Schema, path: str) -> Iterator[tuple[str, str | None, Schema]]:
    """Yield (path, kind, schema) of a model and of the models in it, in the order of the file."""
    kind = schema["properties"].get("kind", {}).get("const")
    yield path, kind, schema
    for name, entry in schema["properties"].items():
        for reference in _references(entry):
            inner = root["$defs"][reference.rsplit("/", 1)[-1]]
            below = f"{path}.{name}".removeprefix(".")
            yield from _sections(inner, root, below)


def _references(entry: Any) -> list[str]:
    if isinstance(entry, list):
        return [found for item in entry for found in _references(item)]
    if not isinstance(entry, dict):
        return []
    if "$ref" in entry:
        return [entry["$ref"]]
    return [found for key in ("anyOf", "oneOf", "allOf", "items") for found in _references(entry.get(key, []))]


def _anchor(path: str, kind: str | None = None) -> str:
    return "-".join(["key", *re.findall(r"\w+", path or "top"), *([kind] if kind and path else [])])


def _rows(section: Schema, root: Schema, path: str, *, linked: bool = True) -> Iterator[tuple[str, str, str, str]]:
    required = section.get("required", [])
    for name, entry in section["properties"].items():
        inner = [root["$defs"][reference.rsplit("/", 1)[-1]] for reference in _references(entry)]
        described = entry.get("description") or _either([_plain(one["description"]) for one in inner])
        default = _default(entry, is_required=name in required, is_section=bool(inner))
        links = _links(f"{path}.{name}".removeprefix("."), inner) if linked else ""
        yield f"`{name}`", _type(entry) + links, default, _plain(described)


def _either(sentences: list[str]) -> str:
    """Return what a section is that may be one of several."""
    first, *others = sentences
    said = [first.removesuffix("."), *(s[0].lower() + s[1:].removesuffix(".") for s in others)]
    return f"{'; or '.join(said)}."


def _links(path: str, inner: list[Schema]) -> str:
    """Return links to the tables of the sections that may stand at ``path``."""
    kinds = [section["properties"].get("kind", {}).get("const") for section in inner]
    links = [f"[{kind or 'see there'}](#{_anchor(path, kind)})" for kind in kinds]
    return f": {', '.join(links)}" if links else ""


def _default(entry: Schema, *, is_required: bool, is_section: bool) -> str:
    if is_required:
        return "**required**"
    default = entry.get("default")
    if is_section and default is not None:
        return "its defaults"
    if "default" not in entry:
        return "none" if entry.get("type") != "object" else "`{}`"
    return "none" if default is None else f"`{_yaml(default)}`"


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _type(entry: Schema) -> str:
    if "$ref" in entry:
        return "section"
    if "const" in entry:
        return f"`{entry['const']}`"
    if "enum" in entry:
        return " or ".join(f"`{value}`" for value in entry["enum"])
    for key in ("anyOf", "oneOf", "allOf"):
        if key in entry:
            kinds = [_type(part) for part in entry[key] if part.get("type") != "null"]
            return " or ".join(dict.fromkeys(kinds))
    if entry.get("type") == "array":
        return _list(entry)
    if entry.get("type") == "object":
        inner = entry.get("additionalProperties")
        return f"mapping to: {_type(inner)}" if isinstance(inner, dict) else "mapping"
    bounds = [text.format(_yaml(entry[key])) for key, text in _BOUNDS if key in entry]
    return " ".join([_WORDS[entry["type"]], ", ".join(bounds)]).strip()


def _list(entry: Schema) -> str:
    least, most = entry.get("minItems"), entry.get("maxItems")
    number = f"{least} × " if least is not None and least == most else ""
    items = "sections" if "$ref" in entry["items"] else _type(entry["items"])
    return f"list of {number}{f'({items})' if ' ' in items else items}"


def _parameters(command: Any, name: str) -> str:
    rows = []
    for parameter in command.params:
        if not getattr(parameter, "help", None):
            raise MissingDescriptionError(f"{name}: {parameter.name} has no help text")
        default = parameter.default
        shown = "**required**" if parameter.required else f"`{default}`" if _is_worth_showing(default) else ""
        rows.append((f"`{_spelled(parameter)}`", shown, parameter.help))
    return _table(("argument or option", "default", "meaning"), rows) if rows else ""


def _is_worth_showing(default: Any) -> bool:
    return (isinstance(default, str | int | float) and not isinstance(default, bool)) or hasattr(default, "parent")


def _is_option(parameter: Any) -> bool:
    return bool(parameter.opts[0].startswith("-"))


def _spelled(parameter: Any) -> str:
    if not _is_option(parameter):
        return str(parameter.metavar or parameter.name.upper())
    value = "" if getattr(parameter, "is_flag", False) else f" {_value(parameter)}"
    return ", ".join(parameter.opts) + value


def _value(parameter: Any) -> str:
    return str(parameter.metavar or ("N" if isinstance(parameter.default, int) else "PATH"))


def _usage(parameter: Any) -> str:
    if not _is_option(parameter):
        return _spelled(parameter)
    value = "" if getattr(parameter, "is_flag", False) else f" {_value(parameter)}"
    text = parameter.opts[0] + value
    return text if parameter.required else f"[{text}]"


def _table(head: tuple[str, ...], rows: Any) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _plain(text: str) -> str:
    """Return the first paragraph of a docstring or a description, without roles of reStructuredText."""
    first = " ".join(text.split("\n\n", maxsplit=1)[0].split())
    return _ROLE.sub(r"`\1`", first).replace("``", "`")
