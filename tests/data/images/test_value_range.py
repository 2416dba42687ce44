"""Files with more than 8 bits, bands, and how an image becomes a square: what the model gets, by hand values."""

import base64
import io
import json
import re
import struct
import zlib

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from msal_lightning.cli.main import main
from msal_lightning.data.images.decoding import Decoding, to_8_bits
from msal_lightning.data.images.value_range import Pixels, look_at, range_of
from msal_lightning.datasets import ImageFolder
from msal_lightning.errors import UserError
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.records import read_records
from msal_lightning.tracking.queried_images import QueriedImages

SIZE = 16


def disc(seed, low, high, size=SIZE):
    """A bright disc or square on a slope, between two values, with both of them in it."""
    y, x = np.mgrid[:size, :size] / size
    shape = np.hypot(x - 0.5, y - 0.5) < 0.3 if seed % 2 else (abs(x - 0.5) < 0.25) & (abs(y - 0.5) < 0.25)
    picture = 0.4 * x + 0.5 * shape + np.random.default_rng(seed).random((size, size)) * 0.1
    picture = (picture - picture.min()) / (picture.max() - picture.min())
    return low + picture * (high - low)


def write(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png" and pixels.ndim == 3 and pixels.dtype == np.uint16:
        path.write_bytes(png16(pixels))
    elif path.suffix in (".ppm", ".pnm"):
        path.write_bytes(ppm16(pixels, as_text=path.suffix == ".pnm"))
    elif path.suffix == ".png":
        Image.fromarray(pixels).save(path)
    else:
        tifffile.imwrite(path, pixels, **options)


def png16(pixels):
    """16 bits of each colour, which Pillow does not write."""
    height, width, channels = pixels.shape
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in pixels)

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def ppm16(pixels, as_text=False):
    """Colours with more than 8 bits, which Pillow does not write."""
    header = f"P{3 if as_text else 6}\n# camera\n{pixels.shape[1]} {pixels.shape[0]}\n{pixels.max()}\n"
    text = "# rows\n" + "\n".join(map(str, pixels.ravel()))
    return header.encode() + (text.encode() if as_text else pixels.astype(">u2").tobytes())


def folder(root, low, high, dtype, suffix=".png", n=6, make=disc, **options):
    for c, name in enumerate("ab"):
        for k in range(n):
            write(root / name / f"{k}{suffix}", make(2 * k + c, low, high).astype(dtype), **options)
    return root


def ready(root, **options):
    data = ImageFolder(str(root), **{"size": SIZE, "channels": 1, **options})
    data.setup()
    return data


def refused(message, root, **options):
    with pytest.raises(UserError, match=message) as caught:
        ready(root, **options)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- ranges

DEPTHS = {
    "10 bits": (np.uint16, ".png", 0, 1023, (0, 1023)),
    "12 bits": (np.uint16, ".png", 0, 4095, (0, 4095)),
    "12 bits, dim": (np.uint16, ".tif", 3, 1800, (0, 2047)),
    "16 bits": (np.uint16, ".png", 0, 65535, (0, 65535)),
    "16 bits, a narrow band far from 0": (np.uint16, ".tif", 29000, 31000, (29000, 31000)),
    "int16, CT": (np.int16, ".tif", -1024, 3071, (-1024, 3071)),
    "int32": (np.int32, ".tif", 0, 100_000, (0, 131071)),
    "uint32": (np.uint32, ".tif", 0, 3_000_000_000, (0, 2**32 - 1)),
    "float, 0 to 1": (np.float32, ".tif", 0.0, 1.0, (0.0, 1.0)),
    "float, below 0": (np.float64, ".tif", -3.5, 12.25, (-3.5, 12.25)),
    "int8": (np.int8, ".tif", -80, 45, (-80, 45)),
}


@pytest.mark.parametrize(("dtype", "suffix", "low", "high", "expected"), DEPTHS.values(), ids=DEPTHS)
def test_the_values_that_are_there_become_black_to_white(tmp_path, dtype, suffix, low, high, expected):
    data = ready(folder(tmp_path, low, high, dtype, suffix))
    assert data.resolved["value_range"] == {np.dtype(dtype).name: pytest.approx(expected)}
    assert f"value range {expected[0]:g} to"[:16] in data.describe()
    assert len(data.images.unique()) > 90  # of 256 grey levels
    assert data.images.float().std() > 20
    shown = Image.fromarray(disc(0, low, high).astype(dtype).astype(np.float32))
    assert shown.size == (SIZE, SIZE)


