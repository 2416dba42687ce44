"""CIFAR-10, SVHN and TinyImageNet: files in their exact on-disk format, labels and channels by planted images."""

import functools
import hashlib
import http.server
import io
import pickle
import subprocess
import sys
import threading
import zipfile

import numpy as np
import pytest
import scipy.io
import torch
import torchvision
from PIL import Image

from msal_lightning.data.images.download import download_file
from msal_lightning.datasets import CIFAR10, CIFAR100, SVHN, TinyImageNet, tiny_imagenet
from msal_lightning.errors import UserError

RED, GREEN, BLUE = (250, 10, 30), (20, 240, 40), (5, 15, 245)
COLOURS = np.array([RED, GREEN, BLUE], dtype=np.uint8)


def colours_of(images):
    """The colour of each solid image."""
    assert images.image.dtype == torch.uint8
    assert (images.image == images.image[:, :, :1, :1]).all()
    return images.image[:, :, 0, 0].tolist()


# ---------------------------------------------------------------- CIFAR-10


@pytest.fixture
def cifar10_root(tmp_path, monkeypatch):
    """Five batches of 20 images whose colour is that of their label modulo 3."""
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda *_: True)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for number, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        label = [(number + i) % 10 for i in range(20)]
        pixels = np.stack([np.repeat(COLOURS[c % 3], 1024) for c in label])  # red plane, green plane, blue plane
        (folder / name).write_bytes(pickle.dumps({"data": pixels, "labels": label}))
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    return tmp_path


def test_cifar10_files(cifar10_root, no_network):
    data = CIFAR10(root=str(cifar10_root))
    learn, test = data.load()
    assert learn.image.shape == (100, 3, 32, 32)
    assert learn.label.tolist() == [(number + i) % 10 for number in range(5) for i in range(20)]
    for images in (learn, test):
        assert colours_of(images) == [COLOURS[c % 3].tolist() for c in images.label.tolist()]
    assert data.class_names == CIFAR10.class_names


def test_cifar10_without_files(tmp_path, no_network):
    with pytest.raises(UserError, match=r"cifar-10-batches-py .*cs\.toronto\.edu.*data\.root"):
        CIFAR10(root=str(tmp_path)).load()


# ---------------------------------------------------------------- SVHN


def write_svhn(root, monkeypatch, sizes=(60, 30)):
    monkeypatch.setattr(torchvision.datasets.SVHN, "_check_integrity", lambda self: True)
    for part, n in zip(("train", "test"), sizes, strict=True):
        digit = np.arange(n) % 10
        pixels = np.broadcast_to(COLOURS[digit % 3].T[None, None], (32, 32, 3, n))
        scipy.io.savemat(root / f"{part}_32x32.mat", {"X": pixels, "y": np.where(digit == 0, 10, digit)[:, None]})
    return root


def test_svhn_files_have_10_for_zero(tmp_path, monkeypatch, no_network):
    learn, test = SVHN(root=str(write_svhn(tmp_path, monkeypatch))).load()
    assert learn.image.shape == (60, 3, 32, 32)
    assert test.image.shape == (30, 3, 32, 32)
    for images in (learn, test):
        assert images.label.tolist() == [i % 10 for i in range(len(images.label))]
        assert colours_of(images) == [COLOURS[c % 3].tolist() for c in images.label.tolist()]


def test_svhn_without_files(tmp_path, no_network):
    with pytest.raises(UserError, match=r"train_32x32\.mat and test_32x32\.mat .*ufldl\.stanford\.edu.*data\.root"):
        SVHN(root=str(tmp_path)).load()


# ---------------------------------------------------------------- TinyImageNet

WNIDS = ["n02124075", "n01443537", "n04067472"]  # not in order: the classes are


def jpeg(colour, mode="RGB"):
    file = io.BytesIO()
    Image.new("RGB", (64, 64), tuple(int(c) for c in colour)).convert(mode).save(file, "JPEG", quality=95)
    return file.getvalue()


