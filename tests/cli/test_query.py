"""``query``: what it chooses is what the loop chooses; the oracle is a longer run's own query."""

import csv
import shutil
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from msal_lightning.cli.main import main
from msal_lightning.data.fingerprint import FILE
from msal_lightning.runs.records import read_records

SIZES = ["--loop.initial_size", "20", "--loop.query_size", "10"]
TINY = [
    "--data.size", "16", "--data.augmentation", "null", "--model.backbone", "SmallCNN", "--model.backbone.width", "4",
    "--trainer.max_epochs", "2", "--trainer.accelerator", "cpu", "--trainer.precision", "32-true",
]  # fmt: skip


def draw(folder, count, names, draws):
    """Images with a bright block, a place of its own for each class."""
    for i in range(count):
        c = i % len(names)
        pixels = draws.integers(0, 120, (16, 16), dtype=np.uint8)
        pixels[4 * c : 4 * c + 4, :8] += 100
        (folder / names[c]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / names[c] / f"{i:03d}.png")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    draws = np.random.default_rng(0)
    draw(root / "train", 90, ("cat", "dog", "owl"), draws)
    draw(root / "test", 15, ("cat", "dog", "owl"), draws)
    return root


@pytest.fixture(scope="module")
def fit(photos, tmp_path_factory):
    """``fit(budget, *options)``: the run directory of a loop over the folder train."""
    done = {}

    def run(budget, *options):
        if (budget, options) not in done:
            folder = tmp_path_factory.mktemp("runs") / "run"
            words = ["--config", "image_folder", "--data.root", str(photos / "train")]
            words += ["--data.test_root", str(photos / "test"), *SIZES, "--loop.query_budget", str(budget), *TINY]
            assert main(["fit", *words, "--run_dir", str(folder), *options]) == 0
            done[budget, options] = folder
        return done[budget, options]

    return run


def ask(run, images, out, *options):
    words = ["--checkpoint", str(run), "--images", str(images), "--out", str(out), "--trainer.accelerator", "cpu"]
    return main(["query", *words, "--trainer.precision", "32-true", "--n", *(options or ["10"])])


def rows(folder):
    with (folder / "query.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--query", "Entropy", "--query.mc_samples", "3"),
        ("--query", "ALFAMix"),
        ("--query", "Random"),
        pytest.param(("--query", "Entropy"), marks=pytest.mark.slow),
        pytest.param(("--model.head", "linear", "--query", "BADGE"), marks=pytest.mark.slow),
    ],
    ids=lambda options: " ".join(options) or "MSALD",
)
def test_it_chooses_what_the_loop_would_buy_next(fit, photos, tmp_path, options):
    shorter, longer = fit(10, *options), fit(20, *options)
    assert ask(shorter, photos / "train", tmp_path / "out") == 0
    queried = read_records(longer)[1].queried  # the query that the shorter run did not make any more
    found = rows(tmp_path / "out")
    assert [row["path"] for row in found] == queried.path
    assert [float(row["score"]) for row in found if row["score"]] == (queried.score or [])
    assert [row["rank"] for row in found] == [str(rank) for rank in range(10)]
    assert {row["suggested"] for row in found} <= {"cat", "dog", "owl"}
    assert {row["label"] for row in found} == {""}


def test_another_strategy_than_the_run_s_with_options(fit, photos, tmp_path):
    run = fit(10)
    assert ask(run / "checkpoints" / "round-001.ckpt", photos / "train", tmp_path / "a", "10", "--query", "Margin") == 0
    assert ask(run, photos / "train", tmp_path / "b", "10", "--query.beta", "1") == 0
    # a shortlist as long as the query: the same images in another order
    assert {row["path"] for row in rows(tmp_path / "a")} == {row["path"] for row in rows(tmp_path / "b")}


def test_suggestions_are_what_the_model_predicts(fit, photos, tmp_path):
    """Against the weights in the checkpoint, by plain torch on the files."""
    run = fit(10)
    assert ask(run, photos / "test", tmp_path / "out", "15") == 0
    weights = torch.load(run / "checkpoints" / "round-001.ckpt", weights_only=True)["state_dict"]
    from msal_lightning import MSALClassifier
    from msal_lightning.models.backbones import SmallCNN

    model = MSALClassifier(3, 3, lambda channels: SmallCNN(channels, width=4)).eval()
    model.load_state_dict(weights)
    for row in rows(tmp_path / "out"):
        pixels = np.asarray(Image.open(photos / "test" / row["path"]).convert("RGB"), dtype=np.float32) / 255
        image = torch.tensor((pixels - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)).permute(2, 0, 1).float()
        assert row["suggested"] == ("cat", "dog", "owl")[int(model(image[None]).argmax())]


