"""The last Firework of a campaign."""

from __future__ import annotations

from typing import Any

from fireworks import FWAction, explicit_serialize

from mlip_fw.firetasks.base import STOPPED, CampaignTask, logger
from mlip_fw.io.files import write_json
from mlip_fw.layout import CampaignDirectory
from mlip_fw.models.handoff import Handoff
from mlip_fw.summary import summarize
from mlip_fw.travel.errand import FAILURES, LABELS, NEWEST, TO_RUN, Errand, Want


@explicit_serialize
class Summarize(CampaignTask):
    """Say what the campaign came to."""

    def errand(self, handoff: Handoff, fw_spec: dict[str, Any]) -> Errand:
        """Return what travels: all records and labels here, the summary from here."""
        records = (
            Want("walkers/", only=("result.json", "selection.json")),
            Want("bootstrap/selection.json", only=("*.json",)),
        )
        trainings = Want(NEWEST, only=("training.json",))
        return Errand((TO_RUN, trainings, *records, LABELS, FAILURES, Want("events/")), ("summary.json",))

    def work(self, handoff: Handoff, fw_spec: dict[str, Any]) -> FWAction:
        """Return the numbers; the whole summary is in ``summary.json``."""
        directory = CampaignDirectory(handoff.directory)
        reason = fw_spec.get(STOPPED)
        directory.log_event("finished", outcome="STOPPED" if reason else "CONVERGED", reason=reason)
        summary = summarize(directory)
        write_json(directory.root / "summary.json", summary)
        logger.info("%s: %s", summary.campaign, summary.outcome + (f" ({reason})" if reason else ""))
        if summary.hint is not None:
            logger.warning("%s", summary.hint)
        return FWAction(stored_data={"outcome": summary.outcome, "reason": summary.reason})
