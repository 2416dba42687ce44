"""Your own images: what is found, how it is decoded, what is held out, and what is said about bad input."""

import csv
import json
import os
import pickle
import re
import shutil
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from PIL import Image

from msal_lightning import ActiveLoop, LoopOptions, MSALClassifier, RunDirectory
from msal_lightning.cli.main import main
from msal_lightning.data import Batch, CropFlip
from msal_lightning.data.batches import memory
from msal_lightning.data.images import image_files as files
from msal_lightning.data.images.decoding import Decoding
from msal_lightning.data.images.image_files import ImageFiles, free_memory
from msal_lightning.datasets import FashionMNIST, ImageFolder
from msal_lightning.errors import DataError, UserError
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.strategies import MSALD, Margin

# the tests ask for two processes, also where one CPU is all there is
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")

SIZE = 8
ORIENTATION = 0x0112  # Exif


def paint(path, color, size=(SIZE, SIZE), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path, **options)


def color_of(name, k):
    """Tells every image apart: the class is in red, the number in green and blue."""
    return 10 + sum(name.encode()) % 240, k % 256, k // 256


def make_folder(root, sizes, suffix=".png"):
    for name, n in sizes.items():
        for k in range(n):
            paint(root / name / f"{k:03}{suffix}", color_of(name, k))
    return root


@pytest.fixture
def pets(tmp_path):
    """Ten cats and ten dogs: bright above, or bright below."""
    rng = np.random.default_rng(0)
    for c, name in enumerate(("cat", "dog")):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for k in range(10):
            pixels = rng.integers(0, 90, (SIZE, SIZE, 3), dtype=np.uint8)
            pixels[4 * c : 4 * c + 4] += 150
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{k:03}.png")
    return tmp_path / "pets"


def write_csv(path, *rows, header=("path", "label"), encoding="utf-8"):
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


def ready(root, **options):
    data = ImageFolder(str(root), **{"size": SIZE, **options})
    data.setup()
    return data


def contents(images):
    """The color and the label of each image of one color."""
    pixels = images.image[torch.arange(len(images.label))]
    assert (pixels == pixels[:, :, :1, :1]).all()
    return [(*pixel, label) for pixel, label in zip(pixels[:, :, 0, 0].tolist(), images.label.tolist(), strict=True)]


def learn_paths(data):
    return data.paths(torch.arange(len(data.labeled_at)))


