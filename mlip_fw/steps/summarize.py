"""The step summarize: outcome, costs and errors of the campaign."""

from __future__ import annotations

import logging

from mlip_fw.campaign.events import Event
from mlip_fw.campaign.records import CampaignRecords
from mlip_fw.campaign.summary import summarize
from mlip_fw.io.files import write_json
from mlip_fw.models.handoff import Handoff
from mlip_fw.models.summary import CampaignSummary
from mlip_fw.models.worker import Worker
from mlip_fw.steps.step import Step

logger = logging.getLogger("mlip_fw")


def summarize_campaign(step: Step[Handoff], worker: Worker) -> CampaignSummary:
    """Record that the campaign is over, and write its summary.

    Files: reads all records of the campaign directory; writes ``summary.json``.
    """
    outcome, reason = CampaignRecords(step.directory).judged(step.stop)
    step.record(Event.FINISHED, outcome=outcome, reason=reason)
    summary = summarize(step.directory)
    write_json(step.directory.summary_file, summary)
    logger.info("%s: %s", summary.campaign, summary.outcome + (f" ({summary.reason})" if summary.reason else ""))
    if summary.hint is not None:
        logger.warning("%s", summary.hint)
    return summary
