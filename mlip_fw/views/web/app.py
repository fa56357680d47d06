"""The web application: pages of campaigns at ``/``, FireWorks' GUI at ``/fireworks``, access control before both."""

from __future__ import annotations

import gzip
import secrets
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from fireworks import LaunchPad
from flask import Flask, Response, request
from plotly.offline import get_plotlyjs
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from mlip_fw.launchpad.queries import CampaignQueries
from mlip_fw.views.report.text_filters import FILTERS
from mlip_fw.views.web import fireworks_gui
from mlip_fw.views.web.access_control import AccessControl, cache_forever
from mlip_fw.views.web.allowed_hosts import AllowedHosts
from mlip_fw.views.web.background_cache import PAGE_TIMEOUT_S, BackgroundCache, BackgroundTask
from mlip_fw.views.web.campaign_index import CampaignIndex
from mlip_fw.views.web.page_contents import prepare
from mlip_fw.views.web.routes import pages
from mlip_fw.views.web.snapshots import Snapshots
from mlip_fw.views.web.view_model import ViewModel

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_GZIP_LEVEL = 6


def create_app(
    folders: Sequence[Path],
    launchpad: LaunchPad | None = None,
    *,
    password: str | None = None,
    names: Sequence[str] = (),
    timeout_s: float | None = PAGE_TIMEOUT_S,
    sleep: Callable[[float], object] = time.sleep,
) -> Flask:
    """Return the web application, which is read-only.

    Parameters
    ----------
    folders
        Campaign directories, or folders that contain campaign directories.
    launchpad
        Its Fireworks are shown and linked; without one there is no FireWorks GUI.
    password
        Required from every client, with any user name; None for a server on a loopback address.
    names
        Host names of this server besides localhost, the host name of the machine and IP addresses.
    timeout_s
        A page waits this long for files and database before it shows what was known before, s; None: until all is
        read, and nothing is read ahead.
    sleep
        Delays the answer to a wrong password; called with a time in s.

    Examples
    --------
    >>> app = create_app([Path()])
    >>> app.test_client().get("/").status_code
    200
    """
    app = Flask("mlip_fw.views.web")
    app.secret_key = secrets.token_bytes()
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.jinja_env.filters.update(FILTERS)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    store = CampaignQueries(launchpad) if launchpad is not None else None
    cache = BackgroundCache(timeout_s)
    model = ViewModel(CampaignIndex(folders, store, cache), Snapshots(cache, prepare), has_gui=launchpad is not None)
    if timeout_s is not None:
        BackgroundTask(model.all)
    app.before_request(cache.begin)
    app.register_blueprint(pages(model))
    app.add_url_rule("/plotly-<version>.js", "plotly", _plotly)
    mounts: dict[str, WSGIApplication] = {}
    if launchpad is not None:
        mounts[fireworks_gui.PREFIX] = fireworks_gui.fireworks_gui(launchpad)
    app.wsgi_app = AccessControl(  # type: ignore[method-assign]
        DispatcherMiddleware(app.wsgi_app, mounts), AllowedHosts(names), password, sleep
    )
    return app


def _plotly(version: str) -> Response:
    """Return plotly.js, which browsers may cache forever: its version is in the URL."""
    is_gzipped = request.accept_encodings.quality("gzip") > 0
    response = cache_forever(
        Response(_gzipped() if is_gzipped else get_plotlyjs(), content_type="text/javascript; charset=utf-8")
    )
    if is_gzipped:
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    return response


@cache
def _gzipped() -> bytes:
    return gzip.compress(get_plotlyjs().encode(), _GZIP_LEVEL)
