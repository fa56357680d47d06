"""From a halted frame to the structures that are worth a label."""

from __future__ import annotations

from typing import Any

from fireworks import FWAction, explicit_serialize

from mlip_fw.engines.candidates.cycle import select_in_cycle
from mlip_fw.firetasks.base import CampaignTask, read_worker
from mlip_fw.io.files import once
from mlip_fw.layout import CampaignDirectory
from mlip_fw.models.handoff import CandidatesHandoff
from mlip_fw.models.selection import Selection
from mlip_fw.travel.errand import FAILURES, IMPORTED, LEVEL, TO_RUN, Errand, Want


@explicit_serialize
class SelectCandidates(CampaignTask):
    """Make candidates around the worst atom and choose among them."""

    handed_kind = CandidatesHandoff

    def turn(self, handoff: CandidatesHandoff, fw_spec: dict[str, Any]) -> str:
        """Return the name of this selection."""
        return f"candidates-{handoff.walker:02d}-{handoff.cycle:04d}"

    def errand(self, handoff: CandidatesHandoff, fw_spec: dict[str, Any]) -> Errand:
        """Return what travels: the halted frame and the potential here, the selection from here."""
        cycle = handoff.place(CampaignDirectory(handoff.directory).cycle(handoff.walker, handoff.cycle))
        frames = Want(f"{cycle}/", only=("result.json", "selection.json", "*.extxyz"))
        return Errand((TO_RUN, Want(LEVEL), frames, FAILURES, IMPORTED), (LEVEL, f"{cycle}/selection.json"), True)

    def work(self, handoff: CandidatesHandoff, fw_spec: dict[str, Any]) -> FWAction:
        """Return one Label Firework for each chosen structure as detours."""
        worker = read_worker(fw_spec.get("_fw_env"))
        folder = CampaignDirectory(handoff.directory).cycle(handoff.walker, handoff.cycle)
        selection = once(folder / "selection.json", Selection, lambda: select_in_cycle(handoff, worker))
        return self.then()(handoff, selection)
