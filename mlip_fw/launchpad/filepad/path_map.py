"""Translate paths between the machine that added a campaign and this machine's copy of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlip_fw.errors import FilePadError
from mlip_fw.models.campaign import Campaign

INPUTS_FOLDER = "inputs"
_WITH_PATHS = ("result.json", "summary.json")
"""Files that hold absolute paths; they are published with those of the machine that added the campaign."""


class PathMap:
    """Translates paths of the machine that added a campaign (*there*) to those of a local copy (*here*), and back.

    Parameters
    ----------
    campaign, directory
        As the Fireworks have them.
    root
        The campaign directory on this machine.
    """

    def __init__(self, campaign: Campaign, directory: str, root: Path) -> None:
        self.root, self.directory = root, directory
        is_same = str(root) == directory
        self._inputs = {} if is_same else {name: str(root / at) for name, at in input_paths(campaign).items()}

    def here(self, value: Any) -> Any:
        """Return plain JSON values with all paths translated to this machine's copy."""
        return _each_text(value, lambda text: self._inputs.get(text) or _moved(text, self.directory, str(self.root)))

    def there(self, value: Any) -> Any:
        """Return plain JSON values with all paths translated to the machine that added the campaign."""
        names = {at: name for name, at in self._inputs.items()}
        return _each_text(value, lambda text: names.get(text) or _moved(text, str(self.root), self.directory))

    def content_here(self, path: str, content: bytes) -> bytes:
        """Return the contents of a published file with this machine's paths."""
        return _rewritten(content, self.here) if path.endswith(_WITH_PATHS) else content

    def content_there(self, path: str, content: bytes) -> bytes:
        """Return the contents of a local file as they are published."""
        return _rewritten(content, self.there) if path.endswith(_WITH_PATHS) else content

    def path_here(self, path: str) -> Path:
        """Return the local path of a published file.

        Raises
        ------
        FilePadError
            If it would be outside of the copy.
        """
        whole = self.root / path
        plain = not path.startswith("/") and all(part not in ("", ".", "..") for part in path.split("/"))
        home = Path(os.path.realpath(self.root))
        if not plain or not path.isprintable() or not Path(os.path.realpath(whole)).is_relative_to(home):
            raise FilePadError(
                f"the LaunchPad's FilePad has a file called {path!a}, which would lie outside of {self.root}; "
                "somebody else wrote it, or a link leads out of that directory: remove it"
            )
        return whole


def input_paths(campaign: Campaign) -> dict[str, str]:
    """Return the path in a copy of each file that a campaign names, by the name."""
    found = {name: f"{INPUTS_FOLDER}/{key}/{Path(name).name}" for key, name in campaign.named_files().items()}
    if campaign.potential.initial is not None:
        active_set = Path(campaign.potential.initial).with_suffix(".asi")
        found[str(active_set)] = f"{INPUTS_FOLDER}/potential.initial/{active_set.name}"
    return found


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _each_text(inner, change) for key, inner in value.items()}
    return [_each_text(inner, change) for inner in value] if isinstance(value, list | tuple) else value


def _moved(text: str, old: str, new: str) -> str:
    return new + text[len(old) :] if text == old or text.startswith(f"{old}/") else text


def _rewritten(content: bytes, change: Callable[[Any], Any]) -> bytes:
    try:
        return (json.dumps(change(json.loads(content)), indent=1) + "\n").encode()
    except ValueError:
        return content
