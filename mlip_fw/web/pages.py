"""The pages of campaigns, and the same as JSON."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.metadata import version as version_of
from typing import Any

from flask import Blueprint, Response, jsonify, render_template, request
from werkzeug.exceptions import HTTPException, ServiceUnavailable

from mlip_fw import __version__
from mlip_fw.web import contents
from mlip_fw.web.contents import Missing
from mlip_fw.web.desk import Desk, Sight
from mlip_fw.web.looks import UNREAD, Look
from mlip_fw.web.paging import Pager

logger = logging.getLogger("mlip_fw")
_PLOTLY = f"/plotly-{version_of('plotly')}.js"


def pages(desk: Desk) -> Blueprint:
    """Return the routes of all pages."""
    routes = Blueprint("pages", __name__)
    routes.app_context_processor(lambda: _everywhere(desk))
    routes.app_errorhandler(Exception)(_say_what_is_wrong)

    def sight_of(key: str) -> Sight:
        sight = desk.find(key)
        if sight is None:
            raise Missing("there is no campaign of that name here")
        return sight

    @routes.get("/")
    def campaigns() -> str:
        rows = [contents.row_of(sight) for sight in desk.all()]
        return render_template("campaigns.html", rows=rows, version=contents.version_of_all(rows, desk.places.silence))

    @routes.get("/data.json")
    def campaigns_data() -> Response:
        rows = [contents.row_of(sight) for sight in desk.all()]
        silence = desk.places.silence
        data = {"launchpad_error": silence or None, "campaigns": [row.plain() for row in rows]}
        return _tagged(contents.version_of_all(rows, silence), lambda: data)

    @routes.get("/campaign/<key>/")
    def campaign(key: str) -> str:
        sight = sight_of(key)
        pager = Pager(request.args)
        return render_template("campaign.html", sight=sight, page=contents.campaign_page(sight, pager), pager=pager)

    @routes.get("/campaign/<key>/data.json")
    def campaign_data(key: str) -> Response:
        sight = sight_of(key)
        return _tagged(sight.version, lambda: contents.campaign_data(sight))

    @routes.get("/campaign/<key>/charts.json")
    def campaign_charts(key: str) -> Response:
        sight = sight_of(key)
        return _tagged(sight.version, lambda: contents.charts(_look_of(sight)))

    @routes.get("/campaign/<key>/halt/<int:walker>/<int:cycle>")
    def halt(key: str, walker: int, cycle: int) -> str:
        sight = sight_of(key)
        return render_template("halt.html", sight=sight, page=contents.halt_page(_look_of(sight), walker, cycle))

    @routes.get("/campaign/<key>/halt/<int:walker>/<int:cycle>/charts.json")
    def halt_charts(key: str, walker: int, cycle: int) -> Response:
        sight = sight_of(key)
        page = contents.halt_page(_look_of(sight), walker, cycle)
        return _tagged(sight.version, lambda: page.charts)

    @routes.get("/campaign/<key>/generation/<int:number>")
    def generation(key: str, number: int) -> str:
        sight = sight_of(key)
        page = contents.generation_page(_look_of(sight), number, wants_parity="parity" in request.args)
        return render_template("generation.html", sight=sight, page=page)

    @routes.get("/campaign/<key>/generation/<int:number>/charts.json")
    def generation_charts(key: str, number: int) -> Response:
        sight = sight_of(key)
        page = contents.generation_page(_look_of(sight), number, wants_parity=True)
        return _tagged(sight.version, lambda: page.charts)

    return routes


def _look_of(sight: Sight) -> Look:
    if sight.trouble == UNREAD:
        raise ServiceUnavailable(UNREAD)
    if sight.look is None:
        raise Missing(sight.trouble)
    return sight.look


def _everywhere(desk: Desk) -> dict[str, Any]:
    return {"desk": desk, "plotly": _PLOTLY, "program": f"mlip-fw {__version__}"}


def _tagged(version: str, make: Callable[[], Any]) -> Response:
    """Return data with its version, or only that nothing has changed."""
    if request.if_none_match.contains(version):
        response = Response(status=304)
    else:
        response = jsonify({"version": version, **make()})
    response.set_etag(version)
    return response


def _say_what_is_wrong(error: Exception) -> tuple[str | Response, int] | Any:
    if isinstance(error, HTTPException):
        code = error.code or 404
        if code < 400:
            return error.get_response()
        said = error.description if isinstance(error, Missing | ServiceUnavailable) else "there is no such page here"
    else:
        logger.warning("%s: %s", ascii(request.path), type(error).__name__, exc_info=error)
        code, said = 503, f"this page could not be made ({type(error).__name__}); the server's log says more"
    if request.path.endswith(".json"):
        return jsonify({"error": said}), code
    return render_template("problem.html", said=said, is_for_now=said == UNREAD), code
