"""The command ``labels``, and its files as ``data.labels`` of the next run."""

import csv
import json
import shutil
import subprocess
import sys

import pytest
import torch
from PIL import Image

from msal_lightning.cli.main import main
from msal_lightning.data.places import Place
from msal_lightning.datasets import ImageFolder
from msal_lightning.errors import DataError

NAMES = ["cat", "dog", "owl"]


def rows(file):
    with file.open(newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A run whose person has labeled 20 images, 6 of them held out, and skipped one; the first query is asked for."""
    folder = tmp_path_factory.mktemp("project")
    draws = torch.Generator().manual_seed(0)
    truth = {}
    for k in range(40):
        path = f"{'ab'[k % 2]}/{k:02d}.png"
        (folder / "photos" / path).parent.mkdir(parents=True, exist_ok=True)
        pixels = torch.randint(0, 60, (8, 8, 3), generator=draws, dtype=torch.uint8)
        pixels[..., k % 3] += 150
        Image.fromarray(pixels.numpy()).save(folder / "photos" / path)
        truth[path] = NAMES[k % 3]
    argv = ["fit", "--config", "image_folder", "--data.root", str(folder / "photos"), "--data.unlabeled", "true"]
    argv += ["--data.classes", json.dumps(NAMES), "--data.size", "8", "--model.backbone", "SmallCNN"]
    argv += ["--model.backbone.width", "4", "--trainer.accelerator", "cpu", "--trainer.max_epochs", "1"]
    argv += ["--loop.initial_size", "14", "--loop.held_out", "6", "--loop.query_size", "6", "--loop.query_budget", "6"]
    argv += ["--oracle", "Files", "--query", "Margin", "--run_dir", str(folder / "run")]
    assert main(argv) == 0
    shutil.copytree(folder / "run", folder / "unlabeled")
    skipped = fill(folder / "run/queries/initial.csv", truth, skip=2)
    assert main(argv) == 0
    fill(folder / "run/queries/initial-2.csv", truth)
    assert main(argv) == 0
    return folder, truth, skipped, argv


def fill(file, truth, skip=None):
    lines = rows(file)
    for k, line in enumerate(lines):
        line["label"] = "skip" if k == skip else truth[line["path"]]
    with file.open("w", newline="") as out:
        csv.DictWriter(out, lines[0]).writeheader()
        csv.DictWriter(out, lines[0]).writerows(lines)
    return None if skip is None else lines[skip]["path"]


def test_accepted_labels_of_an_open_round_count(project, tmp_path, capsys):
    folder, truth, skipped, argv = project
    run = tmp_path / "run"
    shutil.copytree(folder / "run", run)
    argv = [*argv[:-1], str(run)]
    assert main(["labels", str(run), "--out", str(tmp_path / "before.csv")]) == 0  # round 0 has no record yet
    before = rows(tmp_path / "before.csv")
    assert {row["path"]: row["label"] for row in before if row["path"] != skipped} == {
        row["path"]: truth[row["path"]] for row in before if row["path"] != skipped
    }
    assert [row["label"] for row in before].count("skip") == 1
    fill(run / "queries/round-000.csv", truth)
    assert main(argv) == 0
    capsys.readouterr()
    assert main(["labels", str(run), "--out", str(tmp_path / "after.csv")]) == 0
    assert f"20 labels of 3 classes and 1 skipped: {tmp_path / 'after.csv'}" in capsys.readouterr().out
    after, ledger = rows(tmp_path / "after.csv"), rows(run / "ledger.csv")
    assert [row["label"] for row in after[:-1]] == [row["class_name"] for row in ledger]
    assert [row["class_name"] for row in ledger] == [truth[row["path"]] for row in ledger]
    for row, of_ledger in zip(after, ledger, strict=False):
        assert [row[key] for key in ("path", "index", "score", "rank")] == [
            of_ledger[key] for key in ("path", "index", "score", "rank")
        ]
        held_out = int(of_ledger["round"]) == Place.HELD_OUT
        assert (row["split"], row["round"]) == (("test", "0") if held_out else ("train", of_ledger["round"]))
    assert [row["split"] for row in after].count("test") == 6
    assert {row["path"]: row["label"] for row in before} == {row["path"]: row["label"] for row in after[:14]} | {
        skipped: "skip"
    }


@pytest.mark.parametrize("format", ["csv", "coco", "label-studio", "fiftyone", "hf"])
def test_each_format_is_read_as_data_labels(project, tmp_path, format, capsys):
    if format == "hf":
        library = pytest.importorskip("datasets")
        if not hasattr(library, "load_from_disk"):
            pytest.skip("no library datasets")
    folder, truth, skipped, _ = project
    out = tmp_path / ("out.csv" if format == "csv" else "out" if format == "hf" else "out.json")
    assert main(["labels", str(folder / "run"), "--out", str(out), "--format", format]) == 0
    data = ImageFolder(str(folder / "photos"), labels=str(out), unlabeled=True, classes=NAMES, size=8)
    data.setup()
    data.reset(0)
    known = data.hidden_labels.known
    assert int(known.sum()) == 14
    paths = data.paths(torch.arange(len(known)))
    assert (skipped in paths) == (format != "csv")  # the others have no word for it
    index = known.nonzero()[:, 0]
    labels = dict(zip(data.paths(index), data.label(index, 0).tolist(), strict=True))
    assert labels == {path: NAMES.index(truth[path]) for path in labels}
    capsys.readouterr()


def test_data_that_moved_is_named(project, tmp_path, capsys):
    folder, *_ = project
    run = tmp_path / "run"
    shutil.copytree(folder / "run", run)
    (run / "config.yaml").write_text((run / "config.yaml").read_text().replace(str(folder / "photos"), "/gone"))
    words = ["labels", str(run), "--out", str(tmp_path / "x.json"), "--format", "coco"]
    assert main(words) == 2
    assert "expected the image '/gone/" in capsys.readouterr().err
    assert main([*words, "--data.root", str(folder / "photos")]) == 0
    assert main([*words, "--data.root", str(folder / "photos")]) == 2
    assert "expected --out to be a new file" in capsys.readouterr().err
    assert main([*words[:3], str(tmp_path / "no/x.json")]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_it_needs_no_torch(project, tmp_path):
    folder, *_ = project
    code = "import sys; from msal_lightning.cli.main import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    words = ["labels", str(folder / "run"), "--out", str(tmp_path / "x.json"), "--format", "coco"]
    assert subprocess.run([sys.executable, "-c", code, *words], check=False, capture_output=True).returncode == 0


def test_a_run_without_files_has_rows(tmp_path, capsys):
    fit = ["fit", "--config", "digits", "--loop.query_budget", "0", "--trainer.max_epochs", "1"]
    assert main([*fit, "--trainer.accelerator", "cpu", "--run_dir", str(tmp_path / "run")]) == 0
    assert main(["labels", str(tmp_path / "run"), "--out", str(tmp_path / "x.csv")]) == 0
    assert [(row["index"], row["label"]) for row in rows(tmp_path / "x.csv")] == [
        (row["index"], row["class_name"]) for row in rows(tmp_path / "run/ledger.csv")
    ]
    capsys.readouterr()
    assert main(["labels", str(tmp_path / "run"), "--out", str(tmp_path / "x"), "--format", "coco"]) == 2
    assert "rows without paths: use csv" in capsys.readouterr().err
    with pytest.raises(DataError, match="expected the column path in"):
        ImageFolder(str(tmp_path), labels=str(tmp_path / "x.csv"), unlabeled=True).setup()


def test_a_run_without_labels_is_refused(project, tmp_path, capsys):
    folder, *_ = project
    assert main(["labels", str(folder / "unlabeled"), "--out", str(tmp_path / "x.csv")]) == 2
    assert "expected a run with labels, got none" in capsys.readouterr().err
