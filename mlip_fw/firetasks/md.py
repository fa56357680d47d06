"""Molecular dynamics until it finishes or halts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fireworks import FWAction, explicit_serialize

from mlip_fw.engines.md.cycle import run_cycle
from mlip_fw.errors import MDError
from mlip_fw.firetasks.base import STOPPED, CampaignTask, read_worker
from mlip_fw.io.files import once
from mlip_fw.layout import CampaignDirectory
from mlip_fw.models.handoff import MDHandoff
from mlip_fw.models.md import MDOutcome, MDResult
from mlip_fw.travel.errand import EARLIER, FAILURES, IMPORTED, INPUTS, TO_RUN, Errand, Want


@explicit_serialize
class RunMD(CampaignTask):
    """Run one MD from its start or restart with the newest potential."""

    handed_kind = MDHandoff

    def turn(self, handoff: MDHandoff, fw_spec: dict[str, Any]) -> str:
        """Return the name of this cycle's MD."""
        return f"md-{handoff.walker:02d}-{handoff.taking_baton(fw_spec).cycle:04d}"

    def errand(self, handoff: MDHandoff, fw_spec: dict[str, Any]) -> Errand:
        """Return what travels: start, potential and earlier results here, this run from here."""
        if STOPPED in fw_spec:
            return Errand()
        handoff = handoff.taking_baton(fw_spec)
        directory = CampaignDirectory(handoff.directory)
        walker, cycle = directory.walker(handoff.walker), directory.cycle(handoff.walker, handoff.cycle)
        wants = [Want(f"{handoff.place(walker)}/", only=("result.json",)), Want(f"{handoff.place(cycle)}/")]
        if handoff.start is not None:
            start = Path(handoff.start)
            wants.append(Want(handoff.place(start.with_name("result.json")), only=(start.name,)))
        made = f"{handoff.place(cycle)}/result.json"
        return Errand((TO_RUN, EARLIER, INPUTS, *wants, FAILURES, IMPORTED), (made,), label_names=True)

    def work(self, handoff: MDHandoff, fw_spec: dict[str, Any]) -> FWAction:
        """Return the mending of a halted run as a detour, or hand a finished stage's end on."""
        if STOPPED in fw_spec:
            return FWAction(update_spec={STOPPED: fw_spec[STOPPED]})
        self.shelve_finished()
        handoff = handoff.taking_baton(fw_spec)
        folder = CampaignDirectory(handoff.directory).cycle(handoff.walker, handoff.cycle)
        result = once(folder / "result.json", MDResult, lambda: run_cycle(handoff, read_worker(fw_spec.get("_fw_env"))))
        if result.outcome is MDOutcome.CRASHED and result.frame is None:
            (folder / "result.json").unlink()
            raise MDError(f"MD crashed in {folder}: {result.reason}; see log.lammps and lmp.out there")
        action: FWAction = self.then()(handoff, result)
        return action
