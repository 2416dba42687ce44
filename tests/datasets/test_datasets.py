"""Each dataset reads its files in the format that they are published in, and says what is wrong with them."""

import gzip
import inspect
import pickle
import re

import numpy as np
import pytest
import scipy.io
import torch
import torchvision
from sklearn.datasets import load_digits

from msal_lightning import data
from msal_lightning import datasets as package
from msal_lightning.data import ActiveDataModule
from msal_lightning.datasets import (
    CIFAR10,
    CIFAR100,
    MNIST,
    SVHN,
    Digits,
    Embeddings,
    FashionMNIST,
    HFDataset,
    ImageFolder,
    TarShards,
    TinyImageNet,
    TorchDataset,
)
from msal_lightning.errors import UserError


def subclasses(cls):
    return [sub for direct in cls.__subclasses__() for sub in (direct, *subclasses(direct))]


DATASETS = [
    cls
    for cls in subclasses(ActiveDataModule)
    if cls.__module__.startswith("msal_lightning.datasets.") and not inspect.isabstract(cls)
]
NEWER = (Embeddings, HFDataset, TarShards, TorchDataset)


def test_the_datasets_are_found():
    assert {"Digits", "MNIST", "FashionMNIST", "CIFAR100"} <= {cls.__name__ for cls in DATASETS}


@pytest.mark.parametrize("cls", DATASETS, ids=lambda cls: cls.__name__)
class TestEachDataset:
    def test_is_exported(self, cls):
        assert cls.__name__ in package.__all__
        assert getattr(package, cls.__name__) is cls
        if cls not in NEWER:
            assert getattr(data, cls.__name__) is cls  # as before there was a package of datasets

    def test_is_complete(self, cls):
        if cls in (ImageFolder, *NEWER):
            pytest.skip("its classes are those of the files")
        data = cls()
        assert data.name == cls.__name__
        assert len(data.mean) == len(data.std) == data.in_channels
        assert data.in_channels in (1, 3)
        assert all(0 < m < 1 for m in data.mean)
        assert all(0 < s < 1 for s in data.std)
        assert data.num_classes == len(data.class_names) == len(set(data.class_names)) >= 2
        assert all(isinstance(name, str) for name in data.class_names)


# ---------------------------------------------------------------- Digits


def test_digits_split():
    learn, test = Digits().load()
    assert learn.image.shape == (1297, 1, 8, 8)
    assert test.image.shape == (500, 1, 8, 8)
    assert learn.label.shape == (1297,)
    assert test.label.shape == (500,)
    assert learn.label.dtype == test.label.dtype == torch.int64
    counts, all_counts = test.label.bincount(), torch.cat([learn.label, test.label]).bincount()
    assert torch.allclose(counts / 500, torch.full((10,), 0.1), atol=0.01)
    assert torch.allclose(counts / 500, all_counts / 1797, atol=0.002)


def test_digits_are_the_same_for_each_instance_and_seed():
    one, other = Digits(), Digits(batch_size=3)
    one.setup()
    np.random.seed(5)  # noqa: NPY002  scikit-learn would draw from the global generator
    other.setup()
    one.reset(1)
    other.reset(2)
    assert torch.equal(one.images, other.images)
    assert torch.equal(one.test.image, other.test.image)
    assert torch.equal(one.test.label, other.test.label)


def test_digits_values():
    learn, test = Digits().load()
    image = torch.cat([learn.image, test.image])
    assert image.dtype == torch.uint8
    assert (image.min(), image.max()) == (0, 255)

    raw = load_digits()
    expected = sorted(
        (int(label), *(round(v * 255 / 16) for v in pixels)) for pixels, label in zip(raw.data, raw.target, strict=True)
    )
    label = torch.cat([learn.label, test.label])
    assert sorted((int(c), *pixels) for c, pixels in zip(label, image.flatten(1).tolist(), strict=True)) == expected


# ---------------------------------------------------------------- MNIST's format


def planted(n, first_label):
    """Image n has the value 10 + n at (row n, column 2n) alone: a transposed or shifted reading shows."""
    image = np.zeros((n, 28, 28), dtype=np.uint8)
    image[np.arange(n), np.arange(n), 2 * np.arange(n)] = 10 + np.arange(n)
    return image, ((first_label + np.arange(n)) % 10).astype(np.uint8)


@pytest.mark.parametrize("packed", [True, False], ids=["gz", "raw"])
@pytest.mark.parametrize("place", ["", "{name}", "{name}/raw"])
@pytest.mark.parametrize("cls", [MNIST, FashionMNIST], ids=lambda cls: cls.__name__)
def test_idx_files(cls, place, packed, tmp_path, write_idx, no_network):
    arrays = *planted(13, 4), *planted(7, 9)
    write_idx(tmp_path / place.format(name=cls.__name__), *arrays, packed=packed)
    learn, test = cls(root=str(tmp_path)).load()
    for images, image, label in ((learn, *arrays[:2]), (test, *arrays[2:])):
        assert images.image.dtype == torch.uint8
        assert images.label.dtype == torch.int64
        assert images.image.shape == (len(image), 1, 28, 28)
        assert images.label.tolist() == label.tolist()
        for n in range(len(image)):
            assert images.image[n].nonzero().tolist() == [[0, n, 2 * n]]
            assert int(images.image[n, 0, n, 2 * n]) == 10 + n


