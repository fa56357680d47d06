"""Recorded campaigns: what is left of a finished campaign in ``docs/campaigns`` for the pages to be drawn from.

``docs/record_campaigns.py`` (``make docs-campaigns``) runs the campaigns and writes the recordings; the Sphinx
extension ``campaign_pictures`` reads them. A recording is a campaign directory without trajectories, potentials and
fits, because those are a hundred times as large as what figures and tables are made of. Three things that need them
are recorded in their finished form: pictures of some kinds, and how far atoms moved (``motion.json``).
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from mlip_fw.io.safe_yaml import load_yaml

DOCS = Path(__file__).parent.parent
RECORDINGS = DOCS / "campaigns"
EXAMPLES = DOCS.parent / "examples"
TUTORIAL = "tutorial"
"""Name of the campaign whose file is written in the tutorial; all others are files in ``examples/``."""
RECORD = "recording.json"
MOTION = "motion.json"
FINISHED_KINDS = ("parity", "calibration")
"""Figures that are recorded as pictures: they evaluate potentials, and read fits, which are not recorded."""
_FIGURE = re.compile(r"^```\{campaign-figure\} ([\w-]+) (\w+)$", re.MULTILINE)
NUMBERS = re.compile(r"^<!-- campaign-numbers: ([\w-]+) -->$", re.MULTILINE)
_FILE_IN_TUTORIAL = re.compile(r"^cat > first/campaign\.yaml <<'END'\n(.*?)^END$", re.MULTILINE | re.DOTALL)


def campaign_file(name: str) -> str:
    """Return the text of a campaign file: of the tutorial, as it tells users to write it, or of an example."""
    if name == TUTORIAL:
        return _FILE_IN_TUTORIAL.findall((DOCS / "tutorial.md").read_text())[0]
    return (EXAMPLES / f"{name}.yaml").read_text()


def fingerprint(name: str) -> str:
    """Return a hash of all that decides a campaign: the keys of its file, and the structure files that these name.

    Comments and the layout of the file do not change it.
    """
    data = load_yaml(campaign_file(name))
    structure = data.get("structure", {})
    files = [*structure.get("files", []), *([structure["file"]] if "file" in structure else [])]
    contents = [hashlib.sha256((EXAMPLES / path).read_bytes()).hexdigest() for path in files]
    return hashlib.sha256(json.dumps([data, contents], sort_keys=True).encode()).hexdigest()


def figures() -> set[tuple[str, str]]:
    """Return the (campaign, kind) of every figure that a page shows."""
    return {found for text in _pages() for found in _FIGURE.findall(text)}


def campaigns() -> list[str]:
    """Return the names of all campaigns that pages show figures or numbers of."""
    return sorted({name for name, _ in figures()} | {name for text in _pages() for name in NUMBERS.findall(text)})


def _pages() -> list[str]:
    return [page.read_text() for page in sorted(DOCS.rglob("*.md")) if "_build" not in page.parts]


def recorded_run(name: str) -> Path:
    """Return what is left of the campaign's directory."""
    return RECORDINGS / name / "run"


def recorded_picture(name: str, kind: str) -> Path:
    """Return where a picture is that was recorded in its finished form."""
    return RECORDINGS / name / f"{kind}.svg"


def record_of(name: str) -> dict[str, Any]:
    """Return what is known of how a campaign was recorded; nothing if it was not."""
    path = RECORDINGS / name / RECORD
    return json.loads(path.read_text()) if path.is_file() else {}


def outdated() -> list[str]:
    """Return the campaigns that have no recording, or one of another campaign file than the present one."""
    return [name for name in campaigns() if record_of(name).get("campaign_sha256") != fingerprint(name)]