def refused(message, root, **options):
    with pytest.raises(UserError, match=message) as caught:
        ready(root, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 1500
    return text


# ---------------------------------------------------------------- what is found, and in which order


@pytest.mark.parametrize("in_memory", [True, False])
def test_classes_and_files_are_sorted(tmp_path, in_memory):
    for name, color in {"b/2": 1, "b/10": 2, "a/z": 3, "a/c": 4, "B/1": 5, "a/sub/1": 6, "a b/1": 7}.items():
        paint(tmp_path / "learn" / f"{name}.png", (color, 0, 0))
    make_folder(tmp_path / "test", {"a": 1})
    data = ready(tmp_path / "learn", test_root=str(tmp_path / "test"), in_memory=in_memory, num_workers=0)
    assert data.class_names == ("B", "a", "a b", "b")
    assert data.num_classes == 4
    assert learn_paths(data) == ["B/1.png", "a/c.png", "a/sub/1.png", "a/z.png", "a b/1.png", "b/10.png", "b/2.png"]
    learn, test = data.load()
    assert contents(learn) == [
        (5, 0, 0, 0), (4, 0, 0, 1), (6, 0, 0, 1), (3, 0, 0, 1), (7, 0, 0, 2), (2, 0, 0, 3), (1, 0, 0, 3)
    ]  # fmt: skip
    assert contents(test) == [(*color_of("a", 0), 1)]
    assert learn.image.dtype == test.image.dtype == torch.uint8
    assert learn.label.dtype == test.label.dtype == torch.int64


@pytest.mark.parametrize("in_memory", [True, False])
def test_csv_gives_the_order_of_the_indices(tmp_path, in_memory):
    rows = [("deep/er/9.png", "zebra"), ("1.png", "ape"), ("5.png", "zebra"), ("0.png", "cat"), ("4.png", "ape")]
    for k, (path, _) in enumerate(rows):
        paint(tmp_path / path, (k, 100, 200))
    paint(tmp_path / "unlisted.png", (9, 9, 9))
    make_folder(tmp_path / "test", {"zebra": 1, "cat": 1})
    data = ready(
        tmp_path,
        csv=write_csv(tmp_path / "labels.csv", *rows),
        test_root=str(tmp_path / "test"),
        in_memory=in_memory,
        num_workers=0,
    )
    assert data.class_names == ("ape", "cat", "zebra")
    assert learn_paths(data) == [path for path, _ in rows]
    assert data.paths(torch.tensor([3, 0])) == ["0.png", "deep/er/9.png"]
    learn, test = data.load()
    assert contents(learn) == [(k, 100, 200, label) for k, label in enumerate([2, 0, 2, 1, 0])]
    assert [label for *_, label in contents(test)] == [1, 2]


def test_csv_with_other_columns_spaces_blank_lines_and_a_byte_order_mark(tmp_path):
    make_folder(tmp_path, {"a": 2, "b": 2})
    lines = [" label , who,path,split", "x,me, a/000.png ,train", "", 'y,"you, too",b/000.png,', "y,,b/001.png,test"]
    (tmp_path / "labels.csv").write_text("\r\n".join(lines), encoding="utf-8-sig")
    data = ready(tmp_path, csv=str(tmp_path / "labels.csv"))
    assert data.class_names == ("x", "y")
    assert learn_paths(data) == ["a/000.png", "b/000.png"]
    assert contents(data.test) == [(*color_of("b", 1), 1)]


def test_numbers_of_classes_are_no_labels(pets, tmp_path):
    numbers = write_csv(
        tmp_path / "l.csv", *((f"{c}/{k:03}.png", n) for n, c in enumerate(("cat", "dog")) for k in range(9))
    )
    named = {"unlabeled": True, "classes": ["cat", "dog"]}
    tested = {"test_root": str(shutil.copytree(pets, tmp_path / "tested"))}
    for known in ({"csv": numbers, **named}, {"labels": numbers, **named}, {"csv": numbers, **tested}):
        with pytest.raises(
            DataError, match=r"expected names of classes in data\.(csv|labels) .* 'cat', got the number"
        ):
            ready(pets, **known)
    assert ready(pets, csv=numbers).class_names == ("0", "1")  # the classes have no other names
    with pytest.raises(DataError, match=r"expected data\.csv or data\.labels, got"):
        ready(pets, csv=numbers, labels=numbers)


def test_images_that_somebody_skipped_are_left_out(pets, tmp_path, capsys):
    rows = [(f"{c}/{k:03}.png", c if k else "skip") for c in ("cat", "dog") for k in range(10)]
    data = ready(pets, labels=write_csv(tmp_path / "l.csv", *rows))
    assert data.class_names == ("cat", "dog")
    assert "2 of 20 images are left out: data.labels says skip or unsure" in capsys.readouterr().out


def test_csv_may_name_files_elsewhere(tmp_path):
    make_folder(tmp_path / "here", {"a": 2})
    make_folder(tmp_path / "there", {"b": 2})
    rows = [("a/000.png", "a"), ("a/001.png", "a"), (tmp_path / "there/b/000.png", "b"), ("../there/b/001.png", "b")]
    csv = write_csv(tmp_path / "labels.csv", *rows)
    with pytest.raises(UserError, match=r"line 4.*line 5.*leads out of data.root.*data.allow_outside"):
        ready(tmp_path / "here", csv=csv, test_fraction=0.5)
    data = ready(tmp_path / "here", csv=csv, test_fraction=0.5, allow_outside=True)
    assert len(data.labeled_at) == len(data.test.label) == 2
    assert all((tmp_path / "here" / path).is_file() for path in learn_paths(data))


def test_a_link_out_of_root_leads_out_of_it_and_one_within_does_not(tmp_path):
    make_folder(tmp_path / "here", {"a": 2, "b": 2})
    make_folder(tmp_path / "there", {"b": 1})
    (tmp_path / "here" / "link").symlink_to(tmp_path / "there")
    (tmp_path / "here" / "within").symlink_to("b")
    rows = [("a/000.png", "a"), ("a/001.png", "a"), ("within/000.png", "b"), ("a/../b/001.png", "b")]
    ready(tmp_path / "here", csv=write_csv(tmp_path / "within.csv", *rows), test_fraction=0.5)
    with pytest.raises(UserError, match=r"line 6.*allow_outside"):
        ready(tmp_path / "here", csv=write_csv(tmp_path / "out.csv", *rows, ("link/b/000.png", "b")))


def test_classes_that_are_numbers_are_sorted_as_numbers(tmp_path):
    make_folder(tmp_path, {"10": 2, "2": 2, "1": 2})
    assert ready(tmp_path).class_names == ("1", "2", "10")
    make_folder(tmp_path, {"x": 2})
    assert ready(tmp_path).class_names == ("1", "10", "2", "x")


def test_order_of_classes_does_not_depend_on_the_hash_of_their_names(tmp_path):
    make_folder(tmp_path, {f"{zero}{k}": 2 for k in range(10) for zero in ("", "0", "00")})
    names = [name for name in ready(tmp_path).class_names if int(name) > 0]
    assert names in (
        [f"{zero}{k}" for k in range(1, 10) for zero in ("00", "0", "")],
        [f"{zero}{k}" for k in range(1, 10) for zero in ("", "0", "00")],
        sorted(names),
    )


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".tif"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_channels_are_red_green_and_blue(tmp_path, suffix, in_memory):
    colors = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
    for name, color in colors.items():
        for k in range(2):
            paint(tmp_path / name / f"{k}{suffix}", color)
    data = ready(tmp_path, in_memory=in_memory, num_workers=0)
    assert data.class_names == ("blue", "green", "red")
    batch = data.images[torch.arange(3)].int()
    expected = torch.tensor([[0, 0, 255], [0, 255, 0], [255, 0, 0]])[:, :, None, None].expand(3, 3, SIZE, SIZE)
    assert (batch - expected).abs().max() <= (0 if suffix in (".png", ".bmp", ".ppm", ".tif") else 3)


def test_hidden_and_other_files_are_left_out(tmp_path):
    make_folder(tmp_path, {"a": 2, "b": 2})
    for name in ("a/._000.png", ".DS_Store", "a/Thumbs.db", "a/notes.txt", "b/000.png.part", "README", "a/.jpg"):
        (tmp_path / name).write_bytes(b"no image")
    make_folder(tmp_path, {".git": 2})
    (tmp_path / "a" / "folder.png").mkdir()
    data = ready(tmp_path)
    assert data.class_names == ("a", "b")
    assert len(data.labeled_at) + len(data.test.label) == 4


def test_images_in_hidden_folders_are_left_out(tmp_path):
    make_folder(tmp_path, {"a": 2, "b": 2})
    paint(tmp_path / "a" / ".ipynb_checkpoints" / "000-checkpoint.png", (0, 0, 0))
    data = ready(tmp_path)
    assert len(data.labeled_at) + len(data.test.label) == 4


def test_symbolic_links_are_followed(tmp_path):
    make_folder(tmp_path / "store", {"x": 3, "y": 2})
    (tmp_path / "root" / "b").mkdir(parents=True)
    (tmp_path / "root" / "a").symlink_to(tmp_path / "store" / "x")  # a class
    for k in range(2):
        (tmp_path / "root" / "b" / f"{k}.png").symlink_to(tmp_path / "store" / "y" / f"{k:03}.png")  # files
    (tmp_path / "root" / "b" / "dangling.png").symlink_to(tmp_path / "nothing.png")
    data = ready(tmp_path / "root")
    assert data.class_names == ("a", "b")
    seen = [(red, green) for red, green, *_ in contents(data.load()[0]) + contents(data.test)]
    assert sorted(seen) == sorted(color_of(name, k)[:2] for name, n in (("x", 3), ("y", 2)) for k in range(n))


def test_extensions_in_capitals(tmp_path):
    for k, name in enumerate(("a/0.PNG", "a/1.JPG", "b/0.Jpeg", "b/1.TIF")):
        paint(tmp_path / name, (k, 0, 0))
    data = ready(tmp_path)
    assert len(data.labeled_at) + len(data.test.label) == 4


ODD = ["a,b.png", 'qu"ote.png', "Ünïcode 猫.png", " blank .png", "[red].png", "new\nline.png", "100%.png", "-x.png"]


@pytest.mark.parametrize("listed", ["folder", "csv"])
def test_odd_names_stand_in_the_ledger(pets, tmp_path, listed):
    for k, name in enumerate(ODD):
        paint(pets / "Kätzchen, [klein]" / name, (k, 0, 0))
    options = {}
    if listed == "csv":
        rows = [(path.relative_to(pets), path.parent.name) for path in sorted(pets.rglob("*.png"))]
        options = {"csv": write_csv(tmp_path / "labels.csv", *rows)}
    data = ImageFolder(str(pets), size=SIZE, test_fraction=0.1, **options)
    run_loop(data, tmp_path / "run", initial_size="all")
    ledger = rows_of(tmp_path / "run" / "ledger.csv")
    wanted = {f"Kätzchen, [klein]/{name}" for name in ODD}
    assert len(wanted & {row["path"] for row in ledger}) >= len(ODD) - 1  # the others are in the test set
    assert all((pets / row["path"]).is_file() for row in ledger)


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes there only")
def test_a_name_that_is_no_text_stands_in_the_ledger(pets, tmp_path):
    for path in sorted(pets.glob("cat/*.png")):
        path.rename(os.fsdecode(os.fsencode(path).replace(b".png", b"\xff.png")))
    run_loop(ImageFolder(str(pets), size=SIZE), tmp_path / "run", initial_size="all")
    assert (tmp_path / "run" / "ledger.csv").is_file()


# ---------------------------------------------------------------- decoding


def decode(path, size, channels):
    return files.decode(path, path, Decoding(size, channels))


def noise(*shape, seed=0, dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def saved(tmp_path, array, name="one.png", **options):
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(tmp_path / name, **options)
    return str(tmp_path / name)


def mode_of(path):
    with Image.open(path) as image:
        return image.mode


def luma(rgb):
    """ITU-R 601."""
    return np.round(rgb.astype(float) @ [0.299, 0.587, 0.114])


def assert_near(got, expected, tolerance):
    assert got.dtype == np.uint8
    assert got.shape == expected.shape
    assert np.abs(got.astype(float) - expected).max() <= tolerance


@pytest.mark.parametrize("name", ["one.png", "one.bmp", "one.tif", "one.ppm"])
def test_an_image_of_the_right_size_is_taken_as_it_is(tmp_path, name):
    pixels = noise(16, 16, 3)
    assert np.array_equal(decode(saved(tmp_path, pixels, name), 16, 3), pixels.transpose(2, 0, 1))
    assert_near(decode(saved(tmp_path, pixels, name), 16, 1), luma(pixels)[None], 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_of_the_right_size_is_what_pillow_reads(tmp_path, channels):
    pixels = noise(16, 16, 3) if channels == 3 else slope(16, 16)  # grey is read as such, not from clipped colors
    path = saved(tmp_path, pixels, "one.jpg", quality=95)
    with Image.open(path) as image:
        expected = np.asarray(image.convert("L" if channels == 1 else "RGB"), dtype=float)
    expected = expected[None] if channels == 1 else expected.transpose(2, 0, 1)
    assert_near(decode(path, 16, channels), expected, 0 if channels == 3 else 2)


def slope(width, height):
    """Red rises to the right, green downwards: after scaling, the value says where a pixel came from."""
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    return np.stack([255 * x, 255 * y, np.full_like(x, 77)], axis=2).round().astype(np.uint8)


@pytest.mark.parametrize(("width", "height"), [(96, 48), (48, 96), (100, 51), (64, 64), (12, 20), (16, 300), (333, 17)])
@pytest.mark.parametrize("name", ["one.png", "one.jpg"])
def test_the_shorter_side_is_scaled_and_the_center_cut_out(tmp_path, width, height, name):
    size = 16
    path = saved(tmp_path, slope(width, height), name, **({"quality": 98} if name == "one.jpg" else {}))
    got = decode(path, size, 3).astype(float)
    assert got.shape == (3, size, size)

    # by hand: the square in the center, whose pixel k of 16 looks at its part (k + 1/2) / 16
    side, part = min(width, height), (np.arange(size) + 0.5) / size
    red = 255 * ((width - side) / 2 + part * side) / width
    green = 255 * ((height - side) / 2 + part * side) / height
    inner = slice(1, -1)  # at the border there is no neighbour to average with
    tolerance = 3 if name == "one.png" else 7
    assert np.abs(got[0] - red[None, :])[:, inner].max() <= tolerance
    assert np.abs(got[1] - green[:, None])[inner].max() <= tolerance
    assert np.abs(got[2] - 77).max() <= tolerance


@pytest.mark.parametrize(("width", "height"), [(96, 48), (48, 96), (40, 40), (8, 12)])
def test_scaling_is_that_of_pillow(tmp_path, width, height):
    size, image = 16, Image.fromarray(noise(height, width, 3))
    ratio = size / min(width, height)
    scaled = image.resize((round(width * ratio), round(height * ratio)), Image.Resampling.BILINEAR)
    left, top = (scaled.width - size) // 2, (scaled.height - size) // 2
    expected = np.asarray(scaled.crop((left, top, left + size, top + size)), dtype=float).transpose(2, 0, 1)
    got = decode(saved(tmp_path, image), size, 3)
    inner = (slice(None), slice(2, -2), slice(2, -2))  # cutting before scaling hides the neighbours of the border
    assert_near(got[inner], expected[inner], 2)


def test_grey(tmp_path):
    pixels = noise(16, 16)
    path = saved(tmp_path, pixels)
    assert np.array_equal(decode(path, 16, 1), pixels[None])
    assert np.array_equal(decode(path, 16, 3), np.stack([pixels] * 3))


def test_transparent_pixels_are_on_white(tmp_path):
    pixels, alpha = noise(16, 16, 3), noise(16, 16, seed=1)
    path = saved(tmp_path, np.dstack([pixels, alpha]))
    opacity = alpha[..., None] / 255
    on_white = opacity * pixels + (1 - opacity) * 255
    assert_near(decode(path, 16, 3), on_white.transpose(2, 0, 1), 1)
    assert_near(decode(path, 16, 1), luma(on_white)[None], 2)
    on_blue = opacity * pixels + (1 - opacity) * (0, 0, 255)
    assert_near(Decoding(16, 3, background=(0, 0, 255)).decode(path), on_blue.transpose(2, 0, 1), 1)
    assert np.array_equal(Decoding(16, 3, background=None).decode(path), pixels.transpose(2, 0, 1))
    assert_near(np.asarray(Decoding(16, 1).picture(path, 16)), on_white, 1)

    grey = noise(16, 16, seed=2)
    path = saved(tmp_path, Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)]))
    assert mode_of(path) == "LA"
    on_white = alpha / 255 * grey + (255.0 - alpha)
    assert_near(decode(path, 16, 1), on_white[None], 1)
    assert_near(decode(path, 16, 3), np.stack([on_white] * 3), 1)

    path = saved(tmp_path, np.dstack([pixels, np.full((16, 16), 255, np.uint8)]))
    assert np.array_equal(decode(path, 16, 3), pixels.transpose(2, 0, 1))


