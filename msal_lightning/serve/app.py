"""The requests of the page: its files, its images, answers, the map."""

import json
import re
import secrets
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from msal_lightning.errors import RunError
from msal_lightning.serve.desk import Card, Desk
from msal_lightning.serve.guard import LARGEST_BODY
from msal_lightning.serve.pictures import SIDES, Pictures

MOST = 60
"""Images that a browser may have at a time."""
_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_BROWSER = re.compile(r"[0-9a-f-]{8,64}")
_LONGEST_WORD = 200  # characters of a class or a name
_NO_STORE = {"cache-control": "no-store"}


def make_app(desk: Desk, pictures: Pictures, map_of: Callable[[], dict[str, Any]]) -> Starlette:
    """Make the application, which a :class:`~msal_lightning.serve.guard.Guard` has to protect.

    Args:
        desk: lends images and takes answers.
        pictures: shows images.
        map_of: returns the map of the embeddings as plain JSON values.
    """
    version = secrets.token_hex(4)  # of the pictures: another run may serve other ones under the same address

    async def sync(request: Request) -> Response:
        """Give a browser its images and the state; a sign of life."""
        wish = _wish(await request.body())
        return wish if isinstance(wish, Response) else JSONResponse(everything(wish), headers=_NO_STORE)

    async def answer(request: Request) -> Response:
        wish = _wish(await request.body())
        words = _words(wish.get("words")) if isinstance(wish, dict) else None
        if words is None or isinstance(wish, Response):
            return wish if isinstance(wish, Response) else _bad("words: a class, skip, unsure or blank by index")
        try:
            # writing to disk must not hold other requests up
            refused = await run_in_threadpool(desk.answer, wish["browser"], words, wish["annotator"])
        except RunError as error:  # the disk is full, for example; the page tries again
            return PlainTextResponse(f"{error}\n", 503)
        return JSONResponse({"refused": refused, **everything(wish)}, headers=_NO_STORE)

    async def leave(request: Request) -> Response:
        wish = _wish(await request.body())
        if isinstance(wish, Response):
            return wish
        desk.leave(wish["browser"])
        return PlainTextResponse("left\n")

    async def image(request: Request) -> Response:
        number, size = request.path_params["index"], request.path_params["size"]
        if size not in SIDES or number >= len(pictures):
            return PlainTextResponse("expected the number of an image, and small, large or original\n", 404)
        found = await run_in_threadpool(pictures.get, number, size)
        if found is None:
            return PlainTextResponse("the image cannot be read\n", 404)
        kept = "private, max-age=86400, immutable"
        return Response(found.content, media_type=found.kind, headers={"cache-control": kept})

    async def embedding_map(request: Request) -> Response:
        plane = await run_in_threadpool(map_of)
        cards = [_of(card) for card in desk.open_cards()] if "points" in plane else []
        return JSONResponse({**plane, "cards": cards}, headers=_NO_STORE)

    def everything(wish: dict[str, Any]) -> dict[str, Any]:
        lent = desk.take(wish["browser"], wish["want"])
        return {"images": [_of(card) for card in lent], "state": {**desk.state(), "version": version}}

    routes = [
        Route("/sync", sync, methods=["POST"]),
        Route("/answer", answer, methods=["POST"]),
        Route("/leave", leave, methods=["POST"]),
        Route("/image/{index:int}/{size}", image),
        Route("/map", embedding_map),
        *(Route(path, _file(name)) for path, name in _pages().items()),
    ]
    return Starlette(routes=routes)


def _pages() -> dict[str, str]:
    """The addresses of the page's files; nothing else is read by name."""
    names = [file.name for file in (files(__package__) / "page").iterdir() if file.name.rpartition(".")[2] in _KINDS]
    return {"/" if name == "index.html" else f"/{name}": name for name in sorted(names)}


def _file(name: str) -> Callable[[Request], Any]:
    content = (files(__package__) / "page" / name).read_bytes()
    kind = _KINDS[name.rpartition(".")[2]]

    async def give(request: Request) -> Response:
        return Response(content, media_type=kind, headers=_NO_STORE)

    return give


def _wish(body: bytes) -> dict[str, Any] | Response:
    """Read what a browser says about itself."""
    try:
        wish = json.loads(body)
    except (ValueError, RecursionError):
        return _bad("JSON")
    if not isinstance(wish, dict) or not _BROWSER.fullmatch(str(wish.get("browser"))):
        return _bad("browser: an identifier")
    want, annotator = wish.get("want", 0), wish.get("annotator", "")
    if type(want) is not int or not 0 <= want <= MOST:
        return _bad(f"want: 0 to {MOST} images")
    if not _is_word(annotator):
        return _bad("annotator: a name")
    return {**wish, "browser": str(wish["browser"]), "want": want, "annotator": annotator.strip()}


def _words(given: object) -> dict[int, str] | None:
    """Check answers; None if something is wrong."""
    if not isinstance(given, dict) or not 0 < len(given) <= MOST * 4:
        return None
    if not all(re.fullmatch(r"[0-9]{1,10}", key, re.ASCII) and _is_word(word) for key, word in given.items()):
        return None
    return {int(key): word.strip() for key, word in given.items()}


def _is_word(word: object) -> bool:
    return isinstance(word, str) and len(word) <= _LONGEST_WORD and (word == "" or word.isprintable())


def _bad(expected: str) -> Response:
    return PlainTextResponse(f"expected {expected} (at most {LARGEST_BODY} bytes)\n", 400)


def _of(card: Card) -> dict[str, Any]:
    task = card.task
    return {
        "index": task.index,
        "path": task.path,
        "suggested": task.suggested,
        "confidence": task.confidence,
        "score": task.score,
        "batch": card.batch,
        "known": card.known,
    }
