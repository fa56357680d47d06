"""Access control: method, host name and password of each request, and security headers of each response.

It wraps both the pages of campaigns and FireWorks' GUI.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from werkzeug.datastructures import Headers
from werkzeug.wrappers import Request, Response

from mlip_fw.views.web.allowed_hosts import AllowedHosts

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

AnyResponse = TypeVar("AnyResponse", bound=Response)
_READING = ("GET", "HEAD")
_WRONG_PASSWORD_S = 1.0
_CACHE_FOREVER = "private, max-age=31536000, immutable"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""Scripts come from files of this server alone; inline styles are needed by plotly."""
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class AccessControl:
    """A WSGI middleware that refuses requests that are not allowed.

    Parameters
    ----------
    application
        Answers the requests that are allowed.
    hosts
        Host names of this server.
    password
        Required from every client; None on a loopback address.
    sleep
        Delays the answer to a wrong password, so that guessing takes long; called with a time in s.
    """

    def __init__(
        self,
        application: WSGIApplication,
        hosts: AllowedHosts,
        password: str | None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._sleep = sleep
        self._application, self._hosts, self._password = application, hosts, password

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        answer = self._refusal(Request(environ)) or self._application
        return answer(environ, _with_headers(start_response))

    def _refusal(self, request: Request) -> Response | None:
        if request.method not in _READING:
            return _plain("this server only shows: GET and HEAD are all it knows", 405, {"Allow": ", ".join(_READING)})
        if not self._hosts.allows(request.environ.get("HTTP_HOST", "")):
            return _plain(
                "this server does not go by the name that your browser calls it; use the address that mlip-fw web "
                "printed, or start it with --name",
                403,
            )
        if self._password is None or self._is_right(request):
            return None
        return _plain("the password, please", 401, {"WWW-Authenticate": 'Basic realm="mlip-fw", charset="UTF-8"'})

    def _is_right(self, request: Request) -> bool:
        given = request.authorization
        if given is None or given.type != "basic":
            return False
        if hmac.compare_digest((given.password or "").encode(), (self._password or "").encode()):
            return True
        self._sleep(_WRONG_PASSWORD_S)
        return False


def cache_forever(response: AnyResponse) -> AnyResponse:
    """Let browsers cache a response whose URL changes with its content."""
    response.headers["Cache-Control"] = _CACHE_FOREVER
    return response


def _plain(text: str, status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(f"{text}\n", status, headers, content_type="text/plain; charset=utf-8")


def _with_headers(start_response: StartResponse) -> Callable[..., Any]:
    def start(status: str, headers: list[tuple[str, str]], *others: Any) -> Callable[[bytes], object]:
        all_headers = Headers(headers)
        for name, value in _HEADERS.items():
            all_headers[name] = value
        if all_headers.get("Cache-Control") != _CACHE_FOREVER:
            all_headers["Cache-Control"] = "no-store"
        return start_response(status, all_headers.to_wsgi_list(), *others)

    return start
