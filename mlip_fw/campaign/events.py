"""What can happen to a campaign; :mod:`mlip_fw.campaign.journal` writes and reads it."""

from __future__ import annotations

from enum import StrEnum


class Event(StrEnum):
    """What can happen to a campaign; the values are stored (docs/reference/files.md) and never change."""

    RUN_STARTED = "run_started"
    GENERATION_REFUSED = "generation_refused"
    MD_STARTED = "md_started"
    MD_FINISHED = "md_finished"
    MD_OUT_OF_TIME = "md_out_of_time"
    CHEMISTRY_CHANGED = "chemistry_changed"
    HALTED = "halted"
    WENT_TOO_FAR = "went_too_far"
    CRASHED = "crashed"
    REWOUND = "rewound"
    SELECTED = "selected"
    LABELLED = "labelled"
    QUARANTINED = "quarantined"
    LABEL_OUT_OF_TIME = "label_out_of_time"
    TRAINED = "trained"
    BASIS_CHOSEN = "basis_chosen"
    POLISHED = "polished"
    AUDITING = "auditing"
    AUDITED = "audited"
    STAGE_REPEATED = "stage_repeated"
    VALIDATING = "validating"
    VALIDATED = "validated"
    STOPPED = "stopped"
    FINISHED = "finished"
