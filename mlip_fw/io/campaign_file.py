"""The campaign file: YAML to a checked model, with errors that say what to do."""

from __future__ import annotations

import difflib
import io
import types
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mlip_fw.errors import CampaignError, WorkerError
from mlip_fw.io.files import write_text
from mlip_fw.io.safe_yaml import load_yaml
from mlip_fw.models.campaign import Campaign, with_earlier_basis
from mlip_fw.models.kinds import BROKEN, UNKNOWN
from mlip_fw.models.oracle import OracleSettings
from mlip_fw.plugins import ORACLES

_MAX_BYTES = 1_000_000
_PATHS: tuple[tuple[str, ...], ...] = (
    ("structure", "file"),
    ("structure", "files"),
    ("potential", "initial"),
    ("potential", "pacemaker", "template"),
    ("bootstrap", "dataset"),
    ("bootstrap", "dataset", "file"),
    ("validation", "reference_trajectory"),
)
_TAGS = {("gamma_halt", "number"), ("gamma_halt", "by_element"), ("dataset", "path"), ("dataset", "mapping")}
"""Where pydantic names the branch of a union that it took, which users don't write."""
_OR_AUTO = ("constrained-float", "constrained-int")
"""Where a number or the word auto may stand, pydantic tells of both."""
_SAYS = {
    "missing": "is missing",
    "float_type": "must be a number without a unit, not {value}",
    "int_type": "must be a whole number without a unit, not {value}",
    "int_from_float": "must be a whole number, not {value}",
    "finite_number": "must be a finite number, not {value}",
    "string_type": "must be text, not {value}",
    "list_type": "must be a list, not {value}",
    "model_type": "must be a mapping of keys, not {value}",
    "dict_type": "must be a mapping of keys, not {value}",
    "bool_type": "must be true or false, not {value}",
}


def read_campaign(path: Path) -> Campaign:
    """Read and check a campaign file.

    Relative paths in it are taken relative to the file and returned absolute.

    Raises
    ------
    CampaignError
        If the file is missing or anything in it is wrong; all faults are named at once.
    """
    return parse_campaign(_data_of(path), str(path))


def read_stored_campaign(path: Path) -> Campaign:
    """Read the campaign file of a campaign directory, which an earlier version may have written.

    Raises
    ------
    CampaignError
        If the file is missing or anything in it is wrong; all faults are named at once.
    """
    return parse_campaign(with_earlier_basis(_data_of(path)), str(path))


def _data_of(path: Path) -> dict[str, Any]:
    try:
        data = load_yaml(_text_of(path))
    except FileNotFoundError:
        raise CampaignError(f"there is no campaign file {path}; `mlip-fw init DIR` writes one to start from") from None
    except UnicodeDecodeError as error:
        raise CampaignError(f"{path} is not text: {error}") from error
    except OSError as error:
        raise CampaignError(f"can't read {path}: {error.strerror}") from error
    except (YAMLError, RecursionError, ValueError) as error:
        raise CampaignError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise CampaignError(f"{path} must hold a mapping of keys such as 'campaign: my-name', found {_show(data)}")
    return _with_absolute_paths(data, path.resolve().parent)


def _text_of(path: Path) -> str:
    if path.is_fifo() and not path.resolve().is_relative_to("/proc"):
        raise CampaignError(f"{path} is a named pipe, not a campaign file; write the campaign to a file")
    with path.open("rb") as handle:
        content = handle.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise CampaignError(f"{path} is too large; a campaign file has at most {_MAX_BYTES} bytes")
    return content.decode()


def parse_campaign(data: dict[str, Any], where: str) -> Campaign:
    """Check campaign data that came from ``where``."""
    try:
        return Campaign.model_validate(data)
    except ValidationError as error:
        told = [e for e in error.errors() if e["loc"][-1:] != ("literal['auto']",)]
        faults = "; ".join(
            _explain(e, data) + (" (or auto)" if e["loc"][-1:] and e["loc"][-1] in _OR_AUTO else "") for e in told[:8]
        )
        raise CampaignError(f"{where}: {faults}") from None


