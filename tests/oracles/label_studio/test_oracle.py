"""LabelStudio without a server, or with one that answers as others do."""

import builtins
import importlib.util
import io
import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from PIL import Image

from msal_lightning.data.images.decoding import Decoding
from msal_lightning.datasets import Digits, ImageFolder
from msal_lightning.errors import UserError
from msal_lightning.oracles import AwaitingLabels, LabelingBatch, LabelingTask, LabelStudio
from msal_lightning.oracles.label_studio import oracle as module
from msal_lightning.oracles.label_studio.oracle import _latest
from msal_lightning.oracles.label_studio.server import _images

TOKEN = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the SDK's own
needs_sdk = pytest.mark.skipif(
    importlib.util.find_spec("label_studio_sdk") is None, reason="without the extra label-studio"
)


@pytest.fixture(autouse=True)
def token(monkeypatch):
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", TOKEN)
    monkeypatch.setattr(module, "_PAUSES", (0, 0))


@pytest.fixture
def batch(tmp_path):
    folder = tmp_path / "queries"
    folder.mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    return LabelingBatch(
        "round-003", (LabelingTask(0, "a.png", tmp_path / "a.png", "cat", 0.5, 0.9, 0),), ("cat", "dog"), folder
    )


@pytest.fixture
def data(batch, tmp_path):
    """An ImageFolder without labels."""
    data = ImageFolder(str(tmp_path), unlabeled=True, classes=["cat", "dog"], size=4)
    data.setup()
    return data


@pytest.fixture
def answering():
    """``answering(401, "text")``: the address of a server that says only that."""
    servers = []

    def start(status, body, kind="application/json"):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.end_headers()
                self.wfile.write(body.encode())

            do_POST = do_GET  # noqa: N815

            def log_message(self, *args):
                pass

        servers.append(server := HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"url": "localhost:8080"}, "oracle.url"),
        ({"url": "ftp://host"}, "oracle.url"),
        ({"url": "http://me:secret@host"}, "oracle.url"),
        ({"project": "ab"}, "oracle.project"),
        ({"project": "a" * 51}, "oracle.project"),
        ({"annotators": 0}, "oracle.annotators"),
        ({"image_url": "http://files/"}, "oracle.image_url"),
    ],
)
def test_options_out_of_range(options, key):
    with pytest.raises(UserError, match=key) as error:
        LabelStudio(**{"project": "pets"} | options)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("value", [None, "", "  "])
def test_no_token(monkeypatch, value, data):
    monkeypatch.delenv("LABEL_STUDIO_API_KEY") if value is None else monkeypatch.setenv("LABEL_STUDIO_API_KEY", value)
    with pytest.raises(UserError, match="LABEL_STUDIO_API_KEY"):
        LabelStudio("pets").connect(data)


@pytest.mark.parametrize("value", [f"{TOKEN}\n{TOKEN}", f"Token {TOKEN}", f"{TOKEN}é"])
def test_a_token_that_is_none_is_not_shown(monkeypatch, value, data):
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", value)
    with pytest.raises(UserError, match="LABEL_STUDIO_API_KEY") as error:
        LabelStudio("pets").connect(data)
    assert TOKEN not in str(error.value)


def test_the_extra_is_missing(monkeypatch, data):
    real = importlib.util.find_spec
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "label_studio_sdk" else real(name))
    with pytest.raises(UserError, match=r"msal_lightning\[label-studio\]"):
        LabelStudio("pets").connect(data)


def test_the_sdk_is_imported_when_it_is_used_only(monkeypatch, data):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        assert not name.startswith("label_studio_sdk")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    LabelStudio("pets").connect(data) if importlib.util.find_spec("label_studio_sdk") else LabelStudio("pets")


def test_images_that_are_no_files():
    data = Digits()
    data.setup()
    with pytest.raises(UserError, match=r"oracle\.image_url"):
        LabelStudio("pets").connect(data)


def test_no_class_to_choose(batch):
    with pytest.raises(UserError, match=r"data\.classes"):
        LabelStudio("pets").ask(replace(batch, class_names=()))


@needs_sdk
def test_a_server_that_is_down(batch):
    oracle = LabelStudio("pets", url="http://127.0.0.1:1")
    with pytest.raises(UserError, match=r"expected Label Studio at oracle\.url") as error:
        oracle.ask(batch)
    assert "\n" not in str(error.value)
    state = batch.folder / "label_studio.json"
    content = json.loads(state.read_text())
    state.write_text(json.dumps(content | {"pushed": ["round-003"]}))
    with pytest.raises(AwaitingLabels, match=r"waiting for 1 label in http://127\.0\.0\.1:1, which does not answer"):
        oracle.ask(batch)


