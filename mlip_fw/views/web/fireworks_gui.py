"""FireWorks' own web GUI, patched in memory where it is mounted; the installed package is not changed.

FireWorks' pages use URLs from the root, load jQuery and a font from the network and contain inline scripts; its
endpoints pass queries to the database unchecked and fail where a number is invalid. The patches remove all of that.
"""

from __future__ import annotations

import importlib.util
import logging
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pymongo
from fireworks import LaunchPad
from flask import Flask, Response, render_template, request
from jinja2 import BaseLoader, ChoiceLoader, Environment, FileSystemLoader
from pymongo.errors import PyMongoError
from werkzeug.exceptions import HTTPException

from mlip_fw.launchpad.advice import explain
from mlip_fw.launchpad.driver_errors import ErrorKind, classify
from mlip_fw.views.web.fireworks_home import overview
from mlip_fw.views.web.query_filter import fault_of_arguments, fault_of_path

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PREFIX = "/fireworks"
_TIMEOUT_S, _PROBE_TIMEOUT_S = 30.0, 4.0
_TEMPLATES = Path(__file__).parent / "templates" / "fireworks"
_STYLE = "/static/css/flat-ui.css"
_PATCHES = (
    (re.compile(r'(href|src|action)="/(?!/)'), r'\1="{{ request.script_root }}/'),
    (re.compile(r"<script>.*?</script>", re.DOTALL), ""),
    (re.compile(r'\s+onsubmit="[^"]*"'), ""),
    (
        re.compile(r"<head>"),
        '<head><meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="/static/icon.svg" type="image/svg+xml">'
        '<link rel="stylesheet" href="/static/fireworks.css">',
    ),
    (re.compile(r"<img "), '<img alt="FireWorks" '),
    (re.compile(r"<body>"), '<body><p class="container"><a href="/">mlip-fw: all campaigns</a></p>'),
)
logger = logging.getLogger("mlip_fw")


def fireworks_gui(launchpad: LaunchPad) -> Flask:
    """Return FireWorks' GUI for a LaunchPad, to be mounted under :data:`PREFIX`."""
    module = _own_copy()
    gui: Flask = module.app
    launchpad.m_logger.setLevel("WARNING")
    gui.lp = launchpad  # type: ignore[attr-defined]
    gui.config.update(
        SESSION_COOKIE_NAME="mlip_fw_gui", SESSION_COOKIE_PATH=f"{PREFIX}/", SESSION_COOKIE_SAMESITE="Strict"
    )
    gui.jinja_loader = ChoiceLoader([FileSystemLoader(_TEMPLATES), _PatchedTemplates(gui.jinja_loader)])
    gui.before_request(_refuse_invalid_requests)
    gui.before_request(lambda: _require_database(launchpad))
    gui.register_error_handler(Exception, _error_handler(launchpad))
    gui.view_functions["home"] = overview(module)
    gui.add_url_rule(_STYLE, "style", lambda: _style(Path(gui.static_folder or "")))
    gui.wsgi_app = _with_timeout(gui.wsgi_app)  # type: ignore[assignment, method-assign]
    return gui


class _PatchedTemplates(BaseLoader):
    """FireWorks' templates, patched as text before data is rendered into them."""

    def __init__(self, theirs: BaseLoader | None) -> None:
        self._theirs = theirs or BaseLoader()

    def get_source(self, environment: Environment, template: str) -> tuple[str, str | None, Callable[[], bool] | None]:
        source, path, is_current = self._theirs.get_source(environment, template)
        for pattern, replacement in _PATCHES:
            source = pattern.sub(replacement, source)
        return source, path, is_current


def _with_timeout(application: WSGIApplication) -> WSGIApplication:
    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with pymongo.timeout(_TIMEOUT_S):
            return application(environ, start_response)

    return answer


def _own_copy() -> ModuleType:
    """Return a second instance of FireWorks' module, so that the patches do not change the imported one."""
    spec = importlib.util.find_spec("fireworks.flask_site.app")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _refuse_invalid_requests() -> tuple[str, int] | None:
    fault = fault_of_path(request.view_args or {}) or fault_of_arguments(request.args)
    return None if fault is None else (_page(fault), 400)


def _require_database(launchpad: LaunchPad) -> None:
    """Fail soon if the database does not answer, rather than after the time limit of a whole page."""
    if request.endpoint not in ("static", "style"):
        with pymongo.timeout(_PROBE_TIMEOUT_S):
            launchpad.db.fw_id_assigner.find_one({}, {"_id": 1})


def _error_handler(launchpad: LaunchPad) -> Callable[[Exception], tuple[str, int] | Response]:
    def handle(error: Exception) -> tuple[str, int] | Response:
        if isinstance(error, HTTPException):
            if error.code is not None and error.code < 400:
                return error.get_response()  # type: ignore[return-value]
            return _page("there is no such page in FireWorks' GUI"), error.code or 404
        if isinstance(error, PyMongoError):
            logger.warning(explain(error, launchpad))
            status = 503 if classify(error) is ErrorKind.AWAY else 502
            return _page(explain(error, launchpad, in_public=True)), status
        if isinstance(error, ValueError | TypeError | KeyError) and request.view_args:
            return _page("the LaunchPad has nothing of that number or name"), 404
        logger.warning("FireWorks' GUI at %s: %s", ascii(request.path), type(error).__name__)
        return _page("FireWorks' GUI can't show this"), 502

    return handle


def _page(text: str) -> str:
    return render_template("problem.html", text=text)


def _style(folder: Path) -> Response:
    text = (folder / "css" / "flat-ui.css").read_text()
    return Response(re.sub(r"@import url\([^)]*\);", "", text), content_type="text/css; charset=utf-8")
