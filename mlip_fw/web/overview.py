"""The first page of FireWorks' GUI, from four questions to the database where FireWorks asks forty.

Each question is a round trip: with a database 50 ms away, forty of them are two seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from flask import render_template, request, session

from mlip_fw.report.words import shown

_NEWEST_FIRST = [("_id", -1)]
_LONGEST_NAME = 200


def overview(theirs: ModuleType) -> Callable[[], str]:
    """Return what answers for the page; ``theirs`` is FireWorks' module, whose template and filters it uses."""

    def home() -> str:
        pad = theirs.app.lp
        asked = {name: request.args.get(f"{name}_query") or "" for name in ("fw", "wf")}
        for name, collection in (("fw", pad.fireworks), ("wf", pad.workflows)):
            session[f"{name}_filt"] = theirs.parse_querystr(asked[name], collection) if asked[name] else {}
        fireworks, workflows = theirs._addq_FW({}), theirs._addq_WF({})
        n_fireworks, n_workflows = _by_state(pad.fireworks, fireworks), _by_state(pad.workflows, workflows)
        return render_template(
            "home.html",
            state_nums=[(state, n_fireworks.get(state, 0), n_workflows.get(state, 0)) for state in theirs.STATES],
            tot_fws=sum(n_fireworks.values()),
            tot_wfs=sum(n_workflows.values()),
            wf_info=list(_newest(pad, workflows, theirs.PER_PAGE)),
            fw_querystr=asked["fw"],
            wf_querystr=asked["wf"],
            PLOTTING=True,
        )

    return home


def _by_state(collection: Any, query: dict[str, Any]) -> dict[str, int]:
    groups = collection.aggregate([{"$match": query}, {"$group": {"_id": "$state", "n": {"$sum": 1}}}])
    return {str(group["_id"]): group["n"] for group in groups}


def _newest(pad: Any, query: dict[str, Any], most: int) -> Iterator[dict[str, Any]]:
    """Give the newest workflows, each with its newest Fireworks."""
    seen = {"nodes": 1, "name": 1, "state": 1}
    workflows = [one for one in pad.workflows.find(query, seen, limit=most, sort=_NEWEST_FIRST) if one.get("nodes")]
    ids = {one["_id"]: sorted(one["nodes"], reverse=True)[:most] for one in workflows}
    wanted = [fw_id for fw_ids in ids.values() for fw_id in fw_ids]
    found = pad.fireworks.find(
        {"fw_id": {"$in": wanted}}, {"state": 1, "name": 1, "fw_id": 1}, batch_size=len(wanted) + 1
    )
    fireworks = {one["fw_id"]: one for one in found} if wanted else {}
    for one in workflows:
        there = [_plain(fireworks[fw_id]) for fw_id in ids[one["_id"]] if fw_id in fireworks]
        yield {**_plain(one), "id": one["nodes"][0], "fireworks": there}


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    """Return what the page shows of a document; names can be anybody's."""
    return {**document, "name": shown(document.get("name"), _LONGEST_NAME)}