@pytest.mark.parametrize(("bits", "shift"), [(8, 0), (10, 2), (12, 4), (14, 6), (16, 8)])
def test_a_range_of_whole_bits_keeps_the_upper_eight(bits, shift):
    values = np.arange(2**bits, dtype=np.uint16)
    assert np.array_equal(to_8_bits(values, (0, 2**bits - 1)), (values >> shift).astype(np.uint8))


def test_scaling_is_that_of_a_naive_loop():
    rng = np.random.default_rng(0)
    for dtype, low, high in ((np.int16, -160.0, 240.0), (np.int32, -5.0, 70000.0), (np.float32, -0.5, 0.75)):
        values = (rng.random(500) * 1.4 - 0.2) * (high - low) + low
        values = values.astype(dtype)
        width = high - low + (1 if np.dtype(dtype).kind == "i" else 0)
        expected = [min(255, max(0, int((min(max(float(v), low), high) - low) * 256 / width))) for v in values]
        assert to_8_bits(values, (low, high)).tolist() == expected
    assert to_8_bits(np.array([np.nan, -np.inf, np.inf, 0.5]), (0.0, 1.0)).tolist() == [0, 0, 255, 128]


def test_a_hot_pixel_does_not_take_the_grey_levels(tmp_path):
    folder(tmp_path, 0, 4000, np.uint16, n=8, make=lambda *args: disc(*args, size=64))
    hot = disc(0, 0, 4000, 64).astype(np.uint16)
    hot[3, 3] = 65535
    write(tmp_path / "a" / "0.png", hot)
    assert ready(tmp_path).resolved["value_range"] == {"uint16": [0, 4095]}


def test_a_value_that_says_nothing_was_measured_does_not_count(tmp_path):
    for c, name in enumerate("ab"):
        for k in range(4):
            pixels = disc(2 * k + c, 0.0, 0.6).astype(np.float32)
            pixels[:4] = -9999.0
            pixels[-1] = np.nan
            write(tmp_path / name / f"{k}.tif", pixels, extratags=[(42113, "s", 0, "-9999", True)])
    (low, high) = ready(tmp_path).resolved["value_range"]["float32"]
    assert -0.001 <= low < high <= 0.601


def test_one_value_only_is_no_error(tmp_path):
    for dtype in (np.uint16, np.float32):
        folder(tmp_path / np.dtype(dtype).name, 7, 7, dtype, ".tif", make=lambda *_: np.full((SIZE, SIZE), 7))
        ready(tmp_path / np.dtype(dtype).name)


def test_mixed_folders_have_a_range_of_each_kind(tmp_path):
    folder(tmp_path, 0, 4095, np.uint16)
    for name in "ab":
        Image.fromarray(disc(3, 0, 255).astype(np.uint8)).save(tmp_path / name / "8.bmp")
        write(tmp_path / name / "ct.tif", disc(5, -500, 900).astype(np.int16))
    data = ready(tmp_path, test_fraction=0.01)
    assert data.resolved["value_range"] == {"int16": [-500, 900], "uint16": [0, 4095]}
    eight = next(i for i, path in enumerate(data.paths(torch.arange(len(data.labeled_at)))) if path.endswith("8.bmp"))
    assert np.array_equal(data.images[eight, 0].numpy(), disc(3, 0, 255).astype(np.uint8))


def test_colours_of_16_bits_keep_their_levels(tmp_path):
    def colours(seed, low, high):
        return np.stack([disc(seed + 2 * i, low, high) for i in range(3)], axis=2)

    for suffix, options in ((".png", {}), (".tif", {"photometric": "rgb"}), (".ppm", {}), (".pnm", {})):
        root = folder(tmp_path / suffix[1:], 0, 4095, np.uint16, suffix, make=colours, **options)
        data = ready(root, channels=3)
        assert data.resolved["value_range"] == {"uint16": [0, 4095]}
        row = data.paths(torch.arange(len(data.labeled_at))).index("a/0" + suffix)
        assert np.array_equal(data.images[row].numpy(), (colours(0, 0, 4095).astype(np.uint16) >> 4).transpose(2, 0, 1))


def test_an_explicit_range_cuts_off_and_says_how_much(tmp_path, capsys):
    folder(tmp_path, -1000, 1000, np.int16, ".tif")
    data = ready(tmp_path, value_range=(-160, 240))
    assert "% of the values of a sample lie outside data.value_range" in capsys.readouterr().out
    assert data.describe() == "value range -160 to 240 (data.value_range)"
    assert {0, 255} <= {*data.images.unique().tolist()}