def members(each=4):
    """Names and contents of a small TinyImageNet; the colour of an image is that of the rank of its class."""
    content = {"wnids.txt": "\n".join(WNIDS).encode(), "words.txt": b"n01443537\tgoldfish, Carassius auratus\n"}
    lines = []
    for rank, wnid in enumerate(sorted(WNIDS)):
        for i in range(each):
            content[f"train/{wnid}/images/{wnid}_{i}.JPEG"] = jpeg(COLOURS[rank])
        content[f"train/{wnid}/{wnid}_boxes.txt"] = b"not an image"
        name = f"val_{5 - rank}.JPEG"
        content[f"val/images/{name}"] = jpeg(COLOURS[rank])
        lines.append(f"{name}\t{wnid}\t0\t32\t44\t62")
    content["val/val_annotations.txt"] = ("\n".join(lines) + "\n").encode()
    content["test/images/test_0.JPEG"] = jpeg(RED)
    return content


def write_tree(folder, content):
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def write_zip(file, content, prefix="tiny-imagenet-200/"):
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in content.items():
            archive.writestr(prefix + name, data)


def near(images):
    """The nearest of the three colours, JPEG being inexact."""
    pixels = images.image.float().mean(dim=(2, 3))
    return torch.cdist(pixels, torch.from_numpy(COLOURS).float()).argmin(dim=1).tolist()


@pytest.mark.parametrize("place", ["zip", "folder", "root"])
def test_tiny_imagenet_from_zip_or_folder(place, tmp_path, no_network):
    if place == "zip":
        write_zip(tmp_path / "tiny-imagenet-200.zip", members())
    else:
        write_tree(tmp_path / "tiny-imagenet-200" if place == "folder" else tmp_path, members())
    data = TinyImageNet(root=str(tmp_path))
    learn, test = data.load()
    assert learn.image.shape == (12, 3, 64, 64)
    assert learn.label.tolist() == near(learn) == [0] * 4 + [1] * 4 + [2] * 4
    assert test.label.tolist() == near(test) == [2, 1, 0]  # val_3, val_4, val_5
    assert data.class_names == ("goldfish", "n02124075", "n04067472")


def test_tiny_imagenet_is_decoded_once(tmp_path, no_network, monkeypatch):
    write_zip(tmp_path / "tiny-imagenet-200.zip", members())
    first, names = TinyImageNet(root=str(tmp_path)).load(), None
    (tmp_path / "tiny-imagenet-200.zip").unlink()
    monkeypatch.setattr(tiny_imagenet, "decode_all", None)
    data = TinyImageNet(root=str(tmp_path))
    again, names = data.load(), data.class_names
    for before, after in zip(first, again, strict=True):
        assert torch.equal(before.image, after.image)
        assert torch.equal(before.label, after.label)
    assert names[0] == "goldfish"


@pytest.mark.parametrize("damage", ["unfinished", "truncated", "other length"])
def test_a_damaged_cache_is_made_again(damage, tmp_path, no_network):
    write_zip(tmp_path / "tiny-imagenet-200.zip", members())
    first = TinyImageNet(root=str(tmp_path)).load()[0]
    cache = tmp_path / "msal-cache-1"
    if damage == "unfinished":
        (cache / "complete").unlink()
        (cache / "learn_image.npy").write_bytes(b"")
    elif damage == "truncated":
        (cache / "learn_image.npy").write_bytes((cache / "learn_image.npy").read_bytes()[:-100])
    else:
        np.save(cache / "learn_label.npy", np.arange(3))
    assert torch.equal(TinyImageNet(root=str(tmp_path)).load()[0].image, first.image)
    assert (cache / "complete").exists()


def test_grey_images_become_colour(tmp_path, no_network):
    content = members()
    content["train/n01443537/images/n01443537_0.JPEG"] = jpeg((128, 128, 128), "L")
    write_zip(tmp_path / "tiny-imagenet-200.zip", content)
    image = TinyImageNet(root=str(tmp_path)).load()[0].image[0]
    assert image.shape == (3, 64, 64)
    assert (image == image[:1]).all()


def test_without_a_place_to_write_it_runs_anyway(tmp_path, no_network, monkeypatch, capsys):
    write_tree(tmp_path / "tiny-imagenet-200", members())
    (tmp_path / "msal-cache-1").write_text("a file where the folder should be")
    learn, _ = TinyImageNet(root=str(tmp_path)).load()
    assert len(learn.label) == 12
    assert "cannot be written" in capsys.readouterr().out