def test_images_that_have_labels_are_left_out(fit, photos, tmp_path, capsys):
    run = fit(10)
    assert ask(run, photos, tmp_path / "out", "200") == 0
    said = capsys.readouterr().out
    assert "left out 30 images that" in said
    assert "--n is 200, and there are 75 images" in said
    records = read_records(run)
    labeled = {f"train/{path}" for part in (records[0].initial, records[0].queried) for path in part.path}
    assert len(labeled) == 30
    paths = {row["path"] for row in rows(tmp_path / "out")}
    everything = {str(file.relative_to(photos)) for file in photos.rglob("*.png")}
    assert paths == everything - labeled
    page = (tmp_path / "out" / "query.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 75


@pytest.mark.parametrize("root", ["photos", "another folder with the same names"])
def test_images_that_have_labels_are_known_where_the_root_leads_elsewhere(
    fit, photos, tmp_path, capsys, monkeypatch, root
):
    """A relative root, and the command in another folder; the images were copied and renamed."""
    run = tmp_path / "run"
    shutil.copytree(fit(10), run)
    config = run / "config.yaml"
    config.write_text(config.read_text().replace(str(photos / "train"), "photos"))
    for k, file in enumerate(sorted((photos / "train").rglob("*.png"))):
        (tmp_path / "copies").mkdir(exist_ok=True)
        shutil.copyfile(file, tmp_path / "copies" / f"{k}.png")
    if root != "photos":
        draw(tmp_path / "photos", 90, ("cat", "dog", "owl"), np.random.default_rng(7))
    monkeypatch.chdir(tmp_path)
    assert ask("run", "copies", tmp_path / "out", "200") == 0
    assert "left out 30 images that" in capsys.readouterr().out
    assert len(rows(tmp_path / "out")) == 60
    # a run of a version that kept no list of its images
    (run / FILE).unlink()
    for file in sorted((photos / "train").rglob("*.png")):
        (tmp_path / "same names" / file.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, tmp_path / "same names" / file.parent.name / file.name)
    shutil.rmtree(tmp_path / "photos", ignore_errors=True)
    assert ask("run", "same names", tmp_path / "out2", "200") == 2
    error = capsys.readouterr().err
    assert "cannot tell which images in --images 'same names' the run 'run' has labels of" in error
    assert "set --data.root to their folder" in error
    assert ask("run", "same names", tmp_path / "out2", "200", "--data.root", "same names") == 0
    assert "left out 30 images that" in capsys.readouterr().out
    for file in sorted((tmp_path / "copies").glob("*.png")):
        file.rename(file.with_name(f"other {file.name}"))
    assert ask("run", "copies", tmp_path / "out3", "200") == 0  # no name in common: another folder


def test_a_model_of_another_dataset_sees_files_as_its_own_images(tmp_path, capsys):
    from msal_lightning.datasets import Digits

    words = ["--config", "digits", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu", "--loop.query_budget"]
    sizes = ["--model.backbone.width", "4", "--trainer.precision", "32-true", "--query", "Entropy"]
    for budget, name in (("40", "shorter"), ("80", "longer")):
        assert main(["fit", *words, budget, *sizes, "--run_dir", str(tmp_path / name)]) == 0
    data = Digits()
    data.setup()
    (tmp_path / "files").mkdir()
    for index, image in enumerate(data.images):
        Image.fromarray(image[0].numpy()).save(tmp_path / "files" / f"{index:05d}.png")
    queried = read_records(tmp_path / "longer")[1].queried
    first = read_records(tmp_path / "shorter")[0]
    for index in (*first.initial.index, *first.queried.index):
        (tmp_path / "files" / f"{index:05d}.png").unlink()
    assert ask(tmp_path / "shorter", tmp_path / "files", tmp_path / "out", "40") == 0
    assert [row["path"] for row in rows(tmp_path / "out")] == [f"{index:05d}.png" for index in queried.index]


def test_images_that_cannot_be_read(fit, photos, tmp_path, capsys):
    run = fit(10)
    shutil.copytree(photos / "test", tmp_path / "new")
    (tmp_path / "new" / "bad.jpg").write_bytes(b"no image")
    assert ask(run, tmp_path / "new", tmp_path / "out", "20") == 2
    error = capsys.readouterr().err
    assert "bad.jpg" in error
    assert "set --on_error to skip" in error
    assert not (tmp_path / "out").exists()
    assert ask(run, tmp_path / "new", tmp_path / "out", "20", "--on_error", "skip") == 0
    assert "1 of 16 images cannot be read and are left out" in capsys.readouterr().out
    assert len(rows(tmp_path / "out")) == 15


def test_a_filled_file_is_never_overwritten(fit, photos, tmp_path, capsys):
    run = fit(10)
    assert ask(run, photos / "train", tmp_path) == 0
    before = (tmp_path / "query.csv").read_bytes()
    assert ask(run, photos / "train", tmp_path, "20") == 2
    assert "set --out to another folder" in capsys.readouterr().err
    assert (tmp_path / "query.csv").read_bytes() == before


def test_strategies_that_need_the_labeled_set_say_what_is_missing(fit, photos, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(fit(10), run)
    config = run / "config.yaml"
    config.write_text(config.read_text().replace(str(photos / "train"), str(tmp_path / "moved")))
    assert ask(run, photos / "test", tmp_path / "out", "5", "--query", "KCenter") == 2
    error = capsys.readouterr().err
    assert "KCenter needs the labeled images of" in error
    assert "moved" in error
    moved = ["--data.root", str(photos / "train")]
    assert ask(run, photos / "test", tmp_path / "out", "5", "--query", "KCenter", *moved) == 0
    shutil.copytree(photos / "train", tmp_path / "moved")
    (tmp_path / "moved" / "cat" / "000.png").rename(tmp_path / "moved" / "owl" / "000.png")
    assert ask(run, photos / "test", tmp_path / "out2", "5", "--query", "KCenter") == 2
    assert "got others" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--n", "0"], "--n to be at least 1, got 0"),
        (["--n", "x"], "--n to be an integer, got 'x'"),
        ([], "--n (how many images to choose), got none"),
        (["--n", "5", "--checkpoint", "nowhere"], "no 'nowhere'"),
        (["--n", "5", "--query", "Entropyy"], "did you mean Entropy"),
        (["--n", "5", "--query.beeta", "5"], "did you mean beta"),
        (["--n", "5", "--loop.query_size", "5"], "unknown option '--loop.query_size'"),
        (["--n", "5", "--images", "nowhere"], "expected --images 'nowhere' to be a folder"),
        (["--n", "5", "--trainer.precision", "16-mixed"], "needs a GPU"),
        (["--n", "5", "--model.head", "linear"], "unknown option '--model.head'"),
    ],
)
def test_mistakes_are_one_sentence(fit, photos, tmp_path, capsys, words, message):
    run = fit(10)
    usual = ["--checkpoint", str(run), "--images", str(photos / "test"), "--out", str(tmp_path / "out")]
    assert main(["query", *usual, "--trainer.accelerator", "cpu", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["empty", "damaged", "foreign", "no run", "none kept"])
def test_checkpoints_that_are_none(fit, photos, tmp_path, capsys, kind):
    run = tmp_path / "run"
    shutil.copytree(fit(10), run)
    file = run / "checkpoints" / "round-001.ckpt"
    content = file.read_bytes()
    if kind == "empty":
        file.write_bytes(b"")
    elif kind == "damaged":
        with zipfile.ZipFile(file) as archive:
            largest = max(archive.infolist(), key=lambda part: part.file_size)
        middle = largest.header_offset + 128 + largest.file_size // 2  # torch aligns the values to 64 bytes
        file.write_bytes(
            content[:middle] + bytes(byte ^ 255 for byte in content[middle : middle + 20]) + content[middle + 20 :]
        )
    elif kind == "foreign":
        torch.save({"state_dict": {}}, file)
    elif kind == "no run":
        (run / "config.yaml").unlink()
    else:
        file.unlink()
        file = run
    assert ask(file, photos / "test", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert str(file) in error
    assert len(error.splitlines()) == 1


def test_a_strategy_with_prototypes_on_a_linear_head(fit, photos, tmp_path, capsys):
    run = fit(10, "--model.head", "linear", "--query", "BADGE")
    assert ask(run, photos / "test", tmp_path / "out", "5", "--query", "MSALD") == 2
    assert "MSALD needs prototypes" in capsys.readouterr().err
