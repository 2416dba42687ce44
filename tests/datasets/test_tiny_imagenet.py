"""TinyImageNet: sources that are nearly right, and a cache that must never give other images."""

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from msal_lightning.datasets import TinyImageNet
from msal_lightning.errors import UserError

ANNOTATIONS = "val/val_annotations.txt"
CACHE = {f"{part}_{what}.npy" for part in ("learn", "test") for what in ("image", "label")}
CACHE |= {"class_names.npy", "complete", "lock", "msal_lightning.json"}


def jpeg(value):
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (value, 0, 255 - value)).save(file, "JPEG", quality=95)
    return file.getvalue()


@pytest.fixture
def content():
    """Names and contents: two classes, six images to learn, two to test; the more red, the later the class."""
    files = {f"train/n{c}/images/n{c}_{i}.JPEG": jpeg(200 * c) for c in range(2) for i in range(3)}
    files |= {f"train/n{c}/n{c}_boxes.txt": b"n0_0.JPEG\t0\t0\t63\t63\n" for c in range(2)}
    files |= {f"val/images/val_{c}.JPEG": jpeg(200 * c) for c in range(2)}
    return files | {ANNOTATIONS: b"val_0.JPEG\tn0\t0\t0\t63\t63\nval_1.JPEG\tn1\t0\t0\t63\t63\n"}


def write_zip(root, content, prefix="tiny-imagenet-200/"):
    root.mkdir(exist_ok=True)
    with zipfile.ZipFile(root / "tiny-imagenet-200.zip", "w") as archive:
        for name, data in content.items():
            archive.writestr(prefix + name, data)
    return root


def write_folder(root, content):
    for name, data in content.items():
        file = root / "tiny-imagenet-200" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return root


def load(root):
    return TinyImageNet(root=str(root)).read()


def check(root):
    learn, test = load(root)
    assert learn.label.tolist() == [0, 0, 0, 1, 1, 1]
    assert test.label.tolist() == [0, 1]
    for images in (learn, test):
        red, _, blue = images.image.float().mean(dim=(2, 3)).unbind(1)
        assert torch.allclose(red, 200.0 * images.label, atol=4)
        assert torch.allclose(blue, 255 - 200.0 * images.label, atol=4)


@pytest.mark.parametrize("write", [write_zip, write_folder])
def test_what_a_system_leaves_among_the_files_is_not_read(write, tmp_path, content, no_network):
    junk = ("train/.DS_Store", "train/n0/images/._n0_0.JPEG", "train/n0/images/Thumbs.db", "val/images/.DS_Store")
    check(write(tmp_path, content | dict.fromkeys(junk, b"junk")))


def test_a_zip_of_the_content_without_the_folder(tmp_path, content, no_network):
    check(write_zip(tmp_path, content, prefix=""))


def test_the_zip_beside_another_datasets_folders(tmp_path, content, no_network):
    for folder in ("train", "val"):
        (tmp_path / folder / "cats").mkdir(parents=True)
    check(write_zip(tmp_path, content))


def test_zip_and_folder_have_the_same_order(tmp_path, content, no_network):
    in_zip = load(write_zip(tmp_path / "zip", dict(reversed(content.items()))))
    in_folder = load(write_folder(tmp_path / "folder", content))
    for one, other in zip(in_zip, in_folder, strict=True):
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.label, other.label)


WRONG = {
    "class without images": (lambda files: {k: v for k, v in files.items() if "train/n1/images" not in k}, "'n1'"),
    "class in wnids.txt alone": (lambda files: files | {"wnids.txt": b"n0\nn1\nn2\n"}, "'n2'"),
    "blank annotations": (lambda files: files | {ANNOTATIONS: b""}, "val_annotations.txt.*got no lines"),
    "blanks for tabs": (lambda files: files | {ANNOTATIONS: b"val_0.JPEG n0\n"}, "val_annotations.txt.*got no lines"),
    "annotations in Latin-1": (lambda files: files | {ANNOTATIONS: b"\xe9\tn0\n"}, "val_annotations.txt.*as text"),
    "words in Latin-1": (lambda files: files | {"words.txt": b"n0\tcaf\xe9\n"}, "words.txt.*as text"),
    "half an image": (lambda files: files | {"val/images/val_1.JPEG": jpeg(200)[:300]}, "val_1.JPEG"),
}


@pytest.mark.parametrize("write", [write_zip, write_folder])
@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named(change, message, write, tmp_path, content, no_network):
    root = write(tmp_path, change(content))
    with pytest.raises(UserError, match=message) as error:
        load(root)
    assert str(root / "tiny-imagenet-200") in str(error.value)
    assert not (root / "msal-cache-1").exists()


def test_an_empty_class_folder_is_named(tmp_path, content, no_network):
    write_folder(tmp_path, content)
    (tmp_path / "tiny-imagenet-200" / "train" / "n5").mkdir()
    with pytest.raises(UserError, match="found no training images of 'n5'"):
        load(tmp_path)


def set_in_directory(file, offset, value):
    """Change a byte of each entry in a zip's central directory."""
    data, at = bytearray(file.read_bytes()), -1
    while (at := data.find(b"PK\x01\x02", at + 1)) >= 0:
        data[at + offset] = value
    file.write_bytes(data)