def without(name):
    return {key: value for key, value in members().items() if key != name}


BAD = {
    "path out": ({**members(), "../../evil.txt": b"x"}, r"evil\.txt' outside of it"),
    "corrupt image": ({**members(), "train/n01443537/images/n01443537_0.JPEG": b"junk"}, "n01443537_0.JPEG"),
    "no annotations": (without("val/val_annotations.txt"), "val_annotations.txt"),
    "no training": ({k: v for k, v in members().items() if not k.startswith("train/")}, "found 0 classes"),
    "missing file": (without("val/images/val_3.JPEG"), "val_3.JPEG"),
    "no annotation": ({**members(), "val/images/val_9.JPEG": jpeg(RED)}, "val_9.JPEG.*no line"),
    "unknown class": (
        {
            **members(),
            "val/val_annotations.txt": b"val_3.JPEG\tn99999999\nval_4.JPEG\tn99999999\nval_5.JPEG\tn99999999",
        },
        "n99999999",
    ),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_a_bad_archive_is_explained(content, message, tmp_path, no_network):
    write_zip(tmp_path / "tiny-imagenet-200.zip", content, prefix="tiny-imagenet-200/")
    if "../../evil.txt" in content:
        with zipfile.ZipFile(tmp_path / "tiny-imagenet-200.zip", "a") as archive:
            archive.writestr("../../evil.txt", b"x")
    with pytest.raises(UserError, match=message):
        TinyImageNet(root=str(tmp_path)).load()
    assert not (tmp_path.parent / "evil.txt").exists()


@pytest.mark.parametrize("keep", [0, 100, 0.5])
def test_a_truncated_archive_is_named(keep, tmp_path, no_network):
    file = tmp_path / "tiny-imagenet-200.zip"
    write_zip(file, members())
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * keep) if keep < 1 else keep])
    with pytest.raises(UserError, match=r"tiny-imagenet-200\.zip.*delete it, and it is fetched again"):
        TinyImageNet(root=str(tmp_path)).load()


def test_without_files_it_says_what_to_put_where(tmp_path, no_network):
    with pytest.raises(UserError, match=r"tiny-imagenet-200\.zip \(from http://cs231n.*data\.root"):
        TinyImageNet(root=str(tmp_path)).load()


# ---------------------------------------------------------------- downloads


