"""The gate before every request: host, origin, token and size, each refusal a line."""

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LARGEST_BODY = 64 * 1024
"""Bytes of a request's body: an answer has about 100."""
_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),  # the address may have the token
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


class Guard:
    """Lets a request pass if it comes from the page itself, or from a program that knows the token.

    Args:
        app: the application behind it.
        token: the secret in the address of the page.
        names: names under which a browser may reach the server. Another name in Host is a foreign one that has been
            made to point here (DNS rebinding).
        any_address: whether a browser may also use a numeric address, which no foreign name can pose as.
    """

    def __init__(self, app: App, token: str, names: Iterable[str], any_address: bool = False) -> None:
        self._app, self._token = app, token.encode()
        self._names, self._any_address = {name.casefold() for name in names}, any_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request of ASGI."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        many = [name for name, _ in scope["headers"] if name in (b"host", b"origin")]
        refusal = (HTTPStatus.BAD_REQUEST, "expected one host and one origin") if len(many) > len({*many}) else None
        refusal = refusal or self._refuses(scope, headers)
        body = b"" if refusal else await _read(headers, receive)
        if body is None:
            refusal = HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected at most {LARGEST_BODY} bytes"
        send = _with_headers(send, self._cookie(scope) if self._is_in_address(scope) else None)
        if refusal:
            await _say(send, *refusal)
            return
        await self._app(scope, _replay(body or b"", receive), send)

    def _refuses(self, scope: Scope, headers: dict[str, str]) -> tuple[HTTPStatus, str] | None:
        host = headers.get("host", "")
        if not self._knows(host):
            return HTTPStatus.FORBIDDEN, "expected the address that `serve` printed, got another host"
        if scope["method"] not in ("GET", "POST"):
            return HTTPStatus.METHOD_NOT_ALLOWED, "expected GET or POST"
        origin = headers.get("origin")
        if origin is None and scope["method"] == "POST" and "authorization" not in headers:
            return HTTPStatus.FORBIDDEN, "expected an origin"
        if origin is not None and origin.casefold() != f"http://{host}".casefold():
            return HTTPStatus.FORBIDDEN, "expected the page's own origin, got another one"
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and scope["path"] != "/":
            return HTTPStatus.FORBIDDEN, "expected a request of the page itself"
        if not (self._is_in_address(scope) or self._is_in_headers(scope, headers)):
            return HTTPStatus.FORBIDDEN, "expected the token: open the address that `serve` printed"
        return None

    def _knows(self, host: str) -> bool:
        name, _, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
        name = (name or port).strip("[]").casefold()
        if name in self._names:
            return True
        try:
            return self._any_address and bool(ipaddress.ip_address(name))
        except ValueError:
            return False

    def _is_in_address(self, scope: Scope) -> bool:
        if scope["path"] != "/" or not scope["query_string"]:
            return False
        return any(self._is_token(word) for word in parse_qs(scope["query_string"].decode("latin-1")).get("token", []))

    def _is_in_headers(self, scope: Scope, headers: dict[str, str]) -> bool:
        kind, _, word = headers.get("authorization", "").partition(" ")
        if kind.casefold() == "bearer" and self._is_token(word.strip()):
            return True
        cookies = (cookie.strip().partition("=") for cookie in headers.get("cookie", "").split(";"))
        return any(name == _name(scope) and self._is_token(value) for name, _, value in cookies)

    def _is_token(self, word: str) -> bool:
        return hmac.compare_digest(word.encode(errors="replace"), self._token)

    def _cookie(self, scope: Scope) -> bytes:
        return f"{_name(scope)}={self._token.decode()}; Path=/; HttpOnly; SameSite=Strict".encode()


def _name(scope: Scope) -> str:
    """Return the name of the cookie: browsers send the cookies of one port to all ports of a host."""
    return f"msal_{(scope.get('server') or ('', 0))[1]}"


async def _read(headers: dict[str, str], receive: Receive) -> bytes | None:
    """Read a body; None if it is too large."""
    said = headers.get("content-length", "0")
    if not said.isdecimal() or int(said) > LARGEST_BODY:
        return None
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            break
        body, more = body + message.get("body", b""), message.get("more_body", False)
        if len(body) > LARGEST_BODY:
            return None
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    parts = [{"type": "http.request", "body": body, "more_body": False}]

    async def read() -> MutableMapping[str, Any]:
        return parts.pop() if parts else await receive()

    return read


def _with_headers(send: Send, cookie: bytes | None) -> Send:
    async def with_headers(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            own = [(b"set-cookie", cookie)] if cookie else []
            message["headers"] = [*message.get("headers", []), *_HEADERS, *own]
        await send(message)

    return with_headers


async def _say(send: Send, status: HTTPStatus, sentence: str) -> None:
    body = f"{sentence}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": body})