@pytest.mark.parametrize("value_range", [(5, 5), (9, 3), (float("nan"), 1), (0, float("inf"))])
def test_a_range_that_is_none_is_refused(tmp_path, value_range):
    refused(r"data\.value_range to be auto, or the lowest and the highest", tmp_path, value_range=value_range)


def test_a_range_for_files_of_8_bits_is_refused_and_they_are_as_they_were(tmp_path):
    folder(tmp_path, 0, 63, np.uint8)
    refused(r"more than 8 bits.*for data\.value_range", tmp_path, value_range=(0, 63))
    data = ready(tmp_path)
    assert data.resolved == {"value_range": {}, "transparency": "background"}
    assert data.describe() == ""
    assert data.images.max() <= 63


def test_a_kind_that_the_sample_did_not_show_is_named(tmp_path):
    write(tmp_path / "x.png", disc(0, 0, 4095).astype(np.uint16))
    with pytest.raises(ValueError, match="uint16"):
        Decoding(SIZE, 1, ranges={}).decode(str(tmp_path / "x.png"))


def test_the_sample_is_the_same_each_time(tmp_path):
    paths = [str(path) for path in sorted(folder(tmp_path, 0, 900, np.uint16).rglob("*.png"))]
    (first, second) = (look_at(paths, None)["uint16"] for _ in range(2))
    assert range_of(first) == range_of(second) == (0, 1023)


# ---------------------------------------------------------------- the run

FIT = [
    "fit", "--config", "image_folder", "--data.size", "8", "--data.batch_size", "4", "--loop.initial_size", "4",
    "--loop.query_size", "2", "--loop.query_budget", "2", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu",
    "--model.backbone", "SmallCNN", "--model.backbone.width", "2", "--data.channels", "1",
]  # fmt: skip


def test_a_resume_uses_the_recorded_range_and_another_explicit_one_is_refused(tmp_path, capsys):
    root = folder(tmp_path / "ct", 0, 4095, np.uint16)
    command = [*FIT, "--data.root", str(root), "--run_dir", str(tmp_path / "run")]
    assert main([*command, "--plan"]) == 0
    assert "value range 0 to 4095 of uint16 (from 12 of 12 files)" in capsys.readouterr().out
    assert main(command) == 0
    assert "value range 0 to 4095 of uint16" in capsys.readouterr().out
    (first, _) = read_records(tmp_path / "run")
    assert first.resolved == {"value_range": {"uint16": [0.0, 4095.0]}, "transparency": "background"}
    assert "resolved" not in json.loads((tmp_path / "run" / "rounds" / "001.json").read_text())
    before = (tmp_path / "run" / "ledger.csv").read_bytes()
    (tmp_path / "run" / "rounds" / "001.json").unlink()
    assert main(command) == 0
    assert "value range 0 to 4095 of uint16 (as recorded)" in capsys.readouterr().out
    assert (tmp_path / "run" / "ledger.csv").read_bytes() == before
    assert main([*command, "--data.value_range", "[0, 65535]"]) == 2
    assert "value_range was None, now [0" in capsys.readouterr().err
    other, out = folder(tmp_path / "other", 0, 900, np.uint16), tmp_path / "chosen"
    query = ["query", "--checkpoint", str(tmp_path / "run"), "--images", str(other), "--n", "2", "--out", str(out)]
    assert main(query) == 0
    assert "value range 0 to 4095 of uint16 (as recorded)" in (out / "query.html").read_text()


def test_the_figure_and_weights_and_biases_show_the_range_of_the_run(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        "msal_lightning.analysis.figures.contact_sheet.save", lambda figure, out: drawn.setdefault("axes", figure.axes)
    )
    root, run = folder(tmp_path / "ct", 0, 4095, np.uint16), tmp_path / "run"
    size = ["--data.size", str(SIZE)]
    assert main([*FIT, *size, "--data.root", str(root), "--run_dir", str(run)]) == 0
    record = read_records(run)[0]
    expected = [np.asarray(Image.open(root / path)) >> 4 for path in record.queried.path]

    assert main(["figure", "contact-sheet", str(run), "--images", "2", "--out", str(tmp_path / "a.png")]) == 0
    (axes,) = drawn["axes"]
    for image, pixels in zip(axes.get_images(), expected, strict=True):
        np.testing.assert_array_equal(image.get_array(), pixels)

    (run / "queried").mkdir()
    (run / "queried" / "000.json").write_text(json.dumps({"index": record.queried.index, "predicted": [0, 1]}))
    table = QueriedImages(RunDirectory(run), ready(root), 2).table(record)
    for row, pixels in zip(table.data, expected, strict=True):
        np.testing.assert_array_equal(row[2].image, pixels)