def png_of_16_bits(path, samples):
    """Write a PNG file by hand, because Pillow cannot write 16 bits of colour."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    kind = {2: 4, 3: 2, 4: 6}[samples.shape[2]]
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], 16, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    body = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(body))


@pytest.mark.parametrize("colours", [1, 3])
def test_transparent_pixels_of_16_bits(tmp_path, colours):
    samples = noise(16, 16, colours + 1, dtype=np.uint16)
    png_of_16_bits(tmp_path / "one.png", samples)
    opacity = samples[..., -1:] / 65535
    on_white = np.broadcast_to(opacity * (samples[..., :-1] / 257) + (1 - opacity) * 255, (16, 16, 3))
    how = Decoding(16, 3, ranges={"uint16": (0, 65535)})
    assert_near(how.decode(str(tmp_path / "one.png")), on_white.transpose(2, 0, 1), 2)  # both parts are cut to 8 bits
    plain = np.broadcast_to(samples[..., :-1] / 257, (16, 16, 3)).transpose(2, 0, 1)
    assert_near(replace(how, background=None).decode(str(tmp_path / "one.png")), plain, 1)


def test_transparency_of_tiff_is_ignored(tmp_path):
    pixels, alpha = noise(16, 16, 3), noise(16, 16, seed=1)
    path = saved(tmp_path, np.dstack([pixels, alpha]), "one.tif")
    assert mode_of(path) == "RGBA"
    assert np.array_equal(decode(path, 16, 3), pixels.transpose(2, 0, 1))


def test_background_of_a_folder(tmp_path):
    clear = np.dstack([noise(16, 8, 3), np.zeros((16, 8), np.uint8)])
    for name in "ab":
        (tmp_path / name).mkdir()
        for k in range(4):
            saved(tmp_path / name, clear, f"{k}.png")

    def corner(data):
        data.setup()
        return data.images[0][:, 8, 8].tolist(), data.images[0][:, 8, 0].tolist()

    def folder(**options):
        return ImageFolder(str(tmp_path), size=16, fit="letterbox", **options)

    white, grey = [255] * 3, [124, 116, 104]
    assert corner(folder()) == (white, grey)  # ImageNet's mean beside the image
    assert corner(folder(background=[1, 2, 3])) == ([1, 2, 3], [1, 2, 3])
    assert corner(folder(channels=1, background=[9])) == ([9], [9])
    former = folder()
    former.resume_as({"value_range": {}})  # of a run from before transparency was looked at
    assert corner(former) == (clear[8, 4, :3].tolist(), grey)
    resumed, again = folder(), folder()
    resumed.setup()
    again.resume_as(resumed.resolved)
    assert corner(again) == (white, grey)
    with pytest.raises(UserError, match=r"expected data.background to have 3 values, one per channel, got \[9\]"):
        folder(background=[9])
    with pytest.raises(UserError, match=r"expected data.background to be values from 0 to 255, got \[0, 0, 256\]"):
        folder(background=[0, 0, 256])


@pytest.mark.parametrize(
    ("name", "transparency"),
    [("one.png", None), ("one.png", 3), ("one.png", bytes(range(0, 256, 16))), ("one.gif", None), ("one.gif", 3)],
    ids=["png", "png, one color", "png, each color", "gif", "gif, one color"],
)
def test_a_palette_is_looked_up(tmp_path, name, transparency):
    palette, index = noise(16, 3, seed=3), noise(16, 16) % 16
    image = Image.fromarray(index).convert("P")
    image.putdata(index.ravel().tolist())
    image.putpalette(palette.ravel().tolist())
    options = {} if transparency is None else {"transparency": transparency}
    path = saved(tmp_path, image, name, **options)
    assert mode_of(path) == "P"
    looked_up = Decoding(16, 3, background=None).decode(path)
    assert np.array_equal(looked_up, palette[index].transpose(2, 0, 1))
    assert_near(Decoding(16, 1, background=None).decode(path), luma(palette[index])[None], 1)
    index_of = np.arange(16)
    opacity = index_of * 16 if isinstance(transparency, bytes) else np.where(index_of == transparency, 0, 255)
    share = (opacity / 255)[index][..., None]
    assert_near(decode(path, 16, 3), (share * palette[index] + (1 - share) * 255).transpose(2, 0, 1), 1)


@pytest.mark.parametrize("name", ["one.png", "one.tif", "one.pgm"])
def test_sixteen_bits_a_pixel_are_scaled_not_cut_off(tmp_path, name):
    pixels = noise(16, 16, dtype=np.uint16)
    if name == "one.pgm":
        (tmp_path / name).write_bytes(b"P5 16 16 65535\n" + pixels.astype(">u2").tobytes())
        path = str(tmp_path / name)
    else:
        path = saved(tmp_path, pixels, name)
    expected = pixels.astype(float) / 65535 * 255
    assert_near(decode(path, 16, 1), expected[None], 1)
    assert_near(decode(path, 16, 3), np.stack([expected] * 3), 1)
    smooth = np.tile(np.linspace(0, 65535, 64), (64, 1)).astype(np.uint16)
    got = decode(saved(tmp_path, smooth, "smooth.png"), 16, 1)[0].astype(float)
    assert np.abs(got - np.linspace(0, 255, 64).reshape(16, 4).mean(axis=1)).max() <= 3


def test_black_and_white(tmp_path):
    pixels = noise(16, 16) > 127
    path = saved(tmp_path, Image.fromarray(pixels))
    assert mode_of(path) == "1"
    assert np.array_equal(decode(path, 16, 1)[0], pixels * np.uint8(255))


def test_cmyk(tmp_path):
    corners = {"red": (0, 255, 255, 0), "green": (255, 0, 255, 0), "blue": (255, 255, 0, 0), "black": (0, 0, 0, 255)}
    rgb = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "black": (0, 0, 0)}
    for name, color in corners.items():
        path = saved(tmp_path, Image.new("CMYK", (40, 40), color), "one.jpg", quality=98)
        assert mode_of(path) == "CMYK"
        assert_near(decode(path, 16, 3)[:, 8, 8], np.array(rgb[name]), 8)
        assert_near(decode(path, 16, 1)[:, 8, 8], luma(np.array(rgb[name])[None]), 8)


UPRIGHT = {  # what the camera wrote, for each value of the tag: Exif 2.3, 4.6.4 A
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize(("width", "height"), [(16, 16), (64, 64), (90, 40)])
def test_a_rotated_jpeg_is_turned_upright(tmp_path, orientation, width, height):
    quarters = np.full((height, width, 3), 20, dtype=np.uint8)  # top left red, top right green, bottom left blue
    quarters[: height // 2, : width // 2, 0] = 230
    quarters[: height // 2, width // 2 :, 1] = 230
    quarters[height // 2 :, : width // 2, 2] = 230
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    written = np.ascontiguousarray(UPRIGHT[orientation](quarters))
    path = saved(tmp_path, written, "one.jpg", exif=exif, quality=98, subsampling=0)
    got = decode(path, 16, 3)
    for (y, x), expected in {(3, 3): (230, 20, 20), (3, 12): (20, 230, 20), (12, 3): (20, 20, 230)}.items():
        assert_near(got[:, y, x], np.array(expected), 12)
    assert_near(got[:, 12, 12], np.array((20, 20, 20)), 12)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_rotated_png_is_turned_upright(tmp_path, dtype):
    pixels, exif = noise(16, 16, dtype=dtype), Image.Exif()
    exif[ORIENTATION] = 6
    got = decode(saved(tmp_path, np.ascontiguousarray(np.rot90(pixels)), exif=exif), 16, 1)
    assert np.array_equal(got[0], pixels if dtype == np.uint8 else (pixels >> 8).astype(np.uint8))


def test_the_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (16, 16), color) for color in ((250, 0, 0), (0, 250, 0))]
    path = saved(tmp_path, frames[0], save_all=True, append_images=frames[1:])
    assert decode(path, 16, 3)[:, 0, 0].tolist() == [250, 0, 0]


def outcome(path):
    try:
        return decode(str(path), 16, 3).shape
    except UserError as error:
        return str(error)


@pytest.mark.filterwarnings("ignore")  # the readers of Pillow warn about odd metadata
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_damaged_images_are_always_a_user_error(tmp_path, kind):
    rng, path, exif = np.random.default_rng(0), tmp_path / "bad", Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(noise(20, 20, 3)).save(path, format=kind, **({} if kind in ("GIF", "BMP") else {"exif": exif}))
    whole = path.read_bytes()
    damaged = [whole[:n] for n in (*range(60), *range(60, len(whole), len(whole) // 40 + 1))]
    for _ in range(60):
        changed = bytearray(whole)
        changed[rng.integers(min(len(whole), 300))] = rng.integers(256)
        damaged.append(bytes(changed))
    outcomes = []
    for data in damaged:
        path.write_bytes(data)
        outcomes.append(outcome(path))
    refusals = [text for text in outcomes if text != (3, 16, 16)]
    assert len(refusals) >= 60
    for text in refusals:
        assert text.startswith(f"cannot read the image '{path}' (")
        assert "\n" not in text


def test_more_pixels_than_pillow_opens_are_refused(tmp_path):
    path = tmp_path / "bomb.png"
    Image.fromarray(noise(20, 20, 3)).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 60_000, 60_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)
    assert re.match(r"cannot read the image '.*bomb\.png' \(.*3600000000 pixels", outcome(path))


def test_files_look_like_a_tensor(tmp_path):
    make_folder(tmp_path, {"a": 3})
    images = ImageFiles(sorted((tmp_path / "a").iterdir()), SIZE, 3)
    whole = images.load()
    assert tuple(images.shape) == tuple(whole.shape) == (3, 3, SIZE, SIZE)
    assert images.dtype == whole.dtype
    assert images.num_bytes == whole.numel() == 3 * 3 * SIZE * SIZE
    for index in ([0], [2, 0], [1, 1, 1], [0, 1, 2]):
        assert torch.equal(images[torch.tensor(index)], whole[torch.tensor(index)])
    again = pickle.loads(pickle.dumps(images))  # as worker processes that are spawned get it
    assert torch.equal(again[torch.tensor([1])], whole[1:2])


def test_no_files_look_like_an_empty_tensor(tmp_path):
    make_folder(tmp_path, {"a": 3})
    images = ImageFiles(sorted((tmp_path / "a").iterdir()), SIZE, 3)
    assert images[torch.empty(0, dtype=torch.int64)].shape == (0, 3, SIZE, SIZE)


# ---------------------------------------------------------------- in memory or from disk

WAYS = {"memory": {"in_memory": True}, "disk": {"in_memory": False, "num_workers": 0}}
WAYS["two processes"] = {"in_memory": False, "num_workers": 2}


def run_loop(data, path, *, seed=0, epochs=1, strategy=None, width=2, **options):
    sizes = {"initial_size": 6, "query_size": 3, "query_budget": 6} | options
    loop = ActiveLoop(
        lambda: MSALClassifier(data.num_classes, data.in_channels, lambda channels: SmallCNN(channels, width)),
        lambda **settings: Trainer(max_epochs=epochs, accelerator="cpu", devices=1, **settings),
        data,
        strategy or MSALD(Margin()),
        RunDirectory(path),
        LoopOptions(seed=seed, **sizes),
    )
    return loop.run()


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def without_seconds(path):
    return [{key: value for key, value in row.items() if not key.startswith("seconds")} for row in rows_of(path)]


def batches(data):
    data.reset(3)
    data.draw_initial(7)
    train = data.train_dataloader()
    loaders = [data.test_dataloader(), data.predict_dataloader()]
    seen = []
    for epoch in range(3):
        train.sampler.set_epoch(epoch)
        seen.append(list(train))
    return [batch for loader in [*seen, *loaders] for batch in loader]


@pytest.mark.parametrize("way", list(WAYS)[1:])
def test_batches_do_not_depend_on_where_images_are(pets, way):
    options = {"batch_size": 3, "eval_batch_size": 4}
    expected, got = batches(ready(pets, **WAYS["memory"], **options)), batches(ready(pets, **WAYS[way], **options))
    assert len(expected) == len(got) > 9
    for a, b in zip(expected, got, strict=True):
        assert isinstance(b, Batch)
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
        assert b.image.dtype == torch.uint8


def test_results_do_not_depend_on_where_images_are(pets, tmp_path):
    for name, way in WAYS.items():
        data = ImageFolder(str(pets), size=SIZE, batch_size=4, augmentation=CropFlip(padding=1), **way)
        run_loop(data, tmp_path / name, epochs=2, pool_error=True)
    ledgers = {name: (tmp_path / name / "ledger.csv").read_bytes() for name in WAYS}
    curves = {name: without_seconds(tmp_path / name / "curve.csv") for name in WAYS}
    assert ledgers["memory"].count(b"\n") == 1 + 12
    for name in WAYS:
        assert ledgers[name] == ledgers["memory"]
        assert curves[name] == curves["memory"]


def test_the_ledger_names_the_file_of_each_index(pets, tmp_path):
    data = ImageFolder(str(pets), size=SIZE)
    records = run_loop(data, tmp_path / "run")
    for row in rows_of(tmp_path / "run" / "ledger.csv"):
        assert row["path"].split("/")[0] == data.class_names[int(row["label"])]
        (pixels,) = data.images[torch.tensor([int(row["index"])])]
        with Image.open(pets / row["path"]) as image:
            assert np.array_equal(pixels.permute(1, 2, 0).numpy(), np.asarray(image))
    for record in records[:-1]:
        assert record.queried.path == data.paths(torch.tensor(record.queried.index))


@pytest.mark.parametrize(
    ("free", "options", "in_memory", "processes"),
    [
        (1e12, {}, True, 0),
        (1e12, {"num_workers": 3}, True, 0),  # nothing to decode
        (2 * 20 * 192 + 2, {}, True, 0),  # 20 images of 3 × 8 × 8 bytes take less than half
        (2 * 20 * 192, {"num_workers": 3}, False, 3),
        (0, {"num_workers": 3}, False, 3),
        (0, {"num_workers": 0}, False, 0),
        (0, {"in_memory": True}, True, 0),
        (1e12, {"in_memory": False, "num_workers": 1}, False, 1),
        (1e12, {"in_memory": "auto"}, True, 0),
    ],
)
def test_auto_decides_by_the_free_memory_and_says_so(pets, monkeypatch, capsys, free, options, in_memory, processes):
    monkeypatch.setattr(memory, "free_memory", lambda: int(free))
    data = ready(pets, **options)
    assert isinstance(data.images, torch.Tensor) == isinstance(data.test.image, torch.Tensor) == in_memory
    assert data.num_workers == processes
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert ("kept in memory" in out) == in_memory
    assert in_memory or (f"by {processes} process" if processes else "as they are needed") in out


def test_from_disk_one_process_a_cpu_but_at_most_eight(pets, monkeypatch):
    for cpus, processes in ((1, 1), (4, 4), (64, 8)):
        monkeypatch.setattr(os, "cpu_count", lambda n=cpus: n)
        if hasattr(os, "sched_getaffinity"):
            monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=cpus: set(range(n)))
        assert ready(pets, in_memory=False).num_workers == processes


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="every CPU may be used there")
def test_from_disk_no_more_processes_than_cpus_that_may_be_used(pets, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5})  # under taskset, or in a batch job
    assert ready(pets, in_memory=False).num_workers == 1


def test_free_memory_is_between_nothing_and_all():
    assert 2**20 < free_memory() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


# ---------------------------------------------------------------- the test set


def test_the_share_of_each_class_is_held_out(tmp_path):
    make_folder(tmp_path, {"a": 10, "b": 20, "c": 5})
    learn, test = ImageFolder(str(tmp_path), size=SIZE).load()
    assert torch.bincount(test.label).tolist() == [2, 4, 1]
    assert torch.bincount(learn.label).tolist() == [8, 16, 4]
    learn, test = ImageFolder(str(tmp_path), size=SIZE, test_fraction=0.4).load()
    assert torch.bincount(test.label).tolist() == [4, 8, 2]


@pytest.mark.parametrize("in_memory", [True, False])
def test_learning_and_test_set_are_all_and_disjoint(tmp_path, in_memory):
    sizes = {"a": 13, "b": 7, "c": 4}
    make_folder(tmp_path, sizes)
    data = ready(tmp_path, in_memory=in_memory, num_workers=0)
    learn, test = contents(data.load()[0]), contents(data.test)
    everything = [(*color_of(name, k), c) for c, (name, n) in enumerate(sizes.items()) for k in range(n)]
    assert sorted(learn + test) == sorted(everything)
    assert not set(learn) & set(test)
    assert learn == sorted(learn, key=everything.index)  # both keep the order
    assert test == sorted(test, key=everything.index)


def test_the_test_set_does_not_depend_on_the_seed_of_the_run(pets, tmp_path):
    tests, ledgers = [], []
    for seed in (0, 1, 2):
        data = ImageFolder(str(pets), size=SIZE)
        np.random.seed(seed)  # noqa: NPY002  scikit-learn would draw from the global generator
        run_loop(data, tmp_path / str(seed), seed=seed, query_budget=3)
        tests.append(data.test)
        ledgers.append((tmp_path / str(seed) / "ledger.csv").read_text())
    assert len(set(ledgers)) == 3
    for test in tests:
        assert torch.equal(test.image, tests[0].image)
        assert torch.equal(test.label, tests[0].label)
    others = [ready(pets, test_seed=k).test.image for k in range(1, 6)]
    assert any(not torch.equal(other, tests[0].image) for other in others)


SKEWED = [{"a": 100, "b": 2}, {"a": 40, "b": 3, "c": 3}, {"a": 2, "b": 2, "c": 2}, {"a": 30, "b": 2, "c": 2, "d": 2}]


@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("sizes", SKEWED, ids=lambda sizes: "-".join(map(str, sizes.values())))
def test_at_least_one_of_each_class_is_held_out_and_one_is_learned(tmp_path, sizes, fraction):
    for name, n in sizes.items():
        (tmp_path / name).mkdir()
        for k in range(n):
            (tmp_path / name / f"{k}.png").touch()
    (tmp_path / "a" / "0.png").unlink()
    paint(tmp_path / "a" / "0.png", (0, 0, 0))
    learn, test = ImageFolder(str(tmp_path), size=SIZE, test_fraction=fraction, in_memory=False).load()  # not decoded
    assert torch.bincount(learn.label, minlength=len(sizes)).min() >= 1
    assert torch.bincount(test.label, minlength=len(sizes)).min() >= 1
    assert len(learn.label) + len(test.label) == sum(sizes.values())


def test_a_long_tail_leaves_the_test_set_alone(pets):
    whole, tailed = ready(pets), ready(pets, imbalance=0.25)
    tailed.reset(0)
    assert len(tailed.pool) == 8 + 2
    assert torch.equal(tailed.test.image, whole.test.image)
    assert torch.equal(tailed.test.label, whole.test.label)


@pytest.mark.parametrize("way", WAYS)
def test_test_root(tmp_path, way):
    make_folder(tmp_path / "train", {"a": 3, "b": 2, "c": 1})  # one image is enough: none is held out
    make_folder(tmp_path / "val", {"c": 2, "a": 1})
    data = ready(tmp_path / "train", test_root=str(tmp_path / "val"), **WAYS[way])
    learn, test = data.load()
    assert torch.bincount(learn.label).tolist() == [3, 2, 1]
    assert contents(test) == [(*color_of("a", 0), 0), (*color_of("c", 0), 2), (*color_of("c", 1), 2)]


def test_split_column(tmp_path):
    make_folder(tmp_path, {"a": 4, "b": 3})
    rows = [("b/002.png", "b", "test"), ("a/000.png", "a", ""), ("a/003.png", "a", "test")]
    rows += [("b/000.png", "b", "train"), ("a/001.png", "a", " train "), ("b/001.png", "b", "test")]
    data = ready(tmp_path, csv=write_csv(tmp_path / "l.csv", *rows, header=("path", "label", "split")))
    assert learn_paths(data) == ["a/000.png", "b/000.png", "a/001.png"]
    assert contents(data.test) == [(*color_of("b", 2), 1), (*color_of("a", 3), 0), (*color_of("b", 1), 1)]


def test_split_column_without_a_test_image_holds_some_out(tmp_path):
    make_folder(tmp_path, {"a": 5, "b": 5})
    rows = [(f"{name}/{k:03}.png", name, "train") for name in "ab" for k in range(5)]
    data = ready(tmp_path, csv=write_csv(tmp_path / "l.csv", *rows, header=("path", "label", "split")))
    assert torch.bincount(data.test.label).tolist() == [1, 1]


def test_test_images_of_the_csv_are_never_learned_from(tmp_path):
    make_folder(tmp_path / "all", {"a": 4, "b": 4})
    make_folder(tmp_path / "test", {"a": 1, "b": 1})
    rows = [(f"{name}/{k:03}.png", name, "train" if k else "test") for name in "ab" for k in range(4)]
    file = write_csv(tmp_path / "l.csv", *rows, header=("path", "label", "split"))
    try:
        data = ready(tmp_path / "all", csv=file, test_root=str(tmp_path / "test"))
    except UserError:
        return  # two test sets: to refuse them is as good
    assert not {"a/000.png", "b/000.png"} & set(learn_paths(data))


# ---------------------------------------------------------------- bad input


def test_a_missing_root_is_named(tmp_path):
    refused(r"data\.root '.*nothing'.*sub-folder for each class", tmp_path / "nothing")
    (tmp_path / "file").touch()
    refused(r"data\.root '.*file'.*sub-folder for each class", tmp_path / "file")


def test_a_missing_test_root_is_named(pets, tmp_path):
    refused(r"data\.test_root '.*nothing'.*sub-folder for each class", pets, test_root=str(tmp_path / "nothing"))


@pytest.mark.parametrize("names", [("train", "test"), ("train", "val"), ("test", "train", "val")])
def test_a_root_above_train_and_test_is_explained(tmp_path, names):
    for name in names:
        make_folder(tmp_path / name, {"a": 2, "b": 2})
    text = refused(r"data\.root.*data\.test_root", tmp_path)
    assert str(tmp_path / "train") in text


def test_an_empty_class_folder_is_named(pets):
    (pets / "bird").mkdir()
    (pets / "bird" / "notes.txt").touch()
    assert "'bird'" in refused(r"no images.*delete the folder", pets)


def test_an_empty_root(tmp_path):
    refused(r"at least two classes.*got 0", tmp_path)


def test_an_empty_test_root_is_named(pets, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(r"data\.test_root '.*empty'", pets, test_root=str(tmp_path / "empty"))


def test_images_without_class_folders(tmp_path):
    for k in range(3):
        paint(tmp_path / f"{k}.png", (0, 0, 0))
    refused(r"at least two classes|sub-folder for each class", tmp_path)


def test_one_class_only(tmp_path):
    make_folder(tmp_path, {"a": 3})
    refused(r"at least two classes.*got 1", tmp_path)


def test_a_class_with_one_image_cannot_be_held_out(tmp_path):
    make_folder(tmp_path, {"a": 3, "lonely": 1, "b": 2})
    text = refused(r"at least two images per class.*'lonely'.*data\.test_root", tmp_path)
    assert "'a'" not in text


def test_unknown_classes_in_test_root_are_named(pets, tmp_path):
    make_folder(tmp_path / "test", {"cat": 1, "cats": 1, "zebra": 1})
    text = refused(r"data\.test_root.*'cats', 'zebra'", pets, test_root=str(tmp_path / "test"))
    assert "'cat'," not in text


def test_classes_of_the_test_rows_only_are_refused_as_in_a_test_root(pets, tmp_path):
    rows = [(f"cat/{k:03}.png", "cat", "train") for k in range(3)]
    rows += [(f"dog/{k:03}.png", "dog", "train") for k in range(3)] + [("dog/005.png", "wolf", "test")]
    refused("wolf", pets, csv=write_csv(tmp_path / "l.csv", *rows, header=("path", "label", "split")))


def test_test_rows_only_are_explained(pets, tmp_path):
    rows = [("cat/000.png", "cat", "test"), ("dog/000.png", "dog", "test")]
    refused(r"data\.csv.*l\.csv", pets, csv=write_csv(tmp_path / "l.csv", *rows, header=("path", "label", "split")))


BAD_CSV = {
    "empty file": (b"", r"columns path and label.*got none"),
    "no header": (b"cat/000.png,cat\ndog/000.png,dog\n", r"columns path and label.*got cat/000\.png, cat.*first line"),
    "another column": (b"file,label\ncat/000.png,cat\n", r"got file, label"),
    "semicolons": (b"path;label\ncat/000.png;cat\n", r"got path;label"),
    "capitals": (b"Path,Label\ncat/000.png,cat\n", r"got Path, Label"),
    "header only": (b"path,label\n", r"at least two classes.*got 0"),
    "one class": (b"path,label\ncat/000.png,cat\ncat/001.png,cat\n", r"at least two classes.*got 1"),
    "blank path": (b"path,label\ncat/000.png,cat\n,dog\n", r"1 line.*line 3: path or label is blank"),
    "blank label": (b"path,label\ncat/000.png, \n", r"line 2: path or label is blank"),
    "short line": (b"path,label\ncat/000.png\n", r"line 2: path or label is blank"),
    "blank line before": (b"path,label\n\n\ncat/000.png,\n", r"line 4: path or label is blank"),
    "twice": (
        b"path,label\ncat/000.png,cat\ndog/000.png,dog\ncat/000.png,dog\n",
        r"line 4: 'cat/000\.png' is already in line 2",
    ),
    "twice, written differently": (
        b"path,label\ncat/000.png,cat\ndog/000.png,dog\ncat/../cat/./000.png,dog\n",
        r"line 4: .*already in line 2",
    ),
    "no such file": (b"path,label\ncat/000.png,cat\ncat/no.png,cat\n", r"line 3: there is no file '.*cat/no\.png'"),
    "a folder": (b"path,label\ncat,cat\n", r"line 2: there is no file"),
    "a name that is too long": (b"path,label\ncat/000.png,cat\n" + b"x" * 300 + b",cat\n", r"line 3: there is no file"),
    "a field that is too long": (b"path,label\n" + b"x" * 200_000 + b",cat\n", r"cannot read data\.csv.*limit"),
    "wrong split": (
        b"path,label,split\ncat/000.png,cat,valid\ndog/000.png,dog,Train\n",
        r"2 lines.*line 2: split 'valid' is neither train nor test; line 3: split 'Train'",
    ),
    "a comma without quotes": (
        b"path,label\ncat/000.png,cat, a big one\ndog/000.png,dog\n",
        r"line 2: it has more fields than the first line",
    ),
    "an open quote": (b'path,label\ncat/000.png,"cat\ndog/000.png,dog\n', r"cannot read data\.csv.*unexpected end"),
    "NUL bytes": (b"path,label\ncat/000.png,c\0t\ndog/000.png,dog\n", r"line 2: path or label has NUL bytes"),
    "not UTF-8": ("path,label\ncat/000.png,Kätzchen\n".encode("latin-1"), r"cannot read data\.csv.*utf-8"),
    "UTF-16": ("path,label\ncat/000.png,cat\n".encode("utf-16"), r"cannot read data\.csv"),
    "an image": (b"\x89PNG\r\n\x1a\n\x00\x00", r"cannot read data\.csv|columns path and label"),
}


@pytest.mark.parametrize(("content", "message"), BAD_CSV.values(), ids=BAD_CSV)
def test_a_bad_csv_file_is_explained(pets, tmp_path, content, message):
    (tmp_path / "bad.csv").write_bytes(content)
    assert "bad.csv" in refused(message, pets, csv=str(tmp_path / "bad.csv"))


def test_many_bad_lines_are_counted(pets, tmp_path):
    rows = [(f"no{k}.png", "cat") for k in range(40)]
    text = refused(r"40 lines of data\.csv.*and 35 more", pets, csv=write_csv(tmp_path / "l.csv", *rows))
    assert "no4.png" in text
    assert "no5.png" not in text


def test_a_missing_csv_file_is_named(pets, tmp_path):
    refused(r"data\.csv '.*nothing\.csv'", pets, csv=str(tmp_path / "nothing.csv"))
    refused(r"data\.csv '.*pets'", pets, csv=str(pets))


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no such device here")
def test_a_device_that_never_ends_is_no_csv_file(pets):
    refused(r"data\.csv '/dev/zero' \(.*it is no regular file", pets, csv="/dev/zero")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_fraction": 0}, r"data\.test_fraction to be between 0 and 1, got 0"),
        ({"test_fraction": 1.0}, r"data\.test_fraction"),
        ({"test_fraction": float("nan")}, r"data\.test_fraction"),
        ({"size": 0}, r"data\.size to be at least 1"),
        ({"mean": [0.5]}, r"data\.mean to have 3 values.*got \[0\.5\]"),
        ({"std": [0.5] * 4}, r"data\.std to have 3 values"),
        ({"channels": 1, "mean": [0.5] * 3}, r"data\.mean to have 1 value"),
        ({"std": [0.2, 0.0, 0.2]}, r"data\.std"),
        ({"in_memory": False, "num_workers": -1}, r"data\.num_workers"),
        ({"imbalance": 2.0}, r"data\.imbalance"),
    ],
)
def test_options_out_of_range_are_refused(pets, options, message):
    refused(message, pets, **options)


def test_mean_and_std(pets):
    assert ready(pets).mean == (0.485, 0.456, 0.406)  # of ImageNet, as everywhere
    assert ready(pets).std == (0.229, 0.224, 0.225)
    grey = ready(pets, channels=1)
    assert (len(grey.mean), len(grey.std), grey.in_channels) == (1, 1, 1)
    assert grey.images.shape[1] == 1
    own = ready(pets, mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6])
    assert (own.mean, own.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


# ---------------------------------------------------------------- images that cannot be read


def damage(path, kind):
    if kind == "zero bytes":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("<html>404</html>")
    elif kind == "truncated PNG":
        Image.fromarray(noise(40, 40, 3)).save(path, format="PNG")
        path.write_bytes(path.read_bytes()[:2000])
    elif kind == "truncated JPEG":
        Image.fromarray(noise(40, 40, 3)).save(path, format="JPEG")
        path.write_bytes(path.read_bytes()[:1000])
    else:  # a wrong checksum
        data = bytearray(path.read_bytes())
        data[data.index(b"IDAT") + 6] ^= 255
        path.write_bytes(bytes(data))


KINDS = ["zero bytes", "text", "truncated PNG", "truncated JPEG", "wrong checksum"]
FIT = [
    "fit", "--config", "image_folder", "--data.size", "8", "--data.batch_size", "4", "--loop.initial_size", "6",
    "--loop.query_size", "3", "--loop.query_budget", "3", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu",
    "--model.backbone", "SmallCNN", "--model.backbone.width", "2",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_image_is_named(pets, kind):
    bad = pets / "dog" / "003.png"
    damage(bad, kind)
    message = rf"cannot read the image '{re.escape(str(bad))}' \(.+\): replace or delete it, or set data\.on_error to"
    refused(message, pets, in_memory=True)
    everything = ImageFiles(sorted(pets.rglob("*.png")), SIZE, 3)
    with pytest.raises(UserError, match=message):
        everything[torch.arange(20)]
    assert everything.readable().tolist() == [k != 13 for k in range(20)]


@pytest.mark.parametrize(
    "options",
    [["--data.in_memory", "true"], *(["--data.in_memory", "false", "--data.num_workers", n] for n in ("0", "1", "2"))],
    ids=["memory", "disk", "one process", "two processes"],
)
@pytest.mark.parametrize("phase", ["fit", "test", "query"])
def test_a_damaged_image_ends_a_run_with_one_sentence(pets, tmp_path, capfd, options, phase):
    data = ready(pets)
    data.reset(0)
    data.draw_initial(6)
    test = {path.relative_to(pets).as_posix() for path in pets.rglob("*.png")} - set(learn_paths(data))
    bad = {"fit": data.paths(data.labeled)[0], "test": sorted(test)[0], "query": data.paths(data.pool)[-1]}[phase]
    damage(pets / bad, "truncated PNG")
    capfd.readouterr()
    assert main([*FIT, "--data.root", str(pets), "--run_dir", str(tmp_path / "run"), *options]) == 2
    out, err = capfd.readouterr()
    assert err.startswith(f"error: cannot read the image '{pets / bad}' (")
    assert err.count("\n") == 1
    assert "Traceback" not in out + err
    assert not list(tmp_path.glob("run/rounds/*.json"))


def test_a_file_that_vanishes_between_rounds_is_named(pets, tmp_path):
    class Vanishing(MSALD):
        def select(self, *args, **kwargs):
            for path in pets.rglob("*.png"):
                path.unlink()
            return super().select(*args, **kwargs)

    with pytest.raises(UserError, match=r"cannot read the image '.*pets.*\.png'"):
        run_loop(
            ImageFolder(str(pets), size=SIZE, **WAYS["two processes"]), tmp_path / "run", strategy=Vanishing(Margin())
        )


@pytest.mark.parametrize("way", WAYS)
def test_skip_leaves_damaged_images_out_and_counts_them(pets, tmp_path, capsys, way):
    bad = [pets / "cat" / "000.png", pets / "dog" / "004.png", pets / "dog" / "005.png"]
    for path, kind in zip(bad, KINDS, strict=False):
        damage(path, kind)
    data = ImageFolder(str(pets), size=SIZE, on_error="skip", **WAYS[way])
    run_loop(data, tmp_path / "run", initial_size="all")
    assert len(data.labeled_at) + len(data.test.label) == 17
    out = capsys.readouterr().out
    assert sum(map(int, re.findall(r"(\d+) of \d+ images cannot be read", out))) == 3
    for path in bad:
        assert str(path) in out
    ledger = {row["path"] for row in rows_of(tmp_path / "run" / "ledger.csv")}
    assert ledger == set(learn_paths(data))
    assert not {path.relative_to(pets).as_posix() for path in bad} & ledger


def test_skip_with_many_damaged_images_names_five(tmp_path, capsys):
    make_folder(tmp_path / "learn", {"a": 12, "b": 12})
    make_folder(tmp_path / "test", {"a": 1, "b": 1})
    for k in range(9):
        damage(tmp_path / "learn" / "a" / f"{k:03}.png", "zero bytes")
    ready(tmp_path / "learn", test_root=str(tmp_path / "test"), on_error="skip")
    out = capsys.readouterr().out
    assert "9 of 24 images" in out
    assert "004.png" in out
    assert "005.png" not in out
    assert "and 4 more" in out


@pytest.mark.parametrize("name", ["photo [copy].png", "photo [/b].png", "100%.png", "a b" * 40 + ".png"])
def test_skip_says_names_as_they_are(pets, capsys, name):
    (pets / "cat" / name).parent.mkdir(parents=True, exist_ok=True)
    damage(pets / "cat" / name, "zero bytes")
    ready(pets, on_error="skip")
    assert str(pets / "cat" / name) in capsys.readouterr().out


def test_skip_that_leaves_nothing_says_so(tmp_path):
    make_folder(tmp_path, {"a": 3, "b": 3})
    for path in tmp_path.rglob("*.png"):
        damage(path, "zero bytes")
    text = refused(".", tmp_path, on_error="skip")
    assert "mean and std" not in text  # what a dataset's author should correct, not who has the images


def test_skip_that_leaves_nothing_of_a_class_says_so(tmp_path):
    make_folder(tmp_path, {"a": 5, "b": 5})
    for path in (tmp_path / "b").iterdir():
        damage(path, "zero bytes")
    refused("'b'|at least two classes", tmp_path, on_error="skip")


def test_skip_comes_before_the_test_set_is_drawn(tmp_path):
    make_folder(tmp_path, {"a": 6, "b": 3, "c": 3})
    for name in "bc":
        damage(tmp_path / name / "001.png", "zero bytes")
    data = ready(tmp_path, on_error="skip")
    assert torch.bincount(data.test.label, minlength=3).min() >= 1
    assert torch.bincount(data.load()[0].label, minlength=3).min() >= 1
    damage(tmp_path / "b" / "002.png", "zero bytes")  # one is left
    refused(r"two images per class.*'b'", tmp_path, on_error="skip")


def test_skip_does_not_change_the_split_of_an_undamaged_folder(pets):
    for a, b in zip(ready(pets).load(), ready(pets, on_error="skip").load(), strict=True):
        assert torch.equal(a.image, b.image)
        assert torch.equal(a.label, b.label)


# ---------------------------------------------------------------- the command line


def test_a_folder_of_two_classes_works(pets, tmp_path, capfd):
    command = [*FIT, "--data.root", str(pets), "--run_dir", str(tmp_path / "run")]
    assert main(command) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert "16 training images" in out
    assert "kept in memory" in out
    ledger, curve = rows_of(tmp_path / "run" / "ledger.csv"), rows_of(tmp_path / "run" / "curve.csv")
    assert [row["round"] for row in ledger] == ["0"] * 6 + ["1"] * 3
    assert [row["num_labeled"] for row in curve] == ["6", "9"]
    for row in ledger:
        assert (pets / row["path"]).is_file()
        assert row["path"].startswith(("cat/", "dog/")[int(row["label"])])
    assert main(command) == 0
    assert "is finished" in capfd.readouterr().out


def test_other_options_on_the_command_line(pets, tmp_path, capfd):
    rows = [(path.relative_to(pets), path.parent.name) for path in sorted(pets.rglob("*.png"))]
    options = ["--data.csv", write_csv(tmp_path / "l.csv", *rows), "--data.channels", "1", "--data.mean", "[0.4]"]
    options += ["--data.std", "[0.2]", "--data.in_memory", "false", "--data.num_workers", "2", "--query", "Entropy"]
    assert main([*FIT, "--data.root", str(pets), "--run_dir", str(tmp_path / "run"), *options]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert "from disk by 2 processes" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data.root", "{tmp}/nothing"], r"data\.root '.*nothing'"),
        (["--data.csv", "{tmp}/nothing.csv"], r"data\.csv"),
        (["--data.test_root", "{tmp}/nothing"], r"data\.test_root '.*nothing'"),
        (["--data.channels", "2"], r"data\.channels"),
        (["--data.in_memory", "maybe"], r"data\.in_memory"),
        (["--data.on_error", "ignore"], r"data\.on_error to be raise or skip"),
        (["--data.size", "0"], r"data\.size"),
        (["--data.in_memory", "false", "--data.num_workers", "-1"], r"data\.num_workers"),
        (["--loop.initial_size", "17"], r"loop\.initial_size to be 1 to 16"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(pets, tmp_path, capsys, options, message):
    options = [option.format(tmp=tmp_path) for option in options]
    assert main([*FIT, "--data.root", str(pets), "--run_dir", str(tmp_path / "run"), *options]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert re.search(message, err), err
    assert not (tmp_path / "run").exists()


def test_a_run_may_go_on_from_disk(pets, tmp_path, capsys):
    command = [*FIT, "--data.root", str(pets), "--run_dir", str(tmp_path / "run")]
    assert main([*command, "--data.in_memory", "true"]) == 0
    (tmp_path / "run" / "rounds" / "001.json").unlink()
    assert main([*command, "--data.in_memory", "false", "--data.num_workers", "2"]) == 0, capsys.readouterr().err


# ---------------------------------------------------------------- the same as from the files of MNIST


def export(source, folder):
    """Both sets as PNG files, and a CSV file with the order and the split."""
    rows = []
    for split, images in zip(("train", "test"), source.load(), strict=True):
        (folder / split).mkdir(parents=True)
        for k, (pixels, label) in enumerate(zip(images.image[:, 0].numpy(), images.label.tolist(), strict=True)):
            Image.fromarray(pixels).save(folder / split / f"{k}.png")
            rows.append((f"{split}/{k}.png", label, split))
    return write_csv(folder / "labels.csv", *rows, header=("path", "label", "split"))


def without_path(path):
    """Rows without the columns in which the copies differ."""
    return [{key: value for key, value in row.items() if key not in ("path", "class_name")} for row in rows_of(path)]


@pytest.mark.parametrize("way", WAYS)
def test_exported_files_give_the_same_run_as_idx_files(idx_root, tmp_path, way):
    source = FashionMNIST(root=str(idx_root(n_train=120, n_test=40)), batch_size=16, eval_batch_size=50)
    labels = export(source, tmp_path / "png")
    copy = ImageFolder(
        str(tmp_path / "png"),
        csv=labels,
        size=16,
        channels=1,
        mean=list(FashionMNIST.mean),
        std=list(FashionMNIST.std),
        batch_size=16,
        eval_batch_size=50,
        **WAYS[way],
    )
    options = {"seed": 4, "epochs": 6, "initial_size": 20, "query_size": 10, "query_budget": 20, "pool_error": True}
    run_loop(source, tmp_path / "idx", **options)
    run_loop(copy, tmp_path / way, **options)
    expected = without_path(tmp_path / "idx" / "ledger.csv")
    assert len(expected) == 40
    assert len({row["score"] for row in expected[20:]}) == 20
    assert without_path(tmp_path / way / "ledger.csv") == expected
    assert [row["path"] for row in rows_of(tmp_path / way / "ledger.csv")] == [
        f"train/{row['index']}.png" for row in expected
    ]
    assert without_seconds(tmp_path / way / "curve.csv") == without_seconds(tmp_path / "idx" / "curve.csv")


@pytest.mark.slow
@pytest.mark.skipif("FASHION_MNIST" not in os.environ, reason="FASHION_MNIST does not say where the files are")
def test_fashion_mnist_as_png_files_gives_the_same_run(tmp_path):
    source = FashionMNIST(root=os.environ["FASHION_MNIST"], batch_size=16)
    labels = export(source, tmp_path / "png")
    like = {"batch_size": 16, "size": 28, "channels": 1, "mean": list(FashionMNIST.mean), "std": list(FashionMNIST.std)}
    options = {"epochs": 1, "initial_size": 500, "query_size": 250, "query_budget": 500, "width": 8}
    run_loop(source, tmp_path / "idx", **options)
    for way in ("memory", "two processes"):
        run_loop(ImageFolder(str(tmp_path / "png"), csv=labels, **like, **WAYS[way]), tmp_path / way, **options)
        assert without_path(tmp_path / way / "ledger.csv") == without_path(tmp_path / "idx" / "ledger.csv")
        assert without_seconds(tmp_path / way / "curve.csv") == without_seconds(tmp_path / "idx" / "curve.csv")


# ---------------------------------------------------------------- very many files

MANY = """
import json, os, resource, sys, time
import torch
from lightning.pytorch import Callback, Trainer
from msal_lightning import ActiveLoop, MSALClassifier, RunDirectory
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.datasets import ImageFolder
from msal_lightning.strategies import MSALD

