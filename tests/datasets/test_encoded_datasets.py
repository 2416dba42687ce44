"""Hugging Face's datasets, torch's datasets, COCO and tar archives: the same images and labels as a folder of files."""

import io
import json
import os
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset

from msal_lightning.cli.main import main
from msal_lightning.data.batches.read_only import read_only
from msal_lightning.data.fingerprint import first_change, read_fingerprint
from msal_lightning.datasets import HFDataset, ImageFolder, TarShards, TorchDataset
from msal_lightning.errors import DataError, UserError

# dill, with which the library hashes its functions, warns about a class of pyarrow
pytestmark = pytest.mark.filterwarnings("ignore:Cannot locate reference", "ignore:Cannot pickle")
NAMES = ["bee", "ant"]  # not in alphabetical order


def picture(k):
    """Odd sizes, so that decoding has something to cut."""
    return Image.fromarray(np.random.default_rng(k).integers(0, 256, (14 + k % 3, 12, 3), dtype=np.uint8))


def png(k):
    file = io.BytesIO()
    picture(k).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def folder(tmp_path):
    """Ten training images and four test images as files: what every source must give."""
    for part, numbers in (("train", range(10)), ("test", range(10, 14))):
        for k in numbers:
            file = tmp_path / part / NAMES[k % 2] / f"{k:02}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(png(k))
    return tmp_path


def by_content(data):
    """Name of the class of each image, by its pixels, of both parts."""
    data.setup()
    found = []
    for images, label in ((data.images, data.hidden_labels.all()), (data.test.image, data.test.label)):
        pixels = [images[torch.tensor([k])][0] for k in range(images.shape[0])]
        names = [data.class_names[c] if c >= 0 else None for c in label.tolist()]
        found.append({one.numpy().tobytes(): name for one, name in zip(pixels, names, strict=True)})
    return found


@pytest.fixture
def expected(folder):
    return by_content(ImageFolder(str(folder / "train"), test_root=str(folder / "test"), size=12))


def write_shard(file, numbers, label, mode="w"):
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, mode) as archive:
        for k in numbers:
            name, content = label(k)
            for member, data in ((f"part/{k:03}.png", png(k)), (f"part/{k:03}.{name}", content), (f"{k}.md", b"")):
                info = tarfile.TarInfo(member)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))


