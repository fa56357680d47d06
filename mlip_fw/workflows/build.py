"""The Fireworks of a campaign: task, name, category, priority and folder of each.

Categories let each queue take its own kind of work. Priorities let the potential that a halted MD waits for be
retrained before new work starts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fireworks import Firework

from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.firetasks.audit import AuditPotential
from mlip_fw.firetasks.base import CampaignTask
from mlip_fw.firetasks.bootstrap import Bootstrap
from mlip_fw.firetasks.candidates import SelectCandidates
from mlip_fw.firetasks.continuations import stored_name
from mlip_fw.firetasks.label import LabelStructure
from mlip_fw.firetasks.md import RunMD
from mlip_fw.firetasks.polish import PolishPotential
from mlip_fw.firetasks.summary import Summarize
from mlip_fw.firetasks.train import TrainPotential
from mlip_fw.firetasks.validate import ValidatePotential
from mlip_fw.models.handoff import (
    AuditHandoff,
    CandidatesHandoff,
    Handoff,
    LabelHandoff,
    MDHandoff,
    RefineHandoff,
    TrainHandoff,
    ValidateHandoff,
)

_PRIORITY = {
    "md": 1,
    "bootstrap": 1,
    "summary": 1,
    "audit": 1,
    "validate": 1,
    "candidates": 3,
    "label": 4,
    "train": 5,
    "polish": 5,
}


def bootstrap_firework(handoff: Handoff) -> Firework:
    """Return the Firework that makes generation 0."""
    return _firework(Bootstrap, handoff, "bootstrap", category="train", then="after_bootstrap")


def md_firework(handoff: MDHandoff, parents: list[Firework] | None = None) -> Firework:
    """Return the Firework of one MD run."""
    name = f"md w{handoff.walker:02d} s{handoff.stage}"
    if _knows_its_cycle(handoff):
        name += f" c{handoff.cycle:04d}"
    return _firework(RunMD, handoff, name, category="md", then="after_md", parents=parents)


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
    name = f"candidates w{handoff.walker:02d} c{handoff.cycle:04d}"
    return _firework(SelectCandidates, handoff, name, category="train", then="after_selection")


def label_firework(handoff: LabelHandoff) -> Firework:
    """Return the Firework of one reference calculation."""
    name = f"label {handoff.hash}" + (f" t{handoff.turns}" if handoff.turns else "")
    return _firework(LabelStructure, handoff, name, category="dft", then="after_label")


def train_firework(handoff: TrainHandoff, parents: list[Firework] | None = None) -> Firework:
    """Return the Firework that trains the next generation."""
    if handoff.walker_and_cycle is None:
        name = "train bootstrap"
    else:
        walker, cycle = handoff.walker_and_cycle
        name = f"train w{walker:02d} c{cycle:04d}"
    return _firework(TrainPotential, handoff, name, category="train", then="after_training", parents=parents)


def refine_firework(handoff: RefineHandoff, parents: list[Firework] | None = None) -> Firework:
    """Return the Firework that has the campaign's trainer refine the potential."""
    name = "polish" + (f" t{handoff.turns}" if handoff.turns else "")
    return _firework(PolishPotential, handoff, name, category="train", then="after_polish", parents=parents)


def audit_firework(handoff: AuditHandoff, parents: list[Firework] | None = None) -> Firework:
    """Return the Firework that finds how large the error is, and has stages repeated if it is too large."""
    name = "audit" + (f" r{handoff.round}" if handoff.round else "")
    return _firework(AuditPotential, handoff, name, category="train", then="after_audit", parents=parents)


def validate_firework(handoff: ValidateHandoff, parents: list[Firework] | None = None) -> Firework:
    """Return the Firework that compares the newest potential with the oracle."""
    return _firework(ValidatePotential, handoff, "validate", category="train", then="after_validation", parents=parents)


def summary_firework(handoff: Handoff, parents: list[Firework]) -> Firework:
    """Return the last Firework of a campaign."""
    return _firework(Summarize, handoff, "summary", category="train", parents=parents)


def _firework(
    task: type[CampaignTask],
    handoff: Handoff,
    name: str,
    *,
    category: str,
    then: str | None = None,
    parents: list[Firework] | None = None,
) -> Firework:
    parameters: dict[str, Any] = {"handoff": handoff.plain()}
    if then is not None:
        parameters["then"] = stored_name(then)
    kind = name.partition(" ")[0]
    # with `files: filepad` there is no shared folder: each worker has one of its own
    is_shared = handoff.campaign.files == "shared"
    where = {"_launch_dir": str(_folder(handoff, kind))} if is_shared else {"_add_fworker": True}
    spec = {
        "_category": category,
        "_priority": _PRIORITY[kind],
        "_add_launchpad_and_fw_id": True,
        "campaign": handoff.campaign.campaign,
        **where,
    }
    return Firework(task(parameters), spec=spec, name=f"{handoff.campaign.campaign}: {name}", parents=parents)


def _folder(handoff: Handoff, kind: str) -> Path:
    """Return the folder in which a Firework is launched."""
    directory = CampaignDirectory(handoff.directory)
    if isinstance(handoff, LabelHandoff):
        # of its own, as others run beside it
        return Path(handoff.structures).parent / f"label_{handoff.hash}"
    if isinstance(handoff, MDHandoff) and not _knows_its_cycle(handoff):
        return directory.walker(handoff.walker)
    if kind in ("polish", "audit", "summary"):
        return directory.root
    return directory.validation if kind == "validate" else directory.files(handoff.walker_and_cycle).folder


def _knows_its_cycle(handoff: MDHandoff) -> bool:
    """Return whether it is more than a later stage, whose cycle is known only when the stage before has finished."""
    return handoff.stage == 0 or handoff.start is not None