torch.set_num_threads(1)
figures = {}

def now():
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

def peak():  # ru_maxrss would begin with that of the process that started this one
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(lines["VmHWM"].split()[0]) / 2**10

class Meter(Callback):
    def on_predict_start(self, *_):
        figures.update(before=now(), peak_before=peak(), start=time.perf_counter())

    def on_predict_end(self, *_):
        figures.update(peak_after=peak(), seconds=time.perf_counter() - figures.pop("start"))

def new_trainer(callbacks, **settings):
    return Trainer(max_epochs=1, accelerator="cpu", callbacks=[*callbacks, Meter()], **settings)

folder, run = sys.argv[1:]
start = time.perf_counter()
data = ImageFolder(folder, size=32, in_memory=False, num_workers=2, test_fraction=0.001, batch_size=64)
data.setup()
figures.update(images=len(data.labeled_at), list_seconds=time.perf_counter() - start)
records = ActiveLoop(
    lambda: MSALClassifier(data.num_classes, 3, lambda channels: SmallCNN(channels, width=4)),
    new_trainer, data, MSALD(), RunDirectory(run), initial_size=100, query_size=50, query_budget=50,
).run()
figures.update(scored=records[0].num_scored, worker=resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**10)
print(json.dumps(figures))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_pool_of_100_000_files_is_scored_in_bounded_memory(tmp_path):
    for k in range(500):
        path = tmp_path / "store" / f"{k}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(noise(32, 32, 3, seed=k)).save(path)
        for copy in range(200):
            link = tmp_path / "images" / str(k % 10) / f"{copy // 20}" / f"{k}-{copy}.jpg"
            link.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, link)  # names of one file would be one image
    command = [sys.executable, "-c", MANY, str(tmp_path / "images"), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    print(f"\n100,000 files: {figures}")
    assert figures["scored"] == 99_800
    assert figures["peak_after"] - figures["before"] < 250  # MiB; the images alone would be 293
    assert figures["worker"] < figures["before"] + 250