def write_campaign(path: Path, campaign: Campaign) -> None:
    """Write ``campaign`` as YAML, every default spelled out."""
    write_text(path, campaign_text(campaign))


def campaign_text(campaign: Campaign) -> str:
    """Return ``campaign`` as YAML, every default spelled out."""
    stream = io.StringIO()
    YAML(typ="safe", pure=True).dump(campaign.model_dump(mode="json"), stream)
    return stream.getvalue()


def _with_absolute_paths(data: dict[str, Any], base: Path) -> dict[str, Any]:
    settings = _oracle_settings(data)
    for keys in (*_PATHS, *(("oracle", key) for key in (settings.path_keys if settings else ()))):
        data = _with_absolute_path(data, keys, base)
    return data


def _with_absolute_path(data: dict[str, Any], keys: tuple[str, ...], base: Path) -> dict[str, Any]:
    key, *inner = keys
    if key not in data or (inner and not isinstance(data[key], dict)):
        return data
    made = _with_absolute_path(data[key], tuple(inner), base) if inner else _absolute(data[key], base)
    return {**data, key: made}


def _absolute(value: Any, base: Path) -> Any:
    """Return a path, or each path of a list, relative to ``base``; whatever is no path stays what it is."""
    if isinstance(value, list):
        return [_absolute(inner, base) for inner in value]
    if not isinstance(value, str):
        return value
    try:
        return str(base / Path(value).expanduser())
    except RuntimeError:
        raise CampaignError(f"there is no home folder for {value}; write the whole path") from None


def _oracle_settings(data: dict[str, Any]) -> type[OracleSettings] | None:
    """Return the model of the section ``oracle``, or None if its kind is not one that can be used here."""
    kind = data["oracle"].get("kind") if isinstance(data.get("oracle"), dict) else None
    try:
        settings = ORACLES.get(kind).settings if isinstance(kind, str) else None
    except WorkerError:
        return None
    return settings if isinstance(settings, type) and issubclass(settings, OracleSettings) else None


def _explain(error: Any, data: dict[str, Any]) -> str:
    location, kind = _as_written(error["loc"]), error["type"]
    name = ".".join(str(part) for part in location) or "the campaign"
    if kind == "extra_forbidden":
        known = _keys_beside(error["loc"], data)
        return f"{name} is not a key of a campaign; {_hint(str(location[-1]), known, 'known keys')}"
    if kind in (UNKNOWN, BROKEN):
        return f"{name} {error['msg']}" if kind == UNKNOWN else f"{name}: {error['msg']}"
    if kind == "value_error":
        return f"{name}: {error['ctx']['error']}"
    if kind in _SAYS:
        return f"{name} {_SAYS[kind].format(value=_show(error['input']))}"
    message = error["msg"].removeprefix("Input ")
    return f"{name} {message}, not {_show(error['input'])}"


def _hint(wrong: str, known: list[str], otherwise: str) -> str:
    close = difflib.get_close_matches(wrong, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else f"{otherwise}: {', '.join(known)}"


def _as_written(location: tuple[Any, ...]) -> tuple[Any, ...]:
    written = (part for k, part in enumerate(location) if not k or (location[k - 1], part) not in _TAGS)
    return tuple(part for part in written if part not in _OR_AUTO)


def _keys_beside(location: tuple[Any, ...], data: dict[str, Any]) -> list[str]:
    """Return the keys that are allowed where the unknown key ``location`` stands."""
    model: type[BaseModel] = Campaign
    for part in location[:-1]:
        if part == "oracle":
            model = _oracle_settings(data) or OracleSettings
        elif isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    return next(filter(None, map(_model_in, typing.get_args(annotation))), None)


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