@needs_sdk
@pytest.mark.parametrize(
    ("status", "body", "kind", "sentence"),
    [
        (401, json.dumps({"detail": f"Invalid token {TOKEN}."}), "application/json", "the server rejects it"),
        (403, json.dumps({"detail": "no"}), "application/json", "the server rejects it"),
        (200, "<html>Welcome to nginx</html>", "text/html", "got something else"),
        (404, "<html>nothing here</html>", "text/html", "got something else"),
        (400, json.dumps({"validation_errors": {"title": [TOKEN]}}), "application/json", "HTTP 400"),
        (502, "<html>Bad gateway</html>", "text/html", r"got no answer \(HTTP 502\)"),
    ],
)
def test_a_server_that_answers_otherwise(answering, batch, status, body, kind, sentence, monkeypatch):
    monkeypatch.setattr("label_studio_sdk.core.http_client._retry_timeout", lambda *args, **kwargs: 0)
    with pytest.raises(UserError, match=sentence) as error:
        LabelStudio("pets", url=answering(status, body, kind)).ask(batch)
    assert TOKEN not in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__


@needs_sdk
def test_a_personal_access_token_that_has_expired_is_not_shown(monkeypatch, batch):
    jwt = pytest.importorskip("jwt")
    expired = jwt.encode({"exp": 1, "token_type": "refresh"}, "a" * 32)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", expired)
    with pytest.raises(UserError, match="expired") as error:
        LabelStudio("pets", url="http://127.0.0.1:1").ask(batch)
    assert expired not in str(error.value)


@needs_sdk
def test_images_about_which_annotators_disagree_are_listed(tmp_path, capsys):
    def task(number, *labels):
        said = [
            {
                "id": 10 * number + k,
                "completed_by": k,
                "result": [{"from_name": "label", "value": {"choices": [label]}}],
            }
            for k, label in enumerate(labels)
        ]
        return [SimpleNamespace(id=number, annotations=said)]

    items = tuple(LabelingTask(k, f"{k}.png", tmp_path / f"{k}.png", None, None, None, k) for k in range(9))
    batch = LabelingBatch("round-003", items, ("cat", "dog"), tmp_path)
    tasks = [
        task(0, "cat", "cat", "cat"),
        task(1, "cat", "dog", "cat"),
        *(task(k, "dog", "cat", "dog") for k in range(2, 9)),
    ]
    answers = LabelStudio("pets", annotators=3)._read(batch, tasks, "there")
    assert [answer.label for answer in answers] == ["cat", "cat", *["dog"] * 7]
    assert answers[1].votes == (("user 0", "cat"), ("user 1", "dog"), ("user 2", "cat"))
    said = capsys.readouterr().out
    assert "annotators disagree about 8 of 9 images of round-003" in said
    assert "'1.png': user 0: cat, then user 1: dog, then user 2: cat, then counts: cat" in said
    assert "and 3 more" in said
    lines = (tmp_path / "round-003-disagreements.csv").read_text().splitlines()
    assert lines[0] == "1.png,user 0: cat,user 1: dog,user 2: cat,counts: cat"
    assert len(lines) == 8


def test_deep_files_are_sent_as_a_person_can_see_them(tmp_path):
    levels = np.tile(np.arange(0, 4096, 16, dtype=np.uint16), (8, 1))
    Image.fromarray(levels).save(tmp_path / "deep.png")
    tifffile.imwrite(tmp_path / "ct.tif", levels.astype(np.int16) - 1000)
    Image.fromarray((levels >> 4).astype(np.uint8)).save(tmp_path / "plain.png")
    (tmp_path / "damaged.tif").write_bytes(b"II*\0")
    files = [tmp_path / name for name in ("deep.png", "ct.tif", "plain.png", "damaged.tif")]
    items = [LabelingTask(k, file.name, file, None, None, None, k) for k, file in enumerate(files)]
    how = Decoding(4, 1, ranges={"uint16": (0, 4095), "int16": (-1000, 3095)})
    sent = [*_images(items[:3], how)]
    assert [suffix for suffix, _ in sent] == [".png"] * 3
    assert sent[2][1] == files[2].read_bytes()
    for _, content in sent:
        seen = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
        assert np.array_equal(seen, levels >> 4)
    with pytest.raises(UserError, match=r"cannot read the image '.*damaged\.tif'"):
        [*_images(items, how)]


def test_the_newest_annotation_of_each_annotator_counts():
    def annotation(id, who, hour):
        return {"id": id, "completed_by": {"id": who}, "updated_at": f"2026-01-01T{hour:02d}:00:00Z"}

    old, new, other = annotation(1, 7, 9), annotation(2, 7, 11), annotation(3, 8, 10)
    tasks = [SimpleNamespace(annotations=found) for found in ([new, other], [old], None)]
    assert _latest(tasks) == {"user 7": new, "user 8": other}
    assert {one["id"] for one in _latest(tasks[::-1]).values()} == {2, 3}
