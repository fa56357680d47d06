"""Loading of untrusted YAML: plain values only, with limits on size and depth after alias expansion."""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    Event,
    ScalarEvent,
)

_MAX_VALUES = 100_000
_DEEPEST = 50


def load_yaml(text: str) -> Any:
    """Return what a YAML document holds.

    Raises
    ------
    YAMLError
        If it is no YAML, asks for anything but plain values, refers to itself, or is nested too deeply or
        grows too large when its aliases are written out.
    """
    _require_modest(text)
    return YAML(typ="safe", pure=True).load(text)


def _require_modest(text: str) -> None:
    """Count values, with aliases expanded, before any is created: nested aliases can stand for billions."""
    sizes: dict[str, int] = {}
    open_collections: list[tuple[str | None, int]] = []
    total = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        if isinstance(event, CollectionStartEvent):
            open_collections.append((event.anchor, total))
            if len(open_collections) > _DEEPEST:
                raise YAMLError(f"it is nested more than {_DEEPEST} levels deep")
        total += _size(event, sizes)
        if isinstance(event, CollectionEndEvent):
            anchor, before = open_collections.pop()
            if anchor is not None:
                sizes[anchor] = total - before
        if total > _MAX_VALUES:
            raise YAMLError(f"it holds more than {_MAX_VALUES} values when its aliases are written out")


def _size(event: Event, sizes: dict[str, int]) -> int:
    if isinstance(event, AliasEvent):
        if event.anchor not in sizes:
            raise YAMLError(f"the alias *{event.anchor} refers to nothing before it, or to itself")
        return sizes[event.anchor]
    if isinstance(event, ScalarEvent) and event.anchor is not None:
        sizes[event.anchor] = 1
    return int(isinstance(event, ScalarEvent | CollectionStartEvent))
