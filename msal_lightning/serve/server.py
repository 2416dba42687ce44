"""The web server in a thread of its own, beside the loop in the main thread."""

import hashlib
import hmac
import secrets
import socket
import threading
import time
from pathlib import Path
from typing import Self

import uvicorn

from msal_lightning.errors import UserError
from msal_lightning.runs.signature import own_key
from msal_lightning.serve.guard import App, Guard

PORT = 8410
"""Usual port; another free one if it is taken."""
_LOCAL = ("localhost", "127.0.0.1", "::1")
_STARTS = 30.0  # seconds
_LAST_LOOK = 2.5  # seconds, more than the pause between two requests of a page


class Server:
    """Serves an application on a port until :meth:`stop`.

    Args:
        app: the application; a :class:`~msal_lightning.serve.guard.Guard` is put before it.
        token: the secret in the address.
        host: address or name to bind to.
        port: the port; None for :data:`PORT` or another free one.

    Raises:
        UserError: the port or the address cannot be used.
    """

    def __init__(self, app: App, token: str, host: str = "127.0.0.1", port: int | None = None) -> None:
        self._socket = _bind(host, port)
        self.port: int = self._socket.getsockname()[1]
        is_local = host in _LOCAL
        names = {host, *_LOCAL} if is_local else {host, *_LOCAL, socket.gethostname(), socket.getfqdn()}
        shown = host if host not in ("0.0.0.0", "::") else socket.gethostname()
        self.address = f"http://{f'[{shown}]' if ':' in shown else shown}:{self.port}/?token={token}"
        guard = Guard(app, token, names, any_address=not is_local)
        config = uvicorn.Config(
            guard,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            loop="asyncio",
            http="h11",  # pure Python: the same on every machine, and strict about malformed requests
            timeout_graceful_shutdown=2,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="serve", daemon=True)

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        end = time.monotonic() + _STARTS
        while not self._server.started and self._thread.is_alive() and time.monotonic() < end:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop; requests in progress are answered."""
        self._server.should_exit = True
        self._thread.join(5)
        self._socket.close()

    def let_read(self) -> None:
        """Give open pages the time to ask once more."""
        time.sleep(_LAST_LOOK)

    def wait(self) -> None:
        """Return when the server has ended."""
        while self._thread.is_alive():
            self._thread.join(1.0)


def token_of(run: Path) -> str:
    """Return the token of a run: the same in each start, so that an open page survives a restart.

    It is derived from the secret key of the user. Without one it is drawn anew.

    Args:
        run: the run directory.
    """
    try:
        key = own_key()
    except OSError:
        return secrets.token_urlsafe(24)
    return hmac.new(key, b"msal_lightning serve\0" + str(run.resolve()).encode(), hashlib.sha256).hexdigest()[:48]


def _bind(host: str, port: int | None) -> socket.socket:
    last: OSError | None = None
    for candidate in (PORT, 0) if port is None else (port,):
        try:
            family, kind, _, _, place = socket.getaddrinfo(host, candidate, type=socket.SOCK_STREAM)[0]
            found = socket.socket(family, kind)
        except OSError as error:
            last = error
            continue
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(place)
        except OSError as error:
            found.close()
            last = error
            continue
        return found
    assert last is not None
    raise UserError(
        f"cannot serve on {host}:{port or PORT} ({last.strerror or last}): give another --port, or a --host of this "
        "machine"
    )
