"""The Fireworks of a campaign.

Categories let each queue take its own kind of work; priorities let a waiting MD be mended before
new work starts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fireworks import Firework

from mlip_fw.firetasks.base import LOOP, CampaignTask
from mlip_fw.firetasks.bootstrap import Bootstrap
from mlip_fw.firetasks.candidates import SelectCandidates
from mlip_fw.firetasks.label import LabelStructure
from mlip_fw.firetasks.md import RunMD
from mlip_fw.firetasks.polish import PolishPotential
from mlip_fw.firetasks.summary import Summarize
from mlip_fw.firetasks.train import TrainPotential
from mlip_fw.firetasks.validate import ValidatePotential
from mlip_fw.layout import CampaignDirectory
from mlip_fw.models.handoff import (
    CandidatesHandoff,
    Handoff,
    LabelHandoff,
    MDHandoff,
    PolishHandoff,
    TrainHandoff,
    ValidateHandoff,
)

_PRIORITY = {"md": 1, "bootstrap": 1, "summary": 1, "validate": 1, "candidates": 3, "label": 4, "train": 5, "polish": 5}


def bootstrap_firework(handoff: Handoff) -> Firework:
    """Return the Firework that makes generation 0."""
    folder = CampaignDirectory(handoff.directory).bootstrap
    return _firework(Bootstrap, handoff, "bootstrap", "bootstrap", "train", folder, then="after_bootstrap")


def md_firework(handoff: MDHandoff, parents: list[Firework] | None = None) -> Firework:
    """Return the Firework of one MD run."""
    folder = CampaignDirectory(handoff.directory).cycle(handoff.walker, handoff.cycle)
    name = f"md w{handoff.walker:02d} s{handoff.stage}"
    # the cycle of a later stage is known only when the stage before has finished
    known = handoff.stage == 0 or handoff.start is not None
    return _firework(
        RunMD,
        handoff,
        f"{name} c{handoff.cycle:04d}" if known else name,
        "md",
        "md",
        folder if known else folder.parent,
        then="after_md",
        parents=parents,
    )


def walker_fireworks(handoff: Handoff, walker: int, parent: Firework) -> list[Firework]:
    """Return the MD Fireworks of all stages of a walker, each the child of the one before, the first of ``parent``."""
    made: list[Firework] = []
    for stage in range(len(handoff.campaign.md.stages)):
        md = MDHandoff(
            campaign=handoff.campaign,
            directory=handoff.directory,
            walker=walker,
            stage=stage,
            first_step=handoff.campaign.md.first_step(stage),
        )
        made.append(md_firework(md, parents=[made[-1] if made else parent]))
    return made


def candidates_firework(handoff: CandidatesHandoff) -> Firework:
    """Return the Firework that selects what to label."""
    folder = CampaignDirectory(handoff.directory).cycle(handoff.walker, handoff.cycle)
    name = f"candidates w{handoff.walker:02d} c{handoff.cycle:04d}"
    return _firework(SelectCandidates, handoff, name, "candidates", "train", folder, then="after_selection")


def label_firework(handoff: LabelHandoff) -> Firework:
    """Return the Firework of one reference calculation; its folder is its own, as others run beside it."""
    folder = Path(handoff.structures).parent / f"label_{handoff.hash}"
    name = f"label {handoff.hash}" + (f" t{handoff.turns}" if handoff.turns else "")
    return _firework(LabelStructure, handoff, name, "label", "dft", folder, then="after_label")


def train_firework(handoff: TrainHandoff, parents: list[Firework] | None = None) -> Firework:
    """Return the Firework that trains the next generation."""
    directory = CampaignDirectory(handoff.directory)
    if handoff.walker is None or handoff.cycle is None:
        name, folder = "train bootstrap", directory.bootstrap
    else:
        name = f"train w{handoff.walker:02d} c{handoff.cycle:04d}"
        folder = directory.cycle(handoff.walker, handoff.cycle)
    return _firework(TrainPotential, handoff, name, "train", "train", folder, then="after_training", parents=parents)


def polish_firework(handoff: PolishHandoff, parents: list[Firework] | None = None) -> Firework:
    """Return the Firework that has pacemaker train."""
    name = "polish" + (f" t{handoff.turns}" if handoff.turns else "")
    folder = CampaignDirectory(handoff.directory).root
    return _firework(PolishPotential, handoff, name, "polish", "train", folder, then="after_polish", parents=parents)


def validate_firework(handoff: ValidateHandoff, parents: list[Firework] | None = None) -> Firework:
    """Return the Firework that compares the newest potential with the oracle."""
    folder = CampaignDirectory(handoff.directory).validation
    return _firework(
        ValidatePotential, handoff, "validate", "validate", "train", folder, then="after_validation", parents=parents
    )


def summary_firework(handoff: Handoff, parents: list[Firework]) -> Firework:
    """Return the last Firework of a campaign."""
    return _firework(Summarize, handoff, "summary", "summary", "train", Path(handoff.directory), parents=parents)


def _firework(
    task: type[CampaignTask],
    handoff: Handoff,
    name: str,
    kind: str,
    category: str,
    folder: Path,
    *,
    then: str | None = None,
    parents: list[Firework] | None = None,
) -> Firework:
    parameters: dict[str, Any] = {"handoff": handoff.plain()}
    if then is not None:
        parameters["then"] = f"{LOOP}:{then}"
    spec = {
        "_category": category,
        "_priority": _PRIORITY[kind],
        "_add_launchpad_and_fw_id": True,
        "campaign": handoff.campaign.campaign,
        # where files travel, each worker has a folder of its own
        **({"_launch_dir": str(folder)} if handoff.campaign.files == "shared" else {"_add_fworker": True}),
    }
    return Firework(task(parameters), spec=spec, name=f"{handoff.campaign.campaign}: {name}", parents=parents)