LABELS = {
    "cls": lambda k: ("cls", f"{k % 2}\n".encode()),
    "txt": lambda k: ("txt", NAMES[k % 2].encode()),
    "json": lambda k: ("json", json.dumps({"label": NAMES[k % 2], "width": 3}).encode()),
}


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("kind", LABELS)
def test_tar_shards(tmp_path, expected, kind, in_memory):
    write_shard(tmp_path / "a/train-0.tar", range(6), LABELS[kind])
    write_shard(tmp_path / "a/train-1.tar", range(6, 10), LABELS[kind])
    write_shard(tmp_path / "b/test-0.tar", range(10, 14), LABELS[kind])
    options = {"classes": NAMES} if kind == "cls" else {}
    data = TarShards(str(tmp_path / "a"), str(tmp_path / "b"), size=12, in_memory=in_memory, num_workers=0, **options)
    assert by_content(data) == expected
    assert [name for name, _ in data.row_files("train")] == ["train-0.tar", "train-1.tar"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the library leaves the archive open
def test_tar_shards_are_what_webdataset_reads(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    write_shard(tmp_path / "a.tar", range(6), LABELS["cls"])
    data = TarShards(str(tmp_path / "a.tar"), size=12, test_fraction=0.4)
    mine = {**by_content(data)[0], **by_content(data)[1]}
    samples = [one for one in webdataset.WebDataset(str(tmp_path / "a.tar"), shardshuffle=False) if "png" in one]
    labels = sorted(one["cls"].decode().strip() for one in samples)
    assert sorted(mine.values()) == labels


def test_tar_shards_of_a_held_out_part_run_and_resume(tmp_path, capsys):
    write_shard(tmp_path / "a/0.tar", range(40), LABELS["txt"])
    run = ["fit", "--config", "image_folder", "--data", "TarShards", "--data.root", str(tmp_path / "a"), "--data.size"]
    run += ["8", "--run_dir", str(tmp_path / "run"), "--model.backbone", "SmallCNN", "--trainer.max_epochs", "1"]
    run += ["--loop.initial_size", "10", "--loop.query_size", "5", "--loop.query_budget", "5"]
    assert main(run) == 0
    assert "TarShards, query" in capsys.readouterr().out
    write_shard(tmp_path / "a/0.tar", range(2, 42), LABELS["txt"])
    os.utime(tmp_path / "a/0.tar", (1, 1))
    data = TarShards(str(tmp_path / "a"), size=8)
    data.setup()
    assert first_change(read_fingerprint(tmp_path / "run/images.jsonl.gz"), data) == "'0.tar' has other content"


def test_wrong_archives(tmp_path):
    (tmp_path / "empty").mkdir()
    write_shard(tmp_path / "packed/a.tar.gz", range(2), LABELS["cls"], "w:gz")
    write_shard(tmp_path / "text/a.tar", range(2), lambda k: ("txt", b"\xff"))
    write_shard(tmp_path / "number/a.tar", range(4), lambda k: ("cls", b"7" if k == 3 else b"0"))
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut/a.tar").write_bytes((tmp_path / "text/a.tar").read_bytes()[:700])
    for name, message in (
        ("empty", r"expected data\.root .* to be a folder of tar archives, found none: set data\.root to their folder"),
        ("packed", "unpack them with gunzip"),
        ("text", "expected a label in the member 'part/000.txt'"),
        ("cut", "cannot read the archive|expected images in the archive"),
    ):
        with pytest.raises(DataError, match=message):
            TarShards(str(tmp_path / name), size=8).setup()
    with pytest.raises(DataError, match=r"to be among data\.classes, got '7'"):
        TarShards(str(tmp_path / "number"), size=8, classes=NAMES).setup()


class Mine(Dataset):
    """Items in several forms of the same image."""

    def __init__(self, first=0, last=10, form="pil", names=False):
        self.numbers, self.form, self.names = range(first, last), form, names

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, row):
        k = self.numbers[row]
        image, pixels = picture(k), torch.from_numpy(np.array(picture(k)))
        forms = {"pil": image, "array": pixels.numpy(), "tensor": pixels.permute(2, 0, 1)}
        forms["float"] = forms["tensor"].float() / 255
        forms["normalized"] = forms["float"] - 0.5
        return forms[self.form], NAMES[k % 2] if self.names else torch.tensor(k % 2)


class WithTargets(Mine):
    """As torchvision's."""

    classes = NAMES

    @property
    def targets(self):
        return [k % 2 for k in self.numbers]


@pytest.mark.parametrize("form", ["pil", "array", "tensor", "float"])
def test_items_of_torch_in_any_form(expected, form):
    data = TorchDataset(Mine(form=form), Mine(10, 14, form=form), classes=NAMES, size=12)
    assert by_content(data) == expected


def test_names_and_targets_of_torch(expected):
    assert by_content(TorchDataset(Mine(names=True), Mine(10, 14, names=True), size=12)) == expected
    assert by_content(TorchDataset(WithTargets(), WithTargets(10, 14), size=12, in_memory=False)) == expected
    held_out = TorchDataset(WithTargets(), size=12, test_fraction=0.4)
    train, test = by_content(held_out)
    assert (len(train), len(test)) == (6, 4)
    assert {**train, **test} == expected[0]


def test_a_dataset_of_torchvision_by_its_class_path(tmp_path, capsys):
    args = ["datasets", "prepare", "TorchDataset", "--data.train", "torchvision.datasets.FakeData"]
    args += ["--data.train.size", "20", "--data.train.image_size", "[3,16,16]", "--data.train.num_classes", "2"]
    assert main([*args, "--data.size", "16"]) == 0
    out = capsys.readouterr().out
    assert "train        16 images 3×16×16, 2 classes of" in out


class Stream(IterableDataset):
    def __iter__(self):
        yield from ()


def test_wrong_items_of_torch():
    class Pairless(Mine):
        def __getitem__(self, row):
            return super().__getitem__(row)[0]

    for wrong, message in (
        (lambda: TorchDataset(Stream(), size=12), "expected data.train to have a length and items, got Stream"),
        (lambda: TorchDataset(Pairless(form="tensor"), size=12).setup(), "to be an image and a label, got Tensor at 0"),
        (lambda: TorchDataset(Mine(form="normalized"), size=12).setup(), "leave the normalization out"),
        (lambda: TorchDataset(Mine(), classes=["bee"], size=12).setup(), "expected labels from 0 to 0, or -1, got 1"),
    ):
        with pytest.raises(UserError, match=message):
            wrong()


@pytest.fixture
def library():
    pytest.importorskip("pyarrow")
    found = pytest.importorskip("datasets")
    if not hasattr(found, "load_from_disk"):
        pytest.skip("no library datasets")
    return found


def test_hugging_face_on_disk_and_by_name(library, folder, expected, tmp_path, capsys):
    features = library.Features({"image": library.Image(), "label": library.ClassLabel(names=NAMES)})
    parts = {
        name: library.Dataset.from_dict(
            {"image": [picture(k) for k in numbers], "label": [k % 2 for k in numbers]}, features=features
        )
        for name, numbers in (("train", range(10)), ("test", range(10, 14)))
    }
    library.DatasetDict(parts).save_to_disk(tmp_path / "saved")
    for in_memory in (True, False):
        assert by_content(HFDataset(str(tmp_path / "saved"), size=12, in_memory=in_memory)) == expected
    library.DatasetDict({"train": parts["train"]}).save_to_disk(tmp_path / "one")
    train, test = by_content(HFDataset(str(tmp_path / "one"), size=12))
    assert (len(train), len(test)) == (8, 2)
    for name, part in parts.items():
        part.to_parquet(tmp_path / "parquet" / f"{name}.parquet")
    by_name = HFDataset(str(tmp_path / "cache"), name=str(tmp_path / "parquet"), size=12)
    assert by_content(by_name) == expected
    with read_only(), pytest.raises(DataError, match="of another user's run may be kept"):
        HFDataset(str(tmp_path / "cache"), name=str(tmp_path / "parquet")).setup()
    with pytest.raises(DataError, match="to be a folder that save_to_disk wrote"):
        HFDataset(str(tmp_path), size=12).setup()
    with pytest.raises(DataError, match=r"cannot read data\.name"):
        HFDataset(str(tmp_path / "cache"), name=str(tmp_path / "nowhere")).setup()


def test_coco_json_is_a_list_of_images(folder, expected):
    images, annotations = [], []
    for k in range(14):
        part = "train" if k < 10 else "test"
        images.append({"id": 100 + k, "file_name": f"{part}/{NAMES[k % 2]}/{k:02}.png", "split": part})
        annotations.append({"id": k, "image_id": 100 + k, "category_id": 7 + k % 2})
    categories = [{"id": 7 + c, "name": name} for c, name in enumerate(NAMES)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "labels.json").write_text(json.dumps(content))
    assert by_content(ImageFolder(str(folder), labels=str(folder / "labels.json"), size=12)) == expected
