"""What pages are made from: the campaigns, what their files say, and what the LaunchPad says of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

from mlip_fw.firework_names import Key
from mlip_fw.store import FireworkRow, Store, StoredCampaign
from mlip_fw.web.gui import PREFIX
from mlip_fw.web.looks import UNBEGUN, Look, Looks
from mlip_fw.web.paging import ROWS, Pager
from mlip_fw.web.places import Place, Places

OPEN_STATES = ("RUNNING", "RESERVED", "READY", "WAITING", "PAUSED", "FIZZLED", "DEFUSED")


@dataclass(frozen=True)
class Queue:
    """Label Fireworks, the newest first, a page of them."""

    chosen: str
    """A state, or ``open``."""
    rows: list[FireworkRow]
    page: int
    has_more: bool


@dataclass
class Sight:
    """One campaign as one page shows it."""

    place: Place
    look: Look | None
    trouble: str
    """In words why there is no look; empty if there is one."""
    places: Places = field(repr=False)

    @property
    def name(self) -> str:
        """The campaign's name."""
        return self.look.campaign.campaign if self.look is not None else self.place.name

    @property
    def stored(self) -> StoredCampaign | None:
        """What the LaunchPad knows, if it has the campaign."""
        return self.place.stored

    @property
    def has_begun(self) -> bool:
        """Whether there may be anything to look at."""
        return self.trouble != UNBEGUN

    @cached_property
    def version(self) -> str:
        """A short text that changes with anything that is shown."""
        seen = (self.look.version if self.look is not None else self.trouble, self.stored, self.places.silence)
        return hashlib.sha256(repr(seen).encode(errors="replace")).hexdigest()[:16]

    @cached_property
    def links(self) -> dict[Key, int]:
        """Numbers of Fireworks."""
        return self.places.links(self.stored) if self.stored is not None else {}

    def link(self, kind: str, walker: int | None = None, cycle: int | None = None, label: str | None = None) -> str:
        """Return the address of a Firework in FireWorks' GUI, or an empty text."""
        number = self.links.get((kind, walker, cycle, label))
        return "" if number is None else f"{PREFIX}/fw/{number}"

    def queue(self, chosen: str, pager: Pager) -> Queue | None:
        """Return Label Fireworks in one state, or all that are not done."""
        if self.stored is None:
            return None
        states, page = (OPEN_STATES if chosen == "open" else (chosen,)), pager.page("queue")

        def find(store: Store, at: StoredCampaign) -> list[FireworkRow]:
            return store.fireworks(at.name, at.directory, kind="label", states=states, limit=page * ROWS + 1)

        if (chosen, page) == ("open", 1):
            rows = self.places.kept("queue", self.stored, find, self.stored)
        else:
            rows = self.places.ask(find, self.stored)
        first = (page - 1) * ROWS
        return None if rows is None else Queue(chosen, rows[first : first + ROWS], page, len(rows) > first + ROWS)


class Desk:
    """All campaigns, as pages ask for them."""

    def __init__(self, places: Places, looks: Looks, *, has_gui: bool) -> None:
        self.places, self._looks, self.has_gui = places, looks, has_gui

    def all(self) -> list[Sight]:
        """Return all campaigns; a broken one is one of them."""
        return [self._sight(place) for place in self.places.all()]

    def find(self, key: str) -> Sight | None:
        """Return the campaign of an address, or None."""
        place = self.places.find(key)
        return None if place is None else self._sight(place)

    def _sight(self, place: Place) -> Sight:
        look = self._looks.at(place)
        return Sight(place, look, "", self.places) if isinstance(look, Look) else Sight(place, None, look, self.places)