def test_idx_files_are_what_torchvision_reads(idx_root):
    root = idx_root(n_train=30, n_test=20, folder="FashionMNIST/raw", packed=False)
    learn, test = FashionMNIST(root=str(root)).load()
    for images, train in ((learn, True), (test, False)):
        theirs = torchvision.datasets.FashionMNIST(root, train=train)
        assert torch.equal(images.image[:, 0], theirs.data)
        assert torch.equal(images.label, theirs.targets)


def test_each_dataset_has_its_own_folder(tmp_path, write_idx):
    write_idx(tmp_path / "MNIST" / "raw", *planted(5, 0), *planted(5, 0))
    write_idx(tmp_path / "FashionMNIST" / "raw", *planted(6, 3), *planted(5, 0))
    assert MNIST(root=str(tmp_path)).load()[0].label.tolist() == [0, 1, 2, 3, 4]
    assert FashionMNIST(root=str(tmp_path)).load()[0].label.tolist() == [3, 4, 5, 6, 7, 8]


def of_bytes(change):
    """A change of the unpacked content."""

    def damage(path):
        if path.suffix == ".gz":
            path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()))))
        else:
            path.write_bytes(change(path.read_bytes()))

    return damage


DAMAGE = {
    "cut file": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "file cut in half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty file": lambda path: path.write_bytes(b""),
    "a web page": lambda path: path.write_bytes(b"<html>404 not found</html>"),
    "empty content": of_bytes(lambda data: b""),
    "header alone": of_bytes(lambda data: data[:4]),
    "cut content": of_bytes(lambda data: data[:-1]),
    "too much content": of_bytes(lambda data: data + b"\0"),
    "floats": of_bytes(lambda data: data[:2] + b"\x0d" + data[3:]),
    "wrong magic": of_bytes(lambda data: b"\x01" + data[1:]),
    "wrong ndim": of_bytes(lambda data: data[:3] + bytes([data[3] + 1]) + data[4:]),
    "no dimensions": of_bytes(lambda data: data[:3] + b"\0" + data[4:]),
}


@pytest.mark.parametrize("packed", [True, False], ids=["gz", "raw"])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_idx_file_is_named(damage, packed, tmp_path, write_idx, no_network):
    for number in range(4):
        folder = tmp_path / str(number)
        path = write_idx(folder, *planted(5, 0), *planted(4, 1), packed=packed)[number]
        damage(path)
        with pytest.raises(UserError, match=re.escape(f"'{path}'")):
            MNIST(root=str(folder)).load()


@pytest.mark.parametrize("part", [0, 1], ids=["train", "test"])
def test_other_number_of_labels_than_images_is_named(part, tmp_path, write_idx):
    arrays = [*planted(8, 0), *planted(6, 0)]
    arrays[2 * part + 1] = arrays[2 * part + 1][:-1]
    path = write_idx(tmp_path, *arrays)[2 * part]
    with pytest.raises(UserError, match=re.escape(f"'{path}'")):
        MNIST(root=str(tmp_path)).load()


def test_swapped_image_and_label_files_are_named(tmp_path, write_idx):
    image, label = planted(8, 0)
    path = write_idx(tmp_path, label, image, *planted(6, 0))[0]
    with pytest.raises(UserError, match=re.escape(f"'{path}'")):
        MNIST(root=str(tmp_path)).load()


# ---------------------------------------------------------------- files that are not there