def test_the_recorded_range_is_used_whatever_the_files_say(tmp_path):
    root = folder(tmp_path, 0, 900, np.uint16)
    data = ImageFolder(str(root), size=SIZE, channels=1)
    data.resume_as({"value_range": {"uint16": [0, 4095]}})
    data.setup()
    assert data.images.max() <= 900 >> 4
    with pytest.raises(
        UserError, match="expected the record of round 0 to tell how images are read, got a damaged one"
    ):
        data.resume_as({"value_range": {"uint16": ["x"]}})


def test_a_run_made_before_there_were_ranges_goes_on_as_it_was(tmp_path):
    root = folder(tmp_path, 0, 4095, np.uint16)
    Image.new("L", (SIZE, SIZE)).save(root / "a" / "new.gif")
    data = ImageFolder(str(root), size=SIZE, channels=1)
    data.resume_as(None)
    data.setup()
    assert not any(path.endswith("gif") for path in data.paths(torch.arange(len(data.labeled_at))))
    row = data.paths(torch.arange(len(data.labeled_at))).index("a/0.png")
    assert np.array_equal(data.images[row, 0].numpy(), (disc(0, 0, 4095).astype(np.uint16) >> 8).astype(np.uint8))
    assert data.resolved is None


DEEP = {"12 bits": (0, 4095, np.uint16, ".png"), "int16": (-1000, 1500, np.int16, ".tif")}


@pytest.mark.parametrize(("low", "high", "dtype", "suffix"), DEEP.values(), ids=DEEP)
def test_a_person_sees_the_picture_on_the_contact_sheet(tmp_path, low, high, dtype, suffix):
    root = folder(tmp_path / "images", low, high, dtype, suffix, make=lambda *args: disc(*args, size=80))
    person = ["--data.unlabeled", "true", "--data.classes", "[a,b]", "--oracle", "Files", "--loop.held_out", "3"]
    assert main([*FIT, *person, "--data.root", str(root), "--run_dir", str(tmp_path / "run")]) == 0
    page = (tmp_path / "run" / "queries" / "initial.html").read_text()
    assert f"value range {low} to {high} of {np.dtype(dtype).name} (from 12 of 12 files)" in page
    shown = re.findall(r'"image": ?"data:image/jpeg;base64,([^"]+)"', page)
    assert len(shown) == 4
    for picture in shown:
        levels = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("L")).astype(int)
        assert len(np.unique(levels)) > 100
        assert np.ptp(levels) > 200


# ---------------------------------------------------------------- bands


def bands(seed, n=5, dtype=np.uint16, high=1000):
    return np.stack([disc(seed + i, 0, high * (i + 1) / n) for i in range(n)]).astype(dtype)


WAYS = {
    "contiguous": lambda p, a: tifffile.imwrite(p, a.transpose(1, 2, 0), photometric="minisblack", planarconfig=1),
    "planar": lambda p, a: tifffile.imwrite(p, a, photometric="minisblack", planarconfig="separate"),
    "deflate": lambda p, a: tifffile.imwrite(p, a, photometric="minisblack", planarconfig=2, compression="zlib"),
    "pages": lambda p, a: tifffile.imwrite(p, a, photometric="minisblack"),
    "big-endian": lambda p, a: tifffile.imwrite(p, a, photometric="minisblack", planarconfig=2, byteorder=">"),
}


def write_bands(root, way, n=5, dtype=np.uint16):
    for c, name in enumerate("ab"):
        (root / name).mkdir(parents=True)
        for k in range(5):
            WAYS[way](root / name / f"{k}.tif", bands(2 * k + c, n, dtype))
    return root


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_five_bands(tmp_path, way, dtype):
    write_bands(tmp_path, way, dtype=dtype)
    data = ready(tmp_path, bands=[4, 1, 5, 2])
    assert data.in_channels == 4
    row = data.paths(torch.arange(len(data.labeled_at))).index("a/0.tif")
    expected = bands(0, dtype=dtype)[[3, 0, 4, 1]]
    if dtype != np.uint8:
        (values,) = data.resolved["value_range"].values()
        expected = to_8_bits(expected, tuple(values))
    assert np.array_equal(data.images[row].numpy(), expected)
    mean, std = data.images.double().mean((0, 2, 3)) / 255, data.images.double().std((0, 2, 3), correction=0) / 255
    assert data.mean == pytest.approx(mean.tolist(), abs=1e-4)
    assert data.std == pytest.approx(std.tolist(), abs=1e-4)
    assert data.resolved["mean"] == list(data.mean)
    if way != "pages":  # a file of pages is its first one, which is said
        refused(r"it has 5 bands: name the ones to use in data\.bands", tmp_path)
    assert ready(tmp_path, bands="all").in_channels == 5


