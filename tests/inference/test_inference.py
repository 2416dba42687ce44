"""The model in use, against plain Pillow, numpy and the weights in the checkpoint; and against the run's own test."""

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

import msal_lightning
from msal_lightning import MSALClassifier
from msal_lightning.cli.main import main
from msal_lightning.errors import UserError
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.runs.records import read_records

CLASSES = ("=dog's", "kö t", 'o"wl')  # in the order of their numbers
MODES = ("RGB", "L", "RGBA", "P", "I;16", "LA")
TINY = [
    "--data.augmentation", "null", "--trainer.max_epochs", "5", "--trainer.accelerator", "cpu",
    "--trainer.precision", "32-true", "--loop.initial_size", "30", "--loop.query_size", "10",
]  # fmt: skip


def draw(root, count, draws):
    """Pictures of several kinds, each class with a colour of its own, in folders and files with odd names."""
    for k in range(count):
        c, mode = k % 3, MODES[k // 3 % 6]
        height, width = draws.integers(18, 30, 2)
        pixels = draws.integers(0, 60, (height, width, 3), dtype=np.uint8)
        pixels[:, :, c] += 100 + 50 * c
        picture = Image.fromarray(pixels)
        if mode in ("RGBA", "LA"):
            picture.putalpha(Image.fromarray(draws.integers(0, 256, (height, width), dtype=np.uint8)))
        if mode == "I;16":
            deep = pixels.mean(2).astype(np.uint16) * 257
            deep[0, 0] = 65535  # so that the values fill the range of the type
            picture = Image.fromarray(deep)
        elif mode == "P":
            picture = picture.quantize(16)
        else:
            picture = picture.convert(mode)
        folder = root / CLASSES[c]
        folder.mkdir(parents=True, exist_ok=True)
        picture.save(folder / f"{k:02d} ä '{mode.replace(';', '')}'.png")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("my photos")
    draws = np.random.default_rng(0)
    draw(root / "train", 54, draws)
    draw(root / "test", 36, draws)
    return root


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    """A run over the folder train, tested on the folder test."""
    folder = tmp_path_factory.mktemp("runs") / "odd run"
    words = ["--config", "image_folder", "--data.root", str(photos / "train"), "--data.test_root", str(photos / "test")]
    words += ["--data.size", "16", "--model.backbone", "SmallCNN", "--model.backbone.width", "4", *TINY]
    assert main(["fit", *words, "--loop.query_budget", "10", "--run_dir", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    """A run on features, and their folder."""
    root = tmp_path_factory.mktemp("features")
    draws = np.random.default_rng(1)
    label = np.arange(120) % 3
    np.save(root / "features.npy", (draws.normal(size=(120, 6)) + 5 * np.eye(3, 6)[label]).astype(np.float16))
    (root / "labels.csv").write_text("path,label\n" + "".join(f"{k}.jpg,{'abc'[c]}\n" for k, c in enumerate(label)))
    words = ["--config", "embeddings", "--data.root", str(root), *TINY[2:], "--loop.query_budget", "0"]
    assert main(["fit", *words, "--run_dir", str(root / "run")]) == 0
    return root


def predict(run, images, out, *options):
    images = images if isinstance(images, list) else [images]
    words = ["predict", str(run), *map(str, images), "--out", str(out), "--device", "cpu", "--batch_size", "5"]
    return main([*words, *options])


def rows(file):
    with file.open(newline="", encoding="utf-8") as content:
        return list(csv.DictReader(content))


def by_hand(file):
    """An image as the network gets it, (3, 16, 16) uint8: on white, 16 bits cut to 8, the center."""
    with Image.open(file) as picture:
        if picture.mode == "I;16":
            picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
        layer = picture.convert("RGBA")
    white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
    square = ImageOps.fit(Image.alpha_composite(white, layer).convert("RGB"), (16, 16), Image.Resampling.BILINEAR)
    return np.asarray(square).transpose(2, 0, 1)


@pytest.fixture(scope="module")
def expected(run, photos):
    """Probabilities and embeddings of the test images by path, from weights and files alone."""
    weights = torch.load(run / "checkpoints" / "round-001.ckpt", weights_only=True)["state_dict"]
    model = MSALClassifier(3, 3, lambda channels: SmallCNN(channels, width=4)).eval()
    model.load_state_dict(weights)
    files = sorted((photos / "test").rglob("*.png"))
    pixels = np.stack([by_hand(file) for file in files]) / 255
    mean, std = (np.reshape(values, (3, 1, 1)) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.inference_mode():
        images = torch.from_numpy((pixels - mean) / std).float()
        return files, model(images).softmax(1).numpy(), model.embed(images).numpy()


def test_predictions_of_a_folder_are_those_of_the_run(run, photos, expected, tmp_path, capsys):
    out = tmp_path / "out.csv"
    assert predict(run, photos / "test", out, "--probabilities", "--embeddings") == 0
    said = capsys.readouterr().out
    assert "model of round 1 of" in said
    assert "36 predictions in" in said
    files, probabilities, embeddings = expected
    found = rows(out)
    assert [(photos / "test" / row["path"]).resolve() for row in found] == files
    columns = np.array([[float(row[f"p_{name}"]) for name in CLASSES] for row in found])
    np.testing.assert_allclose(columns, probabilities, atol=2e-6)
    best = probabilities.argmax(1)
    assert [row["class"].removeprefix("'") for row in found] == [CLASSES[c] for c in best]  # a guard before "="
    np.testing.assert_allclose([float(row["probability"]) for row in found], probabilities.max(1), atol=2e-6)
    np.testing.assert_allclose(np.load(out.with_suffix(".npy")), embeddings, atol=1e-5)
    true = np.array([CLASSES.index(file.parent.name) for file in files])
    results = read_records(run)[1].test_classes
    assert results.correct == [int(((best == c) & (true == c)).sum()) for c in range(3)]
    assert [file.name for file in tmp_path.iterdir() if "unfinished" in file.name] == []


@pytest.fixture
def some(photos, tmp_path):
    """A folder of twelve pictures, two of them damaged, and a CSV file with one more that is missing."""
    folder = tmp_path / "some"
    folder.mkdir()
    for file in sorted((photos / "test").rglob("*.png"))[:12]:
        shutil.copyfile(file, folder / file.name)
    names = sorted(file.name for file in folder.iterdir())
    for name in (names[3], names[11]):
        (folder / name).write_bytes(b"no picture")
    lines = "".join(f'"{name}",x\n' for name in [*names, "gone.png"])
    (tmp_path / "list.csv").write_text(f"path,note\n{lines}", encoding="utf-8")
    return folder, names


def test_images_that_cannot_be_read_are_listed_and_left_out(run, some, tmp_path, capsys):
    folder, names = some
    out = tmp_path / "out.csv"
    assert predict(run, tmp_path / "list.csv", out, "--root", str(folder), "--embeddings") == 0
    assert "3 images cannot be read and left out" in capsys.readouterr().out
    assert [row["path"] for row in rows(out)] == [name for k, name in enumerate(names) if k not in (3, 11)]
    reasons = {row["path"]: row["reason"] for row in rows(tmp_path / "out.skipped.csv")}
    assert [*reasons] == [names[3], names[11], "gone.png"]
    assert reasons["gone.png"] == "there is no such file"
    assert len(np.load(tmp_path / "out.npy")) == 10


def test_every_way_to_name_images(run, some, tmp_path, monkeypatch):
    folder, names = some
    fine = [name for k, name in enumerate(names) if k not in (3, 11)]
    assert predict(run, folder, tmp_path / "a.csv") == 0
    monkeypatch.chdir(folder)
    assert predict(run, "*.png", tmp_path / "b.csv") == 0
    assert predict(run, names, tmp_path / "c.csv") == 0
    assert (tmp_path / "a.csv").read_text().replace("./", "") == (tmp_path / "b.csv").read_text().replace("./", "")
    assert (tmp_path / "b.csv").read_bytes() == (tmp_path / "c.csv").read_bytes()
    assert [row["path"] for row in rows(tmp_path / "c.csv")] == fine
    assert predict(run, fine[0], tmp_path / "d.csv") == 0
    assert len(rows(tmp_path / "d.csv")) == 1


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name.startswith("out")}


def test_an_interrupted_command_resumes_with_the_same_bytes(run, some, tmp_path, monkeypatch, capsys):
    folder, _ = some
    options = ("--probabilities", "--embeddings")
    (tmp_path / "whole").mkdir()
    assert predict(run, folder, tmp_path / "whole" / "out.csv", *options) == 0
    (tmp_path / "part").mkdir()
    calls = []

    def check(self):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("msal_lightning.training.signals.GracefulShutdown.check", check)
        assert predict(run, folder, tmp_path / "part" / "out.csv", *options) == 130
    assert [file.name for file in (tmp_path / "part").iterdir()] == ["out.csv.unfinished"]
    capsys.readouterr()
    assert predict(run, folder, tmp_path / "part" / "out.csv", *options, "--batch_size", "4") == 2
    assert "expected the batch_size with which" in capsys.readouterr().err
    assert predict(run, folder, tmp_path / "part" / "out.csv", *options) == 0
    assert contents(tmp_path / "part") == contents(tmp_path / "whole")
    assert predict(run, folder, tmp_path / "part" / "out.csv", *options) == 2
    assert "exists already: delete it" in capsys.readouterr().err


COMMAND = """
import sys
from msal_lightning.cli.main import main
from msal_lightning.embed import sharded_rows
sharded_rows._SECONDS = 0  # every batch is saved
sys.exit(main(sys.argv[1:]))
"""
POINTS = [
    "embed batch#1", "embed batch#3", "replaced msal_lightning.json", "replace plan.json", "replaced 0-0.npz",
    "replace features-000.npy", "replaced features-000.npy", "replaced 0.json", "write out.npy", "replaced out.npy",
    "replaced out.skipped.csv", "write out.csv", "replace out.csv", "replaced out.csv", "predictions written",
]  # fmt: skip


@pytest.mark.faults
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_instant_changes_no_byte(commands, run, some, tmp_path, point):
    folder, _ = some
    (tmp_path / "whole").mkdir()
    options = ("--probabilities", "--embeddings")
    assert predict(run, folder, tmp_path / "whole" / "out.csv", *options) == 0
    (tmp_path / "part").mkdir()
    (tmp_path / "command.py").write_text(COMMAND)
    words = ["command.py", "predict", str(run), str(folder), "--out", "part/out.csv", "--device", "cpu"]
    words += ["--batch_size", "5", *options]
    killed = commands.run(*words, cwd=tmp_path, MSAL_LIGHTNING_KILL_AT=point)
    assert killed.returncode == -signal.SIGKILL, killed
    again = commands.run(*words, cwd=tmp_path)
    assert again.returncode == 0, again
    assert contents(tmp_path / "part") == contents(tmp_path / "whole")


MISTAKES = {
    "no run": ("nowhere {photos} --out a.csv", "expected RUN to be a run directory or the model of a round, found no"),
    "no images": ("{run} nothing*.png --out a.csv", "expected images at 'nothing*.png', found none: name one folder"),
    "an empty folder": ("{run} {empty} --out a.csv", "expected images below '.*', found none: name one folder"),
    "two folders": ("{run} {photos} {empty} --out a.csv", "to be an image file, got a folder: name one folder"),
    "features": ("{run} {features} --out a.csv", "it has features, which only a run on features takes"),
    "images": ("{features}/run {photos} --out a.csv", "expected a folder of features, because .* with `embed` and the"),
    "no CSV file": ("{run} {photos} --out a.txt", "--out to be a file that ends in .csv, got 'a.txt'"),
    "no device": ("{run} {photos} --out a.csv --device cuda:99", r"--device to be a device of this machine \(.*cpu"),
    "a root without a CSV file": ("{run} {photos} --out a.csv --root .", "--root with a CSV file only"),
    "no batch": ("{run} {photos} --out a.csv --batch_size 0", "--batch_size.* whole number of at least 1, got '0'"),
    "no format": ("export {run} --format pickle", "--format to be torch-export or onnx or state-dict, got 'pickle'"),
    "nothing readable": ("{run} {broken} --out a.csv", "expected images that can be read, got none of 1"),
}  # fmt: skip


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_mistake_is_one_sentence(run, photos, features, tmp_path, monkeypatch, capsys, kind):
    words, sentence = MISTAKES[kind]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.jpg").write_bytes(b"")
    places = {"run": run, "photos": photos / "test", "features": features, "empty": "empty", "broken": "broken"}
    argv = [word.format(**places) for word in words.split()]
    assert main(argv if argv[0] == "export" else ["predict", *argv]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(sentence.replace("*.png'", r"\*.png'"), error), error
    assert not (tmp_path / "a.csv").exists()


# ---------------------------------------------------------------- load


def test_load_takes_files_pictures_arrays_and_tensors(run, expected):
    files, probabilities, embeddings = expected
    classify = msal_lightning.load(run, device="cpu")
    assert classify.class_names == CLASSES
    found = classify(files, batch_size=7)
    np.testing.assert_allclose(found.probabilities, probabilities, atol=1e-5)
    np.testing.assert_allclose(found.embeddings, embeddings, atol=1e-5)
    assert found.classes == [CLASSES[c] for c in probabilities.argmax(1)]
    for kind in range(6):  # one picture of each kind, as Pillow opened it
        with Image.open(files[kind]) as picture:
            assert torch.equal(classify([files[kind], picture]).probabilities.diff(dim=0), torch.zeros(1, 3)), picture
    plain = [file for file in files if "RGB'" in file.name]
    arrays = [np.array(Image.open(file)) for file in plain]
    tensors = [torch.from_numpy(array).permute(2, 0, 1) for array in arrays]
    for given in (arrays, tensors, [arrays[0], tensors[1], *plain[2:]]):
        assert torch.equal(classify(given).probabilities, classify(plain).probabilities)
    decoded = torch.from_numpy(np.stack([by_hand(file) for file in files]))
    assert torch.equal(classify(decoded, batch_size=7).probabilities, found.probabilities)
    assert torch.equal(classify(decoded.permute(0, 2, 3, 1).numpy(), batch_size=7).probabilities, found.probabilities)
    assert classify(str(files[0])).classes == found.classes[:1]
    assert classify([]).probabilities.shape == (0, 3)


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        ("nowhere.png", "cannot read the image 'nowhere.png'"),
        (np.zeros((4, 4, 3)), "expected a uint8 array .H, W, C. of 3 channels, got float64"),
        (torch.zeros(7, 4, 4, dtype=torch.uint8), r"expected 1, 3 or 4 channels, got torch.uint8 \(7, 4, 4\)"),
    ],
)
def test_load_refuses_what_is_no_image(run, images, sentence):
    with pytest.raises(UserError, match=sentence):
        msal_lightning.load(run, device="cpu")(images)


# ---------------------------------------------------------------- features


def test_a_run_on_features(features, tmp_path, capsys):
    """Against the state dict: standardized features through one linear layer and the prototypes."""
    run = features / "run"
    assert predict(run, features, tmp_path / "out.csv", "--probabilities") == 0
    file = next((run / "checkpoints").glob("round-*.ckpt"))
    weights = torch.load(file, weights_only=True)["state_dict"]
    values = torch.from_numpy(np.load(features / "features.npy")).float()
    resolved = read_records(run)[0].resolved
    scaled = (values - torch.tensor(resolved["mean"])) / torch.tensor(resolved["std"])
    below = scaled @ weights["head.0.weight"].T + weights["head.0.bias"]
    wanted = (below @ msal_lightning.simplex_prototypes(3).float()).softmax(1)
    found = rows(tmp_path / "out.csv")
    assert [row["path"] for row in found] == [f"{k}.jpg" for k in range(120)]
    np.testing.assert_allclose([[float(row[f"p_{c}"]) for c in "abc"] for row in found], wanted, atol=1e-5)
    classify = msal_lightning.load(run, device="cpu")
    for given in (values, np.load(features / "features.npy", mmap_mode="r"), [*values.numpy()]):
        np.testing.assert_allclose(classify(given).probabilities, wanted, atol=1e-5)
    assert classify(values[0]).classes == [found[0]["class"]]
    assert classify(features).classes == [row["class"] for row in found]
    with pytest.raises(UserError, match=r"expected features \(N, 6\) of a float type, got torch.float32 \(2, 5\)"):
        classify(torch.zeros(2, 5))
    new = tmp_path / "new"
    new.mkdir()
    np.save(new / "features.npy", np.vstack([values.numpy()[:3], np.full((1, 6), np.nan, np.float32)]))
    assert predict(run, new, tmp_path / "new.csv") == 0
    assert [row["row"] for row in rows(tmp_path / "new.csv")] == ["0", "1", "2"]
    assert rows(tmp_path / "new.skipped.csv") == [{"row": "3", "reason": "the features have NaN or infinity"}]
    np.save(new / "features.npy", np.zeros((2, 5), np.float32))
    capsys.readouterr()
    assert predict(run, new, tmp_path / "other.csv") == 2
    assert "expected 6 features in each row of" in capsys.readouterr().err


# ---------------------------------------------------------------- export


def hundred():
    return torch.from_numpy(np.random.default_rng(5).integers(0, 256, (100, 3, 16, 16), dtype=np.uint8))


def check_outputs(run, compute):
    """Outputs of a file agree with the run's model on 100 images, and on one."""
    wanted = msal_lightning.load(run, device="cpu")(hundred())
    for count in (100, 1):
        probabilities, embeddings = compute(hundred()[:count])
        np.testing.assert_allclose(probabilities, wanted.probabilities[:count], atol=1e-4)
        np.testing.assert_allclose(embeddings, wanted.embeddings[:count], atol=1e-4)


def test_torch_export_computes_the_same_and_its_card_tells_how(run, tmp_path):
    assert main(["export", str(run), "--format", "torch-export", "--out", str(tmp_path / "out")]) == 0
    check_outputs(run, torch.export.load(tmp_path / "out" / "model.pt2").module())
    card = json.loads((tmp_path / "out" / "card-torch-export.json").read_text(encoding="utf-8"))
    record = read_records(run)[1]
    assert card["classes"] == [*CLASSES]
    assert card["input"] == {
        "name": "images", "dtype": "uint8", "shape": ["batch", 3, 16, 16], "scaled_inside": True,
        "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
    }  # fmt: skip
    assert card["preprocessing"]["value_range"] == {"uint16": [0, 65535]}
    assert [row["recall"] for row in card["test"]["classes"]] == [record.test_classes.recall(c) for c in range(3)]
    assert card["test"]["metrics"]["accuracy"] == record.metrics["accuracy"]
    page = (tmp_path / "out" / "card-torch-export.md").read_text(encoding="utf-8")
    assert re.search(r"\| 1 \| kö t \| \d+ \| 12 \|", page)
    assert "16×16 pixels: scale the shorter side, and cut out the center" in page
    assert str(tmp_path) not in page


def test_a_state_dict_opens_without_arguments(run):
    assert main(["export", str(run), "--format", "state-dict"]) == 0
    file = run / "export" / "model.ckpt"
    content = torch.load(file, weights_only=True)
    model = MSALClassifier.load_from_checkpoint(file).eval()
    mean, std = (torch.tensor(content[key]).view(-1, 1, 1) for key in ("mean", "std"))

    def compute(images):
        scaled = (images / 255 - mean) / std
        with torch.inference_mode():
            return model(scaled).softmax(1), model.embed(scaled)

    check_outputs(run, compute)
    assert content["class_names"] == [*CLASSES]
    last = MSALClassifier.load_from_checkpoint(run / "checkpoints" / "round-001.ckpt")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), last.parameters(), strict=True))


@pytest.mark.slow
def test_onnx_computes_the_same(run, tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    assert main(["export", str(run), "--format", "onnx", "--out", str(tmp_path)]) == 0
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    check_outputs(run, lambda images: session.run(None, {"images": images.numpy()}))


def test_a_missing_extra_is_one_sentence(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("msal_lightning.inference.formats.find_spec", lambda name: None)
    assert main(["export", str(run), "--format", "onnx", "--out", str(tmp_path)]) == 2
    assert "python -m pip install 'msal_lightning[onnx]'" in capsys.readouterr().err


def test_the_help_of_both_commands_imports_no_torch():
    code = """
import sys
from msal_lightning.cli.main import main
for command in ("predict", "export"):
    try:
        main([command, "--help"])
    except SystemExit:
        pass
sys.exit("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "IMAGES is a folder" in done.stdout


def test_folders_of_others_are_left_alone(run, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["export", str(run), "--format", "state-dict", "--out", str(tmp_path)]) == 2
    assert "has files that are not from a export of this program" in capsys.readouterr().err
    assert [file.name for file in Path(tmp_path).iterdir()] == ["notes.txt"]