@pytest.mark.parametrize(
    ("cls", "file"),
    [
        (MNIST, "train-images-idx3-ubyte"),
        (FashionMNIST, "t10k-labels-idx1-ubyte"),
        (SVHN, "test_32x32.mat"),
        (CIFAR10, "cifar-10-batches-py"),
        (CIFAR100, "cifar-100-python"),
        (TinyImageNet, "tiny-imagenet-200.zip"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
class TestMissingFiles:
    def test_without_a_network(self, cls, file, tmp_path, no_network):
        root = tmp_path / "data"
        with pytest.raises(UserError) as error:
            cls(root=str(root)).load()
        assert str(root) in str(error.value)
        assert cls.__name__ in str(error.value)
        assert file in str(error.value)
        assert "data.root" in str(error.value)
        assert "\n" not in str(error.value)

    def test_root_is_a_file(self, cls, file, tmp_path, no_network):
        root = tmp_path / "data"
        root.write_text("no folder")
        with pytest.raises(UserError, match=re.escape(str(root))):
            cls(root=str(root)).load()
        assert root.read_text() == "no folder"

    def test_root_cannot_be_made(self, cls, file, tmp_path, no_network):
        (tmp_path / "file").write_text("no folder")
        root = tmp_path / "file" / "data"
        with pytest.raises(UserError, match=re.escape(str(root))):
            cls(root=str(root)).load()


@pytest.mark.parametrize("number", range(4))
def test_one_missing_idx_file(number, tmp_path, write_idx, no_network):
    write_idx(tmp_path, *planted(5, 0), *planted(4, 1))[number].unlink()
    with pytest.raises(UserError, match=re.escape(str(tmp_path))):
        MNIST(root=str(tmp_path)).load()


# ---------------------------------------------------------------- CIFAR-100

COLOURS = {0: "red", 1: "green", 2: "blue"}
CLASS_NAMES = [f"class {c:02}" for c in range(97)] + list(COLOURS.values())


@pytest.fixture
def cifar_root(tmp_path, monkeypatch):
    """Nine training and three test images: red, green, blue, red, ... with labels 97, 98, 99, 97, ...

    A bright pixel stands at row 1, column 30. Rows are stored as in the published files: the 1024 red values, row by
    row, then the green ones, then the blue ones.
    """
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for name, n in (("train", 9), ("test", 3)):
        data = np.zeros((n, 3, 32, 32), dtype=np.uint8)
        for i in range(n):
            data[i, i % 3] = 200
        data[:, :, 1, 30] = 255
        content = {
            "filenames": [f"{i}.png" for i in range(n)],
            "batch_label": f"{name}ing batch 1 of 1",
            "fine_labels": [97 + i % 3 for i in range(n)],
            "coarse_labels": [i % 20 for i in range(n)],
            "data": data.reshape(n, 3072),
        }
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    meta = {"fine_label_names": CLASS_NAMES, "coarse_label_names": [f"coarse {c}" for c in range(20)]}
    (folder / "meta").write_bytes(pickle.dumps(meta, protocol=2))
    # the real check asks for the checksums of the published files
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda path, md5=None: path_exists(path))
    return tmp_path


def path_exists(path):
    try:
        with open(path, "rb"):  # noqa: PTH123  torchvision gives a str
            return True
    except OSError:
        return False


def test_cifar_files(cifar_root, no_network):
    data = CIFAR100(root=str(cifar_root))
    learn, test = data.load()
    for images, n in ((learn, 9), (test, 3)):
        assert images.image.shape == (n, 3, 32, 32)
        assert images.image.dtype == torch.uint8
        assert images.image.is_contiguous()
        assert images.label.dtype == torch.int64
        assert images.label.tolist() == [97 + i % 3 for i in range(n)]
        for i, image in enumerate(images.image):
            expected = torch.zeros(3, 32, 32, dtype=torch.uint8)
            expected[i % 3] = 200
            expected[:, 1, 30] = 255
            assert torch.equal(image, expected)


def test_cifar_class_names_come_with_the_files(cifar_root, no_network):
    data = CIFAR100(root=str(cifar_root))
    assert data.num_classes == 100
    data.setup()
    assert data.class_names == tuple(CLASS_NAMES)
    assert [data.class_names[c] for c in data.test.label] == list(COLOURS.values())
    assert data.num_classes == 100


@pytest.mark.parametrize("file", ["train", "test", "meta"])
def test_missing_cifar_file(file, cifar_root, no_network):
    (cifar_root / "cifar-100-python" / file).unlink()
    with pytest.raises(UserError, match=re.escape(str(cifar_root))):
        CIFAR100(root=str(cifar_root)).load()


def test_damaged_cifar_files_are_not_read(cifar_root, monkeypatch, no_network):
    monkeypatch.undo()  # the real checksums, which made-up files do not have
    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    with pytest.raises(UserError, match=re.escape(str(cifar_root))):
        CIFAR100(root=str(cifar_root)).load()


def unreachable(*args, **kwargs):
    raise OSError("Network is unreachable")


# ---------------------------------------------------------------- SVHN


def test_svhn_rows_columns_and_colours(tmp_path, monkeypatch, no_network):
    monkeypatch.setattr(torchvision.datasets.SVHN, "_check_integrity", lambda self: True)
    image = np.random.default_rng(0).integers(0, 256, (30, 3, 32, 32), dtype=np.uint8)
    label = np.arange(30) % 10
    stored = {"X": image.transpose(2, 3, 1, 0), "y": np.where(label == 0, 10, label)[:, None]}  # X: H, W, C, N
    for part in ("train", "test"):
        scipy.io.savemat(tmp_path / f"{part}_32x32.mat", stored)
    for images in SVHN(root=str(tmp_path)).read():
        assert images.image.is_contiguous()
        assert torch.equal(images.image, torch.from_numpy(image))
        assert images.label.tolist() == label.tolist()
