"""Near-duplicates: all pairs of a naive search, and copies of pictures in other sizes and formats."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from msal_lightning.cli.main import main
from msal_lightning.data.images import near_duplicates as module
from msal_lightning.data.images.near_duplicates import find_near_duplicates
from msal_lightning.data.images.perceptual_hash import hash_images


def naive(one, other, distance, same):
    """Row by row: how many are near, and the distances of all pairs."""
    bits = np.array([[(int(a) ^ int(b)).bit_count() for b in other] for a in one]).reshape(len(one), len(other))
    if same:
        bits[np.arange(len(one)), np.arange(len(one))] = 99
    return int((bits <= distance).any(axis=1).sum()), sorted(bits[bits <= distance].tolist())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 12), st.sampled_from([3, 2**22]), st.integers(0, 99))
def test_the_counts_of_a_naive_search(num_train, num_test, distance, block, seed):
    generator = np.random.default_rng(seed)
    centers = generator.integers(0, 2**64, 12, dtype=np.uint64)
    flips = np.bitwise_or.reduce(
        np.uint64(1) << generator.integers(0, 64, (num_train + num_test, 5)).astype(np.uint64), 1
    )
    hashes = generator.choice(centers, num_train + num_test) ^ np.where(generator.random(len(flips)) < 0.7, flips, 0)
    train, test = hashes[:num_train], hashes[num_train:]
    before, module._BLOCK = module._BLOCK, block
    found = find_near_duplicates(train, test, distance)
    module._BLOCK = before
    for relation, one, other, same in (
        (found.train, train, train, True),
        (found.test, test, test, True),
        (found.across, test, train, False),
    ):
        number, distances = naive(one, other, distance, same)
        assert relation.number == number
        assert bool(relation.examples) == bool(number)
        for pair in relation.examples:
            assert (int(one[pair.first]) ^ int(other[pair.second])).bit_count() == pair.distance
            assert not (same and pair.first == pair.second)
        assert [pair.distance for pair in relation.examples][:1] == distances[:1]


def picture(seed):
    """A smooth random picture, 64 × 48."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((64, 48), Image.Resampling.BICUBIC)


@pytest.fixture
def photos(tmp_path):
    for name, seeds in (("train/cat", range(8)), ("train/dog", range(8, 16)), ("test/cat", (20,)), ("test/dog", (21,))):
        (tmp_path / name).mkdir(parents=True)
        for seed in seeds:
            picture(seed).save(tmp_path / name / f"{seed:02}.png")
    return tmp_path


def check(photos, *more):
    roots = ["--data.root", str(photos / "train"), "--data.test_root", str(photos / "test")]
    return main(["datasets", "check", "ImageFolder", *roots, "--data.size", "32", *more])


def test_copies_across_train_and_test_are_named(photos, capsys):
    assert check(photos) == 0
    assert "across: 0 test images look like a training image\n" in capsys.readouterr().out
    picture(3).save(photos / "test/dog/copy.jpg", quality=60)
    picture(9).resize((128, 96)).save(photos / "train/cat/larger.webp")
    assert check(photos, "--data.group", r"(\d*)[^\d]*\.") == 2  # 'copy' has no number
    assert "expected data.group to give each image a group" in capsys.readouterr().err
    assert check(photos, "--data.group", r"(\w)\.") == 0
    out = capsys.readouterr().out
    assert "train        17 images 3×32×32, 2 classes of 8 to 9" in out
    assert "groups: 11 in train, 3 in test, 2 in both ('0', '1'), with 2 test images" in out
    assert "across: 1 test image looks like a training image, for example 'dog/copy.jpg' and 'cat/03.png' (" in out
    assert (
        "within train: 2 training images look like another one, for example 'cat/larger.webp' and 'dog/09.png' (" in out
    )
    assert "within test: 0 test images look like another one\n" in out


def test_hashes_are_those_of_the_library(photos):
    import imagehash

    images = torch.stack([torch.from_numpy(np.array(picture(seed))).permute(2, 0, 1) for seed in range(70)])
    (first, second) = hash_images(images)
    expected = [int(str(imagehash.phash(picture(seed))), 16) for seed in range(70)]
    assert [int(h).to_bytes(8, sys.byteorder) for h in (*first, *second)] == [h.to_bytes(8, "big") for h in expected]


def test_features_have_groups_but_no_pictures(tmp_path, capsys):
    np.save(tmp_path / "features.npy", np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32))
    (tmp_path / "labels.csv").write_text("label,site\n" + "".join(f"{'ab'[k % 2]},s{k // 4}\n" for k in range(40)))
    assert main(["datasets", "check", "Embeddings", "--data.root", str(tmp_path), "--data.group", "site"]) == 0
    out = capsys.readouterr().out
    assert "groups: 8 in train, 2 in test, 0 in both" in out
    assert "near-duplicates: Embeddings has features; check the folder of images" in out


def test_mistakes_are_one_sentence(photos, monkeypatch, capsys):
    assert check(photos, "--distance", "40") == 2
    assert "expected --distance to be 0 to 16, got 40" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "imagehash", None)
    assert check(photos) == 2
    assert "pip install 'msal_lightning[duplicates]'" in capsys.readouterr().err