def flip_a_byte(file):
    data = bytearray(file.read_bytes())
    data[data.find(b"\xff\xd8") + 300] ^= 255  # in the first image
    file.write_bytes(data)


DAMAGE = {
    "encrypted": lambda file: set_in_directory(file, 8, 1),
    "unknown compression": lambda file: set_in_directory(file, 10, 97),
    "4 GB unpacked": lambda file: set_in_directory(file, 27, 200),  # the highest byte of the size
    "another checksum": flip_a_byte,
    "a folder": lambda file: (file.unlink(), file.mkdir()),
    "absolute path": lambda file: zipfile.ZipFile(file, "a").writestr("/etc/evil", b"x"),
    "path out": lambda file: zipfile.ZipFile(file, "a").writestr("tiny-imagenet-200/train/../../../evil", b"x"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_or_hostile_zip_is_named(damage, tmp_path, content, no_network):
    file = write_zip(tmp_path, content) / "tiny-imagenet-200.zip"
    damage(file)
    with pytest.raises(UserError, match=r"tiny-imagenet-200\.zip'.*delete it, and it is fetched again") as error:
        load(tmp_path)
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


# ---------------------------------------------------------------- the cache


def cut(file):
    file.write_bytes(file.read_bytes()[:-9])


CACHE_DAMAGE = {
    "cut images": lambda cache: cut(cache / "learn_image.npy"),
    "no labels": lambda cache: (cache / "test_label.npy").unlink(),
    "floats": lambda cache: np.save(cache / "learn_image.npy", np.zeros((6, 3, 64, 64), dtype=np.float32)),
    "another size": lambda cache: np.save(cache / "learn_image.npy", np.zeros((6, 3, 8, 8), dtype=np.uint8)),
    "labels of more classes": lambda cache: np.save(cache / "learn_label.npy", np.arange(6)),
    "no class names": lambda cache: np.save(cache / "class_names.npy", np.array([])),
    "objects": lambda cache: np.save(cache / "class_names.npy", np.array([{}], dtype=object)),
    "an archive": lambda cache: zipfile.ZipFile(cache / "learn_label.npy", "w").close(),
    "web page": lambda cache: (cache / "learn_label.npy").write_bytes(b"<html>"),
}


@pytest.mark.parametrize("damage", CACHE_DAMAGE.values(), ids=CACHE_DAMAGE)
def test_a_damaged_cache_is_made_again_or_an_error(damage, tmp_path, content, no_network, capsys):
    root, cache = write_zip(tmp_path, content), tmp_path / "msal-cache-1"
    check(root)
    whole = {file.name: file.read_bytes() for file in cache.iterdir()}
    damage(cache)
    check(root)
    assert "msal-cache-1 is unfinished or damaged: it is made again" in capsys.readouterr().out
    assert {file.name: file.read_bytes() for file in cache.iterdir()} == whole
    damage(cache)
    (root / "tiny-imagenet-200.zip").unlink()
    with pytest.raises(UserError, match=r"tiny-imagenet-200\.zip \(from http"):
        load(root)


def test_the_cache_alone_is_enough(tmp_path, content, no_network, capsys):
    root = write_zip(tmp_path, content)
    first = load(root)
    (root / "tiny-imagenet-200.zip").unlink()
    for one, other in zip(first, load(root), strict=True):
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.label, other.label)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("written", range(5))
def test_a_start_that_is_killed_while_it_writes_leaves_no_cache(written, tmp_path, content, no_network, monkeypatch):
    root, count, save = write_folder(tmp_path, content), 0, np.save

    def killed(stream, array):
        nonlocal count
        if count == written:
            stream.write(b"half of it")
            raise KeyboardInterrupt
        count += 1
        save(stream, array)

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            load(root)
    assert not (root / "msal-cache-1" / "complete").exists()
    check(root)
    assert {file.name for file in (root / "msal-cache-1").iterdir()} == CACHE


def test_a_full_disk_is_said_and_the_run_goes_on(tmp_path, content, no_network, monkeypatch, capsys):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    check(write_zip(tmp_path, content))
    assert "msal-cache-1 cannot be written (No space left on device)" in capsys.readouterr().out
    assert {file.name for file in (tmp_path / "msal-cache-1").iterdir()} == {"lock", "msal_lightning.json"}


def test_a_folder_of_others_in_the_place_of_the_cache_is_left_alone(tmp_path, content, no_network, capsys):
    root = write_zip(tmp_path, content)
    (root / "msal-cache-1").mkdir()
    for name in ("thesis.tex", "learn_image.npy", "complete"):
        (root / "msal-cache-1" / name).write_text("mine")
    check(root)
    assert "msal-cache-1 cannot be written (the cache" in capsys.readouterr().out
    assert {file.name: file.read_text() for file in (root / "msal-cache-1").iterdir()} == dict.fromkeys(
        ("thesis.tex", "learn_image.npy", "complete"), "mine"
    )


def test_a_cache_from_before_there_were_marks_is_read_and_a_damaged_one_made_again(tmp_path, content, no_network):
    root = write_zip(tmp_path, content)
    check(root)
    cache = root / "msal-cache-1"
    for name in ("lock", "msal_lightning.json"):
        (cache / name).unlink()
    check(root)
    assert not (cache / "msal_lightning.json").exists()  # nothing was to be written
    (cache / "complete").unlink()
    check(root)
    assert {file.name for file in cache.iterdir()} == CACHE
