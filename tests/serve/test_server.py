"""Hostile requests over sockets: each is refused in a line, and nothing changes."""

import http.client
import json
import re
import socket
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from msal_lightning.datasets import ImageFolder
from msal_lightning.errors import RunError
from msal_lightning.oracles.base import LabelingBatch, LabelingTask
from msal_lightning.serve.app import make_app
from msal_lightning.serve.desk import Desk
from msal_lightning.serve.guard import LARGEST_BODY
from msal_lightning.serve.pictures import Pictures
from msal_lightning.serve.server import Server, token_of

TOKEN = "the-secret"
BROWSER = "0123456789abcdef"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A server on 127.0.0.1 with three open images; ``site.disk`` has the answers."""
    root = tmp_path_factory.mktemp("site")
    (root / "secret.txt").write_text("secret")
    for k in range(4):
        file = root / f"images/{'ab'[k % 2]}/{k}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((400, 600, 3), 60 * k, np.uint8)).save(file)
    data = ImageFolder(str(root / "images"), unlabeled=True, classes=["cat", "dog"], size=8)
    data.setup()
    data.reset(0)
    disk = {}
    full = []

    def tell(words, _):
        if full:
            raise RunError("cannot write 'round-000.csv' with 3 labels (No space left on device): make room")
        disk.update(words)

    desk = Desk(tell)
    paths, files = data.paths(data.pool), data.locations(data.pool)
    tasks = [LabelingTask(i, paths[i], files[i], "cat", 0.5, 0.9, i) for i in range(3)]
    desk.show([LabelingBatch("round-000", tuple(tasks), ("cat", "dog"), root)], {}, {}, {"labels": 0, "budget": 3})
    app = make_app(desk, Pictures(data), lambda: {"why": "none"})
    with Server(app, TOKEN, port=0) as server:
        server.app, server.disk, server.desk, server.full = app, disk, desk, full
        yield server


def ask(site, method, path, body=None, **headers):
    """Status, headers and body of a request as the page makes it; None leaves a header out."""
    host = f"127.0.0.1:{site.port}"
    usual = {"host": host, "origin": f"http://{host}", "cookie": f"msal_{site.port}={TOKEN}"}
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    given = usual | {"content-length": str(len(content))} | {k.replace("_", "-"): v for k, v in headers.items()}
    for name, value in given.items():
        for one in [value] if isinstance(value, str) else value or ():
            connection.putheader(name, one)
    connection.endheaders(content)
    reply = connection.getresponse()
    found = reply.status, reply.headers, reply.read()
    connection.close()
    return found


ANSWER = {"browser": BROWSER, "words": {"0": "dog"}, "want": 3}
FOREIGN = {"origin": None, "sec_fetch_site": "cross-site"}
HOSTILE = {
    "no token": (403, "POST", "/answer", ANSWER, {"cookie": None}),
    "a wrong token": (403, "POST", "/answer", ANSWER, {"cookie": "msal_{port}=the-secreT"}),
    "a wrong token in the address": (403, "GET", "/?token=x", None, {"cookie": None}),
    "the token in another address": (403, "GET", f"/image/0/small?token={TOKEN}", None, {"cookie": None}),
    "the cookie of another port": (403, "POST", "/answer", ANSWER, {"cookie": f"msal_1={TOKEN}"}),
    "a wrong token in a header": (403, "POST", "/answer", ANSWER, {"cookie": None, "authorization": "Bearer x"}),
    "a foreign origin": (403, "POST", "/answer", ANSWER, {"origin": "http://evil.example"}),
    "the origin of another port": (403, "POST", "/answer", ANSWER, {"origin": "http://127.0.0.1:1"}),
    "no origin": (403, "POST", "/answer", ANSWER, {"origin": None}),
    "an image on a foreign page": (403, "GET", "/image/0/small", None, FOREIGN),
    "a foreign host": (403, "POST", "/answer", ANSWER, {"host": "evil.example", "origin": "http://evil.example"}),
    "a numeric host": (403, "POST", "/answer", ANSWER, {"host": "10.0.0.1", "origin": "http://10.0.0.1"}),
    "no host": (400, "POST", "/answer", ANSWER, {"host": None}),
    "two hosts": (400, "POST", "/answer", ANSWER, {"host": ("127.0.0.1", "evil.example")}),
    "two origins": (400, "POST", "/answer", ANSWER, {"origin": ("http://127.0.0.1:{port}", "http://evil.example")}),
    "a file beside": (404, "GET", "/../secret.txt", None, {}),
    "a file far away": (404, "GET", "/../../../../../../etc/passwd", None, {}),
    "a path for an index": (404, "GET", "/image/..%2f..%2fsecret.txt/small", None, {}),
    "a path for a size": (404, "GET", "/image/0/..%2f..%2fsecret.txt", None, {}),
    "an encoded path": (404, "GET", "/%2e%2e%2fsecret.txt", None, {}),
    "the page's folder": (404, "GET", "/page/index.html", None, {}),
    "an image that is not there": (404, "GET", "/image/4/small", None, {}),
    "a negative image": (404, "GET", "/image/-1/small", None, {}),
    "a huge index": (404, "GET", f"/image/{'9' * 400}/small", None, {}),
    "a large body": (413, "POST", "/answer", b"x" * (LARGEST_BODY + 1), {}),
    "the promise of a large body": (413, "POST", "/answer", b"", {"content_length": "99999999999"}),
    "another method": (405, "PUT", "/answer", ANSWER, {}),
    "no JSON": (400, "POST", "/answer", b"{", {}),
    "deep JSON": (400, "POST", "/answer", b"[" * 60_000, {}),
    "a path for an image": (400, "POST", "/answer", {"browser": BROWSER, "words": {"../0.png": "dog"}}, {}),
    "a word that is none": (400, "POST", "/answer", {"browser": BROWSER, "words": {"0": ["dog"]}}, {}),
    "a word that steers a terminal": (400, "POST", "/answer", {"browser": BROWSER, "words": {"0": "\x1b[2J"}}, {}),
    "all images": (400, "POST", "/sync", {"browser": BROWSER, "want": 10**9}, {}),
    "no browser": (400, "POST", "/sync", {"browser": "<script>", "want": 1}, {}),
}


def refused(site, name):
    expected, method, path, body, headers = HOSTILE[name]
    fill = lambda value: value.replace("{port}", str(site.port)) if isinstance(value, str) else value  # noqa: E731
    filled = {k: tuple(map(fill, v)) if isinstance(v, tuple) else fill(v) for k, v in headers.items()}
    status, _, said = ask(site, method, path, body, **filled)
    assert status == expected, (name, said)
    assert said.count(b"\n") <= 1, name
    assert len(said) < 300, name
    assert b"secret" not in said.replace(b"/answer", b""), name


def test_each_hostile_request_is_refused_in_a_line_and_changes_nothing(site):
    before = site.desk.places(), dict(site.disk)
    with ThreadPoolExecutor(40) as pool:
        names = [*HOSTILE] * (200 // len(HOSTILE) + 1)
        list(pool.map(lambda name: refused(site, name), names))
        assert len(names) >= 200
    assert (site.desk.places(), site.disk) == before
    status, _, body = ask(site, "POST", "/answer", {"browser": BROWSER, "words": {"2": "cat"}, "want": 3})
    assert status == 200
    assert json.loads(body)["refused"] == {}
    assert list(site.disk.values()) == ["cat"]


def test_a_full_disk_takes_no_answer_until_there_is_room(site):
    wish = {"browser": BROWSER, "words": {"1": "cat"}, "want": 3}
    site.full.append(True)
    status, _, body = ask(site, "POST", "/answer", wish)
    assert (status, body.count(b"\n")) == (503, 1)
    assert b"No space left on device" in body
    assert site.desk.places()[1] == ""
    site.full.clear()
    assert ask(site, "POST", "/answer", wish)[0] == 200  # the page sends it again
    assert site.desk.places()[1] == "cat"


def test_an_endless_body_is_cut_off(site):
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as wire:
        host = f"127.0.0.1:{site.port}"
        head = f"POST /answer HTTP/1.1\r\nhost: {host}\r\norigin: http://{host}\r\ncookie: msal_{site.port}={TOKEN}\r\n"
        wire.sendall(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
        for _ in range(2 * LARGEST_BODY // 0x1000):
            wire.sendall(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
        assert wire.recv(100).startswith(b"HTTP/1.1 413")


def test_the_address_with_the_token_opens_the_page(site):
    """The browser then has a cookie, which no script reads and no other page sends."""
    path = site.address.partition(f":{site.port}")[2]
    status, headers, page = ask(site, "GET", path, cookie=None, origin=None, sec_fetch_site="cross-site")
    assert status == 200
    assert re.fullmatch(rf"msal_{site.port}={TOKEN}; Path=/; HttpOnly; SameSite=Strict", headers["set-cookie"])
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    names = re.findall(rb'(?:href|src)="/([^"]+)"', page)
    assert names
    for name in names:
        status, headers, _ = ask(site, "GET", f"/{name.decode()}", origin=None)
        assert status == 200
        assert headers["x-content-type-options"] == "nosniff"
    assert not re.search(rb"https?://", page)


def test_a_program_knows_the_token_by_a_header(site):
    only = {"cookie": None, "origin": None, "authorization": f"Bearer {TOKEN}"}
    status, _, body = ask(site, "POST", "/sync", {"browser": BROWSER, "want": 1}, **only)
    assert status == 200
    assert json.loads(body)["state"]["budget"] == 3


@pytest.mark.parametrize(("size", "side"), [("small", 320), ("large", 600), ("original", 600)])
def test_pictures_come_by_index_and_size(site, size, side):
    import io

    status, headers, body = ask(site, "GET", f"/image/2/{size}", origin=None)
    assert status == 200
    picture = Image.open(io.BytesIO(body))
    assert max(picture.size) == side
    assert headers["content-type"] == Image.MIME[picture.format]
    grey = np.asarray(picture.convert("L"))
    assert abs(grey.mean() - 60) < 3  # a/0, a/2, b/1, b/3: the order of their paths


def test_only_this_machine_reaches_it_by_default(site):
    assert site._socket.getsockname()[0] == "127.0.0.1"


def test_a_server_for_a_network_knows_its_names_and_numeric_addresses(site):
    """Nobody can make a foreign name out of a numeric address."""
    with Server(site.app, TOKEN, host="0.0.0.0", port=0) as server:
        for host, status in {
            "10.0.0.1:8410": 200,
            "[::1]:1": 200,
            socket.gethostname(): 200,
            "evil.example": 403,
        }.items():
            cookie = f"msal_{server.port}={TOKEN}"
            assert ask(server, "GET", "/", host=host, origin=None, cookie=cookie)[0] == status, host


def test_the_token_stays_when_the_server_starts_again(tmp_path):
    """A page that was open goes on; another run has another token."""
    assert token_of(tmp_path / "a") == token_of(tmp_path / "a") != token_of(tmp_path / "b")
    assert len(token_of(tmp_path / "a")) >= 32