class Server(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; knows Range if told so, and may cut connections."""

    knows_range = True
    cut_after = None
    requests: list = []  # noqa: RUF012 - shared by the handlers of a test

    def do_GET(self):
        data = (self.server.folder / self.path.lstrip("/")).read_bytes()
        wanted = self.headers.get("Range")
        type(self).requests.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.knows_range else 0
        if start >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self.wfile.write(data[start : start + self.cut_after] if self.cut_after else data[start:])

    def log_message(self, *args):
        pass


@pytest.fixture
def serve(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    payload = np.random.default_rng(0).bytes(3_000_000)
    (folder / "file.zip").write_bytes(payload)
    Server.requests, Server.cut_after, Server.knows_range = [], None, True
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Server))
    server.folder = folder
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/file.zip", payload
    server.shutdown()
    server.server_close()
    thread.join()


def download(tmp_path, url, payload):
    file = tmp_path / "root" / "file.zip"
    download_file(TinyImageNet(root=str(tmp_path / "root")), url, hashlib.md5(payload).hexdigest(), file)
    return file


def test_download_arrives_whole(serve, tmp_path):
    url, payload = serve
    assert download(tmp_path, url, payload).read_bytes() == payload
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["file.zip"]


@pytest.mark.parametrize("knows_range", [True, False])
def test_a_broken_download_is_gone_on_with(serve, tmp_path, knows_range):
    url, payload = serve
    Server.cut_after, Server.knows_range = 1_000_000, knows_range
    with pytest.raises(UserError, match=r"data\.root"):
        download(tmp_path, url, payload)
    assert (tmp_path / "root" / "file.zip.part").stat().st_size == 1_000_000
    assert not (tmp_path / "root" / "file.zip").exists()
    Server.cut_after = None
    assert download(tmp_path, url, payload).read_bytes() == payload
    assert Server.requests == [None, "bytes=1000000-"]


def test_a_download_that_was_whole_but_not_renamed(serve, tmp_path):
    url, payload = serve
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "file.zip.part").write_bytes(payload)
    assert download(tmp_path, url, payload).read_bytes() == payload


def test_another_checksum_is_refused_and_starts_anew(serve, tmp_path):
    url, payload = serve
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "file.zip.part").write_bytes(b"junk")  # of another file
    with pytest.raises(UserError, match="another checksum"):
        download(tmp_path, url, payload)
    assert not list((tmp_path / "root").iterdir())
    assert download(tmp_path, url, payload).read_bytes() == payload


# ---------------------------------------------------------------- full size

FULL_SIZE = """
import sys, time
from msal_lightning.datasets import TinyImageNet
def peak():  # ru_maxrss would begin with that of the process that started this one
    return int(dict(line.split(":", 1) for line in open("/proc/self/status"))["VmHWM"].split()[0])
start, before = time.perf_counter(), peak()
learn, test = TinyImageNet(root=sys.argv[1]).load()
print(len(learn.label), len(test.label), time.perf_counter() - start)
print((peak() - before) * 1024 / learn.image.nbytes)
"""


@pytest.mark.slow
def test_tiny_imagenet_of_full_size(tmp_path):
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(200):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(file, "JPEG")
        pictures.append(file.getvalue())
    wnids = [f"n{c:08d}" for c in range(200)]
    with zipfile.ZipFile(tmp_path / "tiny-imagenet-200.zip", "w") as archive:
        for c, wnid in enumerate(wnids):
            for i in range(500):
                archive.writestr(f"tiny-imagenet-200/train/{wnid}/images/{wnid}_{i}.JPEG", pictures[(c + i) % 200])
        for i in range(10_000):
            archive.writestr(f"tiny-imagenet-200/val/images/val_{i}.JPEG", pictures[i % 200])
        lines = "".join(f"val_{i}.JPEG\t{wnids[i % 200]}\t0\t0\t62\t62\n" for i in range(10_000))
        archive.writestr("tiny-imagenet-200/val/val_annotations.txt", lines)
    for _ in ("decoded", "cached"):
        command = [sys.executable, "-c", FULL_SIZE, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        print(done.stdout)
        counts, memory = done.stdout.splitlines()
        assert counts.startswith("100000 10000 ")
        assert float(memory) < 2


@pytest.mark.slow
def test_cifar_and_svhn_of_full_size(tmp_path, monkeypatch, no_network):
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda *_: True)
    ten, hundred = tmp_path / "cifar-10-batches-py", tmp_path / "cifar-100-python"
    ten.mkdir()
    hundred.mkdir()
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    for folder, name, n, num_classes, key in (
        *((ten, name, 10_000, 10, "labels") for name in names),
        (hundred, "train", 50_000, 100, "fine_labels"),
        (hundred, "test", 10_000, 100, "fine_labels"),
    ):
        label = np.arange(n) % num_classes
        pixels = np.repeat(COLOURS[label % 3], 1024, axis=1)
        (folder / name).write_bytes(pickle.dumps({"data": pixels, key: label.tolist()}))
    (ten / "batches.meta").write_bytes(pickle.dumps({"label_names": [str(c) for c in range(10)]}))
    (hundred / "meta").write_bytes(pickle.dumps({"fine_label_names": [str(c) for c in range(100)]}))
    write_svhn(tmp_path, monkeypatch, (73_257, 26_032))
    for cls, sizes in ((CIFAR10, (50_000, 10_000)), (CIFAR100, (50_000, 10_000)), (SVHN, (73_257, 26_032))):
        parts = cls(root=str(tmp_path)).load()
        assert tuple(len(part.label) for part in parts) == sizes
        for part in parts:
            expected = torch.from_numpy(COLOURS)[part.label % 3]
            assert torch.equal(part.image.amax(dim=(2, 3)), expected)
            assert torch.equal(part.image.amin(dim=(2, 3)), expected)
