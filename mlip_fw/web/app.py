"""The web application: our pages at the root, FireWorks' own GUI beside them, and a guard before both."""

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

from mlip_fw.report.words import FILTERS
from mlip_fw.store import Store
from mlip_fw.web import gui
from mlip_fw.web.contents import prepare
from mlip_fw.web.desk import Desk
from mlip_fw.web.guard import Guard, keep
from mlip_fw.web.hosts import Hosts
from mlip_fw.web.looks import Looks
from mlip_fw.web.pages import pages
from mlip_fw.web.patience import PATIENCE_S, Errand, Errands
from mlip_fw.web.places import Places

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_QUICK = 6


def create_app(
    folders: Sequence[Path],
    launchpad: LaunchPad | None = None,
    *,
    password: str | None = None,
    names: Sequence[str] = (),
    patience_s: float | None = PATIENCE_S,
    sleep: Callable[[float], object] = time.sleep,
) -> Flask:
    """Return the application; it reads and never writes.

    Parameters
    ----------
    folders
        Campaign directories, and folders that hold some.
    launchpad
        Whose Fireworks are shown and linked; without one there is no FireWorks GUI.
    password
        What everybody has to know, whatever the user name; None for a server on a loopback address.
    names
        Names of this server besides localhost, the machine's own and its numbers.
    patience_s
        So long a page waits for what has to be read anew before it shows what was known before; None: until it is
        read, and nothing is read ahead.
    sleep
        Waits for some seconds before a wrong password is answered.

    Examples
    --------
    >>> app = create_app([Path()])
    >>> app.test_client().get("/").status_code
    200
    """
    app = Flask("mlip_fw.web")
    app.secret_key = secrets.token_bytes()
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.jinja_env.filters.update(FILTERS)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    store = Store(launchpad) if launchpad is not None else None
    errands = Errands(patience_s)
    desk = Desk(Places(folders, store, errands), Looks(errands, prepare), has_gui=launchpad is not None)
    if patience_s is not None:
        Errand(desk.all)
    app.before_request(errands.begin)
    app.register_blueprint(pages(desk))
    app.add_url_rule("/plotly-<version>.js", "plotly", _plotly)
    mounts: dict[str, WSGIApplication] = {}
    if launchpad is not None:
        mounts[gui.PREFIX] = gui.fireworks_gui(launchpad)
    app.wsgi_app = Guard(  # type: ignore[method-assign]
        DispatcherMiddleware(app.wsgi_app, mounts), Hosts(names), password, sleep
    )
    return app


def _plotly(version: str) -> Response:
    """Return plotly.js, whose version is in its address: browsers keep it."""
    packed = request.accept_encodings.quality("gzip") > 0
    response = keep(Response(_packed() if packed else get_plotlyjs(), content_type="text/javascript; charset=utf-8"))
    if packed:
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    return response


@cache
def _packed() -> bytes:
    return gzip.compress(get_plotlyjs().encode(), _QUICK)
