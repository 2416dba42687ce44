"""Which files are images: each one once, whatever links there are, and a line for what is left out."""

import io
import os
import shutil
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, features

from msal_lightning.data.images import formats, listing
from msal_lightning.datasets import ImageFolder
from msal_lightning.errors import UserError

SIZE = 8


def paint(path, seed=None, size=(SIZE, SIZE), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(zlib.crc32(path.name.encode()) if seed is None else seed)
    Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path, **options)
    return path


@pytest.fixture
def photos(tmp_path):
    for name in ("cat", "dog"):
        for k in range(4):
            paint(tmp_path / "photos" / name / f"{k}.png", seed=k)
    return tmp_path / "photos"


def listed(root, **options):
    """Paths to train on and to test on, of a folder that may hold some out."""
    data = ImageFolder(str(root), size=SIZE, in_memory=False, num_workers=0, **options)
    data.setup()
    learn = data.paths(torch.arange(len(data.labeled_at)))
    test = [os.path.relpath(path, root) for path in data.test.image.paths]
    return learn, test


def every(root, **options):
    learn, test = listed(root, **options)
    return sorted([*learn, *test])


PLAIN = [f"{name}/{k}.png" for name in ("cat", "dog") for k in range(4)]


@pytest.mark.parametrize("target", ["..", "../..", "../../.."])
def test_a_link_upwards_neither_multiplies_nor_loops(photos, capsys, target):
    (photos / "cat" / "up").symlink_to(target)
    (photos / "dog" / "up").symlink_to(target)
    assert every(photos) == PLAIN
    assert "2 names lead to images or folders that are already listed" in capsys.readouterr().out


def test_two_folders_that_link_to_each_other(photos):
    (photos / "cat" / "a").mkdir()
    (photos / "cat" / "b").mkdir()
    (photos / "cat" / "a" / "b").symlink_to("../b")
    (photos / "cat" / "b" / "a").symlink_to("../a")
    paint(photos / "cat" / "a" / "x.png")
    assert every(photos) == ["cat/0.png", "cat/1.png", "cat/2.png", "cat/3.png", "cat/a/x.png", *PLAIN[4:]]


@pytest.mark.parametrize("link", ["cat/more", "dogs"])
def test_a_link_to_the_folder_of_another_class_is_refused(photos, link):
    (photos / link).symlink_to(photos / "dog")
    with pytest.raises(
        UserError, match=r"expected each folder in one class, got .*dog' in dog, which are the same folder: remove one"
    ):
        listed(photos)


def test_a_folder_of_links_is_listed_and_the_real_name_wins(photos, tmp_path, capsys):
    """Big disks elsewhere are normal; a second name of an image that is there already is not a second image."""
    paint(tmp_path / "disk" / "9.png")
    (photos / "cat" / "aaa").symlink_to(tmp_path / "disk")
    (photos / "cat" / "0a.png").symlink_to("0.png")
    (photos / "dog" / "b.png").symlink_to(tmp_path / "disk2.png")  # leads nowhere
    assert every(photos) == sorted([*PLAIN, "cat/aaa/9.png"])
    out = capsys.readouterr().out
    assert f"1 name leads to images or folders that are already listed; each image counts once: '{photos}/cat/0a" in out
    assert "left out: 1 with a broken link" in out


def test_a_hard_link_is_the_same_image(photos, capsys):
    os.link(photos / "cat" / "1.png", photos / "cat" / "copy.png")
    assert every(photos) == PLAIN
    assert "1 name leads" in capsys.readouterr().out
    os.link(photos / "cat" / "1.png", photos / "dog" / "not a dog.png")
    with pytest.raises(
        UserError, match=r"expected each image in one class, got .* in dog and .* in cat, which are the same file"
    ):
        listed(photos)


def test_a_folder_without_labels_lists_each_image_once(photos):
    (photos / "cat" / "up").symlink_to("..")
    (photos / "dog" / "cats").symlink_to("../cat")
    (photos / "one.png").symlink_to("dog/1.png")
    learn, _ = listed(photos, unlabeled=True)
    assert learn == PLAIN


@pytest.mark.parametrize("how", ["inside", "link to the folder", "link to a file", "hard link"])
def test_no_image_is_learned_from_and_tested_on(photos, tmp_path, how):
    test = tmp_path / "test"
    if how == "inside":
        test = photos / "cat"
        (test / "dog").mkdir()
        (test / "cat").mkdir()
        shutil.copy(photos / "dog" / "1.png", test / "dog" / "x.png")
        shutil.copy(photos / "dog" / "1.png", test / "cat" / "y.png")
    elif how == "link to the folder":
        test.symlink_to(photos)
    else:
        (test / "cat").mkdir(parents=True)
        path = test / "cat" / "z.png"
        os.link(photos / "cat" / "0.png", path) if how == "hard link" else path.symlink_to(photos / "cat" / "0.png")
    with pytest.raises(UserError, match=r"expected no training images in data\.test_root .* that are in both \('"):
        listed(photos, test_root=str(test))
    if how == "link to the folder":  # nothing would be left to train on
        with pytest.raises(UserError, match=r"got 8 that are in both"):
            listed(photos, unlabeled=True, test_root=str(test))
        return
    learn, tested = listed(photos, unlabeled=True, test_root=str(test))
    assert not {os.path.realpath(photos / p) for p in learn} & {os.path.realpath(photos / p) for p in tested}