def test_pages_without_bands_are_said(tmp_path, capsys):
    write_bands(tmp_path, "pages")
    ready(tmp_path)
    assert "10 of 10 images have several frames or pages: the first one is read" in capsys.readouterr().out


@pytest.mark.parametrize("extra", ["unspecified", "missing", "alpha"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_near_infrared_is_not_taken_for_transparency(tmp_path, extra, dtype):
    for c, name in enumerate("ab"):
        for k in range(3):
            path = tmp_path / name / f"{k}.tif"
            path.parent.mkdir(exist_ok=True)
            pixels = bands(2 * k + c, 4, dtype, high=255).transpose(1, 2, 0)
            kind = "unspecified" if extra == "unspecified" else "unassalpha"
            tifffile.imwrite(path, pixels, photometric="rgb", extrasamples=[kind])
            if extra == "missing":  # by changing the number of its tag to one that means nothing
                path.write_bytes(path.read_bytes().replace(struct.pack("<HH", 338, 3), struct.pack("<HH", 65000, 3), 1))
    data = ready(tmp_path, bands=[1, 2, 3, 4])
    row = data.paths(torch.arange(len(data.labeled_at))).index("a/0.tif")
    pixels = bands(0, 4, dtype, high=255)
    assert np.array_equal(data.images[row].numpy(), pixels if dtype == np.uint8 else to_8_bits(pixels, (0, 255)))
    if extra == "alpha":  # transparency is dropped, as ever
        data = ready(tmp_path, channels=3)
        scaled = pixels[:3] if dtype == np.uint8 else to_8_bits(pixels[:3], (0, 255))
        assert np.abs(data.images[row].numpy().astype(int) - scaled).max() <= 1
    else:
        refused(r"it has 4 bands: name the ones", tmp_path, channels=3)


def test_bands_of_other_files(tmp_path):
    rng = np.random.default_rng(0)
    for name in "ab":
        for k in range(3):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)).save(tmp_path / name / f"{k}.png")
    rgb, blue_red = ready(tmp_path, channels=3), ready(tmp_path, bands=[3, 1])
    assert torch.equal(blue_red.images, rgb.images[:, [2, 0]])
    assert (ready(tmp_path, bands=[3, 2, 1]).mean, rgb.mean) == ((0.485, 0.456, 0.406),) * 2
    refused(r"it has 3 bands, but data\.bands names band 4", tmp_path, bands=[1, 4])


@pytest.mark.parametrize("chosen", [[], [0, 1], [-1], [2, 2]])
def test_bands_that_are_none_are_refused(tmp_path, chosen):
    refused(r"data\.bands to be different numbers from 1", tmp_path, bands=chosen)


def test_a_run_on_four_bands_and_its_resume(tmp_path, capsys):
    root = write_bands(tmp_path / "images", "planar")
    command = [*FIT, "--data.root", str(root), "--data.bands", "[1,2,3,5]", "--run_dir", str(tmp_path / "run")]
    assert main(command) == 0, capsys.readouterr().err
    (first, _) = read_records(tmp_path / "run")
    assert len(first.resolved["mean"]) == 4
    (tmp_path / "run" / "rounds" / "001.json").unlink()
    assert main(command) == 0
    out = tmp_path / "chosen"
    query = ["query", "--checkpoint", str(tmp_path / "run"), "--images", str(root), "--n", "2", "--out", str(out)]
    assert main(query) == 0, capsys.readouterr().err
    assert (out / "query.csv").read_text().count("\n") == 3
    assert main(["figure", "contact-sheet", str(tmp_path / "run"), "--out", str(tmp_path / "x.png")]) == 0


# ---------------------------------------------------------------- a square


@pytest.fixture
def wide(tmp_path):
    """Three stripes: red, green, blue."""
    pixels = np.zeros((20, 60, 3), dtype=np.uint8)
    for c in range(3):
        pixels[:, 20 * c : 20 * c + 20, c] = 255
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    return str(tmp_path / "wide.png")


