"""The view model: each campaign with the analysis of its files and what the LaunchPad knows about it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

from mlip_fw.launchpad.names import WorkKey
from mlip_fw.launchpad.queries import CampaignQueries, FireworkRow, StoredCampaign
from mlip_fw.views.web.campaign_index import CampaignEntry, CampaignIndex
from mlip_fw.views.web.fireworks_gui import PREFIX
from mlip_fw.views.web.pagination import ROWS, Pager
from mlip_fw.views.web.snapshots import NOT_STARTED, Snapshot, Snapshots

OPEN_STATES = ("RUNNING", "RESERVED", "READY", "WAITING", "PAUSED", "FIZZLED", "DEFUSED")


@dataclass(frozen=True)
class LabelQueue:
    """One page of the Label Fireworks of a campaign, the newest first."""

    chosen: str
    """The state that is shown, or ``open`` for all that are not COMPLETED."""
    rows: list[FireworkRow]
    page: int
    has_more: bool


@dataclass
class CampaignView:
    """One campaign as one page shows it."""

    entry: CampaignEntry
    snapshot: Snapshot | None
    trouble: str
    """Why there is no snapshot; empty if there is one."""
    index: CampaignIndex = field(repr=False)

    @property
    def name(self) -> str:
        """The campaign's name."""
        return self.snapshot.campaign.campaign if self.snapshot is not None else self.entry.name

    @property
    def stored(self) -> StoredCampaign | None:
        """The campaign on the LaunchPad, if it is there."""
        return self.entry.stored

    @property
    def has_begun(self) -> bool:
        """Whether a worker has taken its first Firework."""
        return self.trouble != NOT_STARTED

    @cached_property
    def version(self) -> str:
        """A hash that changes with anything that its pages show."""
        state = (
            self.snapshot.version if self.snapshot is not None else self.trouble,
            self.stored,
            self.index.launchpad_error,
        )
        return hashlib.sha256(repr(state).encode(errors="replace")).hexdigest()[:16]

    @cached_property
    def links(self) -> dict[WorkKey, int]:
        """The numbers of its Fireworks in FireWorks' GUI."""
        return self.index.links(self.stored) if self.stored is not None else {}

    def link(self, kind: str, walker: int | None = None, cycle: int | None = None, label: str | None = None) -> str:
        """Return the URL of a Firework in FireWorks' GUI; empty if there is none."""
        number = self.links.get((kind, walker, cycle, label))
        return "" if number is None else f"{PREFIX}/fw/{number}"

    def queue(self, chosen: str, pager: Pager) -> LabelQueue | None:
        """Return Label Fireworks in the state ``chosen``, or with ``open`` all that are not COMPLETED."""
        if self.stored is None:
            return None
        states, page = (OPEN_STATES if chosen == "open" else (chosen,)), pager.page_number("queue")

        def find(store: CampaignQueries, at: StoredCampaign) -> list[FireworkRow]:
            return store.fireworks(at.name, at.directory, kind="label", states=states, limit=page * ROWS + 1)

        if (chosen, page) == ("open", 1):
            rows = self.index.cached_answer("queue", self.stored, find, self.stored)
        else:
            rows = self.index.ask(find, self.stored)
        first = (page - 1) * ROWS
        return None if rows is None else LabelQueue(chosen, rows[first : first + ROWS], page, len(rows) > first + ROWS)


class ViewModel:
    """All campaigns, as views for pages."""

    def __init__(self, index: CampaignIndex, snapshots: Snapshots, *, has_gui: bool) -> None:
        self.index, self._snapshots, self.has_gui = index, snapshots, has_gui

    def all(self) -> list[CampaignView]:
        """Return all campaigns, by name; one that can't be read has a view without a snapshot."""
        return [self._view(entry) for entry in self.index.all()]

    def find(self, key: str) -> CampaignView | None:
        """Return the campaign with this key in the URL, or None."""
        entry = self.index.find(key)
        return None if entry is None else self._view(entry)

    def _view(self, entry: CampaignEntry) -> CampaignView:
        snapshot = self._snapshots.at(entry)
        if isinstance(snapshot, Snapshot):
            return CampaignView(entry, snapshot, "", self.index)
        return CampaignView(entry, None, snapshot, self.index)
