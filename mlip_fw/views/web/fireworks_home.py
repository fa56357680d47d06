"""The home page of FireWorks' GUI with 4 database queries, where FireWorks makes 40.

Each query is a round trip: with a database 50 ms away, 40 of them take two seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from flask import render_template, request, session

from mlip_fw.views.report.text_filters import shown

_NEWEST_FIRST = [("_id", -1)]
_MAX_NAME = 200


def overview(fireworks_app: ModuleType) -> Callable[[], str]:
    """Return the view function of the page, which uses the template and filters of FireWorks' module."""

    def home() -> str:
        pad = fireworks_app.app.lp
        queries = {name: request.args.get(f"{name}_query") or "" for name in ("fw", "wf")}
        for name, collection in (("fw", pad.fireworks), ("wf", pad.workflows)):
            session[f"{name}_filt"] = fireworks_app.parse_querystr(queries[name], collection) if queries[name] else {}
        fireworks, workflows = fireworks_app._addq_FW({}), fireworks_app._addq_WF({})
        n_fireworks, n_workflows = _by_state(pad.fireworks, fireworks), _by_state(pad.workflows, workflows)
        return render_template(
            "home.html",
            state_nums=[
                (state, n_fireworks.get(state, 0), n_workflows.get(state, 0)) for state in fireworks_app.STATES
            ],
            tot_fws=sum(n_fireworks.values()),
            tot_wfs=sum(n_workflows.values()),
            wf_info=list(_newest(pad, workflows, fireworks_app.PER_PAGE)),
            fw_querystr=queries["fw"],
            wf_querystr=queries["wf"],
            PLOTTING=True,
        )

    return home


def _by_state(collection: Any, query: dict[str, Any]) -> dict[str, int]:
    groups = collection.aggregate([{"$match": query}, {"$group": {"_id": "$state", "n": {"$sum": 1}}}])
    return {str(group["_id"]): group["n"] for group in groups}


def _newest(pad: Any, query: dict[str, Any], limit: int) -> Iterator[dict[str, Any]]:
    """Yield the newest workflows, each with its newest Fireworks."""
    fields = {"nodes": 1, "name": 1, "state": 1}
    workflows = [one for one in pad.workflows.find(query, fields, limit=limit, sort=_NEWEST_FIRST) if one.get("nodes")]
    ids = {one["_id"]: sorted(one["nodes"], reverse=True)[:limit] for one in workflows}
    wanted = [fw_id for fw_ids in ids.values() for fw_id in fw_ids]
    found = pad.fireworks.find(
        {"fw_id": {"$in": wanted}}, {"state": 1, "name": 1, "fw_id": 1}, batch_size=len(wanted) + 1
    )
    fireworks = {one["fw_id"]: one for one in found} if wanted else {}
    for one in workflows:
        there = [_plain(fireworks[fw_id]) for fw_id in ids[one["_id"]] if fw_id in fireworks]
        yield {**_plain(one), "id": one["nodes"][0], "fireworks": there}


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document with a name that is safe to show; users choose the names."""
    return {**document, "name": shown(document.get("name"), _MAX_NAME)}