def test_crop_letterbox_and_squash(wide):
    green, padding = (0, 255, 0), (124, 116, 104)
    crop = Decoding(20, 3).decode(wide)
    assert {tuple(pixel) for pixel in crop.reshape(3, -1).T.tolist()} == {green}
    letterbox = Decoding(30, 3, "letterbox", padding=padding).decode(wide)
    assert {tuple(pixel) for pixel in letterbox[:, :10].reshape(3, -1).T.tolist()} == {padding}
    assert {tuple(pixel) for pixel in letterbox[:, 20:].reshape(3, -1).T.tolist()} == {padding}
    assert letterbox[:, 15, [3, 15, 27]].T.tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    squash = Decoding(30, 3, "squash").decode(wide)
    assert squash[:, 15, [3, 15, 27]].T.tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    assert squash[:, 0, 0].tolist() == squash[:, 29, 0].tolist() == [255, 0, 0]


def test_the_marked_part_is_what_the_model_sees():
    assert Decoding(8, 3).seen(60, 20) == pytest.approx((1 / 3, 0, 1 / 3, 1))
    assert Decoding(8, 3).seen(20, 80) == pytest.approx((0, 3 / 8, 1, 1 / 4))
    assert Decoding(6, 3, resize=8).seen(60, 20) == pytest.approx((3 / 8, 1 / 8, 1 / 4, 3 / 4))
    assert Decoding(6, 3, "squash", resize=8).seen(60, 20) == pytest.approx((1 / 8, 1 / 8, 3 / 4, 3 / 4))
    assert Decoding(8, 3).seen(20, 20) is Decoding(8, 3, "letterbox").seen(60, 20) is None


@pytest.mark.parametrize("fit", ["crop", "letterbox", "squash"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (3, 2)])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_shape(tmp_path, fit, shape, channels):
    Image.fromarray(np.full((*shape, 3), 90, dtype=np.uint8)).save(tmp_path / "x.png")
    pixels = Decoding(8, channels, fit, padding=(90,) * channels).decode(str(tmp_path / "x.png"))
    assert pixels.shape == (channels, 8, 8)
    assert (pixels == 90).all()


def test_letterbox_of_bands_pads_with_their_mean(tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", bands(0, 5)[:, :8], photometric="minisblack", planarconfig=2)
    how = Decoding(16, 2, "letterbox", bands=(2, 5), ranges={"uint16": (0, 1023)}, padding=(10, 20))
    assert how.decode(str(tmp_path / "x.tif"))[:, 0, 0].tolist() == [10, 20]


# ---------------------------------------------------------------- damaged files


@pytest.mark.filterwarnings("ignore")
def test_damaged_deep_files_are_always_a_user_error(tmp_path):
    rng = np.random.default_rng(0)
    whole = io.BytesIO()
    tifffile.imwrite(whole, bands(0), photometric="minisblack", planarconfig=2, compression="zlib")
    colours = bands(0, 3).transpose(1, 2, 0)
    good = {"a.tif": whole.getvalue(), "a.png": png16(colours), "a.ppm": ppm16(colours), "a.pnm": ppm16(colours, True)}
    for name, content in good.items():
        files = [content[:n] for n in range(0, len(content), len(content) // 30 + 1)]
        for _ in range(60):
            changed = bytearray(content)
            changed[rng.integers(min(len(changed), 400))] = rng.integers(256)
            files.append(bytes(changed))
        for data in files:
            (tmp_path / name).write_bytes(data)
            said = outcome(tmp_path / name)
            assert said == (1, 3, 8, 8) or said.startswith("cannot read the image '")
            assert "\n" not in str(said)


def outcome(path):
    try:
        return files_of(path).load().shape
    except UserError as error:
        return str(error)


def files_of(path):
    from msal_lightning.data.images.image_files import ImageFiles

    return ImageFiles([path], 8, 3, Decoding(8, 3, bands=(1, 2, 3), ranges={"any": (0, 1000)}))


def test_a_sample_of_values_does_not_fall_on_the_same_columns(tmp_path):
    pixels = np.zeros((64, 128), np.uint16)  # every second value would be of even columns only
    pixels[:, 1::2] = 1000
    Image.fromarray(pixels).save(tmp_path / "stripes.png")
    ((file,),) = look_at([str(tmp_path / "stripes.png")], None).values()
    assert {*file.some.tolist()} == {0.0, 1000.0}


def test_black_files_have_a_range_too():
    assert range_of([Pixels(np.dtype("uint16"), np.zeros(9), 0.0, 0.0)]) == (0.0, 1.0)