def test_a_csv_file_that_names_an_image_twice_by_a_link_is_refused(photos, tmp_path):
    (photos / "other.png").symlink_to("cat/0.png")
    rows = ["path,label", "cat/0.png,a", "dog/0.png,b", "other.png,b"]
    (tmp_path / "l.csv").write_text("\n".join(rows))
    with pytest.raises(UserError, match=r"line 4: 'other\.png' is already in line 2"):
        listed(photos, csv=str(tmp_path / "l.csv"))


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="everything can be read")
def test_a_folder_that_cannot_be_listed_is_named(photos):
    (photos / "dog").chmod(0)
    try:
        with pytest.raises(UserError, match=r"cannot list the folder '.*dog' \(Permission denied\)"):
            listed(photos)
    finally:
        (photos / "dog").chmod(0o755)


# ---------------------------------------------------------------- kinds of files

KINDS = {
    ".gif": "GIF", ".jfif": "JPEG", ".jpe": "JPEG", ".jp2": "JPEG2000", ".tga": "TGA", ".ppm": "PPM", ".pnm": "PPM",
    ".ico": "ICO", ".JPG": "JPEG", ".apng": "PNG", ".dib": "DIB", ".sgi": "SGI", ".pcx": "PCX", ".webp": "WEBP",
    ".avif": "AVIF", "": "PNG",
}  # fmt: skip


@pytest.mark.parametrize("suffix", KINDS)
def test_what_pillow_reads_is_read(photos, suffix):
    if suffix == ".avif" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    expected = paint(photos / "dog" / f"new{suffix}", size=(16, 16), format=KINDS[suffix])
    assert every(photos) == sorted([*PLAIN, f"dog/new{suffix}"])
    data = ImageFolder(str(photos), size=16, in_memory=True)
    data.setup()
    with Image.open(expected) as image:
        pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
    found = torch.cat([data.images, data.test.image])
    assert any(torch.equal(image, pixels) for image in found)


def test_what_is_left_out_is_counted_by_kind(photos, capsys, monkeypatch):
    monkeypatch.setattr(listing, "can_read_heif", lambda: False)
    names = ["a.txt", "b.TXT", "c.xml", "README", "d.pdf", ".hidden.txt", "x.heic", "y.heif", "z.eps", "clip.mpeg"]
    for name in names:
        (photos / "cat" / name).write_bytes(b"no image")
    assert every(photos) == PLAIN
    out = capsys.readouterr().out
    assert "left out: 2 .txt, 1 without extension, 1 .eps, 1 .mpeg, 1 .pdf, 1 .xml; " in out
    assert "1 .heic, 1 .heif need the extra heif (pip install 'msal_lightning[heif]')" in out


def test_nothing_is_said_where_nothing_is_left_out(photos, capsys):
    listed(photos)
    assert capsys.readouterr().out.count("\n") == 1  # about memory


def test_heif_with_the_extra(photos):
    pytest.importorskip("pillow_heif")
    formats.can_read_heif()
    paint(photos / "dog" / "new.heic", format="HEIF", quality=90)
    assert every(photos) == sorted([*PLAIN, "dog/new.heic"])
    ImageFolder(str(photos), size=SIZE, in_memory=True).setup()


def test_postscript_under_another_name_starts_no_program(photos, monkeypatch):
    from PIL import EpsImagePlugin

    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "EPS")
    (photos / "cat" / "0.png").write_bytes(out.getvalue())
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *args, **kwargs: pytest.fail("started"))
    with pytest.raises(UserError, match=r"cannot read the image '.*0\.png'"):
        ImageFolder(str(photos), size=SIZE, in_memory=True).setup()


def test_groups_are_listed_in_any_order_alike(photos):
    groups = {name: photos / name for name in ("dog", "cat")}
    found = listing.list_images(groups, Path(photos)).images
    assert found == {name: sorted((photos / name).iterdir()) for name in ("cat", "dog")}


def test_the_name_without_a_link_comes_first_then_links_by_name(tmp_path):
    """Whatever the order in which a walk finds them."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    Image.new("L", (2, 2)).save(elsewhere / "1.png")
    root = tmp_path / "root"
    for folder in ("a", "z"):
        (root / "class" / folder).mkdir(parents=True)
        (root / "class" / folder / "link.png").symlink_to(elsewhere / "1.png")
    found = listing.list_images({"class": root / "class"}, root)
    assert found.images == {"class": [root / "class/a/link.png"]}
    assert found.repeated == [str(root / "class/z/link.png")]


def test_a_class_that_is_a_link_into_another_one_is_the_second(tmp_path):
    (tmp_path / "b" / "deep").mkdir(parents=True)
    (tmp_path / "a").symlink_to(tmp_path / "b" / "deep")
    with pytest.raises(UserError, match=r"got '.*/a' in a and '.*/b/deep' in b, which are the same folder"):
        listing.list_images({"a": tmp_path / "a", "b": tmp_path / "b"}, tmp_path)
