"""The routes of the pages of campaigns, and of the same content as JSON."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.metadata import version as version_of
from typing import Any

from flask import Blueprint, Response, jsonify, render_template, request
from werkzeug.exceptions import HTTPException, ServiceUnavailable

from mlip_fw import __version__
from mlip_fw.views.web import page_contents
from mlip_fw.views.web.page_contents import PageNotFound
from mlip_fw.views.web.pagination import Pager
from mlip_fw.views.web.snapshots import NOT_READ_YET, Snapshot
from mlip_fw.views.web.view_model import CampaignView, ViewModel

logger = logging.getLogger("mlip_fw")
_PLOTLY = f"/plotly-{version_of('plotly')}.js"


def pages(model: ViewModel) -> Blueprint:
    """Return the routes of all pages."""
    routes = Blueprint("pages", __name__)
    routes.app_context_processor(lambda: _template_globals(model))
    routes.app_errorhandler(Exception)(_error_response)

    def view_of(key: str) -> CampaignView:
        view = model.find(key)
        if view is None:
            raise PageNotFound("there is no campaign of that name here")
        return view

    @routes.get("/")
    def campaigns() -> str:
        rows = [page_contents.row_of(view) for view in model.all()]
        return render_template(
            "campaigns.html", rows=rows, version=page_contents.version_of_all(rows, model.index.launchpad_error)
        )

    @routes.get("/data.json")
    def campaigns_data() -> Response:
        rows = [page_contents.row_of(view) for view in model.all()]
        launchpad_error = model.index.launchpad_error
        data = {"launchpad_error": launchpad_error or None, "campaigns": [row.plain() for row in rows]}
        return _tagged(page_contents.version_of_all(rows, launchpad_error), lambda: data)

    @routes.get("/campaign/<key>/")
    def campaign(key: str) -> str:
        view = view_of(key)
        pager = Pager(request.args)
        return render_template("campaign.html", view=view, page=page_contents.campaign_page(view, pager), pager=pager)

    @routes.get("/campaign/<key>/data.json")
    def campaign_data(key: str) -> Response:
        view = view_of(key)
        return _tagged(view.version, lambda: page_contents.campaign_data(view))

    @routes.get("/campaign/<key>/charts.json")
    def campaign_charts(key: str) -> Response:
        view = view_of(key)
        return _tagged(view.version, lambda: page_contents.charts(_snapshot_of(view)))

    @routes.get("/campaign/<key>/halt/<int:walker>/<int:cycle>")
    def halt(key: str, walker: int, cycle: int) -> str:
        view = view_of(key)
        return render_template("halt.html", view=view, page=page_contents.halt_page(_snapshot_of(view), walker, cycle))

    @routes.get("/campaign/<key>/halt/<int:walker>/<int:cycle>/charts.json")
    def halt_charts(key: str, walker: int, cycle: int) -> Response:
        view = view_of(key)
        page = page_contents.halt_page(_snapshot_of(view), walker, cycle)
        return _tagged(view.version, lambda: page.charts)

    @routes.get("/campaign/<key>/generation/<int:number>")
    def generation(key: str, number: int) -> str:
        view = view_of(key)
        page = page_contents.generation_page(_snapshot_of(view), number, wants_parity="parity" in request.args)
        return render_template("generation.html", view=view, page=page)

    @routes.get("/campaign/<key>/generation/<int:number>/charts.json")
    def generation_charts(key: str, number: int) -> Response:
        view = view_of(key)
        page = page_contents.generation_page(_snapshot_of(view), number, wants_parity=True)
        return _tagged(view.version, lambda: page.charts)

    return routes


def _snapshot_of(view: CampaignView) -> Snapshot:
    if view.trouble == NOT_READ_YET:
        raise ServiceUnavailable(NOT_READ_YET)
    if view.snapshot is None:
        raise PageNotFound(view.trouble)
    return view.snapshot


def _template_globals(model: ViewModel) -> dict[str, Any]:
    return {"model": model, "plotly": _PLOTLY, "program": f"mlip-fw {__version__}"}


def _tagged(version: str, make: Callable[[], Any]) -> Response:
    """Return data as JSON with its version as ETag, or 304 if the client has this version."""
    if request.if_none_match.contains(version):
        response = Response(status=304)
    else:
        response = jsonify({"version": version, **make()})
    response.set_etag(version)
    return response


def _error_response(error: Exception) -> tuple[str | Response, int] | Any:
    if isinstance(error, HTTPException):
        code = error.code or 404
        if code < 400:
            return error.get_response()
        message = (
            error.description if isinstance(error, PageNotFound | ServiceUnavailable) else "there is no such page here"
        )
    else:
        logger.warning("%s: %s", ascii(request.path), type(error).__name__, exc_info=error)
        code, message = 503, f"this page could not be made ({type(error).__name__}); the server's log says more"
    if request.path.endswith(".json"):
        return jsonify({"error": message}), code
    return render_template("problem.html", message=message, is_for_now=message == NOT_READ_YET), code
