"""A user's ``input.yaml`` for pacemaker as a template: which of its keys are taken over."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mlip_fw.errors import CampaignError
from mlip_fw.io.files import atomic_file, require_file
from mlip_fw.io.safe_yaml import load_yaml

logger = logging.getLogger("mlip_fw")
_MAX_BYTES = 1_000_000
_KEY = "potential.pacemaker.template"
_TAKEN = {
    "potential": ("embeddings", "bonds", "functions", "deltaSplineBins"),
    "fit": (
        "loss",
        "optimizer",
        "maxiter",
        "options",
        "trainable_parameters",
        "ladder_step",
        "min_relative_train_loss_per_iter",
        "early_stopping_patience",
    ),
    "backend": ("batch_size", "display_step", "batch_size_reduction", "batch_size_reduction_factor", "gpu_config"),
}
"""Keys that are taken over. Others would run code (callbacks) or leave out labels (weighting), or mlip_fw decides
them."""
_KNOWN = {*_TAKEN, "cutoff", "seed", "metadata", "data"}
"""Sections of pacemaker's input; of a file without any of them, no content is repeated in messages."""
_MAX_NAMED, _LONGEST_NAME = 8, 40
_NUMBERS = (("fit", "maxiter"), ("backend", "batch_size"), ("backend", "display_step"))


@dataclass(frozen=True)
class Template:
    """The sections of a template that are taken over."""

    potential: dict[str, Any] | None = None
    fit: dict[str, Any] = field(default_factory=dict)
    backend: dict[str, Any] = field(default_factory=dict)


def read_template(path: str | None) -> Template:
    """Return the keys of a template that are taken over, and log those that are not; without a path, an empty one.

    Raises
    ------
    CampaignError
        If it is missing or no plain YAML, or a section can't be used.
    """
    if path is None:
        return Template()
    data = _loaded(Path(path))
    sections = {name: _mapping(data, name) for name in _TAKEN}
    left = [str(name) for name in data if name not in _TAKEN]
    left += [f"{name}.{key}" for name, given in sections.items() for key in given if key not in _TAKEN[name]]
    if left:
        logger.warning("%s: mlip_fw decides %s itself; what it says has no effect", path, _named(left))
    taken = {name: {k: v for k, v in given.items() if k in _TAKEN[name]} for name, given in sections.items()}
    _require_sound(taken)
    return Template(taken["potential"] or None, taken["fit"], taken["backend"])


def write_template(path: Path, template: Template) -> None:
    """Write a template from which :func:`read_template` gets the same."""
    sections = {"potential": template.potential, "fit": template.fit, "backend": template.backend}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary:
        YAML(typ="safe", pure=True).dump({name: given for name, given in sections.items() if given}, temporary)


def _loaded(path: Path) -> dict[str, Any]:
    require_file(path, _KEY, _MAX_BYTES)
    try:
        data = load_yaml(path.read_text())
    except (OSError, UnicodeDecodeError, YAMLError, RecursionError, ValueError) as error:
        raise CampaignError(f"{_KEY}: {path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict) or not any(name in _KNOWN for name in data):
        raise CampaignError(f"{_KEY}: {path} must hold sections such as potential and fit")
    return data


def _named(keys: list[str]) -> str:
    shown = [key[:_LONGEST_NAME] for key in sorted(keys)[:_MAX_NAMED]]
    return ", ".join(shown) + (f" and {len(keys) - _MAX_NAMED} more" if len(keys) > _MAX_NAMED else "")


def _mapping(data: dict[str, Any], section: str) -> dict[str, Any]:
    given = data.get(section) or {}
    if not isinstance(given, dict):
        raise CampaignError(f"{_KEY}: its section {section} must be a mapping of keys, not {given!r:.60}")
    return given


def _require_sound(taken: dict[str, dict[str, Any]]) -> None:
    for section, key in _NUMBERS:
        value = taken[section].get(key, 1)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise CampaignError(f"{_KEY}: {section}.{key} must be a whole number from 1 on, not {value!r:.60}")
    if not isinstance(taken["fit"].get("loss", {}), dict):
        raise CampaignError(f"{_KEY}: fit.loss must be a mapping of keys, not {taken['fit']['loss']!r:.60}")
    kappa = taken["fit"].get("loss", {}).get("kappa", "auto")
    if kappa != "auto" and (isinstance(kappa, bool) or not isinstance(kappa, int | float) or not 0 <= kappa <= 1):
        raise CampaignError(f"{_KEY}: fit.loss.kappa must be auto or a number from 0 to 1, not {kappa!r:.60}")
    for key in ("L1_coeffs", "L2_coeffs"):
        penalty = taken["fit"].get("loss", {}).get(key, 0.0)
        if isinstance(penalty, bool) or not isinstance(penalty, int | float) or not 0 <= penalty < math.inf:
            raise CampaignError(f"{_KEY}: fit.loss.{key} must be a number from 0 on, not {penalty!r:.60}")
    if not isinstance(taken["fit"].get("optimizer", ""), str):
        raise CampaignError(f"{_KEY}: fit.optimizer must be text, not {taken['fit']['optimizer']!r:.60}")
    form = taken["potential"]
    if form and (missing := [key for key in _TAKEN["potential"][:3] if not isinstance(form.get(key), dict)]):
        raise CampaignError(
            f"{_KEY}: its section potential has no {', '.join(missing)}; give all three, or leave the section out"
        )
