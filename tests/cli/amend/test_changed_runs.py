"""``add``, ``remove``, ``correct`` and ``extend`` after each other, on data of all kinds."""

import csv
import json

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from PIL import Image
from sklearn.datasets import load_digits

from msal_lightning import ActiveLoop, LoopOptions, MSALClassifier, RunDirectory, SmallCNN
from msal_lightning.cli.main import main
from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.places import Place
from msal_lightning.datasets import Digits, Embeddings, ImageFolder
from msal_lightning.runs.records import read_records
from msal_lightning.strategies import Margin

DIGITS = load_digits()
TINY = [
    "--trainer.max_steps",
    "4",
    "--trainer.accelerator",
    "cpu",
    "--loop.initial_size",
    "30",
    "--loop.query_size",
    "20",
]
FEATURES = ["fit", "--config", "embeddings", *TINY, "--loop.query_budget", "40", "--query", "Margin"]
MEMORY = ["fit", "--config", "digits", *TINY, "--model.backbone.width", "4", "--loop.query_budget", "20"]
FOLDER = [*MEMORY, "--data", "ImageFolder", "--data.size", "8", "--data.channels", "1", "--data.batch_size", "32"]


def write(folder, rows, site=lambda i: i // 20, path=lambda i: f"{i}.png"):
    folder.mkdir(parents=True)
    np.save(folder / "features.npy", DIGITS.data[rows].astype(np.float32) / 16)
    with (folder / "labels.csv").open("w", newline="") as file:
        lines = [(path(i), f"d{DIGITS.target[i]}", f"site {site(i)}") for i in rows]
        csv.writer(file).writerows([("path", "label", "site"), *lines])


def draw(folder, rows, name=str):
    for i in rows:
        file = folder / f"d{DIGITS.target[i]}" / f"{name(i)}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((DIGITS.images[i] * 15).astype(np.uint8)).save(file)


def ledger(run):
    return list(csv.DictReader((run / "ledger.csv").read_text().splitlines()))


def listed(folder, *paths):
    (folder / "gone.csv").write_text("\n".join(["path", *map(str, paths)]) + "\n")
    return str(folder / "gone.csv")


@pytest.fixture
def said(capsys):
    """``said(code, *words)``: run a command, expect an exit code, and return what it printed."""

    def run(code, *words):
        capsys.readouterr()
        assert main([str(word) for word in words]) == code
        captured = capsys.readouterr()
        return " ".join((captured.out + captured.err).split())

    return run


def test_new_rows_of_a_tested_group_are_not_trained_on(tmp_path, said):
    root, run = tmp_path / "features", tmp_path / "run"
    write(root, range(400))
    said(0, *FEATURES, "--data.test_fraction", "0.3", "--data.group", "site", "--data.root", root, "--run_dir", run)
    data = Embeddings(str(root), group="site", test_fraction=0.3)
    data.setup()
    sites = sorted({*data.group_names["test"]})
    write(root / "more", range(400, 500), site=lambda i: 77 if i < 430 else sites[i % len(sites)][5:])
    said(0, "add", run, root / "more")
    left = read_records(run)[-1].num_pool + 30  # those of the new site
    assert f"expected at most {left} more labels" in said(2, "extend", run, "--labels", left + 1)
    said(0, "extend", run, "--labels", left)
    new = [int(row["path"].removeprefix("more/")[:-4]) for row in ledger(run) if row["path"].startswith("more/")]
    assert sorted(new) == [*range(400, 430)]


def test_an_expression_finds_the_group_in_the_path_of_the_ledger(tmp_path, said):
    root, run = tmp_path / "features", tmp_path / "run"
    write(root, range(200), path=lambda i: f"week{i // 20}/{i}.png")
    said(0, *FEATURES, "--data.group", "^(week[0-9]+)/", "--data.root", root, "--run_dir", run)
    write(root / "week30", range(200, 250))  # week30/200.png and so on in the ledger
    assert "50 rows added" in said(0, "add", run, root / "week30")
    said(0, "extend", run, "--labels", 20)


def test_other_data_is_refused_before_a_row_is_named(tmp_path, said):
    root, run = tmp_path / "features", tmp_path / "run"
    write(root, range(400))
    said(0, *FEATURES, "--data.root", root, "--run_dir", run)
    gone = listed(tmp_path, ledger(run)[5]["path"])
    for words in (["remove", run, gone], ["add", run, root / "more"]):
        if words[0] == "add":
            write(root / "more", range(400, 420))
        assert "got others (" in said(2, *words, "--data.test_fraction", "0.4")
    assert not (run / "amendments").exists()


def test_all_rows_of_a_path_leave_and_no_correction_brings_one_back(tmp_path, said):
    root, run = tmp_path / "features", tmp_path / "run"
    write(root, range(200), path=lambda i: f"{i // 2}.png")  # two crops of each picture
    said(0, *FEATURES, "--data.root", root, "--run_dir", run)
    data = Embeddings(str(root))
    data.setup()
    paths = data.paths(torch.arange(data.images.shape[0]))
    row = next(row for row in ledger(run) if paths.count(row["path"]) == 2)
    assert "2 rows removed" in said(0, "remove", run, listed(tmp_path, row["path"]))
    indices = json.loads((run / "amendments/001.json").read_text())["change"]["index"]
    assert indices == [index for index, path in enumerate(paths) if path == row["path"]]
    other = next(f"d{c}" for c in range(10) if f"d{c}" != row["class_name"])
    (tmp_path / "correct.csv").write_text(f"path,label\n{row['path']},{other}\n")
    assert "got none of them" in said(2, "correct", run, tmp_path / "correct.csv")
    said(0, "extend", run, "--labels", 10)


def test_a_long_tail_draws_the_same_images(tmp_path, said):
    write(tmp_path / "features", range(300))
    draw(tmp_path / "photos", range(200))
    imbalance = ["--data.imbalance", "0.5"]
    said(0, *FEATURES, *imbalance, "--data.root", tmp_path / "features", "--run_dir", tmp_path / "a")
    said(0, *FOLDER, *imbalance, "--data.root", tmp_path / "photos", "--run_dir", tmp_path / "b")
    write(tmp_path / "features/more", range(300, 320))
    gone = listed(tmp_path, ledger(tmp_path / "b")[3]["path"])
    for words in (["add", tmp_path / "a", tmp_path / "features/more"], ["remove", tmp_path / "b", gone],
                  ["add", tmp_path / "b", tmp_path / "photos"]):  # fmt: skip
        assert "expected no data.imbalance" in said(2, *words)
    assert not [*tmp_path.glob("?/amendments")]


def test_rows_that_a_long_tail_leaves_out_are_none_of_the_run(tmp_path, said):
    run = tmp_path / "run"
    said(0, *MEMORY, "--data.imbalance", "0.1", "--query", "Margin", "--run_dir", run)
    data = Digits(imbalance=0.1)
    data.setup()
    data.reset(0)
    out = int((data.labeled_at == Place.LEFT_OUT).nonzero()[0])
    assert f"the run has no training image '{out}'" in said(2, "remove", run, listed(tmp_path, out))
    pool = [index for index in data.pool.tolist() if str(index) not in {row["index"] for row in ledger(run)}]
    said(0, "remove", run, listed(tmp_path, *pool[:5], ledger(run)[0]["index"]))
    left = len(pool) - 5
    assert f"expected at most {left} more labels" in said(2, "extend", run, "--labels", left + 1)
    said(0, "extend", run, "--labels", left)
    assert read_records(run)[-1].num_labeled == left + 50 - 1


def test_skipped_images_leave_the_pool_once(tmp_path, said):
    root, run = tmp_path / "features", tmp_path / "run"
    write(root, range(120))
    draw(root, range(120))
    for i in range(120):
        (root / f"d{DIGITS.target[i]}/{i}.png").rename(root / f"{i}.png")
    (root / "labels.csv").write_text("\n".join(["path,label", *(f"{i}.png," for i in range(120))]) + "\n")
    classes = json.dumps([f"d{c}" for c in range(10)])
    people = ["--loop.held_out", "10", "--oracle", "Files", "--data.classes", classes]
    argv = [*FEATURES, *people, "--data.root", root, "--run_dir", run]
    for skipped in (2, 3, 0, 0, 0, 0):
        said(0, *argv)
        for file in run.glob("queries/*.csv"):
            header, *lines = csv.reader(file.read_text().splitlines())
            if not any(line[-1] for line in lines):
                words = [
                    "skip" if k < skipped else f"d{DIGITS.target[int(line[0][:-4])]}" for k, line in enumerate(lines)
                ]
                lines = [[*line[:-1], word] for line, word in zip(lines, words, strict=True)]
                with file.open("w", newline="") as out:
                    csv.writer(out).writerows([header, *lines])
    records = read_records(run)
    assert len(records) == 3
    left = records[-1].num_pool
    num_skipped = sum(len(one.skipped.index) for one in records if one.skipped)
    assert left == 120 - 70 - num_skipped
    assert num_skipped > 3
    assert f"at most {left} more labels" in said(2, "extend", run, "--labels", 100)
    said(0, "remove", run, listed(tmp_path, *(path for one in records if one.skipped for path in one.skipped.path)))
    assert f"at most {left} more labels" in said(2, "extend", run, "--labels", 100)
    said(0, "labels", run, "--out", tmp_path / "labels.csv")
    assert "skip" not in (tmp_path / "labels.csv").read_text()


def test_new_images_of_a_tested_group_are_no_part_of_the_pool(tmp_path, said):
    root, run = tmp_path / "photos", tmp_path / "run"
    draw(root, range(200), lambda i: f"site{i // 20} {i}")
    group = "(site[0-9]+) "
    said(0, *FOLDER, "--query", "Margin", "--data.group", group, "--data.root", root, "--run_dir", run)
    data = ImageFolder(str(root), size=8, channels=1, group=group)
    data.setup()
    sites = sorted({*data.group_names["test"]})
    draw(root, range(200, 260), lambda i: f"{sites[i % len(sites)] if i < 250 else 'site99'} {i}")
    said(0, "add", run, root)
    left = read_records(run)[-1].num_pool + 10
    assert f"at most {left} more labels" in said(2, "extend", run, "--labels", left + 1)
    said(0, "extend", run, "--labels", left)
    assert read_records(run)[-1].num_pool == 0


def test_a_removed_image_has_no_pseudo_label(tmp_path, said, monkeypatch):
    run = tmp_path / "run"
    said(0, *MEMORY, "--query", "CEAL", "--trainer.max_steps", "200", "--loop.query_budget", "40", "--run_dir", run)
    (run / "rounds/002.json").unlink()  # as if killed before
    predicted = read_records(run)[-1].pseudo_labels.index
    gone = predicted[:5]
    assert len(gone) == 5
    said(0, "remove", run, listed(tmp_path, *gone))
    trained, make = [], ActiveDataModule.train_dataloader

    def look(self):
        trained.append(self.split.pseudo_labels[0].tolist())
        return make(self)

    monkeypatch.setattr(ActiveDataModule, "train_dataloader", look)
    said(0, "resume", run)
    assert trained == [predicted[5:]]


def test_a_run_from_python_on_image_files_lets_images_go(tmp_path, said):
    draw(tmp_path / "photos", range(120))
    loop = ActiveLoop(
        new_model=lambda: MSALClassifier(num_classes=10, in_channels=1, backbone=SmallCNN, head="linear"),
        new_trainer=lambda **settings: Trainer(max_steps=2, accelerator="cpu", **settings),
        data=ImageFolder(str(tmp_path / "photos"), size=8, channels=1, batch_size=16),
        strategy=Margin(),
        run=RunDirectory(tmp_path / "run"),
        options=LoopOptions(initial_size=20, query_size=10, query_budget=10),
    )
    loop.run()
    gone = listed(tmp_path, ledger(tmp_path / "run")[3]["path"])
    assert "1 image removed, 1 of them labeled" in said(0, "remove", tmp_path / "run", gone)
